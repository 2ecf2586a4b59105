//! Use case: an operator gives or takes credit.

use domain::{Micros, OperationId};
use tracing::instrument;

use crate::{
    Error,
    account::checked_text,
    lane::Ledger,
    ledger::{BalanceId, Op, Refusal, Transfer},
};

/// What to book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditsRequest {
    /// Made by the caller, so that a repeat books nothing twice.
    pub transfer: OperationId,
    /// Which balance.
    pub balance: BalanceId,
    /// Positive gives; negative takes, never below zero.
    pub amount: Micros,
    /// Why, for the books.
    pub reason: String,
    /// Who did it: a key's id, or `operator`.
    pub actor: String,
}

/// Gives or takes credit, durably. Idempotent by `transfer`.
///
/// # Errors
/// When more would be taken than is available, the id was used for something else, a text is too long, or the ledger is away.
#[instrument(skip_all, fields(transfer = %request.transfer))]
pub(crate) async fn credits(ledger: &Ledger, request: CreditsRequest) -> Result<(), Error> {
    let most = ledger.limits.input.transfer_amount();
    if request.amount > most || request.amount.negate().is_ok_and(|taken| taken > most) {
        let allowed = format!("be from -{most} to {most}");
        return Err(Error::invalid("credits", allowed));
    }
    let reason = checked_text("reason", &request.reason, &ledger.limits)?;
    let actor = checked_text("actor", &request.actor, &ledger.limits)?;
    let op = Op::Transfer {
        id: request.transfer,
        transfer: Transfer {
            balance: request.balance,
            amount: request.amount,
            actor,
            reason,
        },
    };
    match ledger.apply(op, None).await? {
        Ok(_) => Ok(()),
        Err(Refusal::Insufficient { available }) => Err(Error::Insufficient {
            needed: request.amount.negate().unwrap_or(Micros::ZERO),
            available,
        }),
        Err(Refusal::Conflict) => Err(Error::TransferConflict),
        Err(refusal) => Err(refusal.into()),
    }
}
