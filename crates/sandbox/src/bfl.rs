//! Black Forest Labs' API: submit an image, poll it, download it within ten minutes.
//!
//! It plays the global host: the answer to a submit names where to poll, unless it is to call back.

mod job;
mod request;

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
};
use chassis::clock::{MICROS_PER_SECOND, micros, now_micros};
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use self::{
    job::Job,
    request::{Submit, Violation},
};
use crate::{
    Error, Sandbox, answer, bill,
    callback::Order,
    directive::{self, Outcome},
    inputs,
    job::{Reading, State as JobState},
    picture::{Format, Picture},
};

/// What `GET /bfl/v1/get_result` is asked.
#[derive(Debug, Deserialize)]
pub(crate) struct Poll {
    id: Option<String>,
}

/// A result link's expiry, in seconds UTC.
#[derive(Debug, Deserialize)]
pub(crate) struct Link {
    se: Option<i64>,
}

/// The models, with the price of the first megapixel and of each further one, input images included, in
/// micro-US-dollars.
const MODELS: [(&str, i64, i64); 7] = [
    ("flux-2-max", 70_000, 30_000),
    ("flux-2-pro", 30_000, 15_000),
    ("flux-2-pro-preview", 30_000, 15_000),
    ("flux-2-flex", 50_000, 50_000),
    ("flux-2-klein-4b", 14_000, 1_000),
    ("flux-2-klein-9b", 15_000, 2_000),
    ("flux-2-klein-9b-preview", 15_000, 2_000),
];

/// A megapixel as the price counts it: 1024 × 1024.
const MEGAPIXEL: u32 = 1_024 * 1_024;
/// Micro-US-dollars in one of the provider's credits.
const CREDIT: i64 = 10_000;
/// How many times the cost an overreporting job names.
const OVERREPORTED: i64 = 100;
/// The provider's credits are never used up here.
const BALANCE: f64 = 1_000_000.0;

/// `POST /bfl/v1/{model}`.
pub(crate) async fn submit(
    State(sandbox): State<Sandbox>,
    Path(model): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return detail(StatusCode::FORBIDDEN, "Not authenticated");
    }
    let Some(price) = MODELS.iter().find(|(name, ..)| *name == model) else {
        return detail(StatusCode::NOT_FOUND, "Not Found");
    };
    let submit = match request::read(&body) {
        Ok(submit) => submit,
        Err(violations) => return unprocessable(&violations),
    };
    let whole = serde_json::from_slice(&body).unwrap_or_default();
    if let Err(why) = inputs::check(&sandbox, &whole).await {
        return detail(StatusCode::UNPROCESSABLE_ENTITY, &why);
    }
    let Some(origin) = answer::origin(&headers, &uri) else {
        return detail(StatusCode::BAD_REQUEST, "Invalid host header");
    };
    let directive = directive::parse(&submit.prompt, &sandbox.config.bounds());
    if let Some(refusal) = refusal(directive.outcome) {
        return refusal;
    }
    let delay = directive.delay.unwrap_or(sandbox.config.default_delay);
    let job = Job {
        nonce: rand::random(),
        start: now_micros(),
        delay_millis: u32::try_from(delay.as_millis()).unwrap_or(u32::MAX),
        width: submit.width,
        height: submit.height,
        seed: submit
            .seed
            .unwrap_or_else(|| i64::from(rand::random::<u32>())),
        outcome: directive.outcome,
        format: submit.format,
        directive: Reading::of(&directive),
    };
    let cost = cost(*price, &submit, directive.outcome);
    let row = bill::Job {
        id: job.encode(),
        provider: "bfl".to_owned(),
        model,
        kind: "image".to_owned(),
        prompt_hash: bill::hash(&submit.prompt),
        at: job.start,
        billed: if earns(directive.outcome) { cost } else { 0 },
    };
    let accepted = accepted(&row.id, &submit, cost, &origin);
    let order = Order {
        outcome: directive.outcome,
        due: job.due(),
        url: submit.webhook_url,
    };
    let told = json!({ "id": row.id, "status": "Ready", "result": null });
    match sandbox.bill.record(row).await {
        Ok(()) => {
            sandbox.caller.call_back(order, &told);
            answer::json(StatusCode::OK, &accepted)
        }
        Err(error) => broken(&error),
    }
}

