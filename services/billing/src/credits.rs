//! Use case: an operator gives or takes credit.

use chassis::clock::rfc3339;
use db::Db;
use domain::{Micros, OperationId};
use serde_json::json;
use sqlx::AnyConnection;
use tracing::instrument;

use crate::{
    Error,
    account::checked_text,
    audit_log::{self, Action, By, Change, REASON},
    config::Limits,
    error::Purse,
    ledger::{BalanceId, Op, Refusal, Transfer},
    resend::until_known,
    store::{self, LotRow, lot},
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
    /// Who does it.
    pub by: By,
    /// When what is left of it then expires, in microseconds UTC; only of credit that is given.
    pub expires_at: Option<i64>,
}

/// Gives or takes credit, durably. Idempotent by `transfer`.
///
/// # Errors
/// When more would be taken than is available, the id was used for something else, a text is too long, or the database failed.
#[instrument(skip_all, fields(transfer = %request.transfer))]
pub(crate) async fn credits(
    db: &Db,
    limits: &Limits,
    mut request: CreditsRequest,
) -> Result<(), Error> {
    let most = limits.input.transfer_amount();
    if request.amount > most || request.amount.negate().is_ok_and(|taken| taken > most) {
        let allowed = format!("be from -{most} to {most}");
        return Err(Error::invalid("credits", allowed));
    }
    request.reason = checked_text("reason", &request.reason, limits)?;
    until_known(limits, || {
        let (request, now) = (request.clone(), db.now_micros());
        db.write(move |connection| Box::pin(book(connection, request, now)))
    })
    .await
}

/// The transfer, when it expires, and who made it: all of it, or nothing.
async fn book(
    connection: &mut AnyConnection,
    request: CreditsRequest,
    now: i64,
) -> Result<(), Error> {
    // Held until the end: a repeat that comes at the same time waits.
    store::order::lock_balance(connection, request.balance).await?;
    let repeated = lot::is_given(connection, request.transfer).await?;
    if repeated {
        // It must say the same of the expiry; the ledger compares the rest.
        if lot::expiry(connection, request.transfer).await? != request.expires_at {
            return Err(Error::TransferConflict);
        }
    } else {
        lot::forget(connection, request.transfer).await?;
        note_expiry(connection, &request, now).await?;
    }
    transfer(connection, &request, now).await?;
    if repeated {
        return Ok(());
    }
    let change = Change {
        whose: (Some(request.balance.account), Some(request.balance.mode)),
        action: Action::CreditsAdd,
        subject: request.balance.account.to_string(),
        detail: json!({
            "microcredits": request.amount.get(),
            REASON: request.reason,
            "expires_at": request.expires_at.map(rfc3339),
        }),
    };
    audit_log::note(connection, &request.by, change, now).await
}

/// What is given and expires is a lot.
async fn note_expiry(
    connection: &mut AnyConnection,
    request: &CreditsRequest,
    now: i64,
) -> Result<(), Error> {
    let Some(expires_at) = request.expires_at else {
        return Ok(());
    };
    check(request.amount, expires_at, now)?;
    let lot = LotRow {
        id: request.transfer,
        balance: request.balance,
        left: request.amount,
        created_at: now,
        expires_at,
        taking: None,
    };
    lot::insert(connection, &lot).await
}

async fn transfer(
    connection: &mut AnyConnection,
    request: &CreditsRequest,
    now: i64,
) -> Result<(), Error> {
    let op = Op::Transfer {
        id: request.transfer,
        transfer: Transfer {
            balance: request.balance,
            amount: request.amount,
            actor: request.by.actor.clone(),
            reason: request.reason.clone(),
        },
    };
    let decision = store::ledger::apply(connection, &[op], &[None], now).await?;
    for answer in decision.answers {
        answer.map_err(|refusal| refused(refusal, request.amount))?;
    }
    Ok(())
}

fn refused(refusal: Refusal, amount: Micros) -> Error {
    if let Refusal::Insufficient { available } = refusal {
        return Error::Insufficient {
            needed: amount.negate().unwrap_or(Micros::ZERO),
            available,
            of: Purse::Balance,
        };
    }
    if refusal == Refusal::Conflict {
        return Error::TransferConflict;
    }
    refusal.into()
}

/// Only credit that is given can expire, and only later.
fn check(amount: Micros, expires_at: i64, now: i64) -> Result<(), Error> {
    if amount <= Micros::ZERO {
        let allowed = "be left out when credit is taken away";
        return Err(Error::invalid("expires_at", allowed));
    }
    if expires_at <= now {
        return Err(Error::invalid("expires_at", "lie in the future"));
    }
    Ok(())
}
