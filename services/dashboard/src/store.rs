//! All SQL of the dashboard, a function per statement. Times are microseconds UTC.

pub(crate) mod act;
pub(crate) mod desk;
pub(crate) mod member;
pub(crate) mod passkey;
pub(crate) mod person;
pub(crate) mod playground;
pub(crate) mod sent_form;
pub(crate) mod session;
pub(crate) mod sign_up;
#[cfg(test)]
mod tests;
pub(crate) mod token;

use domain::{Id, Mode, ids::Kind};
use sqlx::{Row as _, any::AnyRow};

use crate::error::Error;

/// Reads an id.
pub(crate) fn id<K: Kind>(row: &AnyRow, column: &str) -> Result<Id<K>, Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Id::from_slice(&bytes).ok_or(Error::Damaged("an id"))
}

/// Reads a mode.
pub(crate) fn mode(row: &AnyRow, column: &str) -> Result<Mode, Error> {
    let word: String = row.try_get(column)?;
    Mode::parse(&word).ok_or(Error::Damaged("a mode"))
}
