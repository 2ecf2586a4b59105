//! The ledger's rows as SQLite takes them. Many travel as one JSON text each way, because what costs is the trip to the
//! database's thread and back, not the row (measured: a statement per row costs 2 to 4 times as much, and so does a row of a
//! result). Ids travel in hex. There is one writer, so nothing needs a lock.

use std::{collections::HashMap, hash::Hash};

use domain::{KeyId, Micros, OperationId};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize, Serializer as _};
use sqlx::{AnyConnection, Executor as _, Row as _, any::AnyQueryResult};

use super::{Names, receipt};
use crate::{
    Error,
    ledger::{Balance, BalanceId, Budget, Changes, Hold, Kind, Loaded, Posting, Stored, Transfer},
    store::row::{
        BalanceJson, Hex, HoldJson, HoldParts, TransferJson, balance_id, balance_words,
        posting_words, read_budget, state_word,
    },
};

/// Loads what a batch names, as one row of four lists: holds, balances, transfers, budgets.
/// $1: holds, `["id", …]`; $2: balances, `[["account", "mode"], …]`; $3: transfers, `["id", …]`; $4: keys, `["id", …]`.
/// The balances and budgets of the holds are loaded as well. (`cross join`: else every balance there is would be looked at.)
const LOAD: &str = "
    with named (id) as materialized (select unhex(value) from json_each($1))
    select
      (select json_group_array(json_array(hex(id), nullif(hex(account), ''), mode, state, amount, floor, granted, captured,
                                          written_off, nullif(hex(key), ''), budgeted, price_version, expires_at))
       from hold where id in (select id from named)),
      (select json_group_array(json_array(hex(balance.account), balance.mode, posted, held, open_holds, frozen_at))
       from (select unhex(value ->> 0) as account, value ->> 1 as mode from json_each($2)
             union select account, mode from hold where id in (select id from named)) as asked
         cross join balance on balance.account = asked.account and balance.mode = asked.mode),
      (select json_group_array(json_array(hex(id), hex(account), mode, amount, actor, reason))
       from transfer where id in (select unhex(value) from json_each($3))),
      (select json_group_array(json_array(hex(key), json_array(cap_day, cap_month, cap_total),
                                          json_array(spent_day, spent_month, spent_total), held, day, month))
       from budget where key in
         (select unhex(value) from json_each($4)
          union select key from hold where id in (select id from named) and budgeted = 1))";

