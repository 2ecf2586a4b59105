//! How Google says no.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{answer, directive::Outcome};

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no credential.
    NoKey,
    /// There is no such model, or no such method.
    NotFound,
    /// The request is wrong, in these words.
    Invalid(String),
    /// Too many requests.
    RateLimited,
    /// No capacity.
    Overloaded,
    /// The account is empty.
    OutOfBalance,
    /// An internal error.
    Broken,
}

/// The pause that a rate limit asks for: in the body, and in no header.
const PAUSE: &str = "1s";

// === impl Refusal ===

impl Refusal {
    /// The refusal a directive asks for, if it does.
    pub(super) fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Fail => Some(Self::Broken),
            Outcome::RateLimited => Some(Self::RateLimited),
            Outcome::Overloaded => Some(Self::Overloaded),
            Outcome::OutOfBalance => Some(Self::OutOfBalance),
            Outcome::Success
            | Outcome::Moderated
            | Outcome::Hang
            | Outcome::Malformed
            | Outcome::Vanish
            | Outcome::DuplicateCallback
            | Outcome::LateCallback
            | Outcome::Overreport
            | Outcome::Cut => None,
        }
    }

    /// The answer.
    pub(super) fn response(&self) -> Response {
        let (code, status, message) = self.row();
        let mut error = json!({ "code": code, "message": message, "status": status });
        if let Some(detail) = self.detail() {
            error = answer::with(error, "details", json!([detail]));
        }
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        answer::json(status, &json!({ "error": error }))
    }

    /// Code, status and words.
    fn row(&self) -> (u16, &'static str, &str) {
        match self {
            Self::NoKey => (
                403,
                "PERMISSION_DENIED",
                "Method doesn't allow unregistered callers (sandbox).",
            ),
            Self::NotFound => (404, "NOT_FOUND", "No such model or method (sandbox)."),
            Self::Invalid(message) => (400, "INVALID_ARGUMENT", message),
            Self::RateLimited => (
                429,
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota (sandbox).",
            ),
            Self::Overloaded => (503, "UNAVAILABLE", "The model is overloaded (sandbox)."),
            Self::OutOfBalance => (
                402,
                "RESOURCE_EXHAUSTED",
                "The prepaid credits are depleted (sandbox).",
            ),
            Self::Broken => (500, "INTERNAL", "An internal error has occurred (sandbox)."),
        }
    }

    fn detail(&self) -> Option<Value> {
        (*self == Self::RateLimited).then(
            || json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": PAUSE }),
        )
    }
}
