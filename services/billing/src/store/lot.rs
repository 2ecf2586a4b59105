//! Lots: credit that expires.

use std::collections::BTreeMap;

use domain::{AccountId, Micros, OperationId};
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::row;
use crate::{Error, ledger::BalanceId};

/// The job that counts what lots were used for, in `progress`.
const JOB: &str = "lots";
/// Who takes back what has expired: such transfers use no other lot.
pub(crate) const EXPIRY: &str = "expiry";

/// A row of `lot` whose credit was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotRow {
    /// The transfer that gave it.
    pub id: OperationId,
    /// To whom.
    pub balance: BalanceId,
    /// Given, and neither used nor taken back so far.
    pub left: Micros,
    /// When it was given, in microseconds UTC.
    pub created_at: i64,
    /// When what is left of it expires.
    pub expires_at: i64,
    /// The transfer that takes back what is left, once that is decided.
    pub(crate) taking: Option<(OperationId, Micros)>,
}

/// What a balance lost: a charge, or credit that an operator took away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    pub(crate) seq: i64,
    pub(crate) balance: BalanceId,
    pub(crate) amount: Micros,
    pub(crate) at: i64,
}

/// Whether the credit of a gift was given.
pub(crate) async fn is_given(
    connection: &mut AnyConnection,
    id: OperationId,
) -> Result<bool, Error> {
    let given = sqlx::query("select id from transfer where id = $1").bind(id.to_vec());
    Ok(given.fetch_optional(connection).await?.is_some())
}

/// When a gift expires, if that was noted.
pub(crate) async fn expiry(
    connection: &mut AnyConnection,
    id: OperationId,
) -> Result<Option<i64>, Error> {
    let noted = sqlx::query_scalar("select expires_at from lot where id = $1").bind(id.to_vec());
    Ok(noted.fetch_optional(connection).await?)
}

