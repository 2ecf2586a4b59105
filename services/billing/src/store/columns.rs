//! Rows whose columns are read, and whose values are bound, by their places: by whichever driver carries them.

use domain::Micros;
use rusqlite::{
    CachedStatement, Connection, ToSql,
    types::{FromSqlResult, ToSqlOutput, ValueRef},
};
use sqlx::{Row as _, any::AnyRow};

use super::row::{Hex, balance_words};
use crate::{Error, ledger::BalanceId};

/// What is bound.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Id(Hex),
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Nothing,
}

/// One row.
pub(super) trait Columns {
    fn optional_int(&self, column: usize) -> Result<Option<i64>, Error>;
    fn optional_text(&self, column: usize) -> Result<Option<&str>, Error>;
    fn optional_bytes(&self, column: usize) -> Result<Option<&[u8]>, Error>;

    fn int(&self, column: usize) -> Result<i64, Error> {
        self.optional_int(column)?.ok_or(EMPTY)
    }

    fn text(&self, column: usize) -> Result<&str, Error> {
        self.optional_text(column)?.ok_or(EMPTY)
    }

    fn optional_id(&self, column: usize) -> Result<Option<Hex>, Error> {
        let bytes = self.optional_bytes(column)?;
        bytes.map(Hex::from_slice).transpose()
    }

    /// An id, where none is empty.
    fn filled_id(&self, column: usize) -> Result<Option<Hex>, Error> {
        let bytes = self.optional_bytes(column)?.unwrap_or_default();
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        bytes.map(Hex::from_slice).transpose()
    }

    fn id(&self, column: usize) -> Result<Hex, Error> {
        self.optional_id(column)?.ok_or(EMPTY)
    }

    fn micros(&self, column: usize) -> Result<Micros, Error> {
        self.int(column).map(Micros::new)
    }
}

/// What has no value where there must be one.
const EMPTY: Error = Error::Corrupt("a column is empty");

impl Columns for AnyRow {
    fn optional_int(&self, column: usize) -> Result<Option<i64>, Error> {
        Ok(self.try_get(column)?)
    }

    fn optional_text(&self, column: usize) -> Result<Option<&str>, Error> {
        Ok(self.try_get(column)?)
    }

    fn optional_bytes(&self, column: usize) -> Result<Option<&[u8]>, Error> {
        Ok(self.try_get(column)?)
    }
}

impl Columns for rusqlite::Row<'_> {
    fn optional_int(&self, column: usize) -> Result<Option<i64>, Error> {
        value(self, column, |value| value.as_i64_or_null())
    }

    fn optional_text(&self, column: usize) -> Result<Option<&str>, Error> {
        value(self, column, |value| value.as_str_or_null())
    }

    fn optional_bytes(&self, column: usize) -> Result<Option<&[u8]>, Error> {
        value(self, column, |value| value.as_blob_or_null())
    }
}

fn value<'a, T>(
    row: &'a rusqlite::Row<'_>,
    column: usize,
    read: impl Fn(ValueRef<'a>) -> FromSqlResult<T>,
) -> Result<T, Error> {
    let value = row.get_ref(column).map_err(db::Error::from)?;
    read(value).map_err(|_| Error::Corrupt("a column is not of its type"))
}

// === impl Value ===

impl Value<'_> {
    pub(super) fn of(id: impl Into<Hex>) -> Self {
        Self::Id(id.into())
    }

    pub(super) fn of_some(id: Option<impl Into<Hex>>) -> Self {
        id.map_or(Self::Nothing, Self::of)
    }

    pub(super) fn of_balance(id: BalanceId) -> [Self; 2] {
        let (account, mode) = balance_words(id);
        [Self::Id(account), Self::Text(mode)]
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Id(id) => ValueRef::Blob(&id.0),
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Nothing => ValueRef::Null,
        }))
    }
}

/// A statement that is prepared once for all that come.
pub(super) fn prepared<'c>(
    connection: &'c Connection,
    sql: &'static str,
) -> Result<CachedStatement<'c>, Error> {
    Ok(connection.prepare_cached(sql).map_err(db::Error::from)?)
}
