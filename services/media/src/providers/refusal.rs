//! What providers mean who refuse in OpenAI's words, or in Google's: by the words of the error object, and not by the status alone. xAI
//! writes code and words side by side, without an object. Pure.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use upstream::{Class, ProviderAnswer, Verdict};

use super::{jobs, policy, wire};

/// Words of an error's `code`, `type`, `status` or reason, and what they mean. The first row that is there decides. `RESOURCE_EXHAUSTED` is
/// left to the status: it is too fast (429) and no credit (402).
const WORDS: &[(&str, Class)] = &[
    ("insufficient_quota", Class::Balance),
    ("credit_balance_exhausted", Class::Balance),
    ("billing_hard_limit_reached", Class::Balance),
    ("AccountOverdueError", Class::Balance),
    // Ark's, which no pause mends.
    ("QuotaExceeded", Class::Balance),
    ("content_policy_violation", Class::Moderated),
    ("moderation_blocked", Class::Moderated),
    ("API_KEY_INVALID", Class::Auth),
    ("invalid_api_key", Class::Auth),
    ("AuthenticationError", Class::Auth),
    // Google: the region or the billing of our project. Ark: an endpoint of ours that is switched off.
    ("FAILED_PRECONDITION", Class::Auth),
    ("InvalidEndpoint.ClosedEndpoint", Class::Auth),
    ("model_not_found", Class::Gone),
    ("ModelNotOpen", Class::Gone),
    ("InvalidEndpointOrModel.NotFound", Class::Gone),
    // The work may have been done.
    ("DEADLINE_EXCEEDED", Class::Unknown),
    ("CANCELLED", Class::Unknown),
];
/// What such a word holds where content was refused: Ark has one for each kind of input and of output.
const POLICY: [&str; 2] = ["SensitiveContent", "RiskDetection"];
/// How an account says that it is empty where no word does: xAI answers 403 or 429 then.
const EMPTY: [&str; 3] = ["used all available credits", "spending limit", "no credits"];
/// What an account that is empty is said in. Others may quote a prompt.
const MAY_BE_EMPTY: [Class; 3] = [Class::Auth, Class::Balance, Class::RateLimited];
/// What Google's name of a quota holds that is used up for today.
const PER_DAY: &str = "PerDay";
/// What their words about content are heard in.
const MAY_BE_POLICY: [Class; 3] = [Class::Invalid, Class::Overloaded, Class::Unknown];

/// The wire shape of a refusal: an object, or its words alone.
#[derive(Deserialize)]
struct Body {
    error: Told,
    /// xAI's, beside the words.
    code: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Object(Box<Refused>),
    Words(String),
}

/// The wire shape of an error object.
#[derive(Default, Deserialize)]
pub(super) struct Refused {
    #[serde(default, deserialize_with = "wire::lenient")]
    message: Option<String>,
    /// A word, or Google's HTTP status.
    #[serde(default)]
    code: Value,
    #[serde(rename = "type", default, deserialize_with = "wire::lenient")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient")]
    status: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient")]
    details: Vec<Detail>,
}

/// The wire shape of what Google adds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(default, deserialize_with = "wire::lenient")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient")]
    retry_delay: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient")]
    violations: Vec<Violation>,
}

/// The wire shape of a quota that is used up.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Violation {
    #[serde(default, deserialize_with = "wire::lenient")]
    quota_id: Option<String>,
}

/// A refused submit. `None` leaves it to the status.
pub(super) fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let refused = Refused::read(answer.body)?;
    Some(refused.verdict(Class::of_submit_status(answer.status)))
}

/// As [`classify`], of a submit that is answered with what was made. That they broke, in their own words, says that nothing was, and that
/// nothing is billed.
pub(super) fn classify_at_once(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let Some(refused) = Refused::read(answer.body) else {
        return without_words(answer.status);
    };
    let by_status = match answer.status {
        StatusCode::INTERNAL_SERVER_ERROR => Class::Overloaded,
        status => Class::of_submit_status(status),
    };
    Some(refused.verdict(by_status))
}

