//! All SQL of this service, a file per table, and `due.rs` for what begins. What is sealed comes in and goes out sealed: the keys are elsewhere.

mod array;
pub(crate) mod delivery;
pub(crate) mod due;
pub(crate) mod endpoint;
pub(crate) mod event;
pub(crate) mod lane;
pub(crate) mod secret;

use domain::{Id, Mode, ids::Kind};
use sqlx::{Row as _, any::AnyRow};

use crate::Error;

fn id<K: Kind>(row: &AnyRow, column: &str) -> Result<Id<K>, Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Id::from_slice(&bytes).ok_or(Error::Damaged("an id is not 16 bytes"))
}

fn mode(row: &AnyRow, column: &str) -> Result<Mode, Error> {
    let word: String = row.try_get(column)?;
    Mode::parse(&word).ok_or(Error::Damaged("a mode is neither test nor live"))
}
