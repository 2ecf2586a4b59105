//! The ledger's rows as PostgreSQL takes them, where many processes write at once. A batch takes a handful of trips whatever
//! its size: the balances are locked, what is named is loaded, everything is written by one statement.
//!
//! Locks have one order: balances by account and mode, then new ids by their bytes. So two batches wait for each other only
//! one way, and never for ever. Whoever holds a balance's lock is alone with its holds: they are loaded after it, by a
//! statement of their own, which therefore sees what the last holder committed.
//!
//! Many rows travel as arrays, a list for each column, in the text that the server reads arrays from: sqlx's common driver binds
//! no arrays. (Measured with 64 rows: JSON takes 3 times as long.)

use domain::KeyId;
use sqlx::{AnyConnection, Executor as _, Row as _, any::AnyRow};

use super::{
    Names,
    array::{ids, list, optional, optional_ids, texts},
    new_hold::{NewHold, new_holds},
    read, receipt,
};
use crate::{
    Error,
    ledger::{Budget, Changes, Loaded, Stored},
    store::row::{Hex, posting_words, state_word},
};

/// How the statements below are planned, for this transaction: by their indexes, whatever the tables' sizes were when the plan was
/// made. The server keeps a plan as long as the connection lives, and one that reads a small table whole would be ruinous once
/// the table has grown.
const PLANNING: &str = "
    set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off;
    set local plan_cache_mode = force_generic_plan";

/// Locks the balances that a batch names and those of the holds it names, and loads them: as they are once the lock is had. Says of
/// each whether any of its keys has a budget: with the balance, the budgets are locked.
/// $1: ids of holds; $2, $3: accounts and modes.
const LOCK: &str = "
    with named (account, mode) as materialized
      (select account, mode from unnest(cast($2 as bytea[]), cast($3 as text[])) as balances (account, mode)
       union
       select account, mode from hold where id = any (cast($1 as bytea[])))
    select balance.account, balance.mode, balance.posted, balance.held, balance.open_holds, balance.frozen_at,
           exists (select 1 from budget where budget.account = balance.account and budget.mode = balance.mode)
    from balance join named on balance.account = named.account and balance.mode = named.mode
    order by balance.account, balance.mode
    for no key update of balance";

/// Loads holds. $1: their ids.
const HOLDS: &str = "
    select id, account, mode, state, amount, floor, granted, captured, written_off, key, budgeted, price_version, expires_at
    from hold where id = any (cast($1 as bytea[]))";

/// Loads budgets. $1: keys.
const BUDGETS: &str = "
    select key, cap_day, cap_month, cap_total, spent_day, spent_month, spent_total, held, day, month
    from budget where key = any (cast($1 as bytea[]))";

/// Loads transfers. $1: their ids.
const TRANSFERS: &str = "
    select id, account, mode, amount, actor, reason from transfer where id = any (cast($1 as bytea[]))";

