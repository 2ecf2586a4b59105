//! What an OpenAI-compatible provider means when it refuses: OpenAI's error object and Google's, by code and not by status alone.

use std::time::Duration;

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
    // The work may have been done.
    ("DEADLINE_EXCEEDED", Class::Unknown),
    ("CANCELLED", Class::Unknown),
    ("NOT_FOUND", Class::Gone),
    ("INVALID_ARGUMENT", Class::Invalid),
    ("context_length_exceeded", Class::Invalid),
    ("invalid_request_error", Class::Invalid),
];

/// Classes that a word of the body may give an answer whose status says something else.
const OVERRULING: [Class; 5] = [
    Class::Balance,
    Class::Moderated,
    Class::Auth,
    Class::Gone,
    Class::Unknown,
];
/// What Google's name of a quota holds that is used up for today.
const PER_DAY: &str = "PerDay";

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

/// Google's: an `ErrorInfo`, a `RetryInfo` or a `QuotaFailure`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    reason: Option<String>,
    retry_delay: Option<String>,
    #[serde(default)]
    violations: Vec<Violation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Violation {
    quota_id: Option<String>,
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
        // Nothing that a pause would mend.
        if self.is_used_up_for_today() {
            return Some(Class::Balance);
        }
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

    fn is_used_up_for_today(&self) -> bool {
        let violations = self.details.iter().flat_map(|detail| &detail.violations);
        let mut quotas = violations.filter_map(|violation| violation.quota_id.as_deref());
        quotas.any(|quota| quota.contains(PER_DAY))
    }

    /// The pause in Google's words: `31s`, `0.5s`.
    fn pause(&self) -> Option<Duration> {
        let mut delays = self
            .details
            .iter()
            .filter_map(|detail| detail.retry_delay.as_deref());
        let seconds = delays.next()?.strip_suffix('s')?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn verdict(self, class: Class) -> Verdict {
        let pause = self.pause();
        let verdict = match self.message {
            Some(message) => Verdict::with_detail(class, message),
            None => Verdict::of(class),
        };
        verdict.after(pause)
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
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn google_has_words_of_its_own() {
        for (status, body, expected) in [
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
                429,
                r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"@type":"x","retryDelay":"3s"},
                    {"@type":"y","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel"}]}]}}"#,
                Class::RateLimited,
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[
                    {"@type":"y","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}"#,
                Class::Balance,
            ),
            (503, "busy", Class::Overloaded),
            (400, "{}", Class::Invalid),
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
        for (code, status, expected) in [
            (402, "RESOURCE_EXHAUSTED", Class::Balance),
            (429, "RESOURCE_EXHAUSTED", Class::RateLimited),
            (500, "INTERNAL", Class::Overloaded),
            (400, "FAILED_PRECONDITION", Class::Auth),
            (401, "UNAUTHENTICATED", Class::Auth),
            (403, "PERMISSION_DENIED", Class::Auth),
            (404, "NOT_FOUND", Class::Gone),
            (499, "CANCELLED", Class::Unknown),
            (503, "UNAVAILABLE", Class::Overloaded),
            (504, "DEADLINE_EXCEEDED", Class::Unknown),
        ] {
            let body =
                format!(r#"{{"error":{{"code":{code},"message":"m","status":"{status}"}}}}"#);
            assert_eq!(class(code, &body), expected, "{body}");
        }
    }

    #[test]
    fn google_says_in_the_body_how_long_to_wait() {
        let wait = |delay: &str| {
            let json = format!(
                r#"{{"error":{{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{{}},{{"retryDelay":"{delay}"}}]}}}}"#
            );
            reported(json.as_bytes()).unwrap().retry_after()
        };
        assert_eq!(wait("31s"), Some(Duration::from_secs(31)));
        assert_eq!(wait("0.5s"), Some(Duration::from_millis(500)));
        // Nobody is told to wait for longer than an hour.
        assert_eq!(wait("99999s"), Some(Duration::from_secs(3_600)));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1s"), None);
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