/// What the status of a submit that is answered with what was made says alone, where it is not what it seems: whatever is before them
/// answers 503, too, when it loses a call that they have taken, and nowhere is that likelier than in one that takes as long as the work.
pub(super) fn without_words(status: StatusCode) -> Option<Verdict> {
    (status == StatusCode::SERVICE_UNAVAILABLE).then(|| Verdict::of(Class::Unknown))
}

/// As [`classify`], for a look at a job: only they themselves can say that they do not have it. A gateway's bare 404 says nothing about a
/// job that is paid.
pub(super) fn classify_state(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    match Refused::read(answer.body) {
        Some(refused) => Some(refused.verdict(Class::of_status(answer.status))),
        None if Class::of_status(answer.status) == Class::Gone => Some(Verdict::of(Class::Unknown)),
        None => None,
    }
}

// === impl Refused ===

impl Refused {
    /// The error of an answer; Google may wrap it in a list of one.
    fn read(body: &[u8]) -> Option<Self> {
        let body: Body = if body.trim_ascii_start().starts_with(b"[") {
            let [body] = serde_json::from_slice::<[Body; 1]>(body).ok()?;
            body
        } else {
            serde_json::from_slice(body).ok()?
        };
        Some(match body.error {
            Told::Object(refused) => *refused,
            Told::Words(words) => Self {
                message: Some(words),
                code: body.code.unwrap_or_default(),
                ..Self::default()
            },
        })
    }

    /// What it means, where the status, or what it was found in, says no more than this.
    pub(super) fn verdict(&self, otherwise: Class) -> Verdict {
        let class = self.class(otherwise).unwrap_or(otherwise);
        let words = self.message.as_deref().unwrap_or_default();
        let verdict = if !policy::names_us(words) {
            Verdict::with_detail(class, words)
        } else if class == Class::Moderated {
            Verdict::with_detail(class, jobs::REFUSED)
        } else {
            Verdict::of(class)
        };
        verdict.after(self.pause())
    }

    fn class(&self, otherwise: Class) -> Option<Class> {
        let said = self.message.as_deref().unwrap_or_default();
        if policy::tells_surely(said) {
            return Some(Class::Moderated);
        }
        let words = self.words();
        let row = WORDS.iter().find(|(word, _)| words.contains(word));
        if let Some((_, class)) = row {
            return Some(*class);
        }
        let names_policy = |word: &&str| POLICY.iter().any(|policy| word.contains(policy));
        let is_empty =
            MAY_BE_EMPTY.contains(&otherwise) && EMPTY.iter().any(|words| said.contains(words));
        let tells_policy = MAY_BE_POLICY.contains(&otherwise) && policy::tells(said);
        // Nothing that a pause would mend.
        if self.is_used_up_for_today() || is_empty {
            Some(Class::Balance)
        } else if tells_policy || words.iter().any(names_policy) {
            Some(Class::Moderated)
        } else {
            None
        }
    }

    fn words(&self) -> Vec<&str> {
        let named = [
            self.code.as_str(),
            self.kind.as_deref(),
            self.status.as_deref(),
        ];
        let reasons = self.details.iter().map(|detail| detail.reason.as_deref());
        named.into_iter().chain(reasons).flatten().collect()
    }

    fn is_used_up_for_today(&self) -> bool {
        let violations = self.details.iter().flat_map(|detail| &detail.violations);
        let mut quotas = violations.filter_map(|violation| violation.quota_id.as_deref());
        quotas.any(|quota| quota.contains(PER_DAY))
    }

