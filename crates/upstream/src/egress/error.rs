//! Why a guarded call gave no answer.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use http::StatusCode;
use hyper_util::client::legacy;
use tower::BoxError;

use super::dial::DialError;
use super::refusal::Refusal;
use super::resolve::ResolveError;

/// Why a guarded call gave no answer. None of these repeats the URL.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The policy refused the URL, an address it leads to, or a redirect.
    #[error("the URL is refused: {0}")]
    Refused(#[source] Refusal),
    /// The name does not resolve.
    #[error("the host name does not resolve")]
    Unresolved,
    /// No connection, or no TLS session with a certificate for that name.
    #[error("no connection could be made")]
    Connect(#[source] Cause),
    /// A limit of time passed, or the body came too slowly.
    #[error("no complete answer in time")]
    TimedOut,
    /// The connection broke.
    #[error("the connection broke")]
    Interrupted(#[source] Cause),
    /// The body is larger than the cap.
    #[error("the answer is larger than {max_bytes} bytes")]
    TooLarge {
        /// The cap, in bytes.
        max_bytes: u64,
    },
    /// A download was answered with something else than 2xx.
    #[error("the answer has status {}", status.as_u16())]
    Status {
        /// The status.
        status: StatusCode,
    },
}

/// What a library said, which knows the host at most.
pub struct Cause(BoxError);

// === impl EgressError ===

impl From<legacy::Error> for EgressError {
    fn from(error: legacy::Error) -> Self {
        if let Some(dial) = find::<DialError>(&error) {
            match dial {
                DialError::Resolve(ResolveError::Refused(refusal)) => {
                    return Self::Refused(refusal.clone());
                }
                DialError::Resolve(ResolveError::Unresolved) => return Self::Unresolved,
                DialError::Elsewhere => return Self::Refused(Refusal::Resolved),
                DialError::Io(_) | DialError::Proxy(_) | DialError::TooLate => {}
            }
        }
        if error.is_connect() {
            Self::Connect(Cause::of(error))
        } else {
            Self::Interrupted(Cause::of(error))
        }
    }
}

// === impl Cause ===

impl Cause {
    pub(super) fn of(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }

    /// Whether a limit of time was the cause.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        let dial = find::<DialError>(&*self.0);
        let io = find::<io::Error>(&*self.0);
        matches!(dial, Some(DialError::TooLate))
            || io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// The first cause of the given type.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        cause = current.source();
    }
    None
}
