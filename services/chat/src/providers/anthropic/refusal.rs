//! What Anthropic means when it refuses: its error object, by type and, for an empty account, by words.

use serde::Deserialize;
use upstream::{Class, Failure, ProviderAnswer, Verdict};

/// The types of an error, and what they mean.
const TYPES: &[(&str, Class)] = &[
    ("invalid_request_error", Class::Invalid),
    ("request_too_large", Class::Invalid),
    ("authentication_error", Class::Auth),
    ("permission_error", Class::Auth),
    ("billing_error", Class::Balance),
    ("not_found_error", Class::Gone),
    ("conflict_error", Class::Overloaded),
    ("rate_limit_error", Class::RateLimited),
    ("api_error", Class::Overloaded),
    ("overloaded_error", Class::Overloaded),
    // The work may have been done.
    ("timeout_error", Class::Unknown),
];

/// What an invalid request says that is none: our account is empty, or has reached a limit of its own.
const OUR_ACCOUNT: [&str; 3] = [
    "credit balance is too low",
    "organization has been disabled",
    "reached your specified api usage limits",
];

#[derive(Deserialize)]
struct Body {
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(rename = "type", default)]
    kind: String,
    message: Option<String>,
}

/// Reads a refusal with a status. `None` leaves it to the status.
pub(super) fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let error = parse(answer.body)?;
    let class = error
        .class()
        .unwrap_or_else(|| Class::of_status(answer.status));
    Some(error.verdict(class))
}

/// Reads an error inside an answer or a stream, where there is no status.
pub(super) fn reported(json: &[u8]) -> Failure {
    let Some(error) = parse(json) else {
        return Failure::malformed("an error says nothing");
    };
    let class = error.class().unwrap_or(Class::Overloaded);
    Failure::reported(error.verdict(class))
}

fn parse(json: &[u8]) -> Option<WireError> {
    let body: Body = serde_json::from_slice(json).ok()?;
    body.error
}

// === impl WireError ===

impl WireError {
    fn class(&self) -> Option<Class> {
        let row = TYPES.iter().find(|(kind, _)| *kind == self.kind);
        let class = row.map(|(_, class)| *class)?;
        if class == Class::Invalid && self.is_about_our_account() {
            return Some(Class::Balance);
        }
        Some(class)
    }

    fn is_about_our_account(&self) -> bool {
        let message = self.message.as_deref().unwrap_or_default();
        let message = message.to_ascii_lowercase();
        OUR_ACCOUNT.iter().any(|words| message.contains(words))
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

    fn failure(status: u16, body: &str) -> Failure {
        let answer = ProviderAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
        };
        Failure::answered(&answer, classify)
    }

    fn error(kind: &str, message: &str) -> String {
        format!(
            r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#
        )
    }

    #[test]
    fn every_refusal_has_its_class() {
        let low = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.";
        let limit = "You have reached your specified API usage limits. You will regain access on 2030-01-01.";
        for (status, kind, message, expected) in [
            (400, "invalid_request_error", "m", Class::Invalid),
            (400, "invalid_request_error", low, Class::Balance),
            (400, "invalid_request_error", limit, Class::Balance),
            (401, "authentication_error", "m", Class::Auth),
            (402, "billing_error", "m", Class::Balance),
            (403, "permission_error", "m", Class::Auth),
            (404, "not_found_error", "m", Class::Gone),
            (409, "conflict_error", "m", Class::Overloaded),
            (413, "request_too_large", "m", Class::Invalid),
            (429, "rate_limit_error", "m", Class::RateLimited),
            (500, "api_error", "m", Class::Overloaded),
            (504, "timeout_error", "m", Class::Unknown),
            (529, "overloaded_error", "m", Class::Overloaded),
            // A type we do not know is what its status says.
            (400, "new_error", "m", Class::Invalid),
            (503, "new_error", "m", Class::Overloaded),
        ] {
            let failure = failure(status, &error(kind, message));
            assert_eq!(failure.class(), expected, "{status} {kind} {message}");
        }
        for (status, body, expected) in [
            (413, "<html>", Class::Invalid),
            (502, "<html>", Class::Unknown),
            (529, "{}", Class::Overloaded),
            (402, "", Class::Balance),
        ] {
            assert_eq!(failure(status, body).class(), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_customer_reads_only_what_is_about_the_request() {
        let detail = |status, kind, message| {
            let failure = failure(status, &error(kind, message));
            failure.detail().map(str::to_owned)
        };
        assert_eq!(
            detail(400, "invalid_request_error", "top_p: too much").as_deref(),
            Some("top_p: too much")
        );
        assert_eq!(detail(401, "authentication_error", "our key"), None);
        let low = "your credit balance is too low";
        assert_eq!(detail(400, "invalid_request_error", low), None);
    }

    #[test]
    fn an_error_inside_an_answer_is_read_by_its_type() {
        let class = |kind| reported(error(kind, "m").as_bytes()).class();
        assert_eq!(class("overloaded_error"), Class::Overloaded);
        assert_eq!(class("rate_limit_error"), Class::RateLimited);
        assert_eq!(class("api_error"), Class::Overloaded);
        assert_eq!(class("new_error"), Class::Overloaded);
        assert_eq!(reported(b"{}").class(), Class::Malformed);
    }
}
