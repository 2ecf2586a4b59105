//! What ElevenLabs means when they refuse: by a word of theirs, and not by the status alone, since an account that is empty says 401, and
//! 429 is a limit of ours or too much for them. Pure.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use upstream::{Class, ProviderAnswer, Verdict};

use super::super::{policy, refusal, wire};

/// Their words, and what they mean.
const WORDS: [(&str, Class); 14] = [
    ("quota_exceeded", Class::Balance),
    ("insufficient_credits", Class::Balance),
    ("payment_required", Class::Balance),
    ("invalid_api_key", Class::Auth),
    ("needs_authorization", Class::Auth),
    ("missing_permissions", Class::Auth),
    ("detected_unusual_activity", Class::Auth),
    ("max_character_limit_exceeded", Class::Invalid),
    ("voice_not_found", Class::Invalid),
    ("model_not_found", Class::Gone),
    ("too_many_concurrent_requests", Class::RateLimited),
    ("rate_limit_exceeded", Class::RateLimited),
    ("system_busy", Class::Overloaded),
    ("content_against_policy", Class::Moderated),
];
/// What begins the words for what another plan of theirs has: `only_for_creator+`.
const OF_A_PLAN: &str = "only_for_";
/// What words about content are heard in: they come as 400 or as 403, without a word of their own.
const MAY_BE_POLICY: [Class; 2] = [Class::Invalid, Class::Auth];
/// Where a field stands that is part of the request's body.
const BODY: &str = "body";

/// The wire shape of a refusal.
#[derive(Deserialize)]
struct Refused {
    detail: Detail,
}

/// The wire shape of what it says: an object, all that is wrong with a request, or words alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Detail {
    // Before the object, which a list would be read as.
    List(Vec<Wrong>),
    Object(Told),
    Words(String),
}

/// The wire shape of one refusal. Older ones have a `status`, newer ones a `code` and a `type`.
#[derive(Deserialize)]
struct Told {
    #[serde(default, deserialize_with = "wire::lenient")]
    status: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    code: String,
    #[serde(rename = "type", default, deserialize_with = "wire::lenient")]
    kind: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    message: String,
}

/// The wire shape of one thing that is wrong with a request.
#[derive(Deserialize)]
struct Wrong {
    #[serde(default, deserialize_with = "wire::lenient")]
    loc: Vec<Value>,
    #[serde(default, deserialize_with = "wire::lenient")]
    msg: String,
}

/// A refused submit, which would have been answered with what was made. `None` leaves it to the status.
pub(super) fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    match serde_json::from_slice::<Refused>(answer.body) {
        Ok(refused) => Some(refused.detail.verdict(answer.status)),
        Err(_) => refusal::without_words(answer.status),
    }
}

fn without_a_word(status: StatusCode) -> Class {
    match status {
        // Their own words say that nothing was made, and that nothing is billed.
        StatusCode::INTERNAL_SERVER_ERROR | StatusCode::TOO_EARLY => Class::Overloaded,
        status => Class::of_submit_status(status),
    }
}

// === impl Detail ===

impl Detail {
    fn verdict(&self, status: StatusCode) -> Verdict {
        let words = self.message();
        // What a word of theirs says of our account is not about content, whatever stands beside it.
        let (class, may_be_policy) = match self.class() {
            Some(class) => (class, class == Class::Invalid),
            None => {
                let class = without_a_word(status);
                (class, MAY_BE_POLICY.contains(&class))
            }
        };
        if may_be_policy && policy::tells(&words) {
            return Verdict::with_detail(Class::Moderated, words);
        }
        Verdict::with_detail(class, words)
    }

    /// What a word of theirs says, if it is known.
    fn class(&self) -> Option<Class> {
        match self {
            Self::Object(told) => told.class(),
            Self::List(_) => Some(Class::Invalid),
            Self::Words(_) => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Object(told) => told.message.clone(),
            Self::List(wrongs) => {
                let wrongs: Vec<String> = wrongs.iter().map(Wrong::words).collect();
                wrongs.join("; ")
            }
            Self::Words(words) => words.clone(),
        }
    }
}

