//! Providers that answer a submit with the picture itself: how one is asked, and what one refuses. Most do not say what an error of theirs looks
//! like: its words are read wherever they were met, but are not known to be theirs.

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use upstream::{Call, Class, Classify, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Cost, Started,
    at_once::{self, Heard},
    jobs, wire,
};
use crate::measure;

/// Where the words of a refusal stand, each in the place of the others: a text, a list of them, or an object that has one.
const WORDS: [&str; 5] = ["errors", "title", "detail", "message", "error"];

const BROKE: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
const FULL: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// The header that says what an answer cost in credits of theirs, and what one of those is in millionths of a US dollar.
pub(super) type Told = (&'static str, i64);

/// Submits, and waits for the picture.
pub(super) async fn ask(
    client: &ProviderClient,
    call: Call,
    classify: Classify,
    told: Option<Told>,
) -> Result<Started, Failure> {
    let reply = match at_once::ask(client, call, classify).await? {
        Heard::Reply(reply) => reply,
        Heard::Failed(started) => return Ok(started),
    };
    let headers = reply.headers().clone();
    let bytes = reply.bytes().await?;
    let kind = measure::content_type(&bytes).filter(|kind| kind.starts_with("image/"));
    let kind = kind.ok_or_else(|| Failure::malformed("the answer to a submit is no picture"))?;
    let file = wire::encoded(kind, &bytes);
    drop(bytes);
    let cost = told.and_then(|told| cost(&headers, told));
    Ok(at_once::given(
        &at_once::id(&headers, at_once::REQUEST_ID),
        vec![file],
        cost,
    ))
}

fn cost(headers: &HeaderMap, (name, each): Told) -> Option<Cost> {
    let credits = headers.get(name)?.to_str().ok()?;
    Cost::of_credits(&Value::from(credits), each)
}

/// What is known of how one refuses.
pub(super) struct Manner {
    /// Statuses that mean something else there than elsewhere.
    pub own: &'static [(u16, Class)],
    /// The list of errors that an answer of theirs has, where they say that it has one. Only then it is known whose word a 500 or a 503 is: what
    /// stands before them says the same, in JSON as well, when it loses a call that they have taken.
    pub errors: Option<&'static str>,
}

/// What a refusal means, by its words and its status.
pub(super) fn verdict(answer: &ProviderAnswer<'_>, manner: &Manner) -> Option<Verdict> {
    let mut own = manner.own.iter();
    let own = own.find(|(status, _)| *status == answer.status.as_u16());
    let own = own.map(|(_, class)| *class);
    let body = serde_json::from_slice::<Value>(answer.body).ok();
    let body = body.filter(Value::is_object);
    let class = own.unwrap_or_else(|| match answer.status {
        // They say themselves that they broke, or are full: nothing was made.
        BROKE | FULL if is_theirs(body.as_ref(), manner) => Class::Overloaded,
        BROKE | FULL => Class::Unknown,
        status => Class::of_submit_status(status),
    });
    let words = body.as_ref().and_then(said);
    Some(jobs::of_words(class, &words.unwrap_or_default()))
}

fn is_theirs(body: Option<&Value>, manner: &Manner) -> bool {
    let errors = manner.errors.and_then(|name| body?.get(name)?.as_array());
    errors.is_some_and(|errors| errors.iter().any(Value::is_object))
}

fn said(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => items.iter().find_map(said),
        Value::Object(members) => WORDS.iter().find_map(|name| said(members.get(*name)?)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_wherever_they_stand() {
        for (body, found) in [
            (r#"{"errors":[{"title":"No","code":"x"}]}"#, Some("No")),
            (r#"{"detail":"No"}"#, Some("No")),
            (r#"{"detail":[{"msg":"x","message":"No"}]}"#, Some("No")),
            (r#"{"error":{"code":7,"message":"No"}}"#, Some("No")),
            (r#"{"message":7,"error":"No"}"#, Some("No")),
            (r#"{"status":"failed"}"#, None),
            ("[]", None),
        ] {
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!(said(&body).as_deref(), found, "{body}");
        }
    }

    #[test]
    fn a_cost_is_what_the_header_says() {
        let mut headers = HeaderMap::new();
        assert_eq!(cost(&headers, ("x-credits", 200_000)), None);
        for (value, micro_usd) in [("1", Some(200_000)), ("0.25", Some(50_000)), ("few", None)] {
            headers.insert("x-credits", value.parse().unwrap());
            let cost = cost(&headers, ("x-credits", 200_000));
            assert_eq!(cost.map(|cost| cost.micro_usd), micro_usd, "{value}");
        }
    }
}