/// Writes what a batch comes to, and says how many rows that were: new holds, closed ones, longer ones, transfers, entries,
/// balances, endings, budgets.
/// $1: now; then a list for each column, in the order of the columns below. An id that another process has written since it
/// was looked for makes the statement fail.
const WRITE: &str = "
    with opened as
      (insert into hold (id, account, mode, kind, state, amount, floor, granted, captured, written_off, key, budgeted,
                         price_version, expires_at, created_at, closed_at)
       select id, account, mode, kind, state, amount, floor, granted, captured, written_off, key, budgeted,
              price_version, expires_at, $1, case when state <> 'open' then $1 end
       from unnest(cast($2 as bytea[]), cast($3 as bytea[]), cast($4 as text[]), cast($5 as text[]), cast($6 as text[]),
                   cast($7 as bigint[]), cast($8 as bigint[]), cast($9 as bigint[]), cast($10 as bigint[]),
                   cast($11 as bigint[]), cast($12 as bytea[]), cast($13 as bigint[]), cast($14 as text[]),
                   cast($15 as bigint[]))
         as new (id, account, mode, kind, state, amount, floor, granted, captured, written_off, key, budgeted,
                 price_version, expires_at)
       returning 1),
    closed as
      (update hold set state = change.state, captured = change.captured, written_off = change.written_off, closed_at = $1
       from unnest(cast($16 as bytea[]), cast($17 as text[]), cast($18 as bigint[]), cast($19 as bigint[]))
         as change (id, state, captured, written_off)
       where hold.id = change.id and (hold.state = 'open' or hold.state = 'expired')
       returning 1),
    extended as
      (update hold set expires_at = change.expires_at
       from unnest(cast($20 as bytea[]), cast($21 as bigint[])) as change (id, expires_at)
       where hold.id = change.id and hold.state = 'open'
       returning 1),
    transferred as
      (insert into transfer (id, account, mode, amount, actor, reason, created_at)
       select id, account, mode, amount, actor, reason, $1
       from unnest(cast($22 as bytea[]), cast($23 as bytea[]), cast($24 as text[]), cast($25 as bigint[]),
                   cast($26 as text[]), cast($27 as text[])) as new (id, account, mode, amount, actor, reason)
       returning 1),
    booked as
      (insert into entry (cause, kind, account, mode, amount, created_at)
       select cause, kind, case when side = 1 then account else platform end, mode, amount * side, $1
       from unnest(cast($28 as bytea[]), cast($29 as text[]), cast($30 as bytea[]), cast($31 as bytea[]),
                   cast($32 as text[]), cast($33 as bigint[])) as posting (cause, kind, account, platform, mode, amount)
         cross join (values (1), (-1)) as sides (side)
       returning 1),
    balanced as
      (update balance set posted = change.posted, held = change.held, open_holds = change.open_holds
       from unnest(cast($34 as bytea[]), cast($35 as text[]), cast($36 as bigint[]), cast($37 as bigint[]),
                   cast($38 as bigint[])) as change (account, mode, posted, held, open_holds)
       where balance.account = change.account and balance.mode = change.mode
       returning 1),
    ended as
      (insert into ending (hold, receipt, created_at)
       select hold, receipt, $1 from unnest(cast($39 as bytea[]), cast($40 as text[])) as new (hold, receipt)
       returning 1),
    budgeted as
      (update budget set spent_day = change.spent_day, spent_month = change.spent_month, spent_total = change.spent_total,
                         held = change.held, day = change.day, month = change.month
       from unnest(cast($41 as bytea[]), cast($42 as bigint[]), cast($43 as bigint[]), cast($44 as bigint[]),
                   cast($45 as bigint[]), cast($46 as bigint[]), cast($47 as bigint[]))
         as change (key, spent_day, spent_month, spent_total, held, day, month)
       where budget.key = change.key
       returning 1)
    select (select count(*) from opened), (select count(*) from closed), (select count(*) from extended),
           (select count(*) from transferred), (select count(*) from booked), (select count(*) from balanced),
           (select count(*) from ended), (select count(*) from budgeted)";

