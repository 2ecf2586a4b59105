//! The ledger's rows as PostgreSQL takes them, where many processes write at once. A batch takes a handful of trips whatever
//! its size: the balances are locked, what is named is loaded, everything is written by one statement.
//!
//! Locks have one order: balances by account and mode, then new ids by their bytes. So two batches wait for each other only
//! one way, and never for ever. Whoever holds a balance's lock is alone with its holds: they are loaded after it, by a
//! statement of their own, which therefore sees what the last holder committed.
//!
//! Many rows travel as arrays, a list for each column, in the text that the server reads arrays from: sqlx's common driver binds
//! no arrays. (Measured with 64 rows: JSON takes 3 times as long, packed lines as the SQLite side has them 4 times.)

use std::{borrow::Cow, fmt::Display, fmt::Write as _};

use domain::{Micros, OperationId};
use sqlx::{AnyConnection, Executor as _, Row as _, any::AnyRow};

use super::{Names, Receipt};
use crate::{
    Error,
    ledger::{Balance, BalanceId, Changes, HoldState, Kind, Loaded, Stored, Transfer},
    store::row::{Hex, HoldParts, balance_id, posting_words, state_word},
};

/// How the statements below are planned, for this transaction: by their indexes, whatever the tables' sizes were when the plan was
/// made. The server keeps a plan as long as the connection lives, and one that reads a small table whole would be ruinous once
/// the table has grown.
const PLANNING: &str = "
    set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off;
    set local plan_cache_mode = force_generic_plan";

/// Locks the balances that a batch names and those of the holds it names, and loads them: as they are once the lock is had.
/// $1: ids of holds; $2, $3: accounts and modes.
const LOCK: &str = "
    with named (account, mode) as materialized
      (select account, mode from unnest(cast($2 as bytea[]), cast($3 as text[])) as balances (account, mode)
       union
       select account, mode from hold where id = any (cast($1 as bytea[])))
    select balance.account, balance.mode, balance.posted, balance.held, balance.open_holds
    from balance join named on balance.account = named.account and balance.mode = named.mode
    order by balance.account, balance.mode
    for no key update of balance";

/// Loads holds. $1: their ids.
const HOLDS: &str = "
    select id, account, mode, state, amount, floor, granted, captured, price_version, expires_at
    from hold where id = any (cast($1 as bytea[]))";

/// Loads transfers. $1: their ids.
const TRANSFERS: &str = "
    select id, account, mode, amount, actor, reason from transfer where id = any (cast($1 as bytea[]))";

