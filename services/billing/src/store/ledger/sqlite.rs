//! The ledger's rows as SQLite takes them: every row is found by its primary key and written by a statement of its own. There is one
//! writer, so nothing needs a lock. The lanes write on a connection that binds rows itself (`file`); here is the way for a
//! transfer within a transaction that has more to write, and what both ways say.

use std::collections::HashSet;

use domain::{KeyId, OperationId};
use sqlx::{
    Any, AnyConnection,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use super::{
    Names,
    new_hold::{NewHold, new_holds},
    read, receipt,
};
use crate::{
    Error,
    ledger::{Balance, BalanceId, Budget, Changes, Hold, Loaded, Posting, Stored, Transfer},
    store::{
        columns::Value,
        row::{posting_words, state_word},
    },
};

/// How a row is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Find {
    Hold,
    Balance,
    Transfer,
    Budget,
}

/// How a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    OpenHold,
    CloseHold,
    ExtendHold,
    Transfer,
    /// Both entries of a posting.
    Entries,
    Balance,
    Ending,
    Budget,
}

// === impl Find ===

impl Find {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Hold => {
                "select id, account, mode, state, amount, floor, granted, captured, written_off, key, budgeted,
                        price_version, expires_at
                 from hold where id = ?1"
            }
            Self::Balance => {
                "select account, mode, posted, held, open_holds, frozen_at
                 from balance where account = ?1 and mode = ?2"
            }
            Self::Transfer => {
                "select id, account, mode, amount, actor, reason from transfer where id = ?1"
            }
            Self::Budget => {
                "select key, cap_day, cap_month, cap_total, spent_day, spent_month, spent_total, held, day, month
                 from budget where key = ?1"
            }
        }
    }
}

// === impl Write ===

impl Write {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::OpenHold => {
                "insert into hold (id, account, mode, kind, state, amount, floor, granted, captured, written_off, key,
                                   budgeted, price_version, expires_at, created_at, closed_at)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
            }
            Self::CloseHold => {
                "update hold set state = ?2, captured = ?3, written_off = ?4, closed_at = ?5
                 where id = ?1 and (state = 'open' or state = 'expired')"
            }
            Self::ExtendHold => {
                "update hold set expires_at = ?2 where id = ?1 and state = 'open'"
            }
            Self::Transfer => {
                "insert into transfer (id, account, mode, amount, actor, reason, created_at)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
            }
            Self::Entries => {
                "insert into entry (cause, kind, account, mode, amount, created_at)
                 values (?1, ?2, ?3, ?5, ?6, ?7), (?1, ?2, ?4, ?5, -?6, ?7)"
            }
            Self::Balance => {
                "update balance set posted = ?3, held = ?4, open_holds = ?5 where account = ?1 and mode = ?2"
            }
            Self::Ending => "insert into ending (hold, receipt, created_at) values (?1, ?2, ?3)",
            Self::Budget => {
                "update budget set spent_day = ?2, spent_month = ?3, spent_total = ?4, held = ?5, day = ?6, month = ?7
                 where key = ?1"
            }
        }
    }

    /// The ledger decided on rows that were loaded in this very transaction: all of them must still be there.
    pub(super) fn check(self, written: u64) -> Result<(), Error> {
        let expected = match self {
            Self::Entries => 2,
            Self::OpenHold
            | Self::CloseHold
            | Self::ExtendHold
            | Self::Transfer
            | Self::Balance
            | Self::Ending
            | Self::Budget => 1,
        };
        if written == expected {
            Ok(())
        } else {
            Err(Error::Corrupt("a row changed under the ledger"))
        }
    }
}

/// The balances that a batch needs beside those it names, and the budgets: those of its holds as well.
pub(super) fn owners(named: &Names, loaded: &Loaded) -> (HashSet<BalanceId>, HashSet<KeyId>) {
    let (mut balances, mut keys) = (named.balances.clone(), named.keys.clone());
    for stored in loaded.holds.values() {
        if let Stored::Hold(hold) = stored {
            balances.insert(hold.terms.balance);
            keys.extend(hold.terms.key.filter(|_| hold.budgeted));
        }
    }
    (balances, keys)
}

