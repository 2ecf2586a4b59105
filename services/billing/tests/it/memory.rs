//! A store of the ledger in memory: keeps what `decide` says, so that the pure rules are tested without SQL.

use std::collections::HashMap;

use billing::ledger::{
    Balance, BalanceId, Budget, HoldState, Kind, Loaded, Op, Posting, PostingKind, Refusal, Reply,
    Stored, Transfer, decide,
};
use domain::{AccountId, KeyId, Micros, Mode, OperationId};

/// Everything a database would hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) balances: HashMap<BalanceId, Balance>,
    pub(crate) holds: HashMap<OperationId, Stored>,
    pub(crate) transfers: HashMap<OperationId, Transfer>,
    pub(crate) postings: Vec<Posting>,
    pub(crate) budgets: HashMap<KeyId, Budget>,
    pub(crate) over_reports: usize,
    /// By the ledger's clock.
    pub(crate) now: i64,
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

/// A made-up key's id.
pub(crate) fn key(number: u8) -> KeyId {
    KeyId::from_slice(&[number; 16]).unwrap()
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
            budgets: self.budgets.clone(),
            now: self.now,
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
        for (id, until) in changes.extended_holds {
            let Some(Stored::Hold(hold)) = self.holds.get_mut(&id) else {
                panic!("only a hold that is there is extended");
            };
            hold.terms.kind = Kind::Chat { expires_at: until };
        }
        for (key, budget) in changes.budgets {
            let before = self.budgets.insert(key, budget);
            assert!(before.is_some(), "a key gets its budget from elsewhere");
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
                .filter(|posting| posting.balance == *id && posting.kind != PostingKind::WriteOff);
            let sum: i64 = entries.map(|posting| posting.amount.get()).sum();
            assert_eq!(balance.posted.get(), sum, "the balance equals its entries");
        }
        for stored in self.holds.values() {
            if let Stored::Hold(hold) = stored {
                assert!(hold.captured >= Micros::ZERO && hold.captured <= hold.granted);
                assert!(hold.granted >= hold.terms.floor && hold.granted <= hold.terms.amount);
                assert!(hold.written_off == Micros::ZERO || hold.state == HoldState::Late);
            }
        }
        for (key, budget) in &self.budgets {
            self.check_budget(*key, budget);
        }
    }

    fn check_budget(&self, key: KeyId, budget: &Budget) {
        let held = self.holds.values().filter_map(|stored| match stored {
            Stored::Hold(hold)
                if hold.terms.key == Some(key)
                    && hold.budgeted
                    && hold.state == HoldState::Open =>
            {
                Some(hold.granted.get())
            }
            _ => None,
        });
        assert_eq!(budget.held.get(), held.sum::<i64>(), "{key}");
    }
}
