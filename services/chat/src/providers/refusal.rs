//! What an OpenAI-compatible provider means when it refuses: OpenAI's error object and Google's, by code and not by status alone.

use serde::Deserialize;
use serde_json::Value;
use upstream::{Class, Failure, ProviderAnswer, Verdict};

/// Words of an error's `code`, `type`, `status` or reason, and what they mean. The first row that is there decides.
const WORDS: &[(&str, Class)] = &[
    ("insufficient_quota", Class::Balance),
    ("credit_balance_exhausted", Class::Balance),
    ("billing_error", Class::Balance),
    ("content_policy_violation", Class::Moderated),
    ("moderation_blocked", Class::Moderated),
    ("content_filter", Class::Moderated),
    ("API_KEY_INVALID", Class::Auth),
    ("invalid_api_key", Class::Auth),
    ("authentication_error", Class::Auth),
    // Google: the region or the billing of our project.
    ("FAILED_PRECONDITION", Class::Auth),
    ("PERMISSION_DENIED", Class::Auth),
    ("UNAUTHENTICATED", Class::Auth),
    ("model_not_found", Class::Gone),
    ("rate_limit_exceeded", Class::RateLimited),
    ("RESOURCE_EXHAUSTED", Class::RateLimited),
    ("server_is_overloaded", Class::Overloaded),
    ("slow_down", Class::Overloaded),
    ("server_error", Class::Overloaded),
    ("UNAVAILABLE", Class::Overloaded),
    ("INTERNAL", Class::Overloaded),
    ("INVALID_ARGUMENT", Class::Invalid),
    ("context_length_exceeded", Class::Invalid),
    ("invalid_request_error", Class::Invalid),
];

/// Classes that a word of the body may give an answer whose status says something else.
const OVERRULING: [Class; 4] = [Class::Balance, Class::Moderated, Class::Auth, Class::Gone];

#[derive(Deserialize)]
struct Body {
    error: Option<WireError>,
}

#[derive(Default, Deserialize)]
struct WireError {
    message: Option<String>,
    /// OpenAI: a word or `null`. Google: the HTTP status.
    code: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<String>,
    status: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    reason: Option<String>,
}

/// Reads a refusal with a status. `None` leaves it to the status.
pub(crate) fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let error = parse(answer.body)?;
    let by_status = Class::of_status(answer.status);
    // Google says RESOURCE_EXHAUSTED both for too fast (429) and for no credit (402): the status is better there.
    let class = error
        .class()
        .filter(|class| OVERRULING.contains(class) && by_status != Class::Balance)
        .unwrap_or(by_status);
    Some(error.verdict(class))
}

/// Reads an error inside an answer or a stream, where there is no status; `None` when it is no error after all.
pub(crate) fn reported(json: &[u8]) -> Option<Failure> {
    let error = parse(json)?;
    let class = error
        .class()
        .or_else(|| error.class_of_code())
        .unwrap_or(Class::Overloaded);
    Some(Failure::reported(error.verdict(class)))
}

/// The error object; Google may wrap it in a list of one.
fn parse(json: &[u8]) -> Option<WireError> {
    if json.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice::<[Body; 1]>(json)
            .ok()
            .and_then(|[body]| body.error);
    }
    let body: Body = serde_json::from_slice(json).ok()?;
    body.error
}

// === impl WireError ===

impl WireError {
    fn class(&self) -> Option<Class> {
        let code = self.code.as_ref().and_then(Value::as_str);
        let reasons = self
            .details
            .iter()
            .filter_map(|detail| detail.reason.as_deref());
        let words: Vec<&str> = [code, self.kind.as_deref(), self.status.as_deref()]
            .into_iter()
            .flatten()
            .chain(reasons)
            .collect();
        WORDS
            .iter()
            .find(|(word, _)| words.contains(word))
            .map(|(_, class)| *class)
    }

    /// Google writes the HTTP status into `code`.
    fn class_of_code(&self) -> Option<Class> {
        let code = self
            .code
            .as_ref()?
            .as_u64()
            .and_then(|code| u16::try_from(code).ok())?;
        http::StatusCode::from_u16(code).ok().map(Class::of_status)
    }

    fn verdict(self, class: Class) -> Verdict {
        match self.message {
            Some(message) => Verdict::with_detail(class, message),
            None => Verdict::of(class),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn class(status: u16, body: &str) -> Class {
        let answer = ProviderAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
        };
        Failure::answered(&answer, classify).class()
    }

    #[test]
    fn every_provider_spells_it_differently() {
        for (status, body, expected) in [
            (
                400,
                r#"{"error":{"message":"m","type":"invalid_request_error","code":null}}"#,
                Class::Invalid,
            ),
            (
                400,
                r#"{"error":{"message":"m","code":"content_policy_violation"}}"#,
                Class::Moderated,
            ),
            (
                401,
                r#"{"error":{"message":"m","code":"invalid_api_key"}}"#,
                Class::Auth,
            ),
            (
                404,
                r#"{"error":{"message":"m","code":"model_not_found"}}"#,
                Class::Gone,
            ),
            (
                429,
                r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#,
                Class::RateLimited,
            ),
            (
                429,
                r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                Class::Balance,
            ),
            (
                400,
                r#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"x","reason":"API_KEY_INVALID"}]}}]"#,
                Class::Auth,
            ),
            (
                400,
                r#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]"#,
                Class::Invalid,
            ),
            (
                402,
                r#"{"error":{"code":402,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
                Class::Balance,
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
                Class::RateLimited,
            ),
            (
                500,
                r#"{"error":{"code":500,"message":"m","status":"INTERNAL"}}"#,
                Class::Overloaded,
            ),
            (503, "busy", Class::Overloaded),
            (400, "{}", Class::Invalid),
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn an_error_inside_an_answer_is_read_too() {
        let class = |json: &str| reported(json.as_bytes()).map(|failure| failure.class());
        assert_eq!(
            class(r#"{"error":{"code":503,"message":"m","status":"X"}}"#),
            Some(Class::Overloaded)
        );
        assert_eq!(
            class(r#"{"error":{"message":"m","code":"content_filter"}}"#),
            Some(Class::Moderated)
        );
        assert_eq!(
            class(r#"{"error":{"message":"m"}}"#),
            Some(Class::Overloaded)
        );
        assert_eq!(class(r#"{"choices":[{"error":{}}]}"#), None);
    }
}