// === impl Told ===

impl Told {
    fn class(&self) -> Option<Class> {
        let words = [&self.status, &self.code, &self.kind];
        let known = |(word, _): &&(&str, Class)| words.iter().any(|said| said.as_str() == *word);
        if let Some((_, class)) = WORDS.iter().find(known) {
            return Some(*class);
        }
        let is_of_a_plan = words.iter().any(|word| word.starts_with(OF_A_PLAN));
        is_of_a_plan.then_some(Class::Auth)
    }
}

// === impl Wrong ===

impl Wrong {
    /// `inputs.0.text: Field required`.
    fn words(&self) -> String {
        let place = self.loc.iter().map(|part| {
            part.as_str()
                .map_or_else(|| part.to_string(), str::to_owned)
        });
        let place: Vec<String> = place.filter(|part| part != BODY).collect();
        if place.is_empty() {
            self.msg.clone()
        } else {
            format!("{}: {}", place.join("."), self.msg)
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use upstream::Failure;

    use super::*;
    use crate::providers::for_tests::told;

    fn refused(status: u16, body: &str) -> String {
        let answer = ProviderAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
        };
        told(&Failure::answered_submit(&answer, classify))
    }

    #[test]
    fn a_word_says_more_than_the_status() {
        for (status, word, expected) in [
            (400, "max_character_limit_exceeded", "invalid: m"),
            (400, "voice_not_found", "invalid: m"),
            (404, "voice_not_found", "invalid: m"),
            (404, "model_not_found", "gone"),
            (401, "invalid_api_key", "auth"),
            (401, "missing_permissions", "auth"),
            (401, "quota_exceeded", "balance"),
            (402, "payment_required", "balance"),
            (402, "other", "balance"),
            (403, "only_for_creator+", "auth"),
            (400, "only_for_pro+", "auth"),
            (425, "other", "overloaded"),
            (429, "too_many_concurrent_requests", "rate_limited"),
            (429, "system_busy", "overloaded"),
            (429, "other", "rate_limited"),
            (403, "content_against_policy", "moderated: m"),
            (500, "other", "overloaded"),
            (502, "other", "unknown"),
        ] {
            for name in ["status", "code", "type"] {
                let body = format!(r#"{{"detail":{{"{name}":"{word}","message":"m"}}}}"#);
                assert_eq!(refused(status, &body), expected, "{status} {body}");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said() {
        for (status, body, expected) in [
            (
                422,
                r#"{"detail":[{"loc":["body","inputs",0,"text"],"msg":"Field required","type":"missing"},{"loc":["body"],"msg":"no"}]}"#,
                "invalid: inputs.0.text: Field required; no",
            ),
            (
                403,
                r#"{"detail":{"status":"s","message":"The text is against our content policy."}}"#,
                "moderated: The text is against our content policy.",
            ),
            (
                400,
                r#"{"detail":"This voice was flagged"}"#,
                "moderated: This voice was flagged",
            ),
            (
                401,
                r#"{"detail":{"status":"detected_unusual_activity","message":"Your account was flagged"}}"#,
                "auth",
            ),
            (
                401,
                r#"{"detail":{"status":"missing_permissions","message":"The safety of keys"}}"#,
                "auth",
            ),
            (404, r#"{"detail":"Not Found"}"#, "gone"),
            (422, r#"{"detail":[{"loc":null,"msg":null}]}"#, "invalid"),
            (
                429,
                r#"{"detail":{"status":7,"message":null}}"#,
                "rate_limited",
            ),
        ] {
            assert_eq!(refused(status, body), expected, "{body}");
        }
    }

    #[test]
    fn without_their_words_the_status_says_little() {
        for (status, expected) in [
            (401, "auth"),
            (429, "rate_limited"),
            (500, "unknown"),
            (503, "unknown"),
            (504, "unknown"),
        ] {
            for body in ["", "<html>", "{}", r#"{"detail":7}"#] {
                assert_eq!(refused(status, body), expected, "{status} {body}");
            }
        }
    }
}