/// `GET /bfl/v1/get_result?id=`.
pub(crate) async fn get_result(
    State(sandbox): State<Sandbox>,
    Query(poll): Query<Poll>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return detail(StatusCode::FORBIDDEN, "Not authenticated");
    }
    let Some(id) = poll.id else {
        let missing = Violation::at("missing", ["query", "id"], "Field required");
        return unprocessable(&[missing]);
    };
    let now = now_micros();
    let job = Job::decode(&id);
    let state = job.as_ref().map_or(JobState::Unknown, |job| job.state(now));
    let (status, result) = match (state, &job) {
        (JobState::Malformed, _) => return answer::malformed(),
        (JobState::Ready, Some(job)) => {
            let Some(origin) = answer::origin(&headers, &uri) else {
                return detail(StatusCode::BAD_REQUEST, "Invalid host header");
            };
            let expires = now.saturating_add(micros(sandbox.config.link_life)) / MICROS_PER_SECOND;
            let extension = extension(job.format);
            let sample = format!("{origin}/bfl/delivery/{id}.{extension}?se={expires}");
            ("Ready", result(job, &sample))
        }
        (JobState::Pending(_), _) => ("Pending", Value::Null),
        (JobState::Failed, _) => ("Error", Value::Null),
        (JobState::RequestModerated, _) => ("Request Moderated", Value::Null),
        (JobState::ContentModerated, _) => ("Content Moderated", Value::Null),
        (JobState::Ready | JobState::Unknown, _) => ("Task not found", Value::Null),
    };
    let body = json!({
        "id": id, "status": status, "result": result, "progress": progress(state), "preview": null,
        "details": details(state, job.as_ref()),
    });
    answer::json(StatusCode::OK, &body)
}

/// `GET /bfl/v1/credits`.
pub(crate) async fn credits(headers: HeaderMap) -> Response {
    if !has_key(&headers) {
        return detail(StatusCode::FORBIDDEN, "Not authenticated");
    }
    answer::json(StatusCode::OK, &json!({ "credits": BALANCE }))
}

