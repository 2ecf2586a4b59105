//! What can go wrong in this room itself. A customer's endpoint that fails is not an error: it is an answer.

use std::time::Duration;

use chassis::{secrets::SealError, telemetry::causes};
use proto::{Fault, code};
use tracing::error;

/// When to come again after a moment's trouble of the database.
const SOON: Duration = Duration::from_secs(1);

/// What can go wrong in this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot work.
    #[error(transparent)]
    Config(#[from] chassis::config::Error),
    /// A client for outgoing calls could not be built.
    #[error("cannot make an HTTP client")]
    Client(#[from] upstream::Error),
    /// The database failed.
    #[error("webhooks database failed")]
    Db(#[source] db::Error),
    /// Something could not be sealed, or what was sealed does not open: `secrets.content_key` is another one.
    #[error("sealed webhook data does not open")]
    Seal(#[source] SealError),
    /// An attempt's process slept until its lease was nearly over.
    #[error("the lease ends before an answer could come")]
    Late,
    /// A delivery is for an endpoint that is not registered any more.
    #[error("the endpoint was removed")]
    Removed,
    /// A delivery is for an endpoint that is disabled.
    #[error("the endpoint is disabled")]
    Disabled,
    /// What a caller asks for cannot be done.
    #[error("{}", .0.message)]
    Refused(Box<Fault>),
    /// A row does not hold what was written into it.
    #[error("damaged webhook row: {0}")]
    Damaged(&'static str),
}

// === impl Error ===

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Self::Db(error)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Refused(Box::new(fault))
    }
}

impl From<Error> for Fault {
    /// The one place where the failures of this room are logged on their way out. A database that does not answer may
    /// answer later; the rest is ours to mend.
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(fault) => *fault,
            Error::Db(ref busy) if busy.is_busy() => Self::of(code::OVERLOADED).retry_after(SOON),
            Error::Db(db::Error::Closed) => Self::of(code::SERVICE_UNAVAILABLE).retry_after(SOON),
            Error::Db(_) => {
                error!(error = %causes(&error), "webhooks failed");
                Self::of(code::SERVICE_UNAVAILABLE).retry_after(SOON)
            }
            Error::Config(_)
            | Error::Client(_)
            | Error::Seal(_)
            | Error::Late
            | Error::Removed
            | Error::Disabled
            | Error::Damaged(_) => {
                error!(error = %causes(&error), "webhooks failed");
                Self::of(code::INTERNAL)
            }
        }
    }
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
        let fault = Fault::from(Error::Damaged("x"));
        assert_eq!(fault.code, code::INTERNAL);
    }
}
