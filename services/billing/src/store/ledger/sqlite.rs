//! The ledger's rows as SQLite takes them. Many travel as one JSON text each way, because what costs is the trip to the
//! database's thread and back, not the row (measured: a statement per row costs 2 to 4 times as much, and so does a row of a
//! result). Ids travel in hex. There is one writer, so nothing needs a lock.

use std::{collections::HashMap, hash::Hash};

use domain::{Micros, OperationId};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize, Serializer as _};
use sqlx::{AnyConnection, Executor as _, Row as _, any::AnyQueryResult};

use super::{Names, Receipt};
use crate::{
    Error,
    ledger::{Balance, BalanceId, Changes, Hold, Kind, Loaded, Posting, Stored, Transfer},
    store::row::{
        BalanceJson, Hex, HoldJson, HoldParts, TransferJson, balance_id, balance_words,
        posting_words, state_word,
    },
};

/// Loads what a batch names, as one row of three lists: holds, balances, transfers.
/// $1: holds, `["id", …]`; $2: balances, `[["account", "mode"], …]`; $3: transfers, `["id", …]`.
/// The balances of the holds are loaded as well.
const LOAD: &str = "
    with named (id) as materialized (select unhex(value) from json_each($1))
    select
      (select json_group_array(json_array(hex(id), nullif(hex(account), ''), mode, state, amount, floor, granted, captured,
                                          price_version, expires_at))
       from hold where id in (select id from named)),
      (select json_group_array(json_array(hex(account), mode, posted, held, open_holds))
       from balance where (account, mode) in
         (select unhex(value ->> 0), value ->> 1 from json_each($2)
          union select account, mode from hold where id in (select id from named))),
      (select json_group_array(json_array(hex(id), hex(account), mode, amount, actor, reason))
       from transfer where id in (select unhex(value) from json_each($3)))";

/// Writes what a batch comes to: seven statements, one trip. $8: now.
/// The busiest lists hold packed lines, cut at fixed places: that is twice as fast as JSON within JSON. Numbers are 20
/// characters wide; a column's type makes them integers.
/// $1: new holds: id (32), account (32), mode (4), kind (5), state (9), amount, floor, granted, captured, expires_at or
/// blanks, price_version.
/// $2: holds that were open and are closed: id (32), captured, state.
/// $3: tombstones, `["id", …]`.
/// $4: transfers, `[["id", "account", "mode", amount, "actor", "reason"], …]`.
/// $5: postings: cause (32), account (32), platform account (32), mode (4), amount, kind; two entries for each, side by side.
/// $6: balances, `[["account", "mode", posted, held, open_holds], …]`.
/// $7: receipts: operation (32), body; the first of an operation stays.
const WRITE: &str = "
    insert into hold (id, account, mode, kind, state, amount, floor, granted, captured, expires_at, price_version,
                      closed_at, created_at)
    select unhex(substr(value, 1, 32)), unhex(substr(value, 33, 32)), substr(value, 65, 4),
           rtrim(substr(value, 69, 5)), rtrim(substr(value, 74, 9)), substr(value, 83, 20), substr(value, 103, 20),
           substr(value, 123, 20), substr(value, 143, 20), nullif(rtrim(substr(value, 163, 20)), ''),
           substr(value, 183), iif(substr(value, 74, 4) = 'open', null, $8), $8
    from json_each($1);

    update hold set captured = substr(change.value, 33, 20), state = substr(change.value, 53), closed_at = $8
    from json_each($2) as change
    where hold.id = unhex(substr(change.value, 1, 32)) and hold.state = 'open';

    insert into hold (id, state, amount, floor, granted, captured, price_version, closed_at, created_at)
    select unhex(value), 'tombstone', 0, 0, 0, 0, '', $8, $8 from json_each($3);

    insert into transfer (id, account, mode, amount, actor, reason, created_at)
    select unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, $8
    from json_each($4);

    insert into entry (cause, kind, account, mode, amount, created_at)
    select unhex(substr(value, 1, 32)), substr(value, 121), unhex(substr(value, side.place, 32)), substr(value, 97, 4),
           substr(value, 101, 20) * side.sign, $8
    from json_each($5) cross join (select 33 as place, 1 as sign union all select 65, -1) as side;

    update balance set posted = change.value ->> 2, held = change.value ->> 3, open_holds = change.value ->> 4
    from json_each($6) as change
    where balance.account = unhex(change.value ->> 0) and balance.mode = change.value ->> 1;

    insert into receipt (operation, body, created_at)
    select unhex(substr(value, 1, 32)), substr(value, 33), $8 from json_each($7) where true
    on conflict do nothing";

/// Loads what a batch names.
pub(super) async fn load(connection: &mut AnyConnection, named: &Names) -> Result<Loaded, Error> {
    let row = sqlx::query(LOAD)
        .bind(json(named.holds.iter().copied().map(Hex::from))?)
        .bind(json(named.balances.iter().copied().map(balance_words))?)
        .bind(json(named.transfers.iter().copied().map(Hex::from))?)
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

/// Writes what a batch comes to.
pub(super) async fn write(
    connection: &mut AnyConnection,
    changes: &Changes,
    receipts: &[Receipt<'_>],
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
    let query = sqlx::query(WRITE)
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

/// A new hold as `WRITE` cuts it.
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

/// A closed hold as `WRITE` cuts it.
fn closed_line(id: OperationId, hold: &Hold) -> String {
    let (captured, state) = (hold.captured.get(), state_word(hold.state));
    format!("{}{captured:020}{state}", Hex::from(id))
}

/// A posting as `WRITE` cuts it.
fn posting_line(posting: &Posting) -> String {
    let (account, mode) = balance_words(posting.balance);
    let (kind, platform) = posting_words(posting.kind);
    let (cause, amount) = (Hex::from(posting.cause), posting.amount.get());
    format!("{cause}{account}{platform}{mode}{amount:020}{kind}")
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
    let parts = HoldParts {
        owner: row.account.zip(row.mode),
        state: row.state,
        amount: row.amount,
        floor: row.floor,
        granted: row.granted,
        captured: row.captured,
        price_version: row.price_version,
        expires_at: row.expires_at,
    };
    Ok((row.id.into(), parts.stored()?))
}
