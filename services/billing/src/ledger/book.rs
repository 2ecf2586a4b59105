//! The batch in progress: applies one operation after another to what was loaded, and remembers what changed.

use std::collections::{HashMap, HashSet};

use domain::{Micros, OperationId};

use super::{
    Balance, BalanceId, Changes, Hold, HoldState, Kind, Loaded, Op, Posting, PostingKind, Refusal,
    Reply, Stored, Terms, Transfer,
};

/// What one operation comes to.
type Answer = Result<Reply, Refusal>;

/// What was loaded, with the effects of the operations so far.
pub(super) struct Book {
    now: Loaded,
    changed_balances: HashSet<BalanceId>,
    /// In the order they came, so that rising ids are written in rising order.
    new_holds: Vec<OperationId>,
    closed_holds: Vec<OperationId>,
    new_transfers: Vec<OperationId>,
    postings: Vec<Posting>,
    over_reports: Vec<OperationId>,
}

// === impl Book ===

impl Book {
    pub(super) fn open(loaded: Loaded) -> Self {
        Self {
            now: loaded,
            changed_balances: HashSet::new(),
            new_holds: Vec::new(),
            closed_holds: Vec::new(),
            new_transfers: Vec::new(),
            postings: Vec::new(),
            over_reports: Vec::new(),
        }
    }

    pub(super) fn apply(&mut self, op: &Op) -> Answer {
        match op {
            Op::Hold { hold, terms } => self.hold(*hold, terms),
            Op::Capture { hold, amount } => self.capture(*hold, *amount),
            Op::Release { hold } => self.release(*hold),
            Op::Expire { hold, now } => self.expire(*hold, *now),
            Op::Transfer { id, transfer } => self.transfer(*id, transfer),
        }
    }

    /// What to write. A hold that opened and closed in this batch is written once, closed.
    pub(super) fn close(mut self) -> Changes {
        let mut balances: Vec<_> = self
            .changed_balances
            .iter()
            .filter_map(|id| Some((*id, *self.now.balances.get(id)?)))
            .collect();
        balances.sort_unstable_by_key(|(id, _)| *id);
        let new_holds = take_all(&mut self.now.holds, &self.new_holds);
        let closed_holds = take_all(&mut self.now.holds, &self.closed_holds)
            .into_iter()
            .filter_map(|(id, stored)| match stored {
                Stored::Hold(hold) => Some((id, hold)),
                Stored::Tombstone => None,
            })
            .collect();
        Changes {
            balances,
            new_holds,
            closed_holds,
            transfers: take_all(&mut self.now.transfers, &self.new_transfers),
            postings: self.postings,
            over_reports: self.over_reports,
        }
    }

    fn hold(&mut self, id: OperationId, terms: &Terms) -> Answer {
        if let Some(stored) = self.now.holds.get(&id) {
            return self.hold_again(stored, terms);
        }
        if terms.floor <= Micros::ZERO || terms.amount < terms.floor {
            return Err(Refusal::InvalidAmount);
        }
        let balance = self.balance(terms.balance)?;
        let available = balance.available()?;
        if available < terms.floor {
            return Err(Refusal::Insufficient { available });
        }
        let granted = terms.amount.min(available);
        let after = Balance {
            held: balance.held.plus(granted)?,
            open_holds: balance.open_holds.saturating_add(1),
            ..balance
        };
        let available = after.available()?;
        self.put_balance(terms.balance, after);
        let hold = Hold {
            terms: terms.clone(),
            granted,
            captured: Micros::ZERO,
            state: HoldState::Open,
        };
        self.now.holds.insert(id, Stored::Hold(hold));
        self.new_holds.push(id);
        Ok(Reply::Held { granted, available })
    }

    fn hold_again(&self, stored: &Stored, terms: &Terms) -> Answer {
        let hold = match stored {
            Stored::Tombstone => return Err(Refusal::Closed(HoldState::Tombstone)),
            Stored::Hold(hold) => hold,
        };
        if !hold.terms.same_request(terms) {
            return Err(Refusal::Conflict);
        }
        match hold.state {
            HoldState::Open => Ok(Reply::Held {
                granted: hold.granted,
                available: self.balance(terms.balance)?.available()?,
            }),
            HoldState::Captured
            | HoldState::Released
            | HoldState::Expired
            | HoldState::Tombstone => Err(Refusal::Closed(hold.state)),
        }
    }

    fn capture(&mut self, id: OperationId, amount: Micros) -> Answer {
        if amount < Micros::ZERO {
            return Err(Refusal::InvalidAmount);
        }
        let hold = match self.now.holds.get(&id) {
            None => return Err(Refusal::UnknownHold),
            Some(Stored::Tombstone) => return Err(Refusal::Closed(HoldState::Tombstone)),
            Some(Stored::Hold(hold)) => hold,
        };
        let captured = amount.min(hold.granted);
        match hold.state {
            HoldState::Captured if hold.captured == captured => {
                return Ok(Reply::Captured { captured });
            }
            HoldState::Captured => return Err(Refusal::Conflict),
            HoldState::Released | HoldState::Expired | HoldState::Tombstone => {
                return Err(Refusal::Closed(hold.state));
            }
            HoldState::Open => {}
        }
        let balance = hold.terms.balance;
        self.end(id, HoldState::Captured, captured)?;
        if captured < amount {
            self.over_reports.push(id);
        }
        if captured > Micros::ZERO {
            self.postings.push(Posting {
                cause: id,
                kind: PostingKind::Capture,
                balance,
                amount: captured.negate()?,
            });
        }
        Ok(Reply::Captured { captured })
    }

