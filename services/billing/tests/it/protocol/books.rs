//! The ledger's tables, as far as the model's requests touch them. What happens to them is what `billing::ledger::decide` says;
//! a flaw shows it other rows than there are, or does not write what it says.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    mem::discriminant,
};

use billing::ledger::{
    Balance, BalanceId, HoldState, Kind, Loaded, Op, Refusal, Reply, Stored, Terms, decide,
};
use domain::{Micros, Mode, OperationId};

use super::{ASKED, BALANCE, FLOOR, Flaw, REQUESTS};
use crate::memory::{balance_id, operation};

/// The one balance, and the hold of each request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Books {
    balance: Balance,
    holds: [Option<Stored>; REQUESTS],
}

/// Whose balance.
fn payer() -> BalanceId {
    balance_id(1, Mode::Live)
}

/// The hold of a request, which is its operation.
fn id(request: usize) -> OperationId {
    operation(u8::try_from(request).unwrap() + 1)
}

/// What a request asks billing for.
pub(super) fn hold(request: usize) -> Op {
    Op::Hold {
        hold: id(request),
        terms: Terms {
            balance: payer(),
            amount: Micros::new(ASKED),
            floor: Micros::new(FLOOR),
            kind: Kind::Chat { expires_at: 0 },
            key: None,
            price_version: String::new(),
        },
    }
}

/// However late it comes: chat names who pays.
pub(super) fn capture(request: usize, amount: i64) -> Op {
    Op::Late {
        hold: id(request),
        amount: Micros::new(amount),
        balance: payer(),
    }
}

pub(super) fn release(request: usize) -> Op {
    Op::Release { hold: id(request) }
}

/// What the sweeper asks, when the hold is past its moment.
pub(super) fn expire(request: usize) -> Op {
    Op::Expire {
        hold: id(request),
        now: i64::MAX,
    }
}

// === impl Books ===

impl Books {
    pub(super) fn new() -> Self {
        Self {
            balance: Balance {
                posted: Micros::new(BALANCE),
                ..Balance::default()
            },
            holds: [const { None }; REQUESTS],
        }
    }

    /// Decides one operation of this request, and writes what it comes to.
    pub(super) fn apply(&mut self, request: usize, op: &Op, flaw: Flaw) -> Result<Reply, Refusal> {
        let mut shown = self.clone();
        shown.distort(request, op, flaw);
        let loaded = Loaded {
            balances: HashMap::from([(payer(), shown.balance)]),
            holds: shown.holds[request]
                .clone()
                .map(|stored| (id(request), stored))
                .into_iter()
                .collect(),
            ..Loaded::default()
        };
        let decision = decide(loaded, std::slice::from_ref(op));
        let changes = decision.changes;
        for (_, balance) in changes.balances {
            self.balance = balance;
            if flaw == Flaw::NoBalanceCheck && matches!(op, Op::Hold { .. }) {
                self.balance.posted = shown.balance.posted.minus(Micros::new(UNLIMITED)).unwrap();
            }
        }
        for (_, stored) in changes.new_holds {
            if flaw != Flaw::NoTombstone || stored != Stored::Tombstone {
                self.holds[request] = Some(stored);
            }
        }
        for (_, hold) in changes.closed_holds {
            self.holds[request] = Some(Stored::Hold(hold));
        }
        decision.answers.into_iter().next().unwrap()
    }

    /// What a ledger with this flaw takes for true.
    fn distort(&mut self, request: usize, op: &Op, flaw: Flaw) {
        let blind_to = match (flaw, op) {
            (Flaw::NoBalanceCheck, Op::Hold { .. }) => {
                self.balance.posted = self.balance.posted.plus(Micros::new(UNLIMITED)).unwrap();
                return;
            }
            (Flaw::ChargesAgain, Op::Late { .. }) => HoldState::Captured,
            (Flaw::ChargesExpired, Op::Late { .. }) => HoldState::Expired,
            _ => return,
        };
        if let Some(Stored::Hold(hold)) = &mut self.holds[request]
            && hold.state == blind_to
        {
            hold.state = HoldState::Open;
            hold.captured = Micros::ZERO;
            self.balance.held = self.balance.held.plus(hold.granted).unwrap();
            self.balance.open_holds += 1;
        }
    }

    pub(super) fn posted(&self) -> i64 {
        self.balance.posted.get()
    }

    pub(super) fn held(&self) -> i64 {
        self.balance.held.get()
    }

    pub(super) fn is_open(&self, request: usize) -> bool {
        self.granted(request) > 0
    }

    /// What an open hold sets aside; 0 when it is not open.
    pub(super) fn granted(&self, request: usize) -> i64 {
        match &self.holds[request] {
            Some(Stored::Hold(hold)) if hold.state == HoldState::Open => hold.granted.get(),
            _ => 0,
        }
    }

    /// What a request was charged.
    pub(super) fn charged(&self, request: usize) -> i64 {
        match &self.holds[request] {
            Some(Stored::Hold(hold)) => hold.captured.get(),
            _ => 0,
        }
    }

    /// What a request cost beyond that, and nobody paid.
    pub(super) fn written_off(&self, request: usize) -> i64 {
        match &self.holds[request] {
            Some(Stored::Hold(hold)) => hold.written_off.get(),
            _ => 0,
        }
    }
}

/// More than all requests can ask for.
const UNLIMITED: i64 = 100;

impl Hash for Books {
    /// Whatever can differ between two states of the model.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.posted(), self.held(), self.balance.open_holds).hash(hasher);
        for stored in &self.holds {
            match stored {
                None => 0_u8.hash(hasher),
                Some(Stored::Tombstone) => 1_u8.hash(hasher),
                Some(Stored::Hold(hold)) => {
                    (2_u8, discriminant(&hold.state)).hash(hasher);
                    let amounts = (hold.granted, hold.captured, hold.written_off);
                    (amounts.0.get(), amounts.1.get(), amounts.2.get()).hash(hasher);
                }
            }
        }
    }
}
