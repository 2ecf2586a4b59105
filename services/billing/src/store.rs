//! All SQL of this service, a file per noun, a function per statement or transaction. No rules: those are in `ledger.rs`.
//! What only SQLite understands is in `sqlite.rs`.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod key;
pub(crate) mod ledger;
mod row;
mod sqlite;

pub use row::AccountRow;
pub(crate) use row::KeyRow;
