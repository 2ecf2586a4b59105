//! What the projection reads and writes: endings of the ledger, operations made of them, and the sums of their days. How rows come in
//! and go out is each engine's own (`file` on SQLite, `postgres`).

pub(crate) mod file;
pub(crate) mod postgres;

use domain::{KeyId, Usage};

use super::{
    columns::Columns,
    operation::OperationRow,
    row::{self, Hex},
    tag::TagId,
};
use crate::{
    Error,
    ledger::{BalanceId, HoldState},
};

/// The job, in `progress`.
const JOB: &str = "operations";

/// Endings after one ($1), up to another ($2), in order, so many at most ($3).
const ENDINGS: &str =
    "select hold.id, hold.account, hold.mode, hold.key, hold.state, hold.granted, hold.captured, hold.written_off,
            hold.price_version, hold.created_at, ending.created_at, ending.seq, ending.receipt
     from ending join hold on hold.id = ending.hold
     where ending.seq > $1 and ending.seq <= $2 order by ending.seq limit $3";

/// How a hold ended, as the ledger wrote it down.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) receipt: String,
    /// The operation, but for what its receipt says.
    pub(crate) operation: OperationRow,
}

/// An operation, its labels, and how the work ended.
#[derive(Clone, Debug)]
pub(crate) struct Explained {
    pub(crate) operation: OperationRow,
    pub(crate) tags: Vec<TagId>,
    /// A word of the receipt; empty if it has none.
    pub(crate) class: String,
    /// The tokens of the receipt, if it says any.
    pub(crate) usage: Option<Usage>,
}

/// A row of `served_hour`, but for its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Served<'a> {
    /// Hours since 1970.
    pub(crate) hour: i64,
    pub(crate) mode: &'static str,
    pub(crate) model: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) outcome: &'a str,
    pub(crate) class: &'a str,
}

/// What is added to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServedSums {
    pub(crate) operations: i64,
    pub(crate) charged: i64,
    pub(crate) written_off: i64,
    /// Operations whose receipts say tokens, what they were charged, and the tokens, in the order of [`TokenClass::ALL`](domain::TokenClass::ALL).
    pub(crate) counted: i64,
    pub(crate) counted_charged: i64,
    pub(crate) tokens: [i64; 6],
}

/// Whose, when and with what: a row of `usage_day`, or of `usage_tag_day` if it is of a label, but for its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket<'a> {
    pub(crate) balance: BalanceId,
    pub(crate) tag: Option<TagId>,
    /// Days since 1970.
    pub(crate) day: i64,
    pub(crate) key: Option<KeyId>,
    pub(crate) model: &'a str,
    pub(crate) route: &'a str,
}

/// What is added to a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) operations: i64,
    pub(crate) free: i64,
    pub(crate) charged: i64,
    pub(crate) input_tokens: i64,
    pub(crate) output_tokens: i64,
}

// === impl Ending ===

impl Ending {
    /// Reads a row of [`ENDINGS`].
    fn read(row: &impl Columns) -> Result<Self, Error> {
        let (account, mode) = row
            .optional_id(1)?
            .zip(row.optional_text(2)?)
            .ok_or(Error::Corrupt("a hold that ended names nobody"))?;
        Ok(Self {
            receipt: row.text(12)?.to_owned(),
            operation: OperationRow {
                id: row.id(0)?.into(),
                balance: row::balance_id(account, mode)?,
                key: row.optional_id(3)?.map(Into::into),
                route: String::new(),
                model: String::new(),
                provider: String::new(),
                outcome: row.text(4)?.to_owned(),
                held: row.micros(5)?,
                charged: row.micros(6)?,
                written_off: row.micros(7)?,
                input_tokens: 0,
                output_tokens: 0,
                price_version: row.text(8)?.to_owned(),
                created_at: row.int(9)?,
                ended_at: row.int(10)?,
                ending: row.int(11)?,
            },
        })
    }

    /// Whether its hold may have ended before: only what ended by time is charged late.
    fn is_another(&self) -> bool {
        self.operation.outcome == row::state_word(HoldState::Late)
    }
}

/// The operations that may be there already.
fn others(endings: &[Ending]) -> impl Iterator<Item = Hex> {
    let endings = endings.iter().filter(|ending| ending.is_another());
    endings.map(|ending| ending.operation.id.into())
}
