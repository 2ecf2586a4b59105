//! A store of the ledger in memory: keeps what `decide` says, so that the pure rules are tested without SQL.

use std::collections::HashMap;

use billing::ledger::{
    Balance, BalanceId, Loaded, Op, Posting, Refusal, Reply, Stored, Transfer, decide,
};
use domain::{AccountId, Micros, Mode, OperationId};

/// Everything a database would hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) balances: HashMap<BalanceId, Balance>,
    pub(crate) holds: HashMap<OperationId, Stored>,
    pub(crate) transfers: HashMap<OperationId, Transfer>,
    pub(crate) postings: Vec<Posting>,
    pub(crate) over_reports: usize,
}

/// The balance of a made-up account.
pub(crate) fn balance_id(number: u8, mode: Mode) -> BalanceId {
    BalanceId {
        account: AccountId::from_slice(&[number; 16]).unwrap(),
        mode,
    }
}

/// A made-up operation's id.
pub(crate) fn operation(number: u8) -> OperationId {
    OperationId::from_slice(&[number; 16]).unwrap()
}

// === impl Memory ===

impl Memory {
    /// Opens an empty balance.
    pub(crate) fn open(&mut self, id: BalanceId) {
        self.balances.entry(id).or_default();
    }

    /// Applies one batch, and checks what every batch must keep.
    pub(crate) fn apply(&mut self, ops: &[Op]) -> Vec<Result<Reply, Refusal>> {
        let loaded = Loaded {
            balances: self.balances.clone(),
            holds: self.holds.clone(),
            transfers: self.transfers.clone(),
        };
        let decision = decide(loaded, ops);
        let changes = decision.changes;
        self.balances.extend(changes.balances);
        for (id, stored) in changes.new_holds {
            assert_eq!(self.holds.insert(id, stored), None, "a hold is new once");
        }
        for (id, hold) in changes.closed_holds {
            let before = self.holds.insert(id, Stored::Hold(hold));
            assert!(before.is_some(), "only a hold that is there is closed");
        }
        for (id, transfer) in changes.transfers {
            assert_eq!(self.transfers.insert(id, transfer), None);
        }
        self.postings.extend(changes.postings);
        self.over_reports += changes.over_reports.len();
        self.check();
        decision.answers
    }

    /// What is true at every moment.
    fn check(&self) {
        for (id, balance) in &self.balances {
            assert!(balance.held >= Micros::ZERO, "{id:?} {balance:?}");
            assert!(
                balance.available().unwrap() >= Micros::ZERO,
                "{id:?} {balance:?}"
            );
            let entries = self
                .postings
                .iter()
                .filter(|posting| posting.balance == *id);
            let sum: i64 = entries.map(|posting| posting.amount.get()).sum();
            assert_eq!(balance.posted.get(), sum, "the balance equals its entries");
        }
        for stored in self.holds.values() {
            if let Stored::Hold(hold) = stored {
                assert!(hold.captured >= Micros::ZERO && hold.captured <= hold.granted);
                assert!(hold.granted >= hold.terms.floor && hold.granted <= hold.terms.amount);
            }
        }
    }
}
