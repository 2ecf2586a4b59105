//! One batch of the ledger in one transaction: load what it names, let the pure ledger decide, write what it decided.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use domain::{Micros, OperationId};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize, Serializer as _};
use sqlx::{
    AnyConnection, Executor as _, Row as _,
    any::{AnyQueryResult, AnyRow},
};

use super::{
    row::{
        self, BalanceJson, Hex, HoldJson, TransferJson, balance_id, posting_words, state,
        state_word,
    },
    sqlite,
};
use crate::{
    Error,
    ledger::{
        Balance, BalanceId, Changes, Decision, Hold, HoldState, Kind, Loaded, Op, Posting, Stored,
        Terms, Transfer, decide,
    },
};

/// What explains an operation's end.
pub(crate) type Receipt = (OperationId, String);

/// Applies a batch. `at` is now. `receipts` are those of the operations, each in its place; what was refused keeps none.
///
/// # Errors
/// When the database fails; then nothing of the batch may be kept.
pub(crate) async fn apply(
    connection: &mut AnyConnection,
    ops: &[Op],
    receipts: Vec<Option<String>>,
    at: i64,
) -> Result<Decision, Error> {
    let loaded = load(connection, ops).await?;
    let decision = decide(loaded, ops);
    let kept = kept_receipts(ops, receipts, &decision);
    write(connection, &decision.changes, &kept, at).await?;
    Ok(decision)
}

/// The receipts of operations that took effect.
fn kept_receipts(ops: &[Op], receipts: Vec<Option<String>>, decision: &Decision) -> Vec<Receipt> {
    ops.iter()
        .zip(receipts)
        .zip(&decision.answers)
        .filter_map(|((op, receipt), answer)| match (op, receipt, answer) {
            (Op::Capture { hold, .. } | Op::Release { hold }, Some(receipt), Ok(_)) => {
                Some((*hold, receipt))
            }
            _ => None,
        })
        .collect()
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
        sqlx::query_scalar("select cast(coalesce(sum(open_holds), 0) as bigint) from balance")
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

async fn load(connection: &mut AnyConnection, ops: &[Op]) -> Result<Loaded, Error> {
    let named = names(ops);
    let row = sqlx::query(sqlite::LOAD)
        .bind(json(named.holds.into_iter().map(Hex::from))?)
        .bind(json(named.balances.into_iter().map(balance_words))?)
        .bind(json(named.transfers.into_iter().map(Hex::from))?)
        .fetch_one(connection)
        .await?;
    let (holds, balances, transfers): (String, String, String) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(Loaded {
        holds: collect(&holds, read_hold)?,
        balances: collect(&balances, read_listed_balance)?,
        transfers: collect(&transfers, read_transfer)?,
    })
}

/// What a batch names.
#[derive(Default)]
struct Names {
    holds: HashSet<OperationId>,
    balances: HashSet<BalanceId>,
    transfers: HashSet<OperationId>,
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

async fn write(
    connection: &mut AnyConnection,
    changes: &Changes,
    receipts: &[Receipt],
    at: i64,
) -> Result<(), Error> {
    let (holds, tombstones) = opened(changes);
    let count = holds.len();
    let closed = changes.closed_holds.iter();
    let closed = closed.map(|(id, hold)| closed_line(*id, hold));
    let transfers = changes.transfers.iter().map(|(id, transfer)| {
        let (account, mode) = balance_words(transfer.balance);
        let (amount, why) = (transfer.amount.get(), (&transfer.actor, &transfer.reason));
        (Hex::from(*id), account, mode, amount, why.0, why.1)
    });
    let balances = changes.balances.iter().map(|(id, balance)| {
        let (account, mode) = balance_words(*id);
        let (posted, held) = (balance.posted.get(), balance.held.get());
        (account, mode, posted, held, balance.open_holds)
    });
    let receipts = receipts.iter();
    let receipts = receipts.map(|(id, body)| format!("{}{body}", Hex::from(*id)));
    let query = sqlx::query(sqlite::WRITE)
        .bind(json(holds.into_iter())?)
        .bind(json(closed)?)
        .bind(json(tombstones.into_iter())?)
        .bind(json(transfers)?)
        .bind(json(changes.postings.iter().map(posting_line))?)
        .bind(json(balances)?)
        .bind(json(receipts)?)
        .bind(at);
    let written: Vec<AnyQueryResult> = connection.execute_many(query).try_collect().await?;
    expect(&written, changes, count)
}

/// The ledger decided on rows that were loaded in this very transaction: all of them must still be there, and all of the
/// statements must have run.
fn expect(written: &[AnyQueryResult], changes: &Changes, holds: usize) -> Result<(), Error> {
    let rows: Vec<_> = written
        .iter()
        .map(|statement| usize::try_from(statement.rows_affected()).unwrap_or(usize::MAX))
        .collect();
    let expected = [
        holds,
        changes.closed_holds.len(),
        changes.new_holds.len().saturating_sub(holds),
        changes.transfers.len(),
        changes.postings.len().saturating_mul(2),
        changes.balances.len(),
    ];
    // The last is the receipts: a repeat keeps the first.
    match rows.as_slice() {
        [ledger @ .., _receipts] if ledger == expected => Ok(()),
        _ => Err(Error::Corrupt("a row changed under the ledger")),
    }
}

/// New holds as packed lines, and the ids of tombstones.
fn opened(changes: &Changes) -> (Vec<String>, Vec<Hex>) {
    let mut holds = Vec::with_capacity(changes.new_holds.len());
    let mut tombstones = Vec::new();
    for (id, stored) in &changes.new_holds {
        match stored {
            Stored::Hold(hold) => holds.push(hold_line(*id, hold)),
            Stored::Tombstone => tombstones.push(Hex::from(*id)),
        }
    }
    (holds, tombstones)
}

/// A new hold as `sqlite::WRITE` cuts it.
fn hold_line(id: OperationId, hold: &Hold) -> String {
    let (account, mode) = balance_words(hold.terms.balance);
    let (kind, expires_at) = match hold.terms.kind {
        Kind::Chat { expires_at } => ("chat", Some(expires_at)),
        Kind::Media => ("media", None),
    };
    let expires_at = expires_at.map_or_else(|| " ".repeat(20), |moment| format!("{moment:020}"));
    format!(
        "{id}{account}{mode}{kind:5}{state:9}{amount:020}{floor:020}{granted:020}{captured:020}{expires_at}{version}",
        id = Hex::from(id),
        state = state_word(hold.state),
        amount = hold.terms.amount.get(),
        floor = hold.terms.floor.get(),
        granted = hold.granted.get(),
        captured = hold.captured.get(),
        version = hold.terms.price_version,
    )
}

/// A closed hold as `sqlite::WRITE` cuts it.
fn closed_line(id: OperationId, hold: &Hold) -> String {
    let (captured, state) = (hold.captured.get(), state_word(hold.state));
    format!("{}{captured:020}{state}", Hex::from(id))
}

/// A posting as `sqlite::WRITE` cuts it.
fn posting_line(posting: &Posting) -> String {
    let (account, mode) = balance_words(posting.balance);
    let (kind, platform) = posting_words(posting.kind);
    let (cause, amount) = (Hex::from(posting.cause), posting.amount.get());
    format!("{cause}{account}{platform}{mode}{amount:020}{kind}")
}

fn balance_words(id: BalanceId) -> (Hex, &'static str) {
    (id.account.into(), id.mode.as_str())
}

/// A JSON list.
fn json<T: Serialize>(items: impl Iterator<Item = T>) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(1_024);
    let mut serializer = serde_json::Serializer::new(&mut bytes);
    let written = serializer.collect_seq(items);
    written
        .ok()
        .and_then(|()| String::from_utf8(bytes).ok())
        .ok_or(Error::Corrupt("a row cannot be written as JSON"))
}

/// Reads a JSON list into a map.
fn collect<'a, R, K, V>(
    text: &'a str,
    read: impl Fn(R) -> Result<(K, V), Error>,
) -> Result<HashMap<K, V>, Error>
where
    R: Deserialize<'a>,
    K: Eq + Hash,
{
    let rows: Vec<R> =
        serde_json::from_str(text).map_err(|_| Error::Corrupt("a row is not what was written"))?;
    rows.into_iter().map(read).collect()
}

