//! What moved balances: an entry each, with the balance behind it. Made behind the ledger from its entries.

use std::collections::{HashMap, hash_map};

use domain::{KeyId, Micros, OperationId};
use rusqlite::{Connection, OptionalExtension as _};
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::{
    columns::{Columns as _, Value, prepared},
    row,
};
use crate::{Error, ledger::BalanceId};

/// The job that makes them, in `progress`.
const JOB: &str = "movements";
/// Accounts of the platform come before this id, customers' behind it.
const PLATFORM: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, u8::MAX];

/// A row of `movement`, with its entry and what that was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MovementRow {
    pub(crate) number: i64,
    pub(crate) cause: OperationId,
    /// The entry's word.
    pub(crate) kind: String,
    pub(crate) amount: Micros,
    /// What was posted then.
    pub(crate) balance: Micros,
    pub(crate) created_at: i64,
    /// Of a transfer: who made it, and why; empty of a charge.
    pub(crate) actor: String,
    pub(crate) reason: String,
    /// Of a charge, once it is summed up.
    pub(crate) asked: Asked,
}

/// What asked for a charge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) route: String,
    pub(crate) model: String,
    pub(crate) key: Option<KeyId>,
    pub(crate) written_off: Micros,
}

/// How far the job has come.
pub(crate) async fn progress(connection: &mut AnyConnection) -> Result<i64, Error> {
    let upto = sqlx::query_scalar("select upto from progress where job = $1").bind(JOB);
    Ok(upto.fetch_one(connection).await?)
}

/// Moves the job on from one entry to another, unless another process has. Entries of one balance are numbered in the order in which it
/// moved: whoever writes one holds the balance.
pub(crate) async fn advance(
    connection: &mut AnyConnection,
    (from, to): (i64, i64),
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
    sqlx::query(
        "insert into movement (account, mode, n, entry, balance)
         select entry.account, entry.mode,
                coalesce(last.n, 0) + row_number() over (partition by entry.account, entry.mode order by entry.seq),
                entry.seq,
                coalesce(last.balance, 0)
                    + sum(entry.amount) over (partition by entry.account, entry.mode order by entry.seq)
         from entry left join movement as last
              on last.account = entry.account and last.mode = entry.mode
                 and last.n = (select n from movement
                               where movement.account = entry.account and movement.mode = entry.mode
                               order by n desc limit 1)
         where entry.seq > $1 and entry.seq <= $2 and entry.account > $3",
    )
    .bind(from)
    .bind(to)
    .bind(PLATFORM.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// The same in a SQLite file whose rows are bound here: nothing is sorted twice, and the end of a balance is looked up once.
pub(crate) fn advance_in_file(
    connection: &Connection,
    (from, to): (i64, i64),
) -> Result<(), Error> {
    let mut progress = prepared(
        connection,
        "update progress set upto = ?1 where job = ?2 and upto = ?3",
    )?;
    let moved = progress.execute((to, JOB, from));
    if moved.map_err(db::Error::from)? != 1 {
        return Ok(());
    }
    let mut entries = prepared(
        connection,
        "select seq, account, mode, amount from entry where seq > ?1 and seq <= ?2 and account > ?3 order by seq",
    )?;
    let mut write = prepared(
        connection,
        "insert into movement (account, mode, n, entry, balance) values (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut ends = HashMap::new();
    let mut rows = entries
        .query((from, to, PLATFORM))
        .map_err(db::Error::from)?;
    while let Some(entry) = rows.next().map_err(db::Error::from)? {
        let of = row::balance_id(entry.id(1)?, entry.text(2)?)?;
        let (number, balance) = match ends.entry(of) {
            hash_map::Entry::Occupied(end) => end.into_mut(),
            hash_map::Entry::Vacant(none) => none.insert(end(connection, of)?),
        };
        *number = number.saturating_add(1);
        let now = balance.checked_add(entry.int(3)?);
        *balance = now.ok_or(Error::Corrupt("a balance does not fit"))?;
        let [account, mode] = Value::of_balance(of);
        let values = (account, mode, *number, entry.int(0)?, *balance);
        write.execute(values).map_err(db::Error::from)?;
    }
    Ok(())
}

/// The number of a balance's last movement, and what was posted behind it.
fn end(connection: &Connection, of: BalanceId) -> Result<(i64, i64), Error> {
    let mut last = prepared(
        connection,
        "select n, balance from movement where account = ?1 and mode = ?2 order by n desc limit 1",
    )?;
    let end = last.query_row(Value::of_balance(of), |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(end.optional().map_err(db::Error::from)?.unwrap_or_default())
}

/// A page of a balance, the newest first: those before a number.
pub(crate) async fn page(
    connection: &mut AnyConnection,
    id: BalanceId,
    (before, limit): (i64, i64),
) -> Result<Vec<MovementRow>, Error> {
    let rows = sqlx::query(
        "select movement.n as number, movement.balance as balance, entry.cause as cause, entry.kind as kind,
                entry.amount as amount, entry.created_at as created_at, coalesce(transfer.actor, '') as actor,
                coalesce(transfer.reason, '') as reason, coalesce(operation.route, '') as route,
                coalesce(operation.model, '') as model, coalesce(operation.key, $5) as key,
                coalesce(operation.written_off, 0) as written_off
         from movement join entry on entry.seq = movement.entry
              left join transfer on transfer.id = entry.cause
              left join operation on operation.id = entry.cause
         where movement.account = $1 and movement.mode = $2 and movement.n < $3
         order by movement.n desc limit $4",
    )
    .bind(id.account.to_vec())
    .bind(id.mode.as_str())
    .bind(before)
    .bind(limit)
    .bind(Vec::new())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<MovementRow, Error> {
    Ok(MovementRow {
        number: row.try_get("number")?,
        cause: row::id(row, "cause")?,
        kind: row.try_get("kind")?,
        amount: row::micros(row, "amount")?,
        balance: row::micros(row, "balance")?,
        created_at: row.try_get("created_at")?,
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        asked: Asked {
            route: row.try_get("route")?,
            model: row.try_get("model")?,
            key: row::optional_id(row, "key")?,
            written_off: row::micros(row, "written_off")?,
        },
    })
}