/// Locks and loads what a batch names.
///
/// # Errors
/// When the database fails, or a hold came between the two statements, whose balance is therefore not locked.
pub(super) async fn load(connection: &mut AnyConnection, named: &Names) -> Result<Loaded, Error> {
    connection.execute(PLANNING).await?;
    let mut loaded = Loaded::default();
    let holds = ids(named.holds.iter().copied().map(Hex::from));
    let rows = sqlx::query(LOCK)
        .bind(holds.clone())
        .bind(ids(named.balances.iter().map(|id| id.account.into())))
        .bind(list(named.balances.iter().map(|id| id.mode.as_str())))
        .fetch_all(&mut *connection)
        .await?;
    let mut budgeted = false;
    for row in &rows {
        let (id, balance) = read::balance(row)?;
        loaded.balances.insert(id, balance);
        budgeted |= row.try_get::<bool, _>(6)?;
    }
    if !named.holds.is_empty() {
        let rows = sqlx::query(HOLDS).bind(holds);
        for row in &rows.fetch_all(&mut *connection).await? {
            let (id, stored) = read::hold(row)?;
            if let Stored::Hold(hold) = &stored
                && !loaded.balances.contains_key(&hold.terms.balance)
            {
                return Err(Error::Overtaken);
            }
            loaded.holds.insert(id, stored);
        }
    }
    // A key's first cap may have come while the lock was waited for: then only the holds know.
    let counted = |stored: &Stored| matches!(stored, Stored::Hold(hold) if hold.budgeted);
    if budgeted || loaded.holds.values().any(counted) {
        load_budgets(connection, named, &mut loaded).await?;
    }
    if !named.transfers.is_empty() {
        let rows = sqlx::query(TRANSFERS).bind(ids(named.transfers.iter().copied().map(Hex::from)));
        for row in &rows.fetch_all(&mut *connection).await? {
            let (id, transfer) = read::transfer(row)?;
            loaded.transfers.insert(id, transfer);
        }
    }
    Ok(loaded)
}

/// The budgets of the keys that ask, and of those whose holds end.
async fn load_budgets(
    connection: &mut AnyConnection,
    named: &Names,
    loaded: &mut Loaded,
) -> Result<(), Error> {
    let ending = loaded.holds.values().filter_map(|stored| match stored {
        Stored::Hold(hold) => hold.terms.key.filter(|_| hold.budgeted),
        Stored::Tombstone => None,
    });
    let keys = named.keys.iter().copied().chain(ending);
    let keys = ids(keys.map(Hex::from));
    let rows = sqlx::query(BUDGETS).bind(keys);
    for row in &rows.fetch_all(connection).await? {
        let (key, budget) = read::budget(row)?;
        loaded.budgets.insert(key, budget);
    }
    Ok(())
}

/// Writes what a batch comes to.
///
/// # Errors
/// When the database fails, or another process has meanwhile used one of the new ids.
pub(super) async fn write(
    connection: &mut AnyConnection,
    changes: &Changes,
    receipts: &[Option<String>],
    at: i64,
) -> Result<(), Error> {
    let columns = [
        hold_columns(&new_holds(changes)),
        closed_columns(changes),
        transfer_columns(changes),
        posting_columns(changes),
        balance_columns(changes),
        ending_columns(changes, receipts),
        budget_columns(&changes.budgets),
    ];
    let mut query = sqlx::query(WRITE).bind(at);
    for column in columns.into_iter().flatten() {
        query = query.bind(column);
    }
    let row = query.fetch_one(connection).await.map_err(overtaken)?;
    expect(&row, changes)
}

