//! Use case: end a hold, by charging what it cost or by giving everything back.

use domain::{Micros, OperationId};
use tracing::{instrument, warn};

use crate::{
    Error,
    lane::Ledger,
    ledger::{BalanceId, Op, Refusal, Reply},
};

/// How the work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Charge this much; more than was held is cut down to the hold.
    Capture(Micros),
    /// Charge nothing.
    Release,
}

/// Which hold ends, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleRequest {
    /// Which hold.
    pub hold: OperationId,
    /// How the work ended.
    pub outcome: Outcome,
    /// Which balance was to pay, so that a capture is booked however late it comes. `None`: a hold that has expired or is not
    /// known is not charged.
    pub payer: Option<BalanceId>,
    /// JSON that explains the charge; empty when there is nothing to explain. No customer content.
    pub receipt: String,
}

impl Ledger {
    /// Ends a hold, durably, and says what was charged.
    ///
    /// # Errors
    /// When the hold ended otherwise before, or the ledger is away.
    pub async fn settle(&self, request: SettleRequest) -> Result<Micros, Error> {
        settle(self, request).await
    }
}

/// Ends a hold, durably, and says what was charged. Idempotent: the first ending wins, its repeats are answered alike.
/// The work of a capture is done, whatever became of its hold: with a payer named, one that has ended by time is charged as far as
/// the balance covers it, and of one that nobody knows (after a restore) everything is written off.
///
/// # Errors
/// When the hold ended otherwise before, or the ledger is away.
#[instrument(level = "debug", skip_all, fields(hold = %request.hold))]
pub(crate) async fn settle(ledger: &Ledger, request: SettleRequest) -> Result<Micros, Error> {
    let hold = request.hold;
    let op = match (request.outcome, request.payer) {
        (Outcome::Capture(amount), Some(balance)) => Op::Late {
            hold,
            amount,
            balance,
        },
        (Outcome::Capture(amount), None) => Op::Capture { hold, amount },
        (Outcome::Release, _) => Op::Release { hold },
    };
    let receipt = kept(ledger, hold, request.receipt);
    match ledger.apply(op, receipt).await? {
        Ok(Reply::Captured { captured }) => Ok(captured),
        Ok(Reply::Released) => Ok(Micros::ZERO),
        Ok(Reply::Held { .. } | Reply::Extended | Reply::Expired | Reply::Booked { .. }) => Err(
            Error::Corrupt("a settlement was answered by something else"),
        ),
        Err(Refusal::UnknownHold) => {
            ledger.metrics.unknown_captures.inc();
            warn!(%hold, "nothing was charged: there is no such hold");
            Ok(Micros::ZERO)
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// A receipt that cannot be kept must not stand in the way of the charge.
fn kept(ledger: &Ledger, hold: OperationId, receipt: String) -> Option<String> {
    let limit = ledger.limits.input.receipt_bytes;
    if receipt.len() > limit {
        warn!(%hold, bytes = receipt.len(), limit, "a receipt is too long to be kept");
        return None;
    }
    // JSON never holds one, and PostgreSQL takes none.
    if receipt.contains('\0') {
        warn!(%hold, "a receipt is not JSON, and not kept");
        return None;
    }
    Some(receipt).filter(|receipt| !receipt.is_empty())
}