/// Forgets what was noted of a gift that was not given. (Up to schema 10 the note was written before the gift.)
pub(crate) async fn forget(connection: &mut AnyConnection, id: OperationId) -> Result<(), Error> {
    sqlx::query("delete from lot where id = $1")
        .bind(id.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes a lot, with the transfer that gives it.
pub(crate) async fn insert(connection: &mut AnyConnection, lot: &LotRow) -> Result<(), Error> {
    sqlx::query(
        "insert into lot (id, account, mode, amount, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(lot.id.to_vec())
    .bind(lot.balance.account.to_vec())
    .bind(lot.balance.mode.as_str())
    .bind(lot.left.get())
    .bind(lot.created_at)
    .bind(lot.expires_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// How far the job has come.
pub(crate) async fn progress(connection: &mut AnyConnection) -> Result<i64, Error> {
    let upto = sqlx::query_scalar("select upto from progress where job = $1").bind(JOB);
    Ok(upto.fetch_one(connection).await?)
}

/// What balances with open lots lost after one entry, up to another, in order.
pub(crate) async fn uses(
    connection: &mut AnyConnection,
    (after, upto): (i64, i64),
    limit: i64,
) -> Result<Vec<Use>, Error> {
    let rows = sqlx::query(
        "select entry.seq as seq, entry.account as account, entry.mode as mode, -entry.amount as amount,
                entry.created_at as created_at
         from entry left join transfer on transfer.id = entry.cause
         where entry.seq > $1 and entry.seq <= $2 and entry.amount < 0
           and (transfer.actor is null or transfer.actor <> $3)
           and exists (select 1 from lot where lot.account = entry.account and lot.mode = entry.mode
                       and lot.closed_at is null)
         order by entry.seq limit $4",
    )
    .bind(after)
    .bind(upto)
    .bind(EXPIRY)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Use {
                seq: row.try_get("seq")?,
                balance: balance(row)?,
                amount: row::micros(row, "amount")?,
                at: row.try_get("created_at")?,
            })
        })
        .collect()
}

/// Open lots of a balance whose credit was given, the soonest to expire first; those that are being taken back are over.
pub(crate) async fn open(
    connection: &mut AnyConnection,
    id: BalanceId,
) -> Result<Vec<LotRow>, Error> {
    let rows = sqlx::query(
        "select lot.id as id, lot.account as account, lot.mode as mode, lot.amount - lot.used - lot.expired as credit_left,
                transfer.created_at as created_at, lot.expires_at as expires_at, lot.taking as taking,
                lot.taking_amount as taking_amount
         from lot join transfer on transfer.id = lot.id
         where lot.account = $1 and lot.mode = $2 and lot.closed_at is null and lot.taking is null order by lot.expires_at, lot.id",
    )
    .bind(id.account.to_vec())
    .bind(id.mode.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Open lots that expired before a moment.
pub(crate) async fn due(
    connection: &mut AnyConnection,
    before: i64,
    limit: i64,
) -> Result<Vec<LotRow>, Error> {
    let rows = sqlx::query(
        "select lot.id as id, lot.account as account, lot.mode as mode, lot.amount - lot.used - lot.expired as credit_left,
                transfer.created_at as created_at, lot.expires_at as expires_at, lot.taking as taking,
                lot.taking_amount as taking_amount
         from lot join transfer on transfer.id = lot.id
         where lot.closed_at is null and lot.expires_at < $1 order by lot.expires_at, lot.id limit $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Moves the job on with what lots were used for, unless another process has.
pub(crate) async fn advance(
    connection: &mut AnyConnection,
    (from, to): (i64, i64),
    used: &BTreeMap<OperationId, Micros>,
    at: i64,
) -> Result<(), Error> {
    let moved = sqlx::query("update progress set upto = $1 where job = $2 and upto = $3")
        .bind(to)
        .bind(JOB)
        .bind(from)
        .execute(&mut *connection)
        .await?;
    if moved.rows_affected() != 1 {
        return Ok(());
    }
    for (lot, amount) in used {
        sqlx::query(
            "update lot set used = used + $1, closed_at = case when used + expired + $1 = amount then $2 end
             where id = $3",
        )
        .bind(amount.get())
        .bind(at)
        .bind(lot.to_vec())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Decides what is taken back; says whether nobody else did before.
pub(crate) async fn decide(
    connection: &mut AnyConnection,
    lot: OperationId,
    (transfer, amount): (OperationId, Micros),
) -> Result<bool, Error> {
    let decided = sqlx::query(
        "update lot set taking = $1, taking_amount = $2 where id = $3 and taking is null and closed_at is null",
    )
    .bind(transfer.to_vec())
    .bind(amount.get())
    .bind(lot.to_vec())
    .execute(connection)
    .await?;
    Ok(decided.rows_affected() == 1)
}

/// Takes a decision back: the balance does not cover it any more.
pub(crate) async fn reconsider(
    connection: &mut AnyConnection,
    lot: OperationId,
    transfer: OperationId,
) -> Result<(), Error> {
    sqlx::query("update lot set taking = null, taking_amount = null where id = $1 and taking = $2")
        .bind(lot.to_vec())
        .bind(transfer.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a lot, with what was taken back of it.
pub(crate) async fn close(
    connection: &mut AnyConnection,
    lot: OperationId,
    taken: Option<(OperationId, Micros)>,
    at: i64,
) -> Result<(), Error> {
    let query = match taken {
        Some((transfer, amount)) => sqlx::query(
            "update lot set expired = expired + $1, taking = null, taking_amount = null, closed_at = $2
             where id = $3 and taking = $4",
        )
        .bind(amount.get())
        .bind(at)
        .bind(lot.to_vec())
        .bind(transfer.to_vec()),
        None => sqlx::query("update lot set closed_at = $1 where id = $2 and taking is null")
            .bind(at)
            .bind(lot.to_vec()),
    };
    query.execute(connection).await?;
    Ok(())
}

fn balance(row: &AnyRow) -> Result<BalanceId, Error> {
    let account: AccountId = row::id(row, "account")?;
    let mode = row::mode(row)?;
    Ok(BalanceId { account, mode })
}

fn read(row: &AnyRow) -> Result<LotRow, Error> {
    let amount: Option<i64> = row.try_get("taking_amount")?;
    let taking: Option<Vec<u8>> = row.try_get("taking")?;
    let taking = taking.as_deref().and_then(OperationId::from_slice);
    Ok(LotRow {
        id: row::id(row, "id")?,
        balance: balance(row)?,
        left: row::micros(row, "credit_left")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        taking: taking.zip(amount.map(Micros::new)),
    })
}
