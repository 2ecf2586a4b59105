//! A ledger as naive as can be: it keeps every operation that took effect and adds everything up again for each question.
//! The real ledger must answer alike.

use billing::ledger::{BalanceId, HoldState, Kind, Op, Refusal, Reply, Terms, Transfer};
use domain::{Micros, OperationId};

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    accounts: Vec<BalanceId>,
    log: Vec<Op>,
    /// What each hold of the log was granted.
    grants: Vec<(OperationId, i64)>,
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
                Some(HoldState::Captured) => Err(Refusal::Closed(HoldState::Captured)),
                _ => Ok(Reply::Released),
            },
            Op::Expire { hold, now } => self.expire(*hold, *now),
            Op::Transfer { id, transfer } => self.transfer(*id, transfer),
        };
        if answer.is_ok() {
            self.log.push(op.clone());
        }
        answer
    }

    pub(crate) fn posted(&self, balance: BalanceId) -> i64 {
        let mut seen = Vec::new();
        let mut sum = 0;
        for op in &self.log {
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
        sum
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
        self.log.iter().find_map(|op| match op {
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

    /// How the hold ended, if it did: the first ending that took effect.
    fn ending(&self, id: OperationId) -> Option<HoldState> {
        let known = self.terms(id).is_some();
        self.log.iter().find_map(|op| match op {
            Op::Capture { hold, .. } if *hold == id => Some(HoldState::Captured),
            Op::Release { hold } if *hold == id && known => Some(HoldState::Released),
            Op::Release { hold } if *hold == id => Some(HoldState::Tombstone),
            Op::Expire { hold, .. } if *hold == id => Some(HoldState::Expired),
            _ => None,
        })
    }

    fn hold(&mut self, id: OperationId, terms: &Terms) -> Result<Reply, Refusal> {
        let first = self.terms(id).cloned();
        if let Some(first) = &first
            && !first.same_request(terms)
        {
            return Err(Refusal::Conflict);
        }
        if let Some(ending) = self.ending(id) {
            return Err(Refusal::Closed(ending));
        }
        if first.is_none() {
            if terms.floor.get() <= 0 || terms.floor > terms.amount {
                return Err(Refusal::InvalidAmount);
            }
            if !self.accounts.contains(&terms.balance) {
                return Err(Refusal::UnknownBalance);
            }
            let available = self.available(terms.balance);
            if available < terms.floor.get() {
                let available = Micros::new(available);
                return Err(Refusal::Insufficient { available });
            }
            self.grants.push((id, terms.amount.get().min(available)));
            // So that the sums below see it.
            self.log.push(Op::Hold {
                hold: id,
                terms: terms.clone(),
            });
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
                let first = self.log.iter().find_map(|op| match op {
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

    fn expire(&self, id: OperationId, now: i64) -> Result<Reply, Refusal> {
        let terms = self.terms(id);
        match (self.ending(id), terms.map(|terms| terms.kind)) {
            (Some(HoldState::Expired), _) => Ok(Reply::Expired),
            (Some(ending), _) => Err(Refusal::Closed(ending)),
            (None, None) => Err(Refusal::UnknownHold),
            (None, Some(Kind::Chat { expires_at })) if expires_at < now => Ok(Reply::Expired),
            (None, Some(_)) => Err(Refusal::NotDue),
        }
    }

    fn transfer(&self, id: OperationId, transfer: &Transfer) -> Result<Reply, Refusal> {
        if !self.accounts.contains(&transfer.balance) {
            return Err(Refusal::UnknownBalance);
        }
        let available = self.available(transfer.balance);
        let first = self.log.iter().find_map(|op| match op {
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