    fn release(&mut self, id: OperationId) -> Answer {
        let state = match self.now.holds.get(&id) {
            None => {
                self.now.holds.insert(id, Stored::Tombstone);
                self.new_holds.push(id);
                return Ok(Reply::Released);
            }
            Some(Stored::Tombstone) => return Ok(Reply::Released),
            Some(Stored::Hold(hold)) => hold.state,
        };
        match state {
            HoldState::Open => self
                .end(id, HoldState::Released, Micros::ZERO)
                .map(|()| Reply::Released),
            // What expired was given back as well.
            HoldState::Released | HoldState::Expired | HoldState::Tombstone => Ok(Reply::Released),
            HoldState::Captured => Err(Refusal::Closed(state)),
        }
    }

    fn expire(&mut self, id: OperationId, now: i64) -> Answer {
        let hold = match self.now.holds.get(&id) {
            None => return Err(Refusal::UnknownHold),
            Some(Stored::Tombstone) => return Err(Refusal::Closed(HoldState::Tombstone)),
            Some(Stored::Hold(hold)) => hold,
        };
        match (hold.state, hold.terms.kind) {
            (HoldState::Open, Kind::Chat { expires_at }) if expires_at < now => self
                .end(id, HoldState::Expired, Micros::ZERO)
                .map(|()| Reply::Expired),
            (HoldState::Open, Kind::Chat { .. } | Kind::Media) => Err(Refusal::NotDue),
            (HoldState::Expired, _) => Ok(Reply::Expired),
            (HoldState::Captured | HoldState::Released | HoldState::Tombstone, _) => {
                Err(Refusal::Closed(hold.state))
            }
        }
    }

    fn transfer(&mut self, id: OperationId, transfer: &Transfer) -> Answer {
        let balance = self.balance(transfer.balance)?;
        if let Some(before) = self.now.transfers.get(&id) {
            return if before == transfer {
                Ok(Reply::Booked {
                    available: balance.available()?,
                })
            } else {
                Err(Refusal::Conflict)
            };
        }
        // The opposite must exist too: it is the platform account's entry.
        if transfer.amount == Micros::ZERO || transfer.amount.negate().is_err() {
            return Err(Refusal::InvalidAmount);
        }
        let available = balance.available()?.plus(transfer.amount)?;
        if available < Micros::ZERO {
            return Err(Refusal::Insufficient {
                available: balance.available()?,
            });
        }
        let after = Balance {
            posted: balance.posted.plus(transfer.amount)?,
            ..balance
        };
        self.put_balance(transfer.balance, after);
        self.now.transfers.insert(id, transfer.clone());
        self.new_transfers.push(id);
        self.postings.push(Posting {
            cause: id,
            kind: if transfer.amount > Micros::ZERO {
                PostingKind::TopUp
            } else {
                PostingKind::Adjustment
            },
            balance: transfer.balance,
            amount: transfer.amount,
        });
        Ok(Reply::Booked { available })
    }

    /// Ends an open hold: what it set aside is free again, but for what is captured.
    fn end(&mut self, id: OperationId, state: HoldState, captured: Micros) -> Result<(), Refusal> {
        let Some(Stored::Hold(hold)) = self.now.holds.get_mut(&id) else {
            return Err(Refusal::UnknownHold);
        };
        let balance_id = hold.terms.balance;
        let balance = self
            .now
            .balances
            .get_mut(&balance_id)
            .ok_or(Refusal::UnknownBalance)?;
        let after = Balance {
            posted: balance.posted.minus(captured)?,
            held: balance.held.minus(hold.granted)?,
            open_holds: balance.open_holds.saturating_sub(1),
        };
        *balance = after;
        hold.state = state;
        hold.captured = captured;
        self.changed_balances.insert(balance_id);
        self.closed_holds.push(id);
        Ok(())
    }

    fn balance(&self, id: BalanceId) -> Result<Balance, Refusal> {
        self.now
            .balances
            .get(&id)
            .copied()
            .ok_or(Refusal::UnknownBalance)
    }

    fn put_balance(&mut self, id: BalanceId, balance: Balance) {
        self.now.balances.insert(id, balance);
        self.changed_balances.insert(id);
    }
}

/// Moves the named values out, in the order of their names. A name that was moved before is left out.
fn take_all<V>(map: &mut HashMap<OperationId, V>, ids: &[OperationId]) -> Vec<(OperationId, V)> {
    ids.iter()
        .filter_map(|id| Some((*id, map.remove(id)?)))
        .collect()
}
