//! Use case: an operator gives or takes credit.

use db::Db;
use domain::{Micros, OperationId};
use tracing::instrument;

use crate::{
    Error,
    account::checked_text,
    error::Purse,
    lane::Ledger,
    ledger::{BalanceId, Op, Refusal, Transfer},
    resend::until_known,
    store::{LotRow, lot},
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
    /// When what is left of it then expires, in microseconds UTC; only of credit that is given.
    pub expires_at: Option<i64>,
}

/// Gives or takes credit, durably. Idempotent by `transfer`.
///
/// # Errors
/// When more would be taken than is available, the id was used for something else, a text is too long, or the ledger is away.
#[instrument(skip_all, fields(transfer = %request.transfer))]
pub(crate) async fn credits(
    db: &Db,
    ledger: &Ledger,
    request: CreditsRequest,
) -> Result<(), Error> {
    let most = ledger.limits.input.transfer_amount();
    if request.amount > most || request.amount.negate().is_ok_and(|taken| taken > most) {
        let allowed = format!("be from -{most} to {most}");
        return Err(Error::invalid("credits", allowed));
    }
    let reason = checked_text("reason", &request.reason, &ledger.limits)?;
    let actor = checked_text("actor", &request.actor, &ledger.limits)?;
    if request.expires_at.is_some() {
        until_known(&ledger.limits, || note(db, &request)).await?;
    }
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
        Ok(_) => same_expiry(db, (request.transfer, request.expires_at)).await,
        Err(Refusal::Insufficient { available }) => Err(Error::Insufficient {
            needed: request.amount.negate().unwrap_or(Micros::ZERO),
            available,
            of: Purse::Balance,
        }),
        Err(Refusal::Conflict) => Err(Error::TransferConflict),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Notes when the credit expires, before it is given: a note without its credit means nothing.
async fn note(db: &Db, request: &CreditsRequest) -> Result<(), Error> {
    let now = db.now_micros();
    let wanted = LotRow {
        id: request.transfer,
        balance: request.balance,
        left: request.amount,
        created_at: now,
        expires_at: request.expires_at.unwrap_or_default(),
        taking: None,
    };
    db.write(move |connection| {
        Box::pin(async move {
            // What was given keeps its expiry, or that it has none: see `same_expiry`.
            if !lot::is_given(connection, wanted.id).await? {
                check(&wanted, now)?;
                lot::forget(connection, wanted.id).await?;
                lot::insert(connection, &wanted).await?;
            }
            Ok(())
        })
    })
    .await
}

/// A repeat must say the same of the expiry as the request whose credit was given.
async fn same_expiry(
    db: &Db,
    (transfer, expires_at): (OperationId, Option<i64>),
) -> Result<(), Error> {
    let noted: Result<_, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            lot::expiry(&mut connection, transfer).await
        })
        .await;
    if noted? == expires_at {
        Ok(())
    } else {
        Err(Error::TransferConflict)
    }
}

/// Only credit that is given can expire, and only later.
fn check(wanted: &LotRow, now: i64) -> Result<(), Error> {
    if wanted.left <= Micros::ZERO {
        let allowed = "be left out when credit is taken away";
        return Err(Error::invalid("expires_at", allowed));
    }
    if wanted.expires_at <= now {
        return Err(Error::invalid("expires_at", "lie in the future"));
    }
    Ok(())
}
