//! Anthropic's Messages API in front of chat: a request is written as chat takes it, an answer as Anthropic's SDKs read it. Pure; the
//! wire is that of Anthropic's public reference (`anthropic-version: 2023-06-01`).
//!
//! | file | what |
//! |---|---|
//! | `request.rs`, `message.rs` | a request in OpenAI's words |
//! | `answer.rs` | a whole answer in Anthropic's |
//! | `events.rs` | the same, event by event |
//!
//! What OpenAI's form has no place for is left out where the answer stays the same in kind (`top_k`, `cache_control`), and
//! refused where it would not (tools that Anthropic runs itself, documents that only a URL names).

pub(crate) mod answer;
pub(crate) mod events;
mod message;
pub(crate) mod request;

use bytes::Bytes;
use proto::{Fault, Kind};
use serde::Serialize;

use crate::translate;

/// Fields of chat, and what they are called here: chat's own complaints name them.
const NAMES: [(&str, &str); 2] = [("messages", "messages"), ("stop", "stop_sequences")];

/// The wire form of a failure.
#[derive(Serialize)]
struct Failed<'a> {
    #[serde(rename = "type")]
    what: &'static str,
    error: ErrorObject<'a>,
    request_id: &'a str,
}

/// The wire form of a failure's inside, and beside it what the errors of other routes say as well.
#[derive(Serialize)]
struct ErrorObject<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    code: &'static str,
    param: Option<&'a str>,
}

/// A failure as JSON.
pub(crate) fn failed(fault: &Fault, request_id: &str) -> Bytes {
    let failed = Failed {
        what: "error",
        error: ErrorObject {
            kind: kind(fault.kind()),
            message: &fault.message,
            code: fault.code.word,
            param: fault.param.as_deref(),
        },
        request_id,
    };
    // Texts alone always serialise.
    serde_json::to_vec(&failed)
        .map(Bytes::from)
        .unwrap_or_default()
}

/// What chat complains of, by the names that the customer knows.
pub(crate) fn renamed(fault: Fault) -> Fault {
    translate::renamed(fault, &NAMES)
}

/// Anthropic's words for kinds of failures.
const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::BadRequest | Kind::Unprocessable => "invalid_request_error",
        Kind::Authentication => "authentication_error",
        Kind::InsufficientCredits => "billing_error",
        Kind::Permission => "permission_error",
        Kind::NotFound => "not_found_error",
        Kind::Conflict => "conflict_error",
        Kind::PayloadTooLarge => "request_too_large",
        Kind::RateLimit => "rate_limit_error",
        Kind::Internal | Kind::Upstream => "api_error",
        Kind::Unavailable => "overloaded_error",
        Kind::Timeout => "timeout_error",
    }
}

#[cfg(test)]
mod tests {
    use proto::code;

    use super::*;

    #[test]
    fn a_failure_is_written_as_anthropic_writes_it() {
        let fault = Fault::new(code::INVALID_PARAMETER, "max_tokens must be a number");
        assert_eq!(
            failed(&fault.param("max_tokens"), "req_1"),
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens must be a number","code":"invalid_parameter","param":"max_tokens"},"request_id":"req_1"}"#
        );
    }

    #[test]
    fn chats_complaints_name_what_the_customer_wrote() {
        for (param, message, expected) in [
            (
                "messages[1].content[0].image_url.url",
                "messages[1].content[0].image_url.url must name a picture",
                ("messages", "messages must name a picture"),
            ),
            (
                "stop[4]",
                "stop[4] is too many",
                ("stop_sequences[4]", "stop_sequences[4] is too many"),
            ),
            ("model", "model is required", ("model", "model is required")),
        ] {
            let fault = renamed(Fault::new(code::INVALID_PARAMETER, message).param(param));
            let told = (fault.param.as_deref().unwrap(), fault.message.as_str());
            assert_eq!(told, expected);
        }
    }
}
