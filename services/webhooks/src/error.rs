//! What can go wrong in this room itself. A customer's endpoint that fails is not an error: it is an answer.

use chassis::secrets::SealError;
use proto::{Fault, code};

/// What can go wrong in this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot work.
    #[error("{0}")]
    Config(&'static str),
    /// The database failed.
    #[error("webhooks database failed")]
    Db(#[source] db::Error),
    /// Something could not be sealed, or what was sealed does not open: `secrets.content_key` is another one.
    #[error("sealed webhook data does not open")]
    Seal(#[source] SealError),
    /// A row does not hold what was written into it.
    #[error("damaged webhook row: {0}")]
    Damaged(&'static str),
}

/// An error with its causes, as the log takes it.
pub(crate) fn with_causes(error: &Error) -> &(dyn std::error::Error + 'static) {
    error
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

impl From<Error> for Fault {
    /// A database that does not answer may answer later; the rest is ours to mend.
    fn from(error: Error) -> Self {
        let public = match error {
            Error::Db(_) => code::SERVICE_UNAVAILABLE,
            Error::Config(_) | Error::Seal(_) | Error::Damaged(_) => code::INTERNAL,
        };
        Self::new(public, public.cause)
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}
