//! Use case: set credit aside for one paid request.

use std::time::Duration;

use chassis::clock::micros;
use domain::{KeyId, Micros, OperationId};
use tracing::instrument;

use crate::{
    Error,
    error::Purse,
    lane::Ledger,
    ledger::{BalanceId, Kind, Op, Refusal, Reply, Terms},
};

/// How a hold ends when nobody settles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// By itself, after this time.
    Chat(Duration),
    /// Never: its task settles it.
    Media,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRequest {
    /// Made by the caller; the operation's id. Repeats of it hold once.
    pub hold: OperationId,
    /// Which balance pays.
    pub balance: BalanceId,
    /// The amount wanted; more than nothing.
    pub amount: Micros,
    /// The least that is worth having: from one micro-credit up to `amount`.
    pub floor: Micros,
    /// How it ends when nobody settles it.
    pub life: Life,
    /// The key that asks, whose caps count as well; `None` for the operator's own.
    pub key: Option<KeyId>,
    /// The version of the price list the amount was computed with.
    pub price_version: String,
}

/// What was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What was set aside: between `floor` and `amount`.
    pub granted: Micros,
    /// What is left beside it.
    pub available: Micros,
}

impl Ledger {
    /// Sets credit aside, durably.
    ///
    /// # Errors
    /// When the balance does not cover the floor, the id is taken or closed, a field has a value that is not allowed, or the
    /// ledger is away.
    pub async fn hold(&self, request: HoldRequest) -> Result<Held, Error> {
        hold(self, request).await
    }

    /// Lets an open chat hold live this much longer, from now on.
    ///
    /// # Errors
    /// When there is no such hold, it has ended, the life is not allowed, or the ledger is away.
    pub async fn extend(&self, hold: OperationId, life: Duration) -> Result<(), Error> {
        extend(self, hold, life).await
    }
}

/// Sets credit aside, durably. Idempotent by `hold`.
///
/// # Errors
/// When the balance does not cover the floor, the id is taken or closed, a field has a value that is not allowed, or the
/// ledger is away.
#[instrument(level = "debug", skip_all, fields(hold = %request.hold))]
pub(crate) async fn hold(ledger: &Ledger, request: HoldRequest) -> Result<Held, Error> {
    let needed = request.floor;
    let kind = match request.life {
        Life::Media => Kind::Media,
        Life::Chat(life) => Kind::Chat {
            expires_at: expiry(ledger, life)?,
        },
    };
    let version = &request.price_version;
    if version.chars().count() > ledger.limits.input.text_chars
        || version.chars().any(char::is_control)
    {
        let most = ledger.limits.input.text_chars;
        let allowed = format!("have at most {most} characters, without line breaks");
        return Err(Error::invalid("price_version", allowed));
    }
    let op = Op::Hold {
        hold: request.hold,
        terms: Terms {
            balance: request.balance,
            amount: request.amount,
            floor: request.floor,
            kind,
            key: request.key,
            price_version: request.price_version,
        },
    };
    match ledger.apply(op, None).await? {
        Ok(Reply::Held { granted, available }) => Ok(Held { granted, available }),
        Ok(_) => Err(Error::Corrupt("a hold was answered by something else")),
        Err(Refusal::Insufficient { available }) => Err(Error::Insufficient {
            needed,
            available,
            of: Purse::Balance,
        }),
        Err(Refusal::CapReached { left }) => Err(Error::Insufficient {
            needed,
            available: left,
            of: Purse::Key,
        }),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Lets an open hold live longer from now on. Idempotent; never shorter.
///
/// # Errors
/// When there is no such hold, it has ended, the life is not allowed, or the ledger is away.
#[instrument(level = "debug", skip_all, fields(hold = %hold))]
pub(crate) async fn extend(
    ledger: &Ledger,
    hold: OperationId,
    life: Duration,
) -> Result<(), Error> {
    let expires_at = expiry(ledger, life)?;
    let op = Op::Extend { hold, expires_at };
    match ledger.apply(op, None).await? {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal.into()),
    }
}

fn expiry(ledger: &Ledger, life: Duration) -> Result<i64, Error> {
    if life.is_zero() || life > ledger.limits.chat_life {
        let longest = ledger.limits.chat_life.as_millis();
        return Err(Error::invalid("ttl_ms", format!("be from 1 to {longest}")));
    }
    Ok(ledger.now_micros().saturating_add(micros(life)))
}