fn read_balance(row: &AnyRow) -> Result<Balance, Error> {
    Ok(Balance {
        posted: row::micros(row, "posted")?,
        held: row::micros(row, "held")?,
        open_holds: row.try_get("open_holds")?,
    })
}

fn read_listed_balance(row: BalanceJson<'_>) -> Result<(BalanceId, Balance), Error> {
    let (account, mode, posted, held, open_holds) = row;
    let balance = Balance {
        posted: Micros::new(posted),
        held: Micros::new(held),
        open_holds,
    };
    Ok((balance_id(account, mode)?, balance))
}

fn read_transfer(row: TransferJson<'_>) -> Result<(OperationId, Transfer), Error> {
    let (id, account, mode, amount, actor, reason) = row;
    let transfer = Transfer {
        balance: balance_id(account, mode)?,
        amount: Micros::new(amount),
        actor: actor.into_owned(),
        reason: reason.into_owned(),
    };
    Ok((id.into(), transfer))
}

fn read_hold(row: HoldJson<'_>) -> Result<(OperationId, Stored), Error> {
    let state = state(row.state)?;
    if state == HoldState::Tombstone {
        return Ok((row.id.into(), Stored::Tombstone));
    }
    let nobody = Error::Corrupt("a hold names nobody");
    let (Some(account), Some(mode)) = (row.account, row.mode) else {
        return Err(nobody);
    };
    let kind = match row.expires_at {
        Some(expires_at) => Kind::Chat { expires_at },
        None => Kind::Media,
    };
    let hold = Hold {
        terms: Terms {
            balance: balance_id(account, mode)?,
            amount: Micros::new(row.amount),
            floor: Micros::new(row.floor),
            kind,
            price_version: row.price_version.into_owned(),
        },
        granted: Micros::new(row.granted),
        captured: Micros::new(row.captured),
        state,
    };
    Ok((row.id.into(), Stored::Hold(hold)))
}
