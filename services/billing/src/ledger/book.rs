//! The batch in progress: applies one operation after another to what was loaded, and remembers what changed.

use std::collections::{HashMap, HashSet};

use domain::{KeyId, Micros, OperationId};

use super::{
    Balance, BalanceId, Budget, Changes, Hold, HoldState, Kind, Loaded, Op, Posting, PostingKind,
    Refusal, Reply, Stored, Terms, Transfer,
};

/// What one operation comes to.
type Answer = Result<Reply, Refusal>;

/// What was loaded, with the effects of the operations so far.
pub(super) struct Book {
    now: Loaded,
    /// Which operation of the batch it is at.
    place: usize,
    changed_balances: HashSet<BalanceId>,
    /// In the order they came, so that rising ids are written in rising order.
    new_holds: Vec<OperationId>,
    closed_holds: Vec<OperationId>,
    extended_holds: Vec<OperationId>,
    endings: Vec<(OperationId, usize)>,
    changed_budgets: HashSet<KeyId>,
    new_transfers: Vec<OperationId>,
    postings: Vec<Posting>,
    over_reports: Vec<OperationId>,
}

// === impl Book ===

impl Book {
    pub(super) fn open(loaded: Loaded) -> Self {
        Self {
            now: loaded,
            place: 0,
            changed_balances: HashSet::new(),
            new_holds: Vec::new(),
            closed_holds: Vec::new(),
            extended_holds: Vec::new(),
            endings: Vec::new(),
            changed_budgets: HashSet::new(),
            new_transfers: Vec::new(),
            postings: Vec::new(),
            over_reports: Vec::new(),
        }
    }