/// Writes what a batch comes to, and says how many rows that were: new holds, closed ones, transfers, entries, balances.
/// $1: now; then a list for each column, in the order of the columns below. An id that another process has written since it
/// was looked for makes the statement fail.
const WRITE: &str = "
    with opened as
      (insert into hold (id, account, mode, kind, state, amount, floor, granted, captured, price_version, expires_at,
                         created_at, closed_at)
       select id, account, mode, kind, state, amount, floor, granted, captured, price_version, expires_at,
              $1, case when state <> 'open' then $1 end
       from unnest(cast($2 as bytea[]), cast($3 as bytea[]), cast($4 as text[]), cast($5 as text[]), cast($6 as text[]),
                   cast($7 as bigint[]), cast($8 as bigint[]), cast($9 as bigint[]), cast($10 as bigint[]),
                   cast($11 as text[]), cast($12 as bigint[]))
         as new (id, account, mode, kind, state, amount, floor, granted, captured, price_version, expires_at)
       returning 1),
    closed as
      (update hold set state = change.state, captured = change.captured, closed_at = $1
       from unnest(cast($13 as bytea[]), cast($14 as text[]), cast($15 as bigint[])) as change (id, state, captured)
       where hold.id = change.id and hold.state = 'open'
       returning 1),
    transferred as
      (insert into transfer (id, account, mode, amount, actor, reason, created_at)
       select id, account, mode, amount, actor, reason, $1
       from unnest(cast($16 as bytea[]), cast($17 as bytea[]), cast($18 as text[]), cast($19 as bigint[]),
                   cast($20 as text[]), cast($21 as text[])) as new (id, account, mode, amount, actor, reason)
       returning 1),
    booked as
      (insert into entry (cause, kind, account, mode, amount, created_at)
       select cause, kind, case when side = 1 then account else platform end, mode, amount * side, $1
       from unnest(cast($22 as bytea[]), cast($23 as text[]), cast($24 as bytea[]), cast($25 as bytea[]),
                   cast($26 as text[]), cast($27 as bigint[])) as posting (cause, kind, account, platform, mode, amount)
         cross join (values (1), (-1)) as sides (side)
       returning 1),
    balanced as
      (update balance set posted = change.posted, held = change.held, open_holds = change.open_holds
       from unnest(cast($28 as bytea[]), cast($29 as text[]), cast($30 as bigint[]), cast($31 as bigint[]),
                   cast($32 as bigint[])) as change (account, mode, posted, held, open_holds)
       where balance.account = change.account and balance.mode = change.mode
       returning 1),
    explained as
      (insert into receipt (operation, body, created_at)
       select operation, body, $1 from unnest(cast($33 as bytea[]), cast($34 as text[])) as new (operation, body)
       on conflict do nothing)
    select (select count(*) from opened), (select count(*) from closed), (select count(*) from transferred),
           (select count(*) from booked), (select count(*) from balanced)";

/// A new row of `hold`. A tombstone names nobody.
struct NewHold<'a> {
    id: Hex,
    owner: Option<BalanceId>,
    kind: Option<&'static str>,
    state: &'static str,
    amount: Micros,
    floor: Micros,
    granted: Micros,
    captured: Micros,
    price_version: &'a str,
    expires_at: Option<i64>,
}

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
    for row in &rows {
        let (id, balance) = read_balance(row)?;
        loaded.balances.insert(id, balance);
    }
    if !named.holds.is_empty() {
        let rows = sqlx::query(HOLDS).bind(holds);
        for row in &rows.fetch_all(&mut *connection).await? {
            let (id, stored) = read_hold(row)?;
            if let Stored::Hold(hold) = &stored
                && !loaded.balances.contains_key(&hold.terms.balance)
            {
                return Err(Error::Overtaken);
            }
            loaded.holds.insert(id, stored);
        }
    }
    if !named.transfers.is_empty() {
        let rows = sqlx::query(TRANSFERS).bind(ids(named.transfers.iter().copied().map(Hex::from)));
        for row in &rows.fetch_all(&mut *connection).await? {
            let (id, transfer) = read_transfer(row)?;
            loaded.transfers.insert(id, transfer);
        }
    }
    Ok(loaded)
}

