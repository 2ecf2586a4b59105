//! Ideogram's second API: each way to a picture has its place, takes JSON, or a form where files go in, and is a job where that is asked for.
//! A result that is held back is told as one that is there, without an address, and billed.

mod order;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use chassis::clock::{MICROS_PER_SECOND, now_micros};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::order::Asked;
use crate::{
    Sandbox, answer, at_once, bill,
    callback::Order as Callback,
    directive::Outcome,
    inputs,
    job::{Job, State as JobState, directive_of},
};

/// What the bill and the links of files call it.
const PROVIDER: &str = "ideogram";
/// Where its key is shown.
const KEY: &str = "api-key";
/// The digits of a job's price, in the id.
const DIGITS: usize = 6;

/// A refusal: status, words, and why, where they say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal(StatusCode, String, Option<&'static str>);

/// A job as its id tells it: what a picture costs, in micro-US-dollars, then the job.
struct Generation {
    price: i64,
    job: Job,
}

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/ideogram/v2/image/{way}/{model}", post(submit))
        .route("/ideogram/v2/generations/{id}", get(look))
}

/// `POST /ideogram/v2/image/{way}/{model}`.
async fn submit(
    State(sandbox): State<Sandbox>,
    Path((way, model)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return no_key().answer();
    }
    let asked = match Asked::read(&format!("{way}/{model}"), &headers, body).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal.answer(),
    };
    if let Err(why) = inputs::check(&sandbox, &asked.input).await {
        return invalid(&why).answer();
    }
    let directive = directive_of(&asked.input, &sandbox.config.bounds());
    if let Some(refusal) = refusal(directive.outcome) {
        return refusal.answer();
    }
    let seed = asked.input.get("seed").and_then(Value::as_i64);
    let generation = Generation {
        price: asked.price,
        job: Job::new(&directive, sandbox.config.default_delay, seed, asked.made),
    };
    let row = bill::Job {
        id: generation.encode(),
        provider: PROVIDER.to_owned(),
        model: asked.model.to_owned(),
        kind: generation.job.made.kind.billed_as().to_owned(),
        prompt_hash: bill::hash(&format!("{} {}", asked.model, asked.input)),
        at: generation.job.start,
        billed: generation.billed(),
    };
    let accepted = json!({ "generation_id": row.id, "seed": generation.job.seed });
    let callback = Callback {
        outcome: generation.job.outcome,
        due: generation.job.due(),
        url: asked.callback,
    };
    let signature = sandbox.signer.for_ideogram(&row.id);
    match sandbox.bill.record(row).await {
        Ok(()) => {
            let caller = &sandbox.caller;
            caller.call_back_signed(callback, &accepted, Some(signature));
            answer::json(StatusCode::OK, &accepted)
        }
        Err(error) => {
            tracing::error!(%error, "the sandbox failed");
            broken().answer()
        }
    }
}

/// `GET /ideogram/v2/generations/{id}`.
async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return no_key().answer();
    }
    let (Some(generation), Some(origin)) =
        (Generation::decode(&id), answer::origin(&headers, &uri))
    else {
        return unknown().answer();
    };
    let job = &generation.job;
    let told = |status: &str| json!({ "generation_id": id, "status": status, "created": moment(job.start) });
    let failed = |reason: &str| answer::with(told("failed"), "failure_reason", json!(reason));
    let body = match job.state(now_micros()) {
        JobState::Unknown => return unknown().answer(),
        JobState::Malformed => return answer::malformed(),
        JobState::Pending(_) => told("pending"),
        JobState::Ready => {
            let urls = at_once::links(&sandbox, job, (PROVIDER, &origin));
            generation.completed(told("completed"), urls.into_iter().map(Some))
        }
        JobState::Failed => failed("internal_error"),
        JobState::RequestModerated => failed("content_policy_violation"),
        JobState::ContentModerated => {
            let none = (0..job.made.count).map(|_| None);
            generation.completed(told("completed"), none)
        }
    };
    answer::json(StatusCode::OK, &job.with_word(body))
}

fn has_key(headers: &HeaderMap) -> bool {
    headers.get(KEY).is_some_and(|key| !key.is_empty())
}

fn moment(at: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(at / MICROS_PER_SECOND);
    at.ok()?.format(&Rfc3339).ok()
}

fn invalid(words: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, words.to_owned(), None)
}

fn no_key() -> Refusal {
    Refusal(
        StatusCode::UNAUTHORIZED,
        "There is no key in the header Api-Key.".to_owned(),
        None,
    )
}

fn unknown() -> Refusal {
    let words = "There is no such generation, or no such model.";
    Refusal(StatusCode::NOT_FOUND, words.to_owned(), None)
}

fn broken() -> Refusal {
    Refusal(
        StatusCode::INTERNAL_SERVER_ERROR,
        "The sandbox failed.".to_owned(),
        None,
    )
}

/// The outcomes that refuse a submit at once.
fn refusal(outcome: Outcome) -> Option<Refusal> {
    let table = [
        (
            Outcome::RateLimited,
            StatusCode::TOO_MANY_REQUESTS,
            "Too many pictures are being made.",
            "inflight_limit",
        ),
        (
            Outcome::Overloaded,
            StatusCode::SERVICE_UNAVAILABLE,
            "There is no capacity.",
            "",
        ),
        (
            Outcome::OutOfBalance,
            StatusCode::PAYMENT_REQUIRED,
            "Not enough credits.",
            "insufficient_funds",
        ),
    ];
    let row = table.into_iter().find(|row| row.0 == outcome);
    row.map(|(_, status, words, why)| {
        Refusal(
            status,
            words.to_owned(),
            Some(why).filter(|why| !why.is_empty()),
        )
    })
}

// === impl Refusal ===

impl Refusal {
    fn answer(&self) -> Response {
        let body = json!({ "error": self.1 });
        let body = match self.2 {
            Some(why) => answer::with(body, "reject_reason", json!(why)),
            None => body,
        };
        answer::json(self.0, &body)
    }
}

// === impl Generation ===

impl Generation {
    fn encode(&self) -> String {
        format!("{:0DIGITS$}{}", self.price, self.job.encode())
    }

    /// Reads an id; `None` for one that is not ours.
    fn decode(id: &str) -> Option<Self> {
        let (price, job) = id.split_at_checked(DIGITS)?;
        let is_number = price.bytes().all(|digit| digit.is_ascii_digit());
        Some(Self {
            price: is_number.then(|| price.parse().ok())??,
            job: Job::decode(job)?,
        })
    }

    /// Micro-US-dollars: what is held back costs as much as what is not.
    fn billed(&self) -> i64 {
        let outcome = self.job.outcome;
        let is_held_back = outcome == Outcome::Moderated && self.job.delay_millis > 0;
        self.price
            * if is_held_back {
                1
            } else {
                at_once::billed(outcome)
            }
    }

    fn completed(&self, told: Value, urls: impl Iterator<Item = Option<String>>) -> Value {
        let made = &self.job.made;
        let picture = |url: Option<String>| {
            json!({
                "object_type": "image.generation", "is_image_safe": url.is_some(), "url": url, "prompt": "(the sandbox keeps no prompts)",
                "resolution": format!("{}x{}", made.width, made.height), "seed": self.job.seed,
            })
        };
        let told = answer::with(told, "response_type", json!("url"));
        let told = answer::with(told, "data", urls.map(picture).collect());
        answer::with(told, "usage_cost_usd_micros", json!(self.billed()))
    }
}
