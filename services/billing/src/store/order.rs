//! Orders, their payments' refunds and disputes, and the events that were taken.

use std::collections::BTreeMap;

use db::Engine;
use domain::{AccountId, Micros, Mode, OperationId, OrderId};
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::{ledger, row};
use crate::{
    Error,
    ledger::{Balance, BalanceId},
    orders::state::{Booked, Facts, Progress, Reversal, ReversalKind, ReversalState, Shown, Terms},
};

/// A row of `purchase`.
#[derive(Clone, Debug)]
pub(crate) struct OrderRow {
    pub(crate) id: OrderId,
    pub(crate) account: AccountId,
    /// Made of the client's Idempotency-Key.
    pub(crate) request: Option<Vec<u8>>,
    pub(crate) pack: String,
    pub(crate) name: String,
    pub(crate) terms: Terms,
    /// Stripe's page, once it has been made.
    pub(crate) url: Option<String>,
    pub(crate) payment: Option<String>,
    pub(crate) shown: Shown,
    pub(crate) booked: Booked,
    pub(crate) bookings: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// What an order owes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owing {
    pub(crate) id: OrderId,
    pub(crate) owed: Micros,
    pub(crate) bookings: i64,
}

/// A row of `payment_event`.
#[derive(Clone, Debug)]
pub(crate) struct EventRow {
    /// Stripe's.
    pub(crate) id: String,
    pub(crate) kind: String,
}

const COLUMNS: &str =
    "id, account, request, pack, name, credits, price, currency, url, payment, progress,
    received, refunded, disputed, credited, reversed, owed, bookings, created_at, updated_at";

/// Keeps an order, unless it is kept, or there is one for this request already.
pub(crate) async fn insert(connection: &mut AnyConnection, order: &OrderRow) -> Result<(), Error> {
    sqlx::query(
        "insert into purchase (id, account, request, pack, name, credits, price, currency, progress, received, refunded,
                               disputed, credited, reversed, owed, bookings, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'open', 0, 0, 0, 0, 0, 0, 0, $9, $9)
         on conflict do nothing",
    )
    .bind(order.id.to_vec())
    .bind(order.account.to_vec())
    .bind(order.request.clone())
    .bind(order.pack.clone())
    .bind(order.name.clone())
    .bind(order.terms.credits.get())
    .bind(order.terms.price)
    .bind(order.terms.currency.clone())
    .bind(order.created_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Frees the key of a request whose order was made before a moment.
pub(crate) async fn forget_request(
    connection: &mut AnyConnection,
    account: AccountId,
    request: &[u8],
    until: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update purchase set request = null where account = $1 and request = $2 and created_at < $3",
    )
    .bind(account.to_vec())
    .bind(request.to_vec())
    .bind(until)
    .execute(connection)
    .await?;
    Ok(())
}

