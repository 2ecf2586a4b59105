//! What can go wrong inside media, and what the outside may read of it.

use chassis::telemetry::causes;
use std::time::Duration;

use proto::{Fault, code};
use tracing::{error, warn};

/// A failure of media itself. What a customer did wrong, or a provider, is not one: that is a [`Fault`] or a task's error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("media database failed")]
    Database(#[from] db::Error),
    /// A row does not hold together.
    #[error("a stored task is damaged: {0}")]
    Damaged(&'static str),
    /// Content could not be sealed.
    #[error("content cannot be sealed")]
    Seal(#[from] chassis::secrets::SealError),
    /// JSON of ours does not parse.
    #[error("stored JSON is damaged")]
    Json(#[from] serde_json::Error),
    /// The object store failed.
    #[error("output store failed")]
    Store(#[from] object_store::Error),
    /// An output could not be fetched from its provider.
    #[error("an output could not be fetched")]
    Fetch(#[from] upstream::EgressError),
    /// A client for outgoing calls could not be built.
    #[error("cannot make an HTTP client")]
    Client(#[from] upstream::Error),
    /// The queue takes or gives nothing.
    #[error("the queue failed")]
    Queue(#[from] queue::Error),
    /// A file is not what models make, or not what this one was to make.
    #[error("an output {0}")]
    NotAnOutput(&'static str),
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] chassis::config::Error),
    /// The directory for outputs cannot be made, or something in it not deleted.
    #[error("cannot use {0} for outputs")]
    Directory(String, #[source] std::io::Error),
    /// Something for the caller to read.
    #[error("{0}")]
    Fault(Fault),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Fault {
    /// The one place where media's own failures are logged on their way out.
    fn from(error: Error) -> Self {
        match error {
            Error::Fault(fault) => fault,
            Error::Database(db::Error::Closed) => Self::new(
                code::SERVICE_UNAVAILABLE,
                "the platform is restarting; try again in a moment",
            )
            .retry_after(Duration::from_secs(1)),
            Error::Database(error) if error.is_busy() => {
                Self::of(code::OVERLOADED).retry_after(Duration::from_secs(1))
            }
            Error::Database(ref error) if error.is_retriable() => {
                warn!(error = %causes(error), "the database is away");
                Self::of(code::SERVICE_UNAVAILABLE).retry_after(Duration::from_secs(1))
            }
            other @ (Error::Database(_)
            | Error::Damaged(_)
            | Error::Seal(_)
            | Error::Json(_)
            | Error::Store(_)
            | Error::Fetch(_)
            | Error::Client(_)
            | Error::Queue(_)
            | Error::NotAnOutput(_)
            | Error::Setting(_)
            | Error::Directory(..)) => {
                error!(error = %causes(&other), "media failed");
                Self::of(code::INTERNAL)
            }
        }
    }
}
