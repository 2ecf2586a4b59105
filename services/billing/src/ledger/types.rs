//! The ledger's words. Amounts are micro-credits, moments are microseconds UTC.

use domain::{AccountId, KeyId, Micros, Mode, MoneyError, OperationId};

/// One of an account's two balances: test and live money never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BalanceId {
    /// Whose.
    pub account: AccountId,
    /// Play money or real.
    pub mode: Mode,
}

/// A balance. `held <= posted`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// The sum of its entries.
    pub posted: Micros,
    /// The sum of its open holds.
    pub held: Micros,
    /// How many holds are open.
    pub open_holds: i64,
    /// Whether the operator stopped it: nothing new is held then. What is held ends as ever.
    pub frozen: bool,
}

/// What a hold is for, and so what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ends with its request; when that never says so, at a moment.
    Chat {
        /// After this moment it may be expired.
        expires_at: i64,
    },
    /// Ends with its task, never by time.
    Media,
}

/// What a hold was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Which balance pays.
    pub balance: BalanceId,
    /// The amount wanted.
    pub amount: Micros,
    /// The least that is worth having; equal to `amount` means all or nothing.
    pub floor: Micros,
    /// What it is for.
    pub kind: Kind,
    /// The key that asks: its caps count as well. `None` for the operator's own.
    pub key: Option<KeyId>,
    /// The version of the price list the amount was computed with.
    pub price_version: String,
}

/// Where a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// The credit is set aside.
    Open,
    /// Ended with a charge, which may be zero.
    Captured,
    /// Ended without a charge.
    Released,
    /// Ended by time, without a charge.
    Expired,
    /// Charged after it had ended by time or was lost: as far as the balance covered it; the rest is written off.
    Late,
    /// Released before it was asked for: it can never open.
    Tombstone,
}

/// A hold that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What was asked for.
    pub terms: Terms,
    /// What was set aside: between `floor` and `amount`.
    pub granted: Micros,
    /// What was charged in the end: at most `granted`.
    pub captured: Micros,
    /// What it cost beyond that, when it was charged late: our loss, which is on the books.
    pub written_off: Micros,
    /// Whether it counts in the budget of its key. A budget that came later knows nothing of it.
    pub budgeted: bool,
    /// Where it stands.
    pub state: HoldState,
}

/// What is kept under a hold's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A hold.
    Hold(Hold),
    /// It was released before it came.
    Tombstone,
}

/// Credit given or taken by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Which balance.
    pub balance: BalanceId,
    /// Positive gives, negative takes. Never zero.
    pub amount: Micros,
    /// Who did it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// One operation on the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets credit aside: as much as is available up to the amount, if that is at least the floor.
    Hold {
        /// Made by the caller: also the operation's id.
        hold: OperationId,
        /// What is asked for.
        terms: Terms,
    },
    /// Ends a hold with a charge. More than the hold is cut down to it.
    Capture {
        /// Which hold.
        hold: OperationId,
        /// What it cost.
        amount: Micros,
    },
    /// Ends a hold with a charge, however late: the work is done. A hold that has ended by time is charged as far as the balance
    /// covers it, and the rest is written off; of a hold that nobody knows, as after a restore, everything is.
    Late {
        /// Which hold.
        hold: OperationId,
        /// What it cost.
        amount: Micros,
        /// Which balance was to pay.
        balance: BalanceId,
    },
    /// Lets an open chat hold live longer. Never shorter.
    Extend {
        /// Which hold.
        hold: OperationId,
        /// After this moment it may be expired.
        expires_at: i64,
    },
    /// Ends a hold without a charge, or sees to it that it never opens.
    Release {
        /// Which hold.
        hold: OperationId,
    },
    /// Ends a chat hold that outlived its request.
    Expire {
        /// Which hold.
        hold: OperationId,
        /// By the ledger's clock.
        now: i64,
    },
    /// Gives or takes credit.
    Transfer {
        /// Made by the caller, so that a repeat books nothing twice.
        id: OperationId,
        /// What to book.
        transfer: Transfer,
    },
}

/// An operation that took effect, now or when it first came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The hold is open.
    Held {
        /// What was set aside.
        granted: Micros,
        /// What is left beside it.
        available: Micros,
    },
    /// The hold ended with a charge.
    Captured {
        /// What was charged.
        captured: Micros,
    },
    /// The hold lives longer.
    Extended,
    /// The hold ended without a charge, or will never open.
    Released,
    /// The hold ended by time.
    Expired,
    /// The credit was given or taken.
    Booked {
        /// What is available now.
        available: Micros,
    },
}

/// Why an operation changed nothing. Not an error: each is an answer the product understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The balance does not cover it.
    Insufficient {
        /// What is available.
        available: Micros,
    },
    /// The key has spent what it may.
    CapReached {
        /// What is left of the tightest of its caps.
        left: Micros,
    },
    /// The operator stopped the account.
    Frozen,
    /// There is no such balance.
    UnknownBalance,
    /// There is no such hold.
    UnknownHold,
    /// Not an amount that can be held, charged or booked.
    InvalidAmount,
    /// The id was used before, with other arguments.
    Conflict,
    /// The hold has ended in another way.
    Closed(HoldState),
    /// The hold does not expire, or not yet.
    NotDue,
}

/// What moved posted credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostingKind {
    /// A charge: from the customer to revenue.
    Capture,
    /// What could not be charged: from our losses to revenue.
    WriteOff,
    /// Credit given by an operator: from issued credit to the customer.
    TopUp,
    /// Credit taken by an operator: from the customer back to issued credit.
    Adjustment,
}

/// A movement between a customer's balance and the platform account of its kind: two entries that sum to zero. A write-off moves
/// no customer's credit: it is between two platform accounts, in the books of the customer's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The hold or transfer that caused it.
    pub cause: OperationId,
    /// What it was.
    pub kind: PostingKind,
    /// The customer's balance.
    pub balance: BalanceId,
    /// The change of the customer's balance (of our losses' account, for a write-off); the other account's is its opposite.
    pub amount: Micros,
}

// === impl Balance ===

impl Balance {
    /// What can still be spent.
    ///
    /// # Errors
    /// Never for a balance that keeps its invariant.
    pub fn available(&self) -> Result<Micros, MoneyError> {
        self.posted.minus(self.held)
    }
}

// === impl Stored ===

impl Stored {
    /// When it may be expired, if it is open and ends by time.
    pub(super) fn expires_at(&self) -> Option<i64> {
        match self {
            Self::Hold(Hold {
                terms:
                    Terms {
                        kind: Kind::Chat { expires_at },
                        ..
                    },
                state: HoldState::Open,
                ..
            }) => Some(*expires_at),
            Self::Hold(_) | Self::Tombstone => None,
        }
    }
}

// === impl Terms ===

impl Terms {
    /// Whether a repeat asks for the same. When a chat hold expires depends on when it came, so that is not compared.
    pub fn same_request(&self, other: &Self) -> bool {
        let same_kind = match (self.kind, other.kind) {
            (Kind::Chat { .. }, Kind::Chat { .. }) | (Kind::Media, Kind::Media) => true,
            (Kind::Chat { .. }, Kind::Media) | (Kind::Media, Kind::Chat { .. }) => false,
        };
        same_kind
            && self.balance == other.balance
            && self.amount == other.amount
            && self.floor == other.floor
            && self.key == other.key
            && self.price_version == other.price_version
    }
}

// === impl Refusal ===

impl From<MoneyError> for Refusal {
    /// A sum that does not fit in 64 bits is not an amount we can keep.
    fn from(_: MoneyError) -> Self {
        Self::InvalidAmount
    }
}
