//! What can go wrong when the service starts, which is the operator's to mend, and with its database. What else a customer may
//! see is in `fault.rs`.

use std::time::Duration;

use chassis::{secrets::SealError, telemetry::causes};
use proto::{Fault, code};
use tracing::{error, warn};

/// When to come again after a moment's trouble.
const SOON: Duration = Duration::from_secs(1);

/// The service could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be read.
    #[error("{0}")]
    Config(#[from] chassis::config::Error),
    /// A base URL cannot be joined with a path.
    #[error("providers.{provider}.base_url takes no path")]
    BaseUrl {
        /// The provider.
        provider: String,
    },
    /// A credential cannot stand in a header.
    #[error(
        "providers.{provider}.api_key, or one of its api_keys, holds characters that cannot be sent"
    )]
    Credential {
        /// The provider.
        provider: String,
    },
    /// A model file names an adapter that is not here.
    #[error("the chat model {model} names the adapter {adapter}, which does not exist")]
    Adapter {
        /// The model.
        model: String,
        /// What its file says.
        adapter: String,
    },
    /// The client for providers cannot be built.
    #[error("calls to providers cannot be set up")]
    Upstream(#[source] upstream::Error),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The database failed, or holds what it should not.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database itself failed.
    #[error("chat's database failed")]
    Database(#[from] db::Error),
    /// A row does not hold together.
    #[error("a stored request is damaged: {0}")]
    Damaged(&'static str),
    /// An answer cannot be sealed.
    #[error("an answer cannot be sealed")]
    Seal(#[from] SealError),
}

// === impl StoreError ===

impl StoreError {
    /// Whether the same write may succeed in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Database(error) => error.is_retriable(),
            Self::Damaged(_) | Self::Seal(_) => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<StoreError> for Fault {
    /// The one place where failures of the database are logged on their way out.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(db::Error::Closed) => Self::new(
                code::SERVICE_UNAVAILABLE,
                "the platform is restarting; try again in a moment",
            )
            .retry_after(SOON),
            StoreError::Database(error) if error.is_busy() => {
                Self::of(code::OVERLOADED).retry_after(SOON)
            }
            StoreError::Database(ref error) if error.is_retriable() => {
                warn!(error = %causes(error), "the database is away");
                let message = "what is kept here cannot be reached for a moment: requests with an Idempotency-Key, \
                               and responses";
                Self::new(code::SERVICE_UNAVAILABLE, message).retry_after(SOON)
            }
            other @ (StoreError::Database(_) | StoreError::Damaged(_) | StoreError::Seal(_)) => {
                error!(error = %causes(&other), "chat's database cannot be used");
                Self::of(code::INTERNAL)
            }
        }
    }
}
