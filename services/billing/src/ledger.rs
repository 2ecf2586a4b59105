//! The ledger's rules: what a batch of operations does to balances and holds. Pure: no await, no clock, no SQL.
//!
//! `decide` takes what the store loaded and the operations in the order they came, and says one answer for each and what to
//! write. Operations of one batch see each other's effects. Every operation carries an id made by its caller: repeated with
//! the same arguments it gets the same answer and changes nothing; with other arguments it is a conflict.
//! Nothing here may let `posted - held` of a balance fall below zero, or a capture exceed its hold.
//!
//! A hold goes `∅ -> open -> captured | released | expired`, then perhaps `expired -> late`: charged after its time. Or
//! `∅ -> tombstone`, a release that came before its hold; or `∅ -> late`, a charge for a hold that was lost, which is written off.

mod book;
mod budget;
mod types;

pub use budget::{Budget, Caps};
pub use types::{
    Balance, BalanceId, Hold, HoldState, Kind, Op, Posting, PostingKind, Refusal, Reply, Stored,
    Terms, Transfer,
};

use std::collections::HashMap;

use domain::{KeyId, OperationId};

use self::book::Book;

/// What the store found of everything a batch names. What is not here does not exist.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Balances, by account and mode.
    pub balances: HashMap<BalanceId, Balance>,
    /// Holds and tombstones.
    pub holds: HashMap<OperationId, Stored>,
    /// Transfers booked before.
    pub transfers: HashMap<OperationId, Transfer>,
    /// What keys with caps have spent.
    pub budgets: HashMap<KeyId, Budget>,
    /// Now, in microseconds UTC: whose day and month counts.
    pub now: i64,
}

/// What to write, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Balances as they are now.
    pub balances: Vec<(BalanceId, Balance)>,
    /// Holds and tombstones that were not there before, as they are now.
    pub new_holds: Vec<(OperationId, Stored)>,
    /// Holds that were there and were closed.
    pub closed_holds: Vec<(OperationId, Hold)>,
    /// Holds that were there and live longer: until when.
    pub extended_holds: Vec<(OperationId, i64)>,
    /// Every hold that ended, in order, and the place in the batch of the operation that ended it. One that is charged late ends a
    /// second time.
    pub endings: Vec<(OperationId, usize)>,
    /// What keys with caps have spent now.
    pub budgets: Vec<(KeyId, Budget)>,
    /// Credit given or taken by operators.
    pub transfers: Vec<(OperationId, Transfer)>,
    /// Movements of posted credit, in order; each stands for two entries that sum to zero.
    pub postings: Vec<Posting>,
    /// Captures that asked for more than their hold, and were cut down to it: our loss.
    pub over_reports: Vec<OperationId>,
}

/// What a batch comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// One answer for each operation, in its place.
    pub answers: Vec<Result<Reply, Refusal>>,
    /// What to write.
    pub changes: Changes,
}

/// Decides a whole batch.
pub fn decide(loaded: Loaded, ops: &[Op]) -> Decision {
    let mut book = Book::open(loaded);
    let answers = ops.iter().enumerate();
    let answers = answers.map(|(place, op)| book.apply(place, op)).collect();
    Decision {
        answers,
        changes: book.close(),
    }
}

// === impl Changes ===

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Self {
            balances,
            new_holds,
            closed_holds,
            extended_holds,
            endings: _,
            budgets: _,
            transfers,
            postings,
            over_reports: _,
        } = self;
        balances.is_empty()
            && new_holds.is_empty()
            && closed_holds.is_empty()
            && extended_holds.is_empty()
            && transfers.is_empty()
            && postings.is_empty()
    }
}
