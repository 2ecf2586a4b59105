//! What a payment means for the books. Pure: no await, no clock, no SQL.
//!
//! What Stripe says of a payment only ever goes forward: a payment that was made stays made, a refund that was ordered is in the
//! list of refunds for ever. So two looks at one payment are joined by keeping what is further (`Facts::learn`), and the order
//! in which they come does not matter; nor does it matter how often. `due` then compares the facts with what is booked.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Micros, MoneyError};

/// What an order promises, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The credit.
    pub(crate) credits: Micros,
    /// The price, in minor units.
    pub(crate) price: i64,
    /// Three letters, lower case.
    pub(crate) currency: String,
}

/// How far a payment has come, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    /// The customer may pay.
    Open,
    /// The customer has done their part; the money is on its way.
    Processing,
    /// Nobody paid in time.
    Expired,
    /// The money did not come.
    Failed,
    /// Money came, but not what was asked for: a person must look.
    Review,
    /// The price was paid.
    Paid,
}

/// What takes money back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReversalKind {
    /// We gave it back.
    Refund,
    /// The customer's bank claims it.
    Dispute,
}

/// How far a reversal has come, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReversalState {
    /// An inquiry: no money has moved.
    Watched,
    /// The money is gone.
    Taken,
    /// The money came back: a dispute was won, or a refund failed.
    Returned,
}

/// A refund or a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reversal {
    pub(crate) kind: ReversalKind,
    /// Minor units.
    pub(crate) amount: i64,
    pub(crate) state: ReversalState,
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Minor units.
    pub(crate) amount: i64,
    /// Three letters, lower case.
    pub(crate) currency: String,
}

/// One look at a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// How far it has come, unless money was received.
    pub(crate) progress: Progress,
    /// What was received, if it was.
    pub(crate) received: Option<Received>,
    /// Its refunds and disputes, by Stripe's ids.
    pub(crate) reversals: BTreeMap<String, Reversal>,
    /// The refunds that were ordered, and that nobody has carried out yet: they may still fail.
    pub(crate) pending: BTreeSet<String>,
}

/// A refund that was not known before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refund {
    /// Stripe's.
    pub(crate) id: String,
    /// Minor units.
    pub(crate) amount: i64,
    /// The credit that it takes back.
    pub(crate) credits: Micros,
}

/// All that is known of an order's payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) progress: Progress,
    /// Minor units received.
    pub(crate) received: i64,
    pub(crate) reversals: BTreeMap<String, Reversal>,
}

/// What is booked of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Booked {
    /// Credit given: nothing, or all of it.
    pub(crate) credited: Micros,
    /// Credit taken back of it.
    pub(crate) reversed: Micros,
    /// Credit that is to be taken back, and was not there to be taken.
    pub(crate) owed: Micros,
}

/// What the facts ask for beyond what is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// To be given now: the order's credit.
    pub(crate) credit: Micros,
    /// To be given back now: what was taken for a reversal that came to nothing.
    pub(crate) restore: Micros,
    /// The order after that. What it owes is to be taken as soon as it is there.
    pub(crate) booked: Booked,
}

/// What a customer is told of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) progress: Progress,
    pub(crate) received: i64,
    pub(crate) refunded: i64,
    pub(crate) disputed: i64,
}

/// What is due for an order.
///
/// # Errors
/// When an amount does not fit, which the order's limits rule out.
pub(crate) fn due(terms: &Terms, facts: &Facts, booked: Booked) -> Result<Due, MoneyError> {
    let credit = if facts.progress == Progress::Paid && booked.credited == Micros::ZERO {
        terms.credits
    } else {
        Micros::ZERO
    };
    let credited = booked.credited.plus(credit)?;
    let outstanding = share(credited, facts.taken(), facts.received)?.minus(booked.reversed)?;
    let restore = if outstanding < Micros::ZERO {
        outstanding.negate()?
    } else {
        Micros::ZERO
    };
    Ok(Due {
        credit,
        restore,
        booked: Booked {
            credited,
            reversed: booked.reversed.minus(restore)?,
            owed: outstanding.max(Micros::ZERO),
        },
    })
}

