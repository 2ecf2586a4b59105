//! Providers that answer a submit with what they made: it is made while the caller waits. How such a call ends, whatever the wire.

use std::time::Duration;

use axum::{body::Bytes, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::clock::{MICROS_PER_SECOND, micros, now_micros};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use crate::{
    Error, Sandbox, answer, bill,
    directive::{Directive, Outcome},
    job::{Job, directive_of},
    kie::Asked,
    made::{self, Made},
};

/// How many times the work an overreporting call tells, and is billed for.
const OVERREPORTED: i64 = 100;
/// The header that names a call.
const REQUEST_ID: &str = "x-request-id";

/// What is asked for.
pub(crate) struct Order<'a> {
    /// What the bill calls the provider.
    pub(crate) provider: &'static str,
    pub(crate) model: &'a str,
    pub(crate) input: &'a Value,
    pub(crate) made: Made,
    /// Micro-US-dollars for all of it.
    pub(crate) price: i64,
}

/// How a call ends.
pub(crate) enum End {
    /// With what was made, and how many times the work is told.
    Made(Job, i64),
    /// With a refusal of the provider's, in its own words.
    Refused(Outcome),
    /// With no answer of the provider's.
    Broken(Response),
}

/// What is refused before anything is made.
pub(crate) fn is_refused(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::RateLimited | Outcome::Overloaded | Outcome::OutOfBalance
    )
}

/// Does what is asked, as its directive says.
pub(crate) async fn call(sandbox: &Sandbox, order: Order<'_>) -> End {
    let directive = directive_of(order.input, &sandbox.config.bounds());
    let hangs = directive.outcome == Outcome::Hang;
    Box::pin(run(sandbox, order, (&directive, hangs))).await
}

/// The same for an answer that is told while it is made: one that hangs may do so in the middle of it.
pub(crate) async fn tell(sandbox: &Sandbox, order: Order<'_>) -> (End, Directive) {
    let directive = directive_of(order.input, &sandbox.config.bounds());
    let hangs = directive.outcome == Outcome::Hang && directive.after.is_none();
    let end = Box::pin(run(sandbox, order, (&directive, hangs))).await;
    (end, directive)
}

/// `hangs`: before there is an answer.
async fn run(sandbox: &Sandbox, order: Order<'_>, (directive, hangs): (&Directive, bool)) -> End {
    let outcome = directive.outcome;
    if is_refused(outcome) {
        return End::Refused(outcome);
    }
    let seed = order.input.get("seed").and_then(Value::as_i64);
    let job = Job::new(directive, sandbox.config.default_delay, seed, order.made);
    let row = bill::Job {
        id: job.encode(),
        provider: order.provider.to_owned(),
        model: order.model.to_owned(),
        kind: job.made.kind.billed_as().to_owned(),
        prompt_hash: bill::hash(&format!("{} {}", order.model, order.input)),
        at: job.start,
        billed: order.price * billed(outcome),
    };
    if let Err(error) = sandbox.bill.record(row).await {
        tracing::error!(%error, "the sandbox failed");
        return End::Refused(Outcome::Fail);
    }
    if hangs {
        return End::Broken(answer::hang(&sandbox.tasks).await);
    }
    tokio::time::sleep(Duration::from_millis(job.delay_millis.into())).await;
    match outcome {
        Outcome::Fail | Outcome::Moderated => End::Refused(outcome),
        Outcome::Malformed => End::Broken(answer::malformed()),
        Outcome::Vanish => End::Broken(answer::vanish()),
        Outcome::Success
        | Outcome::RateLimited
        | Outcome::Overloaded
        | Outcome::OutOfBalance
        | Outcome::Hang
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Overreport
        | Outcome::Cut => End::Made(job, billed(outcome)),
    }
}

/// How many times its price such work is billed with.
pub(crate) fn billed(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Fail | Outcome::Moderated | Outcome::Hang => 0,
        Outcome::Overreport => OVERREPORTED,
        Outcome::Success
        | Outcome::RateLimited
        | Outcome::Overloaded
        | Outcome::OutOfBalance
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Cut => 1,
    }
}

/// The files of a job, in base64.
pub(crate) async fn inline(sandbox: &Sandbox, job: &Job) -> Result<Vec<String>, Error> {
    let mut files = Vec::new();
    for number in 0..job.made.count {
        let file = made::make(sandbox, job.clone(), number).await?;
        files.push(STANDARD.encode(file));
    }
    Ok(files)
}

/// Where the files of a job are to be had, for as long as links live.
pub(crate) fn links(sandbox: &Sandbox, job: &Job, (provider, origin): (&str, &str)) -> Vec<String> {
    let life = micros(sandbox.config.link_life);
    let expires = now_micros().saturating_add(life) / MICROS_PER_SECOND;
    let link = |number| made::link(origin, provider, job, number, expires);
    (0..job.made.count).map(link).collect()
}

/// An answer with what came inside of it: half of it, where that is cut.
pub(crate) fn whole(job: &Job, body: &Value) -> Response {
    ended(job, "application/json", &Bytes::from(body.to_string()))
}

/// The one file of a job as the answer itself: half of it, where that is cut.
pub(crate) async fn file(sandbox: &Sandbox, job: &Job) -> Result<Response, Error> {
    let bytes = made::make(sandbox, job.clone(), 0).await?;
    Ok(ended(job, job.made.kind.content_type(), &bytes))
}

fn ended(job: &Job, content_type: &'static str, body: &Bytes) -> Response {
    let whole = answer::text(StatusCode::OK, content_type, body.clone());
    let whole = named(whole, job);
    if job.outcome == Outcome::Cut {
        answer::cut(whole, body)
    } else {
        whole
    }
}

/// An answer with what the call is called.
pub(crate) fn named(mut answer: Response, job: &Job) -> Response {
    if let Ok(id) = HeaderValue::from_str(&format!("req_{:016x}", job.nonce)) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    answer
}

/// Whether a request shows a bearer's key; any does.
pub(crate) fn has_key(headers: &HeaderMap) -> bool {
    let key = headers.get(header::AUTHORIZATION);
    let key = key.and_then(|key| key.to_str().ok()?.strip_prefix("Bearer "));
    key.is_some_and(|key| !key.trim().is_empty())
}

/// Width and height by a ratio and a size: `16:9`, `2K`.
pub(crate) fn sides(ratio: &str, size: &str) -> (u16, u16) {
    let asked = [("aspect_ratio", ratio), ("resolution", size)];
    let asked = asked.map(|(name, text)| (name.to_owned(), text.into()));
    Asked(&Map::from_iter(asked)).picture()
}

/// `1024x1536`.
pub(crate) fn pixels(text: &str) -> Option<(u16, u16)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(sides("16:9", "2K"), (2_048, 1_152));
        assert_eq!(sides("1:1", "1k"), (1_024, 1_024));
        assert_eq!(pixels("1024x1536"), Some((1_024, 1_536)));
        for text in ["", "auto", "1024", "1024x", "70000x1"] {
            assert_eq!(pixels(text), None, "{text}");
        }
    }
}
