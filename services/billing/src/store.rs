//! All SQL of this service, a file per noun, a function per statement or transaction. No rules: those are in `ledger.rs`.
//! One text serves both engines, but for the ledger's busiest statements: `ledger/sqlite.rs` and `ledger/postgres.rs`.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod budget;
pub(crate) mod key;
pub(crate) mod ledger;
mod row;

pub(crate) use budget::BudgetRow;
pub use row::AccountRow;
pub(crate) use row::{KeyRow, PreviousSecret};