/// Writes what a batch comes to.
///
/// # Errors
/// When the database fails, or another process has meanwhile used one of the new ids.
pub(super) async fn write(
    connection: &mut AnyConnection,
    changes: &Changes,
    mut receipts: Vec<Receipt<'_>>,
    at: i64,
) -> Result<(), Error> {
    let holds = new_holds(changes);
    let closed = &changes.closed_holds;
    let mut transfers: Vec<_> = changes.transfers.iter().collect();
    transfers.sort_unstable_by_key(|(id, _)| *id);
    receipts.sort_by_key(|(id, _)| *id);
    let (postings, balances) = (&changes.postings, &changes.balances);
    let row = sqlx::query(WRITE)
        .bind(at)
        .bind(ids(holds.iter().map(|hold| hold.id)))
        .bind(optional_ids(
            holds.iter().map(|hold| Some(hold.owner?.account.into())),
        ))
        .bind(optional(
            holds.iter().map(|hold| Some(hold.owner?.mode.as_str())),
        ))
        .bind(optional(holds.iter().map(|hold| hold.kind)))
        .bind(list(holds.iter().map(|hold| hold.state)))
        .bind(list(holds.iter().map(|hold| hold.amount.get())))
        .bind(list(holds.iter().map(|hold| hold.floor.get())))
        .bind(list(holds.iter().map(|hold| hold.granted.get())))
        .bind(list(holds.iter().map(|hold| hold.captured.get())))
        .bind(texts(holds.iter().map(|hold| hold.price_version)))
        .bind(optional(holds.iter().map(|hold| hold.expires_at)))
        .bind(ids(closed.iter().map(|(id, _)| (*id).into())))
        .bind(list(closed.iter().map(|(_, hold)| state_word(hold.state))))
        .bind(list(closed.iter().map(|(_, hold)| hold.captured.get())))
        .bind(ids(transfers.iter().map(|(id, _)| (*id).into())))
        .bind(ids(transfers
            .iter()
            .map(|(_, new)| new.balance.account.into())))
        .bind(list(
            transfers.iter().map(|(_, new)| new.balance.mode.as_str()),
        ))
        .bind(list(transfers.iter().map(|(_, new)| new.amount.get())))
        .bind(texts(transfers.iter().map(|(_, new)| new.actor.as_str())))
        .bind(texts(transfers.iter().map(|(_, new)| new.reason.as_str())))
        .bind(ids(postings.iter().map(|posting| posting.cause.into())))
        .bind(list(
            postings.iter().map(|posting| posting_words(posting.kind).0),
        ))
        .bind(ids(postings
            .iter()
            .map(|posting| posting.balance.account.into())))
        .bind(ids(postings
            .iter()
            .map(|posting| posting_words(posting.kind).1)))
        .bind(list(
            postings.iter().map(|posting| posting.balance.mode.as_str()),
        ))
        .bind(list(postings.iter().map(|posting| posting.amount.get())))
        .bind(ids(balances.iter().map(|(id, _)| id.account.into())))
        .bind(list(balances.iter().map(|(id, _)| id.mode.as_str())))
        .bind(list(
            balances.iter().map(|(_, balance)| balance.posted.get()),
        ))
        .bind(list(balances.iter().map(|(_, balance)| balance.held.get())))
        .bind(list(balances.iter().map(|(_, balance)| balance.open_holds)))
        .bind(ids(receipts.iter().map(|(id, _)| (*id).into())))
        .bind(texts(receipts.iter().map(|(_, body)| *body)))
        .fetch_one(connection)
        .await
        .map_err(overtaken)?;
    expect(&row, changes)
}

/// The ledger decided on rows that are locked: all of them must still be there.
fn expect(written: &AnyRow, changes: &Changes) -> Result<(), Error> {
    let expected = [
        changes.new_holds.len(),
        changes.closed_holds.len(),
        changes.transfers.len(),
        changes.postings.len().saturating_mul(2),
        changes.balances.len(),
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

/// New holds and tombstones, in the order of their ids.
fn new_holds(changes: &Changes) -> Vec<NewHold<'_>> {
    let mut holds: Vec<_> = changes.new_holds.iter().collect();
    holds.sort_unstable_by_key(|(id, _)| *id);
    holds
        .into_iter()
        .map(|(id, stored)| new_hold((*id).into(), stored))
        .collect()
}

fn new_hold(id: Hex, stored: &Stored) -> NewHold<'_> {
    let Stored::Hold(hold) = stored else {
        return NewHold {
            id,
            owner: None,
            kind: None,
            state: state_word(HoldState::Tombstone),
            amount: Micros::ZERO,
            floor: Micros::ZERO,
            granted: Micros::ZERO,
            captured: Micros::ZERO,
            price_version: "",
            expires_at: None,
        };
    };
    let (kind, expires_at) = match hold.terms.kind {
        Kind::Chat { expires_at } => ("chat", Some(expires_at)),
        Kind::Media => ("media", None),
    };
    NewHold {
        id,
        owner: Some(hold.terms.balance),
        kind: Some(kind),
        state: state_word(hold.state),
        amount: hold.terms.amount,
        floor: hold.terms.floor,
        granted: hold.granted,
        captured: hold.captured,
        price_version: &hold.terms.price_version,
        expires_at,
    }
}

