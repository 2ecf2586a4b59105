//! The one way a failure leaves the house: a [`Fault`] becomes an HTTP status, by the table in `proto`, and the error object
//! OpenAI's SDKs know. Nothing is decided here.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::catalogue::MESSAGES_ROUTE;
use http::{HeaderValue, header};
use proto::{Code, Fault, Kind, Retry, WireError, code};
use serde::Serialize;

use crate::anthropic;

/// When to come again to what is not there, if nobody knows: an operator has to do something.
const LATER: Duration = Duration::from_secs(60);

/// A failure of a handler. Boxed, because it travels through many results that are mostly good.
#[derive(Clone, Debug)]
pub(crate) struct ApiError(Box<Fault>);

/// The failure behind a response, until the outermost layer, which knows the request's id, writes it down.
#[derive(Clone)]
pub(crate) struct Failure(Box<Fault>);

/// The wire form of a failure.
#[derive(Serialize)]
struct Envelope<'a> {
    error: ErrorObject<'a>,
}

/// The wire form of a failure's inside, after OpenAI's.
#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    code: &'a str,
    param: Option<&'a str>,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Violation<'a>>,
}

/// The wire form of one of several things wrong.
#[derive(Serialize)]
struct Violation<'a> {
    param: &'a str,
    message: &'a str,
}

// === impl ApiError ===

impl ApiError {
    /// A failure with its published code and one sentence for the reader.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Fault::new(code, message).into()
    }

    /// Something of ours does not hold together.
    pub(crate) fn internal() -> Self {
        Fault::of(code::INTERNAL).into()
    }

    /// What happened.
    pub(crate) fn fault(&self) -> &Fault {
        &self.0
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Self(Box::new(fault))
    }
}

impl From<tonic::Status> for ApiError {
    fn from(status: tonic::Status) -> Self {
        Fault::from(status).into()
    }
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> Self {
        tracing::error!(%error, "another service sent what it should not");
        Fault::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.code.http_status();
        response.extensions_mut().insert(Failure(self.0));
        response
    }
}

// === impl Failure ===

impl Failure {
    /// Writes the failure into the response of a route: Anthropic's SDKs know another error object.
    pub(crate) fn render(&self, response: &mut Response, route: &str, request_id: &str) {
        let fault = &self.0;
        let tree = route.trim_start_matches('/').split('/').next();
        let body = if tree == Some(MESSAGES_ROUTE) {
            anthropic::failed(fault, request_id)
        } else {
            json(fault, request_id)
        };
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let unknown = (fault.kind() == Kind::Unavailable).then_some(LATER);
        if let Some(wait) = fault.retry_after.or(unknown) {
            headers.insert(header::RETRY_AFTER, seconds(wait).into());
        }
        // SDKs send again by themselves what answered 5xx or 409, unless told not to.
        let in_vain = fault.code.retry == Retry::No && fault.kind() == Kind::Conflict;
        if in_vain || fault.code.retry == Retry::PerhapsPaid {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
    }

    /// The published code, for metrics and logs.
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }
}

/// The error object as JSON.
pub(crate) fn json(fault: &Fault, request_id: &str) -> Bytes {
    let envelope = Envelope {
        error: ErrorObject {
            message: &fault.message,
            kind: fault.kind().error_type(),
            code: fault.code.word,
            param: fault.param.as_deref(),
            request_id,
            violations: fault
                .violations
                .iter()
                .map(|violation| Violation {
                    param: &violation.param,
                    message: &violation.message,
                })
                .collect(),
        },
    };
    // Texts alone always serialise.
    serde_json::to_vec(&envelope)
        .map(Bytes::from)
        .unwrap_or_default()
}

/// Whole seconds, rounded up, at least one: `Retry-After` knows no fractions.
fn seconds(wait: Duration) -> u64 {
    let rounded = wait
        .as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0));
    rounded.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_written_as_openai_writes_it() {
        let fault = Fault::new(code::UNKNOWN_MODEL, "model \"x\" is not known").param("model");
        assert_eq!(
            json(&fault, "req_1"),
            r#"{"error":{"message":"model \"x\" is not known","type":"bad_request","code":"unknown_model","param":"model","request_id":"req_1"}}"#
        );
    }

    #[test]
    fn whatever_is_unavailable_says_when_to_come_again() {
        let soon = Fault::of(code::OVERLOADED).retry_after(Duration::from_secs(3));
        for (fault, expected) in [
            (soon, Some("3")),
            (Fault::of(code::NO_PROVIDER), Some("60")),
            (Fault::of(code::NOT_FOUND), None),
        ] {
            let failure = Failure(Box::new(fault));
            let mut response = Response::new(Body::empty());
            failure.render(&mut response, "/models", "req_1");
            let wait = response.headers().get(header::RETRY_AFTER);
            assert_eq!(wait.and_then(|wait| wait.to_str().ok()), expected);
        }
    }

    #[test]
    fn sdks_are_told_what_not_to_send_again() {
        for (code, expected) in [
            (code::FILE_ROOM_FULL, Some("false")),
            (code::IDEMPOTENCY_MISMATCH, None),
            (code::UPSTREAM_TIMEOUT, Some("false")),
            (code::IDEMPOTENCY_IN_PROGRESS, None),
            (code::OVERLOADED, None),
            (code::NOT_FOUND, None),
        ] {
            let failure = Failure(Box::new(Fault::of(code)));
            let mut response = Response::new(Body::empty());
            failure.render(&mut response, "/files", "req_1");
            let told = response.headers().get("x-should-retry");
            let told = told.and_then(|told| told.to_str().ok());
            assert_eq!(told, expected, "{}", code.word);
        }
    }

    #[test]
    fn waiting_is_told_in_whole_seconds() {
        for (millis, expected) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected, "{millis}");
        }
    }
}