fn hold_columns(holds: &[NewHold<'_>]) -> Vec<String> {
    let holds = || holds.iter();
    vec![
        ids(holds().map(|hold| hold.id)),
        optional_ids(holds().map(|hold| Some(hold.owner?.account.into()))),
        optional(holds().map(|hold| Some(hold.owner?.mode.as_str()))),
        optional(holds().map(|hold| hold.kind)),
        list(holds().map(|hold| hold.state)),
        list(holds().map(|hold| hold.amount.get())),
        list(holds().map(|hold| hold.floor.get())),
        list(holds().map(|hold| hold.granted.get())),
        list(holds().map(|hold| hold.captured.get())),
        list(holds().map(|hold| hold.written_off.get())),
        optional_ids(holds().map(|hold| hold.key.map(Hex::from))),
        list(holds().map(|hold| i64::from(hold.budgeted))),
        texts(holds().map(|hold| hold.price_version)),
        optional(holds().map(|hold| hold.expires_at)),
    ]
}

/// Holds that are closed, then those that live longer.
fn closed_columns(changes: &Changes) -> Vec<String> {
    let closed = || changes.closed_holds.iter();
    let extended = || changes.extended_holds.iter();
    vec![
        ids(closed().map(|(id, _)| (*id).into())),
        list(closed().map(|(_, hold)| state_word(hold.state))),
        list(closed().map(|(_, hold)| hold.captured.get())),
        list(closed().map(|(_, hold)| hold.written_off.get())),
        ids(extended().map(|(id, _)| (*id).into())),
        list(extended().map(|(_, until)| until)),
    ]
}

fn transfer_columns(changes: &Changes) -> Vec<String> {
    let mut transfers: Vec<_> = changes.transfers.iter().collect();
    transfers.sort_unstable_by_key(|(id, _)| *id);
    let transfers = || transfers.iter();
    vec![
        ids(transfers().map(|(id, _)| (*id).into())),
        ids(transfers().map(|(_, new)| new.balance.account.into())),
        list(transfers().map(|(_, new)| new.balance.mode.as_str())),
        list(transfers().map(|(_, new)| new.amount.get())),
        texts(transfers().map(|(_, new)| new.actor.as_str())),
        texts(transfers().map(|(_, new)| new.reason.as_str())),
    ]
}

fn posting_columns(changes: &Changes) -> Vec<String> {
    let postings = || changes.postings.iter();
    vec![
        ids(postings().map(|posting| posting.cause.into())),
        list(postings().map(|posting| posting_words(posting).0)),
        ids(postings().map(|posting| posting_words(posting).1)),
        ids(postings().map(|posting| posting_words(posting).2)),
        list(postings().map(|posting| posting.balance.mode.as_str())),
        list(postings().map(|posting| posting.amount.get())),
    ]
}

fn balance_columns(changes: &Changes) -> Vec<String> {
    let balances = || changes.balances.iter();
    vec![
        ids(balances().map(|(id, _)| id.account.into())),
        list(balances().map(|(id, _)| id.mode.as_str())),
        list(balances().map(|(_, balance)| balance.posted.get())),
        list(balances().map(|(_, balance)| balance.held.get())),
        list(balances().map(|(_, balance)| balance.open_holds)),
    ]
}

fn ending_columns(changes: &Changes, receipts: &[Option<String>]) -> Vec<String> {
    let endings = || changes.endings.iter();
    vec![
        ids(endings().map(|(id, _)| (*id).into())),
        texts(endings().map(|(_, place)| receipt(receipts, *place))),
    ]
}

fn budget_columns(budgets: &[(KeyId, Budget)]) -> Vec<String> {
    let spent = |of: fn(&Budget) -> i64| list(budgets.iter().map(|(_, budget)| of(budget)));
    vec![
        ids(budgets.iter().map(|(key, _)| (*key).into())),
        spent(|budget| budget.spent_day.get()),
        spent(|budget| budget.spent_month.get()),
        spent(|budget| budget.spent_total.get()),
        spent(|budget| budget.held.get()),
        spent(|budget| budget.day),
        spent(|budget| budget.month),
    ]
}

/// The ledger decided on rows that are locked: all of them must still be there.
fn expect(written: &AnyRow, changes: &Changes) -> Result<(), Error> {
    let expected = [
        changes.new_holds.len(),
        changes.closed_holds.len(),
        changes.extended_holds.len(),
        changes.transfers.len(),
        changes.postings.len().saturating_mul(2),
        changes.balances.len(),
        changes.endings.len(),
        changes.budgets.len(),
    ];
    for (column, expected) in expected.into_iter().enumerate() {
        let rows: i64 = written.try_get(column)?;
        if usize::try_from(rows).ok() != Some(expected) {
            return Err(Error::Corrupt("a row changed under the ledger"));
        }
    }
    Ok(())
}

/// An id that is there now was not when it was looked for.
fn overtaken(failure: sqlx::Error) -> Error {
    let failure = db::Error::from(failure);
    if failure.is_conflict() {
        Error::Overtaken
    } else {
        failure.into()
    }
}
