//! One batch of the ledger in one transaction: load what it names, let the pure ledger decide, write what it decided. How rows
//! come in and go out is each engine's own (`sqlite`, `postgres`; `file` for the lanes on SQLite); what happens to them is the same.

mod array;
mod file;
mod new_hold;
mod postgres;
mod read;
mod sqlite;

use std::collections::HashSet;

use db::Engine;
use domain::{KeyId, Micros, OperationId};
use rusqlite::Connection;
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::row;
use crate::{
    Error,
    ledger::{Balance, BalanceId, Decision, Op, decide},
};

/// An open row of `hold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenHoldRow {
    /// Its id, and the operation's.
    pub id: OperationId,
    /// By which key, if by one.
    pub key: Option<KeyId>,
    /// Set aside.
    pub granted: Micros,
    /// Microseconds UTC.
    pub created_at: i64,
    /// When it ends by itself, in microseconds UTC; `None`: only with its task.
    pub expires_at: Option<i64>,
}

/// What a batch names.
#[derive(Default)]
struct Names {
    holds: HashSet<OperationId>,
    balances: HashSet<BalanceId>,
    transfers: HashSet<OperationId>,
    keys: HashSet<KeyId>,
}

/// Applies a batch. `at` is now. `receipts` are those of the operations, each in its place; what ended no hold keeps none.
///
/// # Errors
/// When the database fails or another process was faster ([`Error::Overtaken`]); then nothing of the batch may be kept.
pub(crate) async fn apply(
    connection: &mut AnyConnection,
    ops: &[Op],
    receipts: &[Option<String>],
    at: i64,
) -> Result<Decision, Error> {
    let engine = Engine::of(connection);
    let named = names(ops);
    let mut loaded = match engine {
        Engine::Sqlite => sqlite::load(connection, &named).await?,
        Engine::Postgres => postgres::load(connection, &named).await?,
    };
    loaded.now = at;
    let decision = decide(loaded, ops);
    if decision.changes.is_empty() {
        return Ok(decision);
    }
    let changes = &decision.changes;
    match engine {
        Engine::Sqlite => sqlite::write(connection, changes, receipts, at).await?,
        Engine::Postgres => postgres::write(connection, changes, receipts, at).await?,
    }
    Ok(decision)
}

/// The same on a SQLite file whose rows are bound here.
///
/// # Errors
/// When the database fails; then nothing of the batch may be kept.
pub(crate) fn apply_to_file(
    connection: &Connection,
    ops: &[Op],
    receipts: &[Option<String>],
    at: i64,
) -> Result<Decision, Error> {
    let mut loaded = file::load(connection, &names(ops))?;
    loaded.now = at;
    let decision = decide(loaded, ops);
    if !decision.changes.is_empty() {
        file::write(connection, &decision.changes, receipts, at)?;
    }
    Ok(decision)
}

/// Open chat holds that are past their moment, the oldest first.
pub(crate) async fn due_holds(
    connection: &mut AnyConnection,
    now: i64,
    limit: i64,
) -> Result<Vec<OperationId>, Error> {
    let rows = sqlx::query(
        "select id from hold where state = 'open' and kind = 'chat' and expires_at < $1
         order by expires_at limit $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row::id(row, "id")).collect()
}

/// How many holds are open.
pub(crate) async fn open_holds(connection: &mut AnyConnection) -> Result<i64, Error> {
    Ok(
        sqlx::query_scalar("select count(*) from hold where state = 'open'")
            .fetch_one(connection)
            .await?,
    )
}

/// Open holds of a balance, the newest first. They are found among all that are open: there is no other index of holds, which would
/// cost every hold.
pub(crate) async fn open_holds_of(
    connection: &mut AnyConnection,
    id: BalanceId,
    limit: i64,
) -> Result<Vec<OpenHoldRow>, Error> {
    let rows = sqlx::query(
        "with mine as materialized (
             select id, coalesce(key, $4) as key, granted, created_at, expires_at from hold
             where state = 'open' and account = $1 and mode = $2
         )
         select id, key, granted, created_at, expires_at from mine order by id desc limit $3",
    )
    .bind(id.account.to_vec())
    .bind(id.mode.as_str())
    .bind(limit)
    .bind(Vec::new())
    .fetch_all(connection)
    .await?;
    let read = |row: &AnyRow| {
        Ok(OpenHoldRow {
            id: row::id(row, "id")?,
            key: row::optional_id(row, "key")?,
            granted: row::micros(row, "granted")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// When the oldest of them was opened, in microseconds since 1970.
pub(crate) async fn oldest_hold(connection: &mut AnyConnection) -> Result<Option<i64>, Error> {
    Ok(
        sqlx::query_scalar("select min(created_at) from hold where state = 'open'")
            .fetch_one(connection)
            .await?,
    )
}

/// One balance, if there is one.
pub(crate) async fn balance(
    connection: &mut AnyConnection,
    id: BalanceId,
) -> Result<Option<Balance>, Error> {
    let row = sqlx::query(
        "select posted, held, open_holds, frozen_at from balance where account = $1 and mode = $2",
    )
    .bind(id.account.to_vec())
    .bind(id.mode.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read_balance).transpose()
}

/// Opens an empty balance.
pub(crate) async fn open_balance(
    connection: &mut AnyConnection,
    id: BalanceId,
) -> Result<(), Error> {
    sqlx::query(
        "insert into balance (account, mode, posted, held, open_holds) values ($1, $2, 0, 0, 0)",
    )
    .bind(id.account.to_vec())
    .bind(id.mode.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

fn names(ops: &[Op]) -> Names {
    let mut names = Names::default();
    for op in ops {
        match op {
            Op::Hold { hold, terms } => {
                names.holds.insert(*hold);
                names.balances.insert(terms.balance);
                names.keys.extend(terms.key);
            }
            Op::Late { hold, balance, .. } => {
                names.holds.insert(*hold);
                names.balances.insert(*balance);
            }
            Op::Capture { hold, .. }
            | Op::Extend { hold, .. }
            | Op::Release { hold }
            | Op::Expire { hold, .. } => {
                names.holds.insert(*hold);
            }
            Op::Transfer { id, transfer } => {
                names.transfers.insert(*id);
                names.balances.insert(transfer.balance);
            }
        }
    }
    names
}

/// What explains the end of a hold: the receipt that came with the operation at this place.
fn receipt(receipts: &[Option<String>], place: usize) -> &str {
    let receipt = receipts.get(place).and_then(Option::as_deref);
    receipt.unwrap_or_default()
}

pub(super) fn read_balance(row: &AnyRow) -> Result<Balance, Error> {
    Ok(Balance {
        posted: row::micros(row, "posted")?,
        held: row::micros(row, "held")?,
        open_holds: row.try_get("open_holds")?,
        frozen: row.try_get::<Option<i64>, _>("frozen_at")?.is_some(),
    })
}
