//! One batch of the ledger in one transaction: load what it names, let the pure ledger decide, write what it decided. How rows
//! come in and go out is each engine's own (`sqlite`, `postgres`); what happens to them is the same.

mod postgres;
mod sqlite;

use std::collections::HashSet;

use db::Engine;
use domain::OperationId;
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::row;
use crate::{
    Error,
    ledger::{Balance, BalanceId, Decision, Op, decide},
};

/// What explains an operation's end: its id and the text.
type Receipt<'a> = (OperationId, &'a str);

/// What a batch names.
#[derive(Default)]
struct Names {
    holds: HashSet<OperationId>,
    balances: HashSet<BalanceId>,
    transfers: HashSet<OperationId>,
}

/// Applies a batch. `at` is now. `receipts` are those of the operations, each in its place; what was refused keeps none.
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
    let loaded = match engine {
        Engine::Sqlite => sqlite::load(connection, &named).await?,
        Engine::Postgres => postgres::load(connection, &named).await?,
    };
    let decision = decide(loaded, ops);
    let kept = kept_receipts(ops, receipts, &decision);
    if decision.changes.is_empty() && kept.is_empty() {
        return Ok(decision);
    }
    match engine {
        Engine::Sqlite => sqlite::write(connection, &decision.changes, &kept, at).await?,
        Engine::Postgres => postgres::write(connection, &decision.changes, kept, at).await?,
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

/// One balance, if there is one.
pub(crate) async fn balance(
    connection: &mut AnyConnection,
    id: BalanceId,
) -> Result<Option<Balance>, Error> {
    let row = sqlx::query(
        "select posted, held, open_holds from balance where account = $1 and mode = $2",
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
            }
            Op::Capture { hold, .. } | Op::Release { hold } | Op::Expire { hold, .. } => {
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

/// The receipts of operations that took effect.
fn kept_receipts<'a>(
    ops: &[Op],
    receipts: &'a [Option<String>],
    decision: &Decision,
) -> Vec<Receipt<'a>> {
    ops.iter()
        .zip(receipts)
        .zip(&decision.answers)
        .filter_map(|((op, receipt), answer)| match (op, receipt, answer) {
            (Op::Capture { hold, .. } | Op::Release { hold }, Some(receipt), Ok(_)) => {
                Some((*hold, receipt.as_str()))
            }
            _ => None,
        })
        .collect()
}

fn read_balance(row: &AnyRow) -> Result<Balance, Error> {
    Ok(Balance {
        posted: row::micros(row, "posted")?,
        held: row::micros(row, "held")?,
        open_holds: row.try_get("open_holds")?,
    })
}