/// The refunds that are known `now` and were not `before`, with their money gone, and the credit of `credited` that each takes back,
/// as if they had come one after another, in the order of their ids. They add up as [`due`] has them.
///
/// # Errors
/// When an amount does not fit, which the order's limits rule out.
pub(crate) fn refunds(
    before: &Facts,
    now: &Facts,
    credited: Micros,
) -> Result<Vec<Refund>, MoneyError> {
    let is_new = |id: &String| {
        let known = before.reversals.get(id);
        known.is_none_or(|known| known.state < ReversalState::Taken)
    };
    let mut gone = before.taken();
    let mut refunds = Vec::new();
    for (id, refund) in &now.reversals {
        let is_refund = refund.kind == ReversalKind::Refund && refund.state == ReversalState::Taken;
        if !is_refund || !is_new(id) {
            continue;
        }
        let after = gone.saturating_add(refund.amount);
        let credits = share(credited, after, now.received)?;
        let credits = credits.minus(share(credited, gone, now.received)?)?;
        refunds.push(Refund {
            id: id.clone(),
            amount: refund.amount,
            credits,
        });
        gone = after;
    }
    Ok(refunds)
}

/// The part of `whole` that belongs to `part` of `all`, rounded down: so parts add up, and the last one makes it whole.
fn share(whole: Micros, part: i64, all: i64) -> Result<Micros, MoneyError> {
    let part = part.clamp(0, all.max(0));
    i128::from(whole.get())
        .checked_mul(i128::from(part))
        .and_then(|product| product.checked_div(i128::from(all)))
        .map_or(Ok(Micros::ZERO), |share| {
            let share = i64::try_from(share).map_err(|_| MoneyError::Overflow)?;
            Ok(Micros::new(share))
        })
}

// === impl Facts ===

impl Facts {
    /// Joins what another look says. Further wins, in whatever order looks come.
    pub(crate) fn learn(&mut self, terms: &Terms, look: &Look) {
        let (progress, received) = match &look.received {
            None => (look.progress, 0),
            Some(money) if money.currency == terms.currency && money.amount == terms.price => {
                (Progress::Paid, money.amount)
            }
            Some(money) => (Progress::Review, money.amount),
        };
        self.progress = self.progress.max(progress);
        self.received = self.received.max(received);
        for (id, seen) in &look.reversals {
            let known = self.reversals.entry(id.clone()).or_insert(*seen);
            known.state = known.state.max(seen.state);
            known.amount = known.amount.max(seen.amount);
        }
    }

    /// Minor units that are gone again.
    fn taken(&self) -> i64 {
        let both = [ReversalKind::Refund, ReversalKind::Dispute];
        both.map(|kind| self.taken_by(kind))
            .into_iter()
            .fold(0, i64::saturating_add)
    }

    /// Minor units that are gone by refunds, or by disputes.
    pub(crate) fn taken_by(&self, kind: ReversalKind) -> i64 {
        self.reversals
            .values()
            .filter(|reversal| reversal.kind == kind && reversal.state == ReversalState::Taken)
            .map(|reversal| reversal.amount)
            .fold(0, i64::saturating_add)
    }
}

// === impl Shown ===

impl Shown {
    /// The order's status, in the words of the API.
    pub(crate) const fn status(self) -> &'static str {
        match self.progress {
            Progress::Open => "pending",
            Progress::Processing => "processing",
            Progress::Expired => "expired",
            Progress::Failed => "failed",
            Progress::Review => "review",
            Progress::Paid if self.disputed > 0 => "disputed",
            Progress::Paid if self.refunded >= self.received => "refunded",
            Progress::Paid if self.refunded > 0 => "partly_refunded",
            Progress::Paid => "paid",
        }
    }
}

// === impl Progress ===

impl Progress {
    const ALL: [Self; 6] = [
        Self::Open,
        Self::Processing,
        Self::Expired,
        Self::Failed,
        Self::Review,
        Self::Paid,
    ];

    /// The word in SQL.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Processing => "processing",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Review => "review",
            Self::Paid => "paid",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

// === impl ReversalKind ===

impl ReversalKind {
    /// The word in SQL.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Dispute => "dispute",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Refund, Self::Dispute]
            .into_iter()
            .find(|known| known.as_str() == word)
    }
}

// === impl ReversalState ===

impl ReversalState {
    /// The word in SQL.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Watched => "watched",
            Self::Taken => "taken",
            Self::Returned => "returned",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Watched, Self::Taken, Self::Returned]
            .into_iter()
            .find(|known| known.as_str() == word)
    }
}

#[cfg(test)]
mod tests;