/// Writes what a batch comes to: nine statements, one trip. $10: now.
/// The busiest lists hold packed lines, cut at fixed places: that is twice as fast as JSON within JSON. Numbers are 20
/// characters wide; a column's type makes them integers.
/// $1: new holds: id (32), account (32), mode (4), kind (5), state (9), amount, floor, granted, captured, written off, expires_at
/// or blanks, key or blanks (32), budgeted (1), price_version.
/// $2: holds that are closed: id (32), captured, written off, state.
/// $3: tombstones, `["id", …]`.
/// $4: transfers, `[["id", "account", "mode", amount, "actor", "reason"], …]`.
/// $5: postings: cause (32), account (32), platform account (32), mode (4), amount, kind; two entries for each, side by side.
/// $6: balances: account (32), mode (4), posted, held, open holds.
/// $7: endings: hold (32), receipt.
/// $8: holds that live longer, `[["id", expires_at], …]`.
/// $9: budgets, `[["key", spent_day, spent_month, spent_total, held, day, month], …]`.
const WRITE: &str = "
    insert into hold (id, account, mode, kind, state, amount, floor, granted, captured, written_off, expires_at, key,
                      budgeted, price_version, closed_at, created_at)
    select unhex(substr(value, 1, 32)), unhex(substr(value, 33, 32)), substr(value, 65, 4),
           rtrim(substr(value, 69, 5)), rtrim(substr(value, 74, 9)), substr(value, 83, 20), substr(value, 103, 20),
           substr(value, 123, 20), substr(value, 143, 20), substr(value, 163, 20),
           nullif(rtrim(substr(value, 183, 20)), ''), nullif(unhex(rtrim(substr(value, 203, 32))), x''),
           substr(value, 235, 1), substr(value, 236), iif(substr(value, 74, 4) = 'open', null, $10), $10
    from json_each($1);

    update hold set captured = substr(change.value, 33, 20), written_off = substr(change.value, 53, 20),
                    state = substr(change.value, 73), closed_at = $10
    from json_each($2) as change
    where hold.id = unhex(substr(change.value, 1, 32)) and (hold.state = 'open' or hold.state = 'expired');

    insert into hold (id, state, amount, floor, granted, captured, price_version, closed_at, created_at)
    select unhex(value), 'tombstone', 0, 0, 0, 0, '', $10, $10 from json_each($3);

    insert into transfer (id, account, mode, amount, actor, reason, created_at)
    select unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, $10
    from json_each($4);

    insert into entry (cause, kind, account, mode, amount, created_at)
    select unhex(substr(value, 1, 32)), substr(value, 121), unhex(substr(value, side.place, 32)), substr(value, 97, 4),
           substr(value, 101, 20) * side.sign, $10
    from json_each($5) cross join (select 33 as place, 1 as sign union all select 65, -1) as side;

    update balance set posted = substr(change.value, 37, 20), held = substr(change.value, 57, 20),
                       open_holds = substr(change.value, 77)
    from json_each($6) as change
    where balance.account = unhex(substr(change.value, 1, 32)) and balance.mode = substr(change.value, 33, 4);

    insert into ending (hold, receipt, created_at)
    select unhex(substr(value, 1, 32)), substr(value, 33), $10 from json_each($7);

    update hold set expires_at = change.value ->> 1
    from json_each($8) as change
    where hold.id = unhex(change.value ->> 0) and hold.state = 'open';

    update budget set spent_day = change.value ->> 1, spent_month = change.value ->> 2, spent_total = change.value ->> 3,
                      held = change.value ->> 4, day = change.value ->> 5, month = change.value ->> 6
    from json_each($9) as change
    where budget.key = unhex(change.value ->> 0)";

/// Loads what a batch names.
pub(super) async fn load(connection: &mut AnyConnection, named: &Names) -> Result<Loaded, Error> {
    let row = sqlx::query(LOAD)
        .bind(json(named.holds.iter().copied().map(Hex::from))?)
        .bind(json(named.balances.iter().copied().map(balance_words))?)
        .bind(json(named.transfers.iter().copied().map(Hex::from))?)
        .bind(json(named.keys.iter().copied().map(Hex::from))?)
        .fetch_one(connection)
        .await?;
    let (holds, balances): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let (transfers, budgets): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    Ok(Loaded {
        holds: collect(&holds, read_hold)?,
        balances: collect(&balances, read_listed_balance)?,
        transfers: collect(&transfers, read_transfer)?,
        budgets: collect(&budgets, |row| Ok(read_budget(row)))?,
        now: 0,
    })
}

/// Writes what a batch comes to.
pub(super) async fn write(
    connection: &mut AnyConnection,
    changes: &Changes,
    receipts: &[Option<String>],
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
    let balances = changes.balances.iter();
    let balances = balances.map(|(id, balance)| balance_line(*id, balance));
    let endings = changes.endings.iter();
    let endings = endings.map(|(id, place)| {
        let receipt = receipt(receipts, *place);
        format!("{}{receipt}", Hex::from(*id))
    });
    let extended = changes.extended_holds.iter();
    let extended = extended.map(|(id, until)| (Hex::from(*id), until));
    let budgets = changes.budgets.iter().map(budget_line);
    let query = sqlx::query(WRITE)
        .bind(json(holds.into_iter())?)
        .bind(json(closed)?)
        .bind(json(tombstones.into_iter())?)
        .bind(json(transfers)?)
        .bind(json(changes.postings.iter().map(posting_line))?)
        .bind(json(balances)?)
        .bind(json(endings)?)
        .bind(json(extended)?)
        .bind(json(budgets)?)
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
        changes.endings.len(),
        changes.extended_holds.len(),
        changes.budgets.len(),
    ];
    if rows == expected {
        Ok(())
    } else {
        Err(Error::Corrupt("a row changed under the ledger"))
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
    let key = hold.terms.key.map(Hex::from);
    let key = key.map_or_else(|| " ".repeat(32), |key| key.to_string());
    format!(
        "{id}{account}{mode}{kind:5}{state:9}{amount:020}{floor:020}{granted:020}{captured:020}{lost:020}{expires_at}{key}{budgeted}{version}",
        id = Hex::from(id),
        state = state_word(hold.state),
        amount = hold.terms.amount.get(),
        floor = hold.terms.floor.get(),
        granted = hold.granted.get(),
        captured = hold.captured.get(),
        lost = hold.written_off.get(),
        budgeted = u8::from(hold.budgeted),
        version = hold.terms.price_version,
    )
}