/// A list of ids.
fn ids(items: impl Iterator<Item = Hex>) -> String {
    optional_ids(items.map(Some))
}

fn optional_ids(items: impl Iterator<Item = Option<Hex>>) -> String {
    array(items, |text, id| {
        // Writing to a text does not fail.
        let _ = match id {
            Some(id) => write!(text, r#""\\x{id}""#),
            None => write!(text, "null"),
        };
    })
}

/// A list of numbers, or of words of ours, which hold nothing that must be quoted.
fn list(items: impl Iterator<Item = impl Display>) -> String {
    optional(items.map(Some))
}

fn optional(items: impl Iterator<Item = Option<impl Display>>) -> String {
    array(items, |text, item| {
        let _ = match item {
            Some(item) => write!(text, "{item}"),
            None => write!(text, "null"),
        };
    })
}

/// A list of texts that may hold anything.
fn texts<'a>(items: impl Iterator<Item = &'a str>) -> String {
    array(items, |text, item| {
        text.push('"');
        for character in item.chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
    })
}

/// The text that PostgreSQL reads an array from.
fn array<T>(items: impl Iterator<Item = T>, write: impl Fn(&mut String, T)) -> String {
    let mut text = String::from("{");
    for (place, item) in items.enumerate() {
        if place > 0 {
            text.push(',');
        }
        write(&mut text, item);
    }
    text.push('}');
    text
}

fn read_balance(row: &AnyRow) -> Result<(BalanceId, Balance), Error> {
    let id = balance_id(hex(row, 0)?, row.try_get(1)?)?;
    let balance = Balance {
        posted: Micros::new(row.try_get(2)?),
        held: Micros::new(row.try_get(3)?),
        open_holds: row.try_get(4)?,
    };
    Ok((id, balance))
}

fn read_hold(row: &AnyRow) -> Result<(OperationId, Stored), Error> {
    let account: Option<&[u8]> = row.try_get(1)?;
    let account = account.map(Hex::from_slice).transpose()?;
    let parts = HoldParts {
        owner: account.zip(row.try_get(2)?),
        state: row.try_get(3)?,
        amount: row.try_get(4)?,
        floor: row.try_get(5)?,
        granted: row.try_get(6)?,
        captured: row.try_get(7)?,
        price_version: Cow::Borrowed(row.try_get(8)?),
        expires_at: row.try_get(9)?,
    };
    Ok((hex(row, 0)?.into(), parts.stored()?))
}

fn read_transfer(row: &AnyRow) -> Result<(OperationId, Transfer), Error> {
    let transfer = Transfer {
        balance: balance_id(hex(row, 1)?, row.try_get(2)?)?,
        amount: Micros::new(row.try_get(3)?),
        actor: row.try_get(4)?,
        reason: row.try_get(5)?,
    };
    Ok((hex(row, 0)?.into(), transfer))
}

fn hex(row: &AnyRow, column: usize) -> Result<Hex, Error> {
    Hex::from_slice(row.try_get(column)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_quoted_as_the_server_reads_them() {
        assert_eq!(list([1, -2].into_iter()), "{1,-2}");
        assert_eq!(list(std::iter::empty::<i64>()), "{}");
        assert_eq!(optional([Some("a"), None].into_iter()), "{a,null}");
        assert_eq!(
            texts(["null", "", r#"{"a":"\"#].into_iter()),
            r#"{"null","","{\"a\":\"\\"}"#
        );
        let id = Hex([0xab; 16]);
        let text = format!(r#"{{"\\x{}",null}}"#, "ab".repeat(16));
        assert_eq!(optional_ids([Some(id), None].into_iter()), text);
    }
}
