//! A ledger as naive as can be: it keeps every operation that took effect and adds everything up again for each question.
//! The real ledger must answer alike.

use std::collections::{HashMap, HashSet};

use billing::ledger::{BalanceId, Caps, HoldState, Kind, Op, Refusal, Reply, Terms, Transfer};
use domain::{KeyId, Micros, OperationId};

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    accounts: Vec<BalanceId>,
    /// Operations that took effect, and when.
    log: Vec<(i64, Op)>,
    /// What each hold of the log was granted.
    grants: Vec<(OperationId, i64)>,
    /// What was charged late, and what was asked for then.
    late: Vec<(OperationId, i64, i64)>,
    /// Keys with caps, from the beginning.
    pub(crate) caps: HashMap<KeyId, Caps>,
    pub(crate) frozen: HashSet<BalanceId>,
    /// By the ledger's clock.
    pub(crate) now: i64,
}

// === impl Model ===

impl Model {
    pub(crate) fn new(accounts: &[BalanceId]) -> Self {
        Self {
            accounts: accounts.to_vec(),
            ..Self::default()
        }
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Result<Reply, Refusal> {
        let answer = match op {
            Op::Hold { hold, terms } => self.hold(*hold, terms),
            Op::Capture { hold, amount } => self.capture(*hold, amount.get()),
            Op::Release { hold } => match self.ending(*hold) {
                Some(ending @ (HoldState::Captured | HoldState::Late)) => {
                    Err(Refusal::Closed(ending))
                }
                _ => Ok(Reply::Released),
            },
            Op::Late {
                hold,
                amount,
                balance,
            } => self.late(*hold, amount.get(), *balance),
            Op::Extend { hold, .. } => match (self.ending(*hold), self.terms(*hold)) {
                (Some(ending), _) => Err(Refusal::Closed(ending)),
                (None, None) => Err(Refusal::UnknownHold),
                (None, Some(_)) => Ok(Reply::Extended),
            },
            Op::Expire { hold, now } => self.expire(*hold, *now),
            Op::Transfer { id, transfer } => self.transfer(*id, transfer),
        };
        if answer.is_ok() {
            self.log.push((self.now, op.clone()));
        }
        answer
    }

    pub(crate) fn posted(&self, balance: BalanceId) -> i64 {
        let mut seen = Vec::new();
        let mut sum = 0;
        for (_, op) in &self.log {
            match op {
                Op::Transfer { id, transfer } if transfer.balance == balance => {
                    if !seen.contains(id) {
                        sum += transfer.amount.get();
                    }
                    seen.push(*id);
                }
                Op::Capture { hold, amount } if self.payer(*hold) == Some(balance) => {
                    if !seen.contains(hold) {
                        sum -= amount.get().min(self.grant(*hold));
                    }
                    seen.push(*hold);
                }
                _ => {}
            }
        }
        let late = self.late.iter();
        let late = late.filter(|(hold, ..)| self.payer(*hold) == Some(balance));
        sum - late.map(|(_, charged, _)| charged).sum::<i64>()
    }

    pub(crate) fn held(&self, balance: BalanceId) -> i64 {
        self.grants
            .iter()
            .filter(|(id, _)| self.payer(*id) == Some(balance) && self.ending(*id).is_none())
            .map(|(_, grant)| grant)
            .sum()
    }

    fn available(&self, balance: BalanceId) -> i64 {
        self.posted(balance) - self.held(balance)
    }

    fn terms(&self, id: OperationId) -> Option<&Terms> {
        self.log.iter().find_map(|(_, op)| match op {
            Op::Hold { hold, terms } if *hold == id => Some(terms),
            _ => None,
        })
    }

    fn payer(&self, id: OperationId) -> Option<BalanceId> {
        self.terms(id).map(|terms| terms.balance)
    }

    fn grant(&self, id: OperationId) -> i64 {
        let found = self.grants.iter().find(|(hold, _)| *hold == id);
        found.map_or(0, |(_, grant)| *grant)
    }

    /// What is left of the tightest cap of a key that has some.
    fn left(&self, key: Option<KeyId>) -> Option<i64> {
        let caps = self.caps.get(&key?)?;
        let day = |now: i64| now / 86_400_000_000;
        let mine = |id: OperationId| self.terms(id).is_some_and(|terms| terms.key == key);
        let mut charges = HashMap::new();
        for (at, op) in &self.log {
            if let Op::Capture { hold, amount } = op
                && mine(*hold)
            {
                let charge = amount.get().min(self.grant(*hold));
                charges.entry(*hold).or_insert((*at, charge));
            }
            if let Op::Late { hold, .. } = op
                && mine(*hold)
                && let Some((_, charged, _)) = self.late.iter().find(|(id, ..)| id == hold)
            {
                charges.entry(*hold).or_insert((*at, *charged));
            }
        }
        let spent = |counts: &dyn Fn(i64) -> bool| -> i64 {
            let charges = charges.values().filter(|(at, _)| counts(*at));
            charges.map(|(_, charge)| charge).sum()
        };
        let grants = self.grants.iter();
        let held = grants.filter(|(id, _)| mine(*id) && self.ending(*id).is_none());
        let held: i64 = held.map(|(_, grant)| grant).sum();
        let left = [
            (caps.day, spent(&|at| day(at) == day(self.now))),
            // The clock of the tests stays within one month.
            (caps.month, spent(&|_| true)),
            (caps.total, spent(&|_| true)),
        ];
        let left = left
            .iter()
            .filter_map(|(cap, spent)| Some((*cap)?.get() - spent - held));
        left.map(|rest| rest.max(0)).min()
    }

    fn late(&mut self, id: OperationId, amount: i64, payer: BalanceId) -> Result<Reply, Refusal> {
        let before = self.late.iter().find(|(hold, ..)| *hold == id);
        if amount < 0 {
            return Err(Refusal::InvalidAmount);
        }
        let charged = match (self.ending(id), before) {
            (Some(HoldState::Late), Some((_, charged, asked))) if *asked == amount => *charged,
            (Some(HoldState::Late), _) => return Err(Refusal::Conflict),
            (Some(HoldState::Expired), _) => {
                let balance = self.payer(id).unwrap();
                let charged = amount.min(self.grant(id)).min(self.available(balance));
                self.late.push((id, charged, amount));
                charged
            }
            (Some(HoldState::Captured), _) => return self.capture(id, amount),
            (Some(ending), _) => return Err(Refusal::Closed(ending)),
            (None, _) if self.terms(id).is_some() => {
                let reply = self.capture(id, amount)?;
                // As if it had been one.
                let amount = Micros::new(amount);
                let capture = Op::Capture { hold: id, amount };
                self.log.push((self.now, capture));
                return Ok(reply);
            }
            (None, _) if !self.accounts.contains(&payer) => return Err(Refusal::UnknownBalance),
            (None, _) => {
                self.late.push((id, 0, amount));
                0
            }
        };
        let captured = Micros::new(charged);
        Ok(Reply::Captured { captured })
    }

    /// How the hold ended, if it did: the first ending that took effect, or that it was charged late.
    fn ending(&self, id: OperationId) -> Option<HoldState> {
        if self.late.iter().any(|(hold, ..)| *hold == id) {
            return Some(HoldState::Late);
        }
        let known = self.terms(id).is_some();
        let mut endings = self.log.iter().filter_map(|(_, op)| match op {
            Op::Capture { hold, .. } if *hold == id => Some(HoldState::Captured),
            Op::Release { hold } if *hold == id && known => Some(HoldState::Released),
            Op::Release { hold } if *hold == id => Some(HoldState::Tombstone),
            Op::Expire { hold, .. } if *hold == id => Some(HoldState::Expired),
            _ => None,
        });
        match endings.next()? {
            HoldState::Expired if endings.any(|ending| ending == HoldState::Released) => {
                Some(HoldState::Released)
            }
            first => Some(first),
        }
    }

    fn hold(&mut self, id: OperationId, terms: &Terms) -> Result<Reply, Refusal> {
        let first = self.terms(id).cloned();
        if let Some(first) = &first
            && !first.same_request(terms)
        {
            return Err(Refusal::Conflict);
        }
        if let Some(ending) = self.ending(id) {
            return match (ending, &first) {
                // Written off: under this id something else was asked for.
                (HoldState::Late, None) => Err(Refusal::Conflict),
                _ => Err(Refusal::Closed(ending)),
            };
        }
        if first.is_none() {
            if terms.floor.get() <= 0 || terms.floor > terms.amount {
                return Err(Refusal::InvalidAmount);
            }
            if !self.accounts.contains(&terms.balance) {
                return Err(Refusal::UnknownBalance);
            }
            if self.frozen.contains(&terms.balance) {
                return Err(Refusal::Frozen);
            }
            let available = self.available(terms.balance);
            if available < terms.floor.get() {
                let available = Micros::new(available);
                return Err(Refusal::Insufficient { available });
            }
            let left = self.left(terms.key).unwrap_or(i64::MAX);
            if left < terms.floor.get() {
                let left = Micros::new(left);
                return Err(Refusal::CapReached { left });
            }
            let granted = terms.amount.get().min(available).min(left);
            self.grants.push((id, granted));
            // So that the sums below see it.
            let op = Op::Hold {
                hold: id,
                terms: terms.clone(),
            };
            self.log.push((self.now, op));
        }
        Ok(Reply::Held {
            granted: Micros::new(self.grant(id)),
            available: Micros::new(self.available(terms.balance)),
        })
    }

    fn capture(&self, id: OperationId, amount: i64) -> Result<Reply, Refusal> {
        if amount < 0 {
            return Err(Refusal::InvalidAmount);
        }
        let captured = amount.min(self.grant(id));
        let reply = Reply::Captured {
            captured: Micros::new(captured),
        };
        match self.ending(id) {
            None if self.terms(id).is_none() => Err(Refusal::UnknownHold),
            None => Ok(reply),
            Some(HoldState::Captured) => {
                let first = self.log.iter().find_map(|(_, op)| match op {
                    Op::Capture { hold, amount } if *hold == id => Some(amount.get()),
                    _ => None,
                });
                if first.unwrap().min(self.grant(id)) == captured {
                    Ok(reply)
                } else {
                    Err(Refusal::Conflict)
                }
            }
            Some(ending) => Err(Refusal::Closed(ending)),
        }
    }

    /// The latest moment that was named.
    fn extended(&self, id: OperationId, first: i64) -> i64 {
        let log = self.log.iter();
        let later = log.filter_map(|(_, op)| match op {
            Op::Extend { hold, expires_at } if *hold == id => Some(*expires_at),
            _ => None,
        });
        later.fold(first, i64::max)
    }

    fn expire(&self, id: OperationId, now: i64) -> Result<Reply, Refusal> {
        let terms = self.terms(id);
        match (self.ending(id), terms.map(|terms| terms.kind)) {
            (Some(HoldState::Expired), _) => Ok(Reply::Expired),
            (Some(ending), _) => Err(Refusal::Closed(ending)),
            (None, None) => Err(Refusal::UnknownHold),
            (None, Some(Kind::Chat { expires_at })) if self.extended(id, expires_at) < now => {
                Ok(Reply::Expired)
            }
            (None, Some(_)) => Err(Refusal::NotDue),
        }
    }

    fn transfer(&self, id: OperationId, transfer: &Transfer) -> Result<Reply, Refusal> {
        if !self.accounts.contains(&transfer.balance) {
            return Err(Refusal::UnknownBalance);
        }
        let available = self.available(transfer.balance);
        let first = self.log.iter().find_map(|(_, op)| match op {
            Op::Transfer {
                id: known,
                transfer,
            } if *known == id => Some(transfer),
            _ => None,
        });
        let after = match first {
            Some(first) if first == transfer => available,
            Some(_) => return Err(Refusal::Conflict),
            None if transfer.amount == Micros::ZERO => return Err(Refusal::InvalidAmount),
            None => available + transfer.amount.get(),
        };
        if after < 0 {
            let available = Micros::new(available);
            return Err(Refusal::Insufficient { available });
        }
        Ok(Reply::Booked {
            available: Micros::new(after),
        })
    }
}