    /// Applies the next operation of the batch, which is at this place in it.
    pub(super) fn apply(&mut self, place: usize, op: &Op) -> Answer {
        self.place = place;
        match op {
            Op::Hold { hold, terms } => self.hold(*hold, terms),
            Op::Capture { hold, amount } => self.capture(*hold, *amount),
            Op::Late {
                hold,
                amount,
                balance,
            } => self.late(*hold, *amount, *balance),
            Op::Extend { hold, expires_at } => self.extend(*hold, *expires_at),
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
        let mut budgets: Vec<_> = self
            .changed_budgets
            .iter()
            .filter_map(|key| Some((*key, *self.now.budgets.get(key)?)))
            .collect();
        budgets.sort_unstable_by_key(|(key, _)| *key);
        let new_holds = take_all(&mut self.now.holds, &self.new_holds);
        let closed_holds = take_all(&mut self.now.holds, &self.closed_holds)
            .into_iter()
            .filter_map(|(id, stored)| match stored {
                Stored::Hold(hold) => Some((id, hold)),
                Stored::Tombstone => None,
            })
            .collect();
        // One that ended in this batch was taken above.
        let extended_holds = take_all(&mut self.now.holds, &self.extended_holds)
            .into_iter()
            .filter_map(|(id, stored)| Some((id, stored.expires_at()?)))
            .collect();
        Changes {
            balances,
            new_holds,
            closed_holds,
            extended_holds,
            endings: self.endings,
            budgets,
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
        if balance.frozen {
            return Err(Refusal::Frozen);
        }
        let available = balance.available()?;
        if available < terms.floor {
            return Err(Refusal::Insufficient { available });
        }
        let budget = self.budget(terms.key);
        let left = budget.map_or(Ok(None), |(_, budget)| budget.left())?;
        if let Some(left) = left.filter(|left| *left < terms.floor) {
            return Err(Refusal::CapReached { left });
        }
        let granted = terms.amount.min(available).min(left.unwrap_or(available));
        let after = Balance {
            held: balance.held.plus(granted)?,
            open_holds: balance.open_holds.saturating_add(1),
            ..balance
        };
        let available = after.available()?;
        if let Some((key, budget)) = budget {
            self.put_budget(key, budget.hold(granted)?);
        }
        self.put_balance(terms.balance, after);
        let hold = Hold {
            terms: terms.clone(),
            granted,
            captured: Micros::ZERO,
            written_off: Micros::ZERO,
            budgeted: budget.is_some(),
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
            | HoldState::Late
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
            HoldState::Released | HoldState::Expired | HoldState::Late | HoldState::Tombstone => {
                return Err(Refusal::Closed(hold.state));
            }
            HoldState::Open => {}
        }
        let balance = hold.terms.balance;
        self.end(id, HoldState::Captured, captured)?;
        if captured < amount {
            self.over_reports.push(id);
        }
        self.post(id, PostingKind::Capture, balance, captured)?;
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
            // What expired was given back already. Released, it is over for good: nobody charges it late.
            HoldState::Expired => {
                if let Some(Stored::Hold(hold)) = self.now.holds.get_mut(&id) {
                    hold.state = HoldState::Released;
                    self.closed_holds.push(id);
                }
                Ok(Reply::Released)
            }
            HoldState::Released | HoldState::Tombstone => Ok(Reply::Released),
            HoldState::Captured | HoldState::Late => Err(Refusal::Closed(state)),
        }
    }

    fn extend(&mut self, id: OperationId, until: i64) -> Answer {
        let hold = match self.now.holds.get_mut(&id) {
            None => return Err(Refusal::UnknownHold),
            Some(Stored::Tombstone) => return Err(Refusal::Closed(HoldState::Tombstone)),
            Some(Stored::Hold(hold)) => hold,
        };
        match (hold.state, &mut hold.terms.kind) {
            (HoldState::Open, Kind::Chat { expires_at }) => {
                if *expires_at < until {
                    *expires_at = until;
                    self.extended_holds.push(id);
                }
                Ok(Reply::Extended)
            }
            // It never ends by time.
            (HoldState::Open, Kind::Media) => Ok(Reply::Extended),
            (
                HoldState::Captured
                | HoldState::Released
                | HoldState::Expired
                | HoldState::Late
                | HoldState::Tombstone,
                _,
            ) => Err(Refusal::Closed(hold.state)),
        }
    }

    fn late(&mut self, id: OperationId, amount: Micros, payer: BalanceId) -> Answer {
        if amount < Micros::ZERO {
            return Err(Refusal::InvalidAmount);
        }
        let hold = match self.now.holds.get(&id) {
            None => return self.write_off(id, amount, payer),
            Some(Stored::Tombstone) => return Err(Refusal::Closed(HoldState::Tombstone)),
            Some(Stored::Hold(hold)) => hold.clone(),
        };
        match hold.state {
            HoldState::Late if hold.captured.plus(hold.written_off)? == amount => {
                let captured = hold.captured;
                return Ok(Reply::Captured { captured });
            }
            HoldState::Late => return Err(Refusal::Conflict),
            HoldState::Open | HoldState::Captured => return self.capture(id, amount),
            HoldState::Released | HoldState::Tombstone => {
                return Err(Refusal::Closed(hold.state));
            }
            HoldState::Expired => {}
        }
        let balance = self.balance(hold.terms.balance)?;
        let captured = amount.min(hold.granted).min(balance.available()?);
        let written_off = amount.minus(captured)?;
        let after = Balance {
            posted: balance.posted.minus(captured)?,
            ..balance
        };
        if hold.budgeted
            && let Some((key, budget)) = self.budget(hold.terms.key)
        {
            self.put_budget(key, budget.spend(captured)?);
        }
        self.put_balance(hold.terms.balance, after);
        self.post(id, PostingKind::Capture, hold.terms.balance, captured)?;
        self.post(id, PostingKind::WriteOff, hold.terms.balance, written_off)?;
        let late = Hold {
            captured,
            written_off,
            state: HoldState::Late,
            ..hold
        };
        self.now.holds.insert(id, Stored::Hold(late));
        self.closed_holds.push(id);
        self.endings.push((id, self.place));
        Ok(Reply::Captured { captured })
    }

    /// Puts a loss on the books: the work is done, and whoever was to pay for it had nothing set aside that we know of.
    fn write_off(&mut self, id: OperationId, amount: Micros, payer: BalanceId) -> Answer {
        self.balance(payer)?;
        self.post(id, PostingKind::WriteOff, payer, amount)?;
        let lost = Hold {
            terms: Terms {
                balance: payer,
                amount: Micros::ZERO,
                floor: Micros::ZERO,
                kind: Kind::Media,
                key: None,
                price_version: String::new(),
            },
            granted: Micros::ZERO,
            captured: Micros::ZERO,
            written_off: amount,
            budgeted: false,
            state: HoldState::Late,
        };
        self.now.holds.insert(id, Stored::Hold(lost));
        self.new_holds.push(id);
        self.endings.push((id, self.place));
        Ok(Reply::Captured {
            captured: Micros::ZERO,
        })
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
            (
                HoldState::Captured | HoldState::Released | HoldState::Late | HoldState::Tombstone,
                _,
            ) => Err(Refusal::Closed(hold.state)),
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
            ..*balance
        };
        let key = hold.terms.key.filter(|_| hold.budgeted);
        if let Some(budget) = key.and_then(|key| self.now.budgets.get_mut(&key)) {
            *budget = budget.at(self.now.now).end(hold.granted, captured)?;
            self.changed_budgets.extend(key);
        }
        *balance = after;
        hold.state = state;
        hold.captured = captured;
        self.changed_balances.insert(balance_id);
        self.closed_holds.push(id);
        self.endings.push((id, self.place));
        Ok(())
    }

    /// Books a charge or a loss; nothing is booked as nothing.
    fn post(
        &mut self,
        cause: OperationId,
        kind: PostingKind,
        balance: BalanceId,
        amount: Micros,
    ) -> Result<(), Refusal> {
        if amount > Micros::ZERO {
            self.postings.push(Posting {
                cause,
                kind,
                balance,
                amount: amount.negate()?,
            });
        }
        Ok(())
    }

    /// The budget of a key that has one, as it is now.
    fn budget(&self, key: Option<KeyId>) -> Option<(KeyId, Budget)> {
        let key = key?;
        let budget = self.now.budgets.get(&key)?;
        Some((key, budget.at(self.now.now)))
    }

    fn put_budget(&mut self, key: KeyId, budget: Budget) {
        self.now.budgets.insert(key, budget);
        self.changed_budgets.insert(key);
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
