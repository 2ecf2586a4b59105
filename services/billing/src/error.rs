//! What can go wrong in billing, and what of it leaves the house.

use std::time::Duration;

use chassis::telemetry::causes;
use domain::{KeyFormatError, Micros, Scope};
use proto::{Fault, code};
use tracing::error;

use crate::{
    ledger::{HoldState, Refusal},
    orders::OrderRefusal,
};

/// When to come again after a moment's trouble of the database.
const SOON: Duration = Duration::from_secs(1);

/// What can go wrong. Refusals of the ledger are answers, but here they end a request all the same.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed; nothing of the request was kept, or it can safely be sent again.
    #[error("billing's database failed")]
    Db(#[from] db::Error),
    /// Billing cannot start.
    #[error(transparent)]
    Start(StartError),
    /// What the database holds does not hold together.
    #[error("billing's database does not hold together: {0}")]
    Corrupt(&'static str),
    /// Another process changed the same things at the same moment; sent again, it will be seen.
    #[error("another process changed the same things at the same moment")]
    Overtaken,
    /// The ledger's queue is full.
    #[error("the ledger's queue is full")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The ledger said no.
    #[error("the ledger refused: {0:?}")]
    Refused(Refusal),
    /// The balance, or what the key may spend, does not cover what was asked for.
    #[error("not enough credit")]
    Insufficient {
        /// The least that was asked for.
        needed: Micros,
        /// What there is.
        available: Micros,
        /// Of what.
        of: Purse,
    },
    /// The transfer's id was used before, to book something else.
    #[error("the transfer's id was used for something else")]
    TransferConflict,
    /// A field has a value that is not allowed. The message completes "`param` must …".
    #[error("{param} must {allowed}")]
    Invalid {
        /// The field.
        param: &'static str,
        /// What is allowed.
        allowed: String,
    },
    /// There is no such account, key or balance.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// A key does not open what it is shown for.
    #[error(transparent)]
    Denied(Denial),
    /// Something about orders or codes.
    #[error(transparent)]
    Orders(#[from] OrderRefusal),
}

/// Why billing cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error("billing's settings are wrong")]
    Setting(#[from] chassis::config::Error),
    /// The key given for the operator cannot be a key.
    #[error("AIO_BOOTSTRAP_KEY must be a well-formed live key (aio_…)")]
    BootstrapKey(#[source] Option<KeyFormatError>),
    /// The way to the payment provider cannot be made.
    #[error("the way to the payment provider cannot be made")]
    Upstream(#[from] upstream::Error),
}

/// Why a key does not open something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// It is unknown, revoked or expired: the caller is not told which.
    #[error("the API key opens nothing")]
    Key,
    /// It is limited itself, and would lift its limits with another key.
    #[error("a key that is limited itself makes and changes no keys")]
    Limited,
    /// Another key would have, or has, a scope that it has not.
    #[error("nobody hands out the scope {} without having it", .0.as_str())]
    Scope(Scope),
}

/// What a request is paid from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purse {
    /// The account's balance.
    Balance,
    /// What the key's caps leave of it.
    Key,
}

// === impl Error ===

impl Error {
    /// The process is stopping.
    pub(crate) const fn stopped() -> Self {
        Self::Db(db::Error::Closed)
    }

    /// A field has a value that is not allowed.
    pub(crate) fn invalid(param: &'static str, allowed: impl Into<String>) -> Self {
        Self::Invalid {
            param,
            allowed: allowed.into(),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<chassis::config::Error> for Error {
    fn from(error: chassis::config::Error) -> Self {
        Self::Start(error.into())
    }
}

impl From<upstream::Error> for Error {
    fn from(error: upstream::Error) -> Self {
        Self::Start(error.into())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Fault {
    /// The one place where billing's own failures are logged on their way out.
    fn from(error: Error) -> Self {
        match error {
            Error::Db(ref busy) if busy.is_busy() => Self::of(code::OVERLOADED).retry_after(SOON),
            Error::Db(db::Error::Closed) => Self::of(code::BILLING_UNAVAILABLE).retry_after(SOON),
            Error::Db(_) | Error::Overtaken => {
                error!(error = %causes(&error), "billing failed");
                Self::of(code::BILLING_UNAVAILABLE).retry_after(SOON)
            }
            Error::Corrupt(_) | Error::Start(_) => {
                error!(error = %causes(&error), "billing failed");
                Self::of(code::INTERNAL)
            }
            Error::Overloaded { retry_after } => {
                Self::of(code::OVERLOADED).retry_after(retry_after)
            }
            Error::Refused(refusal) => refused(refusal),
            Error::Insufficient {
                needed,
                available,
                of: Purse::Balance,
            } => insufficient(needed, available),
            Error::Insufficient {
                needed,
                available,
                of: Purse::Key,
            } => cap_reached(needed, available),
            Error::Invalid { param, allowed } => {
                Self::new(code::INVALID_PARAMETER, format!("{param} must {allowed}")).param(param)
            }
            Error::TransferConflict => Self::of(code::IDEMPOTENCY_MISMATCH),
            Error::NotFound(what) => Self::new(code::NOT_FOUND, format!("there is no such {what}")),
            Error::Denied(Denial::Scope(scope)) => Self::new(
                code::MISSING_SCOPE,
                format!(
                    "this needs the scope `{0}`: nobody makes, changes or rotates a key that may do more than their own",
                    scope.as_str()
                ),
            ),
            Error::Denied(Denial::Limited) => Self::of(code::LIMITED_KEY),
            Error::Denied(Denial::Key) => Self::of(code::INVALID_KEY),
            Error::Orders(refusal) => refusal.into(),
        }
    }
}

fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Insufficient { available } => insufficient(Micros::ZERO, available),
        Refusal::CapReached { left } => cap_reached(Micros::ZERO, left),
        Refusal::Frozen => Fault::of(code::ACCOUNT_FROZEN),
        Refusal::UnknownBalance => Fault::new(code::NOT_FOUND, "there is no such account"),
        Refusal::UnknownHold => Fault::new(code::NOT_FOUND, "there is no such hold"),
        Refusal::InvalidAmount => Fault::new(
            code::INVALID_PARAMETER,
            "the amount must not be zero, and the balance must stay within 9 223 372 036 854 credits",
        ),
        Refusal::Conflict | Refusal::NotDue => Fault::of(code::HOLD_CONFLICT),
        Refusal::Closed(state) => Fault::new(
            code::HOLD_CONFLICT,
            match state {
                HoldState::Open => "the operation's hold is still open",
                HoldState::Captured | HoldState::Late => "the operation has already been charged",
                HoldState::Released | HoldState::Tombstone => {
                    "the operation has already ended, free of charge"
                }
                HoldState::Expired => "the operation took too long; its hold has expired",
            },
        ),
    }
}

fn insufficient(needed: Micros, available: Micros) -> Fault {
    let message = if needed > Micros::ZERO {
        format!("this needs {needed} credits; {available} are available")
    } else {
        format!("only {available} credits are available")
    };
    Fault::new(code::INSUFFICIENT_CREDITS, message)
}

fn cap_reached(needed: Micros, left: Micros) -> Fault {
    let message = if needed > Micros::ZERO {
        format!("this needs {needed} credits; the caps of this key leave {left}")
    } else {
        format!("the caps of this key leave {left} credits")
    };
    Fault::new(code::KEY_CAP_EXCEEDED, message)
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_readers_is_a_moments_trouble() {
        let fault = Fault::from(Error::from(sqlx::Error::PoolTimedOut));
        assert_eq!(fault.code, code::OVERLOADED);
        assert_eq!(fault.retry_after, Some(Duration::from_secs(1)));
        let fault = Fault::from(Error::from(sqlx::Error::WorkerCrashed));
        assert_eq!(fault.code, code::BILLING_UNAVAILABLE);
    }
}