/// `GET /bfl/delivery/{file}`: the picture. A key has no business here, and one that is sent is refused, so that an
/// adapter that leaks it is noticed.
pub(crate) async fn deliver(
    State(sandbox): State<Sandbox>,
    Path(file): Path<String>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Response {
    if has_key(&headers) {
        return detail(StatusCode::BAD_REQUEST, "The key must not be sent here");
    }
    let now = now_micros();
    if link
        .se
        .is_none_or(|expires| expires < now / MICROS_PER_SECOND)
    {
        return detail(StatusCode::FORBIDDEN, "The link has expired");
    }
    let job = file
        .split_once('.')
        .and_then(|(id, ending)| Job::decode(id).filter(|job| ending == extension(job.format)));
    let Some(job) = job.filter(|job| job.state(now) == JobState::Ready) else {
        return detail(StatusCode::NOT_FOUND, "Not Found");
    };
    let content_type = match job.format {
        Format::Png => "image/png",
        Format::Jpeg => "image/jpeg",
    };
    match draw(&sandbox, &job).await {
        Ok(picture) => {
            let whole = answer::text(StatusCode::OK, content_type, picture.clone());
            if job.outcome == Outcome::Cut {
                answer::cut(whole, &picture)
            } else {
                whole
            }
        }
        Err(error) => broken(&error),
    }
}

/// Draws off the async threads, a few pictures at a time.
async fn draw(sandbox: &Sandbox, job: &Job) -> Result<Bytes, Error> {
    let mut lines = vec![
        "SANDBOX".to_owned(),
        format!("{}x{}", job.width, job.height),
    ];
    if job.directive == Reading::Partly {
        lines.push("directive not understood".to_owned());
    }
    let picture = Picture {
        width: job.width,
        height: job.height,
        seed: job.seed,
        lines,
    };
    let format = job.format;
    // The semaphore is never closed; without a permit the picture would only be drawn sooner.
    let _permit = sandbox.renders.acquire().await.ok();
    let drawn = tokio::task::spawn_blocking(move || picture.encode(format)).await;
    drawn.map_err(Error::Drawing)?.map(Bytes::from)
}

/// The answer to an accepted submit. With a webhook the provider's does not say where to poll.
fn accepted(id: &str, submit: &Submit, cost: i64, origin: &str) -> Value {
    let pixels = u32::from(submit.width) * u32::from(submit.height);
    let body = json!({
        "id": id,
        "cost": decimal(cost, CREDIT, 4),
        "input_mp": f64::from(submit.inputs),
        "output_mp": f64::from(pixels.div_ceil(MEGAPIXEL)),
    });
    match &submit.webhook_url {
        Some(url) => {
            let body = answer::with(body, "webhook_url", json!(url));
            answer::with(body, "status", json!("Pending"))
        }
        None => {
            let url = format!("{origin}/bfl/v1/get_result?id={id}");
            answer::with(body, "polling_url", json!(url))
        }
    }
}

/// The result of a finished job. The prompt is not in the id, so it cannot come back.
fn result(job: &Job, sample: &str) -> Value {
    let took = Duration::from_millis(job.delay_millis.into());
    json!({
        "sample": sample,
        "prompt": "(the sandbox keeps no prompts)",
        "seed": job.seed,
        "start_time": decimal(job.start, MICROS_PER_SECOND, 6),
        "end_time": decimal(job.due(), MICROS_PER_SECOND, 6),
        "duration": decimal(micros(took), MICROS_PER_SECOND, 6),
    })
}

fn details(state: JobState, job: Option<&Job>) -> Value {
    match state {
        JobState::RequestModerated | JobState::ContentModerated => {
            json!({ "Moderation Reasons": ["Sandbox"] })
        }
        JobState::Failed => json!({ "error": "the directive asked for a failure" }),
        _ if job.is_some_and(|job| job.directive == Reading::Partly) => {
            json!({ "sandbox": "the directive in the prompt was not fully understood" })
        }
        JobState::Pending(_) | JobState::Ready | JobState::Unknown | JobState::Malformed => {
            Value::Null
        }
    }
}

fn progress(state: JobState) -> Option<f64> {
    match state {
        JobState::Pending(percent) => Some(decimal(percent.into(), 100, 2)),
        JobState::Ready => Some(1.0),
        JobState::Failed
        | JobState::RequestModerated
        | JobState::ContentModerated
        | JobState::Unknown
        | JobState::Malformed => None,
    }
}

/// What the provider would charge, in micro-US-dollars; each input image counts as one megapixel.
fn cost((_, first, further): (&str, i64, i64), submit: &Submit, outcome: Outcome) -> i64 {
    let pixels = u32::from(submit.width) * u32::from(submit.height);
    let more = pixels.div_ceil(MEGAPIXEL).saturating_sub(1) + submit.inputs;
    let cost = first + further * i64::from(more);
    if outcome == Outcome::Overreport {
        return cost * OVERREPORTED;
    }
    cost
}

/// Whether a job that ends so is charged. What moderation costs, the provider does not say; here it is free.
fn earns(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Fail | Outcome::Moderated | Outcome::Hang)
}

/// The outcomes that refuse a submit at once.
fn refusal(outcome: Outcome) -> Option<Response> {
    let table = [
        (
            Outcome::RateLimited,
            StatusCode::TOO_MANY_REQUESTS,
            "Too many active tasks",
        ),
        (
            Outcome::Overloaded,
            StatusCode::SERVICE_UNAVAILABLE,
            "Service unavailable",
        ),
        (
            Outcome::OutOfBalance,
            StatusCode::PAYMENT_REQUIRED,
            "Insufficient credits",
        ),
    ];
    let row = table.into_iter().find(|row| row.0 == outcome);
    row.map(|(_, status, text)| detail(status, text))
}

fn has_key(headers: &HeaderMap) -> bool {
    headers.get("x-key").is_some_and(|key| !key.is_empty())
}

fn extension(format: Format) -> &'static str {
    match format {
        Format::Png => "png",
        Format::Jpeg => "jpeg",
    }
}

fn detail(status: StatusCode, text: &str) -> Response {
    answer::json(status, &json!({ "detail": text }))
}

fn unprocessable(violations: &[Violation]) -> Response {
    let body = json!({ "detail": violations });
    answer::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

/// The sandbox itself failed.
fn broken(error: &Error) -> Response {
    tracing::error!(%error, "the sandbox failed");
    detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

/// `units / scale` as a JSON number; `scale` is ten to the power of `digits`.
fn decimal(units: i64, scale: i64, digits: usize) -> f64 {
    let (whole, rest) = (units / scale, units % scale);
    format!("{whole}.{rest:0digits$}")
        .parse()
        .unwrap_or_default()
}