/// A closed hold as `WRITE` cuts it.
fn closed_line(id: OperationId, hold: &Hold) -> String {
    let (captured, lost) = (hold.captured.get(), hold.written_off.get());
    let state = state_word(hold.state);
    format!("{}{captured:020}{lost:020}{state}", Hex::from(id))
}

/// A balance as `WRITE` cuts it.
fn balance_line(id: BalanceId, balance: &Balance) -> String {
    let (account, mode) = balance_words(id);
    let (posted, held) = (balance.posted.get(), balance.held.get());
    format!(
        "{account}{mode}{posted:020}{held:020}{}",
        balance.open_holds
    )
}

/// A posting as `WRITE` cuts it.
fn posting_line(posting: &Posting) -> String {
    let (kind, account, platform) = posting_words(posting);
    let mode = posting.balance.mode.as_str();
    let (cause, amount) = (Hex::from(posting.cause), posting.amount.get());
    format!("{cause}{account}{platform}{mode}{amount:020}{kind}")
}

/// A budget as `WRITE` takes it.
fn budget_line((key, budget): &(KeyId, Budget)) -> (Hex, i64, i64, i64, i64, i64, i64) {
    (
        (*key).into(),
        budget.spent_day.get(),
        budget.spent_month.get(),
        budget.spent_total.get(),
        budget.held.get(),
        budget.day,
        budget.month,
    )
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
    let (account, mode, posted, held, open_holds, frozen_at) = row;
    let balance = Balance {
        posted: Micros::new(posted),
        held: Micros::new(held),
        open_holds,
        frozen: frozen_at.is_some(),
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
        written_off: row.written_off,
        key: row.key,
        budgeted: row.budgeted,
        price_version: row.price_version,
        expires_at: row.expires_at,
    };
    Ok((row.id.into(), parts.stored()?))
}

#[cfg(test)]
mod tests {
    use chassis::{Tasks, config::Settings};
    use db::Db;
    use sqlx::AssertSqlSafe;

    use super::*;

    #[tokio::test]
    async fn a_batch_costs_the_same_however_many_accounts_and_holds_there_are() {
        let directory = tempfile::tempdir().unwrap();
        let limits = Settings::from_toml("").section("database").unwrap();
        let file = directory.path().join("billing.db");
        let tasks = Tasks::default();
        let db = Db::open(&file, crate::MIGRATIONS, &limits, &tasks)
            .await
            .unwrap();
        for statement in WRITE.split(';').chain([LOAD]) {
            let explain = format!("explain query plan {statement}");
            let steps = sqlx::query(AssertSqlSafe(explain))
                .fetch_all(db.reader())
                .await
                .unwrap();
            assert!(!steps.is_empty());
            for step in steps {
                let step: String = step.get("detail");
                let walked = ["hold", "balance", "transfer", "budget", "entry", "ending"]
                    .into_iter()
                    .find(|table| step.split(' ').take(2).eq(["SCAN", table]));
                assert_eq!(walked, None, "{step}: {statement}");
            }
        }
    }
}