/// Loads what a batch names.
pub(super) async fn load(connection: &mut AnyConnection, named: &Names) -> Result<Loaded, Error> {
    let mut loaded = Loaded::default();
    for id in &named.holds {
        let row = find(connection, Find::Hold, &[Value::of(*id)]).await?;
        loaded
            .holds
            .extend(row.map(|row| read::hold(&row)).transpose()?);
    }
    let (balances, keys) = owners(named, &loaded);
    for id in balances {
        let row = find(connection, Find::Balance, &Value::of_balance(id)).await?;
        let row = row.map(|row| read::balance(&row)).transpose()?;
        loaded.balances.extend(row);
    }
    for key in keys {
        let row = find(connection, Find::Budget, &[Value::of(key)]).await?;
        let row = row.map(|row| read::budget(&row)).transpose()?;
        loaded.budgets.extend(row);
    }
    for id in &named.transfers {
        let row = find(connection, Find::Transfer, &[Value::of(*id)]).await?;
        let row = row.map(|row| read::transfer(&row)).transpose()?;
        loaded.transfers.extend(row);
    }
    Ok(loaded)
}

async fn find(
    connection: &mut AnyConnection,
    what: Find,
    values: &[Value<'_>],
) -> Result<Option<AnyRow>, Error> {
    let query = bound(what.sql(), values);
    Ok(query.fetch_optional(connection).await?)
}

/// Writes what a batch comes to.
pub(super) async fn write(
    connection: &mut AnyConnection,
    changes: &Changes,
    receipts: &[Option<String>],
    at: i64,
) -> Result<(), Error> {
    let mut rows = Vec::new();
    each(changes, receipts, at, |what, values| {
        rows.push((what, values.to_vec()));
        Ok(())
    })?;
    for (what, values) in rows {
        let done = bound(what.sql(), &values).execute(&mut *connection).await?;
        what.check(done.rows_affected())?;
    }
    Ok(())
}

fn bound(sql: &'static str, values: &[Value<'_>]) -> Query<'static, Any, AnyArguments> {
    let mut query = sqlx::query(sql);
    for value in values {
        query = match *value {
            Value::Id(id) => query.bind(id.0.to_vec()),
            Value::Int(number) => query.bind(number),
            Value::Text(text) => query.bind(text.to_owned()),
            Value::Bytes(bytes) => query.bind(bytes.to_vec()),
            Value::Nothing => query.bind(None::<i64>),
        };
    }
    query
}

/// Every row of what a batch comes to, those of one kind one after another.
pub(super) fn each<'a>(
    changes: &'a Changes,
    receipts: &'a [Option<String>],
    at: i64,
    mut run: impl FnMut(Write, &[Value<'a>]) -> Result<(), Error>,
) -> Result<(), Error> {
    for hold in &new_holds(changes) {
        run(Write::OpenHold, &opened(hold, at))?;
    }
    for (id, hold) in &changes.closed_holds {
        run(Write::CloseHold, &closed(*id, hold, at))?;
    }
    for (id, until) in &changes.extended_holds {
        run(Write::ExtendHold, &[Value::of(*id), Value::Int(*until)])?;
    }
    for (id, transfer) in &changes.transfers {
        run(Write::Transfer, &transferred(*id, transfer, at))?;
    }
    for posting in &changes.postings {
        run(Write::Entries, &entries(posting, at))?;
    }
    for (id, balance) in &changes.balances {
        run(Write::Balance, &balanced(*id, balance))?;
    }
    for (id, place) in &changes.endings {
        let receipt = Value::Text(receipt(receipts, *place));
        run(Write::Ending, &[Value::of(*id), receipt, Value::Int(at)])?;
    }
    for (key, budget) in &changes.budgets {
        run(Write::Budget, &spent(*key, budget))?;
    }
    Ok(())
}

fn opened<'a>(hold: &NewHold<'a>, at: i64) -> [Value<'a>; 16] {
    let [account, mode] = hold.owner.map_or([Value::Nothing; 2], Value::of_balance);
    let closed_at = if hold.is_open() {
        Value::Nothing
    } else {
        Value::Int(at)
    };
    [
        Value::Id(hold.id),
        account,
        mode,
        hold.kind.map_or(Value::Nothing, Value::Text),
        Value::Text(hold.state),
        Value::Int(hold.amount.get()),
        Value::Int(hold.floor.get()),
        Value::Int(hold.granted.get()),
        Value::Int(hold.captured.get()),
        Value::Int(hold.written_off.get()),
        Value::of_some(hold.key),
        Value::Int(hold.budgeted.into()),
        Value::Text(hold.price_version),
        hold.expires_at.map_or(Value::Nothing, Value::Int),
        Value::Int(at),
        closed_at,
    ]
}