    /// The pause in Google's words: `31s`, `0.5s`. What is less than a second is left out.
    fn pause(&self) -> Option<Duration> {
        let mut delays = self.details.iter();
        let delay = delays.find_map(|detail| detail.retry_delay.as_deref())?;
        let whole: String = delay.chars().take_while(char::is_ascii_digit).collect();
        whole.parse().ok().map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use upstream::Failure;

    use super::*;
    use crate::providers::for_tests::told;

    fn refused(status: u16, body: &str) -> Failure {
        let answer = ProviderAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
        };
        Failure::answered_submit(&answer, classify_at_once)
    }

    /// Answers of one of them, and what is read.
    type Answers = &'static [(u16, &'static str, &'static str)];

    const OPENAI: Answers = &[
        (
            400,
            r#"{"error":{"message":"n must be 1","type":"invalid_request_error","param":"n","code":null}}"#,
            "invalid: n must be 1",
        ),
        (
            400,
            r#"{"error":{"type":"image_generation_user_error","code":"moderation_blocked","param":null,"message":"Rejected by the safety system.","moderation_details":{"moderation_stage":"input"}}}"#,
            "moderated: Rejected by the safety system.",
        ),
        (
            401,
            r#"{"error":{"message":"no","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            "auth",
        ),
        (
            403,
            r#"{"error":{"message":"Your organization must be verified","type":"invalid_request_error"}}"#,
            "auth",
        ),
        (
            404,
            r#"{"error":{"message":"no","code":"model_not_found"}}"#,
            "gone",
        ),
        (
            429,
            r#"{"error":{"message":"slower","type":"requests","code":"rate_limit_exceeded"}}"#,
            "rate_limited",
        ),
        (
            429,
            r#"{"error":{"message":"m","type":"insufficient_quota","code":"credit_balance_exhausted"}}"#,
            "balance",
        ),
        (
            500,
            r#"{"error":{"message":"m","type":"server_error"}}"#,
            "overloaded",
        ),
        (
            503,
            r#"{"error":{"message":"m","code":"server_is_overloaded"}}"#,
            "overloaded",
        ),
    ];
    const GOOGLE: Answers = &[
        (
            400,
            r#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]"#,
            "auth",
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"Aspect ratio","status":"INVALID_ARGUMENT"}}"#,
            "invalid: Aspect ratio",
        ),
        (
            402,
            r#"{"error":{"code":402,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
            "balance",
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED"}}"#,
            "auth",
        ),
        (
            404,
            r#"{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}"#,
            "gone",
        ),
        (
            429,
            r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProject"}]}]}}"#,
            "balance",
        ),
        (
            504,
            r#"{"error":{"code":504,"message":"m","status":"DEADLINE_EXCEEDED"}}"#,
            "unknown",
        ),
        (
            503,
            r#"{"error":{"code":503,"message":null,"status":"UNAVAILABLE","details":null}}"#,
            "overloaded",
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"m","details":[{"reason":7,"violations":null},{"reason":"API_KEY_INVALID"}]}}"#,
            "auth",
        ),
    ];
    const XAI: Answers = &[
        (
            400,
            r#"{"code":"invalid-argument","error":"Argument not supported: size"}"#,
            "invalid: Argument not supported: size",
        ),
        (
            400,
            r#"{"code":"x","error":"Generated image rejected by content moderation."}"#,
            "moderated: Generated image rejected by content moderation.",
        ),
        (
            403,
            r#"{"code":"x","error":"Your team has either used all available credits or reached its monthly limit."}"#,
            "balance",
        ),
        (
            403,
            r#"{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Team: t-1, API key ID: k-1, Model: m, Failed check: SAFETY_CHECK_TYPE_BIO"}"#,
            "moderated: the provider's content policy refused the request or its result",
        ),
        (
            400,
            r#"{"code":"x","error":"Argument not supported. Team: t-1, API key ID: k-1"}"#,
            "invalid",
        ),
        (
            400,
            r#"{"code":"x","error":"prompt is wrong: a beggar with no credits"}"#,
            "invalid: prompt is wrong: a beggar with no credits",
        ),
    ];
    const ARK: Answers = &[
        (
            400,
            r#"{"error":{"code":"InputTextSensitiveContentDetected","message":"m","type":"BadRequest"}}"#,
            "moderated: m",
        ),
        (
            400,
            r#"{"error":{"code":"OutputImageSensitiveContentDetected.PolicyViolation","message":"m"}}"#,
            "moderated: m",
        ),
        (
            400,
            r#"{"error":{"code":"InvalidEndpoint.ClosedEndpoint","message":"m"}}"#,
            "auth",
        ),
        (
            400,
            r#"{"error":{"code":"InvalidParameter","message":"size","param":"size"}}"#,
            "invalid: size",
        ),
        (
            403,
            r#"{"error":{"code":"AccountOverdueError","message":"m","type":"Forbidden"}}"#,
            "balance",
        ),
        (
            404,
            r#"{"error":{"code":"ModelNotOpen","message":"m"}}"#,
            "gone",
        ),
        (
            429,
            r#"{"error":{"code":"RateLimitExceeded.EndpointRPMExceeded","message":"m"}}"#,
            "rate_limited",
        ),
        (
            500,
            r#"{"error":{"code":"InternalServiceError","message":"m"}}"#,
            "overloaded",
        ),
    ];
    const NOBODY: Answers = &[
        (500, "<html>", "unknown"),
        (502, "", "unknown"),
        (
            503,
            "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            "unknown",
        ),
        (418, r#"{"error":null}"#, "invalid"),
    ];

    #[test]
    fn everybody_spells_it_differently() {
        for &(status, body, expected) in [OPENAI, GOOGLE, XAI, ARK, NOBODY].into_iter().flatten() {
            assert_eq!(told(&refused(status, body)), expected, "{body}");
        }
    }

    #[test]
    fn google_says_in_the_body_how_long_to_wait() {
        for (delay, seconds) in [("31s", Some(31)), ("0.5s", Some(0)), ("soon", None)] {
            let body = format!(
                r#"{{"error":{{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{{}},{{"retryDelay":"{delay}"}}]}}}}"#
            );
            let pause = refused(429, &body).retry_after();
            assert_eq!(pause, seconds.map(Duration::from_secs), "{delay}");
        }
    }

    #[test]
    fn a_job_may_have_been_taken_by_who_breaks() {
        let answer = ProviderAnswer {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            headers: &HeaderMap::new(),
            body: br#"{"error":{"message":"m","type":"server_error"}}"#,
        };
        let class = |classify: fn(&ProviderAnswer<'_>) -> Option<Verdict>| {
            Failure::answered_submit(&answer, classify).class()
        };
        assert_eq!(class(classify), Class::Unknown);
        assert_eq!(class(classify_at_once), Class::Overloaded);
    }

    #[test]
    fn a_gateways_503_says_little_of_a_call_that_takes_as_long_as_the_work() {
        let answer = ProviderAnswer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers: &HeaderMap::new(),
            body: b"upstream connect error",
        };
        let class = |classify: fn(&ProviderAnswer<'_>) -> Option<Verdict>| {
            Failure::answered_submit(&answer, classify).class()
        };
        assert_eq!(class(classify), Class::Overloaded);
        assert_eq!(class(classify_at_once), Class::Unknown);
    }

    #[test]
    fn a_gateways_404_says_nothing_about_a_job() {
        let class = |body: &str| {
            let answer = ProviderAnswer {
                status: StatusCode::NOT_FOUND,
                headers: &HeaderMap::new(),
                body: body.as_bytes(),
            };
            Failure::answered(&answer, classify_state).class()
        };
        assert_eq!(class("<html>"), Class::Unknown);
        let theirs = r#"{"error":{"code":"NotFound","message":"m"}}"#;
        assert_eq!(class(theirs), Class::Gone);
    }
}
