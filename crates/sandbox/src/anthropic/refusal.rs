//! How Anthropic says no.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::{answer, directive::Outcome};

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no credential.
    NoKey,
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

/// The pause that a rate limit asks for, in seconds.
const PAUSE_SECONDS: u16 = 1;
/// No capacity.
const OVERLOADED: u16 = 529;

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
        let (status, kind, message) = self.row();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let id = format!("req_{:024x}", rand::random::<u64>());
        let error = json!({ "type": kind, "message": message });
        let body = json!({ "type": "error", "error": error, "request_id": id });
        let mut response = answer::json(status, &body);
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert("request-id", id);
        }
        if *self == Self::RateLimited {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(PAUSE_SECONDS));
        }
        response
    }

    /// Status, type and words.
    fn row(&self) -> (u16, &'static str, &str) {
        let invalid = "invalid_request_error";
        match self {
            Self::NoKey => (401, "authentication_error", "x-api-key header is required"),
            Self::Invalid(message) => (400, invalid, message),
            Self::RateLimited => (
                429,
                "rate_limit_error",
                "This request would exceed your organization's rate limit (sandbox).",
            ),
            Self::Overloaded => (OVERLOADED, "overloaded_error", "Overloaded (sandbox)"),
            // Documented as 402 and billing_error; this is what is seen.
            Self::OutOfBalance => (
                400,
                invalid,
                "Your credit balance is too low to access the Anthropic API (sandbox).",
            ),
            Self::Broken => (500, "api_error", "Internal server error (sandbox)"),
        }
    }
}