fn closed<'a>(id: OperationId, hold: &Hold, at: i64) -> [Value<'a>; 5] {
    [
        Value::of(id),
        Value::Text(state_word(hold.state)),
        Value::Int(hold.captured.get()),
        Value::Int(hold.written_off.get()),
        Value::Int(at),
    ]
}

fn transferred(id: OperationId, transfer: &Transfer, at: i64) -> [Value<'_>; 7] {
    let [account, mode] = Value::of_balance(transfer.balance);
    [
        Value::of(id),
        account,
        mode,
        Value::Int(transfer.amount.get()),
        Value::Text(&transfer.actor),
        Value::Text(&transfer.reason),
        Value::Int(at),
    ]
}

fn entries<'a>(posting: &Posting, at: i64) -> [Value<'a>; 7] {
    let (kind, account, platform) = posting_words(posting);
    [
        Value::of(posting.cause),
        Value::Text(kind),
        Value::Id(account),
        Value::Id(platform),
        Value::Text(posting.balance.mode.as_str()),
        Value::Int(posting.amount.get()),
        Value::Int(at),
    ]
}

fn balanced<'a>(id: BalanceId, balance: &Balance) -> [Value<'a>; 5] {
    let [account, mode] = Value::of_balance(id);
    [
        account,
        mode,
        Value::Int(balance.posted.get()),
        Value::Int(balance.held.get()),
        Value::Int(balance.open_holds),
    ]
}

fn spent<'a>(key: KeyId, budget: &Budget) -> [Value<'a>; 7] {
    [
        Value::of(key),
        Value::Int(budget.spent_day.get()),
        Value::Int(budget.spent_month.get()),
        Value::Int(budget.spent_total.get()),
        Value::Int(budget.held.get()),
        Value::Int(budget.day),
        Value::Int(budget.month),
    ]
}

#[cfg(test)]
mod tests {
    use chassis::{Tasks, config::Settings};
    use db::Db;
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;

    const FINDS: [Find; 4] = [Find::Hold, Find::Balance, Find::Transfer, Find::Budget];
    const WRITES: [Write; 8] = [
        Write::OpenHold,
        Write::CloseHold,
        Write::ExtendHold,
        Write::Transfer,
        Write::Entries,
        Write::Balance,
        Write::Ending,
        Write::Budget,
    ];

    #[tokio::test]
    async fn a_batch_costs_the_same_however_many_accounts_and_holds_there_are() {
        let directory = tempfile::tempdir().unwrap();
        let limits = Settings::from_toml("").section("database").unwrap();
        let file = directory.path().join("billing.db");
        let tasks = Tasks::default();
        let db = Db::open(&file, crate::MIGRATIONS, &limits, &tasks)
            .await
            .unwrap();
        let statements = FINDS
            .map(Find::sql)
            .into_iter()
            .chain(WRITES.map(Write::sql));
        for statement in statements {
            let explain = format!("explain query plan {statement}");
            let steps = sqlx::query(AssertSqlSafe(explain))
                .fetch_all(db.reader())
                .await
                .unwrap();
            for step in steps {
                let step: String = step.get("detail");
                let walked = ["hold", "balance", "transfer", "budget", "entry", "ending"]
                    .into_iter()
                    .find(|table| step.split(' ').take(2).eq(["SCAN", table]));
                assert_eq!(walked, None, "{step}: {statement}");
            }
        }
    }

    #[test]
    fn a_row_that_is_not_there_is_not_written() {
        for write in WRITES {
            let rows = if write == Write::Entries { 2 } else { 1 };
            assert!(write.check(rows).is_ok());
            assert!(write.check(rows - 1).is_err() && write.check(rows + 1).is_err());
        }
    }
}
