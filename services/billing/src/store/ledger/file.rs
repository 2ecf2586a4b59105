//! The ledger's rows on a connection to a SQLite file that binds them itself: no trip between threads, no text that is made and cut.

use rusqlite::{CachedStatement, Connection, Row, params_from_iter};

use super::{
    Names, read,
    sqlite::{Find, Write, each, owners},
};
use crate::{
    Error,
    ledger::{Changes, Loaded},
    store::columns::{Value, prepared},
};

/// Loads what a batch names.
pub(super) fn load(connection: &Connection, named: &Names) -> Result<Loaded, Error> {
    let mut loaded = Loaded::default();
    if !named.holds.is_empty() {
        let mut statement = prepared(connection, Find::Hold.sql())?;
        for id in &named.holds {
            let row = find(&mut statement, &[Value::of(*id)], |row| read::hold(row))?;
            loaded.holds.extend(row);
        }
    }
    let (balances, keys) = owners(named, &loaded);
    if !balances.is_empty() {
        let mut statement = prepared(connection, Find::Balance.sql())?;
        for id in balances {
            let row = find(&mut statement, &Value::of_balance(id), |row| {
                read::balance(row)
            })?;
            loaded.balances.extend(row);
        }
    }
    if !keys.is_empty() {
        let mut statement = prepared(connection, Find::Budget.sql())?;
        for key in keys {
            let row = find(&mut statement, &[Value::of(key)], |row| read::budget(row))?;
            loaded.budgets.extend(row);
        }
    }
    if !named.transfers.is_empty() {
        let mut statement = prepared(connection, Find::Transfer.sql())?;
        for id in &named.transfers {
            let row = find(&mut statement, &[Value::of(*id)], |row| read::transfer(row))?;
            loaded.transfers.extend(row);
        }
    }
    Ok(loaded)
}

/// Writes what a batch comes to.
pub(super) fn write(
    connection: &Connection,
    changes: &Changes,
    receipts: &[Option<String>],
    at: i64,
) -> Result<(), Error> {
    // Rows of one kind come one after another.
    let mut ready: Option<(Write, CachedStatement<'_>)> = None;
    each(changes, receipts, at, |what, values| {
        let mut statement = match ready.take() {
            Some((kind, statement)) if kind == what => statement,
            Some(_) | None => prepared(connection, what.sql())?,
        };
        let written = statement
            .execute(params_from_iter(values))
            .map_err(db::Error::from)?;
        ready = Some((what, statement));
        what.check(u64::try_from(written).unwrap_or(u64::MAX))
    })
}

fn find<T>(
    statement: &mut CachedStatement<'_>,
    values: &[Value<'_>],
    read: impl Fn(&Row<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let mut rows = statement
        .query(params_from_iter(values))
        .map_err(db::Error::from)?;
    let row = rows.next().map_err(db::Error::from)?;
    row.map(read).transpose()
}
