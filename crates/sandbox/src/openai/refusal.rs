//! How the providers say no: OpenAI's error object, and Gemini's inside a list of one.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::request::Problem;
use crate::{answer, directive::Outcome};

/// Whose errors are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Gemini,
    OpenAi,
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The path names no provider.
    UnknownProvider,
    /// There is no credential.
    NoKey,
    /// The request is wrong.
    Invalid(Problem),
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

    fn message(&self) -> &str {
        match self {
            Self::UnknownProvider => "The sandbox plays no provider of this name.",
            Self::NoKey => "Missing or invalid Authorization header.",
            Self::Invalid(problem) => &problem.message,
            Self::RateLimited => "Too many requests (sandbox).",
            Self::Overloaded => "The model is overloaded (sandbox).",
            Self::OutOfBalance => "The prepaid credits are depleted (sandbox).",
            Self::Broken => "An internal error has occurred (sandbox).",
        }
    }
}

// === impl Dialect ===

impl Dialect {
    pub(super) fn of(provider: &str) -> Self {
        match provider {
            "gemini" => Self::Gemini,
            _ => Self::OpenAi,
        }
    }

    /// The refusal as this provider words it.
    pub(super) fn refuse(self, refusal: &Refusal) -> Response {
        let (status, body) = match self {
            Self::Gemini => gemini(refusal),
            Self::OpenAi => open_ai(refusal),
        };
        let mut response = answer::json(status, &body);
        if *refusal == Refusal::RateLimited {
            let pause = HeaderValue::from(PAUSE_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, pause);
        }
        response
    }
}

fn gemini(refusal: &Refusal) -> (StatusCode, Value) {
    let (status, word) = match refusal {
        Refusal::UnknownProvider => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Refusal::NoKey | Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        Refusal::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        Refusal::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        Refusal::OutOfBalance => (StatusCode::PAYMENT_REQUIRED, "RESOURCE_EXHAUSTED"),
        Refusal::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
    };
    let details = match refusal {
        Refusal::RateLimited => json!([{
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{PAUSE_SECONDS}s"),
        }]),
        Refusal::NoKey => json!([{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
        }]),
        Refusal::UnknownProvider
        | Refusal::Invalid(_)
        | Refusal::Overloaded
        | Refusal::OutOfBalance
        | Refusal::Broken => json!([]),
    };
    let error = json!({
        "code": status.as_u16(), "message": refusal.message(), "status": word, "details": details,
    });
    (status, json!([{ "error": error }]))
}

fn open_ai(refusal: &Refusal) -> (StatusCode, Value) {
    let invalid = "invalid_request_error";
    let (status, kind, code) = match refusal {
        Refusal::UnknownProvider => (StatusCode::NOT_FOUND, invalid, None),
        Refusal::NoKey => (StatusCode::UNAUTHORIZED, invalid, Some("invalid_api_key")),
        Refusal::Invalid(problem) => (StatusCode::BAD_REQUEST, invalid, problem.code),
        Refusal::RateLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            "requests",
            Some("rate_limit_exceeded"),
        ),
        Refusal::Overloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            Some("server_is_overloaded"),
        ),
        Refusal::OutOfBalance => (
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            Some("insufficient_quota"),
        ),
        Refusal::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", None),
    };
    let param = if let Refusal::Invalid(problem) = refusal {
        problem.param
    } else {
        None
    };
    let error = json!({ "message": refusal.message(), "type": kind, "param": param, "code": code });
    (status, json!({ "error": error }))
}
