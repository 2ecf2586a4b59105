//! All SQL of this service, a file per noun, a function per statement or transaction. No rules: those are in `ledger.rs`.
//! One text serves both engines, but for the busiest statements: those of the ledger (`ledger/sqlite.rs`, `ledger/postgres.rs`) and of what is
//! made behind it (`projection/file.rs`, `projection/postgres.rs`).

pub(crate) mod account;
pub(crate) mod alert;
pub(crate) mod audit;
pub(crate) mod audit_log;
pub(crate) mod budget;
pub(crate) mod cap;
pub(crate) mod code;
mod columns;
pub(crate) mod horizon;
pub(crate) mod key;
pub(crate) mod ledger;
pub(crate) mod lot;
pub(crate) mod movement;
pub(crate) mod operation;
pub(crate) mod order;
pub(crate) mod overview;
pub(crate) mod price_list;
pub(crate) mod projection;
mod row;
pub(crate) mod seal;
pub(crate) mod tag;
pub(crate) mod usage;

pub use ledger::OpenHoldRow;
pub use lot::LotRow;
pub use operation::{OperationRow, Page};
pub use row::{AccountRow, AuditLogRow, PriceListRow};
pub(crate) use row::{KeyRow, PreviousSecret, mode_of};
pub use tag::TagId;