/// The order of a request.
pub(crate) async fn by_request(
    connection: &mut AnyConnection,
    account: AccountId,
    request: &[u8],
) -> Result<Option<OrderRow>, Error> {
    let sql = format!("select {COLUMNS} from purchase where account = $1 and request = $2");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(account.to_vec())
        .bind(request.to_vec())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

pub(crate) async fn get(
    connection: &mut AnyConnection,
    id: OrderId,
) -> Result<Option<OrderRow>, Error> {
    let sql = format!("select {COLUMNS} from purchase where id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(id.to_vec())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// When a transfer was booked, if it was.
pub(crate) async fn booked_at(
    connection: &mut AnyConnection,
    transfer: OperationId,
) -> Result<Option<i64>, Error> {
    let booked =
        sqlx::query_scalar("select created_at from transfer where id = $1").bind(transfer.to_vec());
    Ok(booked.fetch_optional(connection).await?)
}

/// The order that a payment is for, if that is known.
pub(crate) async fn by_payment(
    connection: &mut AnyConnection,
    payment: &str,
) -> Result<Option<OrderId>, Error> {
    let row = sqlx::query("select id from purchase where payment = $1")
        .bind(payment.to_owned())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(|row| row::id(row, "id")).transpose()
}

/// A page of an account's orders, the newest first.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    account: AccountId,
    before: Option<OrderId>,
    limit: i64,
) -> Result<Vec<OrderRow>, Error> {
    // Longer than any id, and so behind all of them.
    let before = before.map_or_else(|| vec![0xff; 17], OrderId::to_vec);
    let sql = format!(
        "select {COLUMNS} from purchase where account = $1 and id < $2 order by id desc limit $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(account.to_vec())
        .bind(before)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// Keeps Stripe's page. The first one stays.
pub(crate) async fn set_page(
    connection: &mut AnyConnection,
    id: OrderId,
    session: &str,
    url: &str,
) -> Result<(), Error> {
    sqlx::query("update purchase set session = $1, url = $2 where id = $3 and session is null")
        .bind(session.to_owned())
        .bind(url.to_owned())
        .bind(id.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Marks an order as failed whose page was never made.
pub(crate) async fn give_up(
    connection: &mut AnyConnection,
    id: OrderId,
    at: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update purchase set progress = 'failed', updated_at = $1
         where id = $2 and session is null and progress = 'open'",
    )
    .bind(at)
    .bind(id.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// An account's balance, which nobody else changes until this transaction has ended. It is the first lock of every transaction
/// about orders and codes, so that those of one account come one after another, and never wait for each other in a circle.
pub(crate) async fn lock_balance(
    connection: &mut AnyConnection,
    id: BalanceId,
) -> Result<Option<Balance>, Error> {
    match Engine::of(connection) {
        // There is one writer.
        Engine::Sqlite => {}
        Engine::Postgres => {
            sqlx::query(
                "select account from balance where account = $1 and mode = $2 for no key update",
            )
            .bind(id.account.to_vec())
            .bind(id.mode.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        }
    }
    // As it is once the lock is had.
    ledger::balance(connection, id).await
}

/// Keeps an event, and says whether it is new.
pub(crate) async fn insert_event(
    connection: &mut AnyConnection,
    order: OrderId,
    event: &EventRow,
    at: i64,
) -> Result<bool, Error> {
    let kept = sqlx::query(
        "insert into payment_event (id, purchase, type, created_at) values ($1, $2, $3, $4)
         on conflict do nothing",
    )
    .bind(event.id.clone())
    .bind(order.to_vec())
    .bind(event.kind.clone())
    .bind(at)
    .execute(connection)
    .await?;
    Ok(kept.rows_affected() > 0)
}

/// Whether an event was taken before.
pub(crate) async fn knows_event(connection: &mut AnyConnection, id: &str) -> Result<bool, Error> {
    let found = sqlx::query("select 1 from payment_event where id = $1")
        .bind(id.to_owned())
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// All that is known of an order's payment.
pub(crate) async fn facts(
    connection: &mut AnyConnection,
    order: &OrderRow,
) -> Result<Facts, Error> {
    let rows =
        sqlx::query("select id, kind, amount, state from payment_reversal where purchase = $1")
            .bind(order.id.to_vec())
            .fetch_all(connection)
            .await?;
    let mut reversals = BTreeMap::new();
    for row in &rows {
        let kind = ReversalKind::parse(row.try_get("kind")?);
        let state = ReversalState::parse(row.try_get("state")?);
        let (kind, state) = kind
            .zip(state)
            .ok_or(Error::Corrupt("a reversal's word is not known"))?;
        let amount = row.try_get("amount")?;
        reversals.insert(
            row.try_get("id")?,
            Reversal {
                kind,
                amount,
                state,
            },
        );
    }
    Ok(Facts {
        progress: order.shown.progress,
        received: order.shown.received,
        reversals,
    })
}

/// Keeps the refunds and disputes of an order as they are now.
pub(crate) async fn put_reversals(
    connection: &mut AnyConnection,
    order: OrderId,
    facts: &Facts,
) -> Result<(), Error> {
    for (id, reversal) in &facts.reversals {
        sqlx::query(
            "insert into payment_reversal (id, purchase, kind, amount, state) values ($1, $2, $3, $4, $5)
             on conflict (id) do update set amount = $4, state = $5",
        )
        .bind(id.clone())
        .bind(order.to_vec())
        .bind(reversal.kind.as_str())
        .bind(reversal.amount)
        .bind(reversal.state.as_str())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Writes how an order stands now: its payment, what is known of it, what is booked.
pub(crate) async fn update(
    connection: &mut AnyConnection,
    order: &OrderRow,
    at: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update purchase set payment = $1, progress = $2, received = $3, refunded = $4, disputed = $5, credited = $6,
                             reversed = $7, owed = $8, bookings = $9, updated_at = $10
         where id = $11",
    )
    .bind(order.payment.clone())
    .bind(order.shown.progress.as_str())
    .bind(order.shown.received)
    .bind(order.shown.refunded)
    .bind(order.shown.disputed)
    .bind(order.booked.credited.get())
    .bind(order.booked.reversed.get())
    .bind(order.booked.owed.get())
    .bind(order.bookings)
    .bind(at)
    .bind(order.id.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// What an account's orders owe, the oldest first.
pub(crate) async fn owing(
    connection: &mut AnyConnection,
    account: AccountId,
) -> Result<Vec<Owing>, Error> {
    let rows = sqlx::query(
        "select id, owed, bookings from purchase where account = $1 and owed > 0 order by id",
    )
    .bind(account.to_vec())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Owing {
                id: row::id(row, "id")?,
                owed: row::micros(row, "owed")?,
                bookings: row.try_get("bookings")?,
            })
        })
        .collect()
}

/// Writes that so much of what an order owes was taken.
pub(crate) async fn collected(
    connection: &mut AnyConnection,
    order: OrderId,
    amount: Micros,
    at: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update purchase set reversed = reversed + $1, owed = owed - $1, bookings = bookings + 1, updated_at = $2
         where id = $3",
    )
    .bind(amount.get())
    .bind(at)
    .bind(order.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// Accounts that owe, and have something that can be taken; behind `after`.
pub(crate) async fn debtors(
    connection: &mut AnyConnection,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<AccountId>, Error> {
    let after = after.map(AccountId::to_vec).unwrap_or_default();
    let rows = sqlx::query(
        "select distinct purchase.account from purchase
         join balance on balance.account = purchase.account and balance.mode = 'live'
         where purchase.owed > 0 and purchase.account > $1 and balance.posted > balance.held
         order by purchase.account limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row::id(row, "account")).collect()
}

// === impl OrderRow ===

impl OrderRow {
    /// The balance it is for: only live credit is bought.
    pub(crate) const fn balance(&self) -> BalanceId {
        BalanceId {
            account: self.account,
            mode: Mode::Live,
        }
    }
}

fn read(row: &AnyRow) -> Result<OrderRow, Error> {
    let progress = Progress::parse(row.try_get("progress")?);
    Ok(OrderRow {
        id: row::id(row, "id")?,
        account: row::id(row, "account")?,
        request: row.try_get("request")?,
        pack: row.try_get("pack")?,
        name: row.try_get("name")?,
        terms: Terms {
            credits: row::micros(row, "credits")?,
            price: row.try_get("price")?,
            currency: row.try_get("currency")?,
        },
        url: row.try_get("url")?,
        payment: row.try_get("payment")?,
        shown: Shown {
            progress: progress.ok_or(Error::Corrupt("an order's progress is not known"))?,
            received: row.try_get("received")?,
            refunded: row.try_get("refunded")?,
            disputed: row.try_get("disputed")?,
        },
        booked: Booked {
            credited: row::micros(row, "credited")?,
            reversed: row::micros(row, "reversed")?,
            owed: row::micros(row, "owed")?,
        },
        bookings: row.try_get("bookings")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
