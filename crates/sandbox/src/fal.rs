//! fal's queue: submit an input, look how it stands, fetch the result, and its files.
//!
//! A wrong input is refused at once; the real queue may take it first, and answer so in the place of the result. A job that is cancelled
//! while it waits does not run; one that is cancelled later goes on, as it may there.

mod heard;
mod model;
mod request;
mod wire;

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use chassis::clock::{MICROS_PER_SECOND, micros, now_micros};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde_json::{Value, json};

use self::{
    model::{Model, Place},
    request::Violation,
    wire::Refusal,
};
use crate::{
    Error, Sandbox, answer, bill,
    callback::Order,
    directive::Outcome,
    inputs,
    job::{self, Job, State as JobState},
    made,
};

/// What the links of files call this provider.
const PROVIDER: &str = "fal";
/// The scheme of its credentials.
const SCHEME: &str = "Key ";
/// How many times the work an overreporting job is billed for.
const OVERREPORTED: i64 = 100;

/// A job that is asked about: how the path of a request names it.
struct Asked<'a> {
    app: String,
    id: &'a str,
    /// What of it: its result, or what the path says.
    what: Option<&'a str>,
}

/// A job that was found.
struct Found<'a> {
    asked: Asked<'a>,
    model: &'static Model,
    job: Job,
    origin: String,
    now: i64,
}

/// `POST /fal/{model}`.
pub(crate) async fn submit(
    State(sandbox): State<Sandbox>,
    Path(path): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return wire::NO_KEY.answer();
    }
    let Some(model) = model::find(&path) else {
        return wire::NO_APP.answer();
    };
    let mut input = match request::read(model, &body) {
        Ok(input) => input,
        Err(violations) => return wire::unprocessable(&violations),
    };
    if let Err(why) = inputs::check(&sandbox, &input.whole).await {
        let wrong = Violation::new("file_download_error", None, &why, &Value::Null);
        return wire::unprocessable(&[wrong]);
    }
    heard::hear(&sandbox, model, &mut input).await;
    let Some(origin) = answer::origin(&headers, &uri) else {
        return wire::NO_HOST.answer();
    };
    let directive = job::directive_of(&input.whole, &sandbox.config.bounds());
    if let Some(refusal) = refusal(directive.outcome) {
        return refusal.answer();
    }
    let job = Job::new(
        &directive,
        sandbox.config.default_delay,
        input.seed,
        input.made,
    );
    let order = Order {
        outcome: job.outcome,
        due: job.due(),
        url: webhook(&uri),
    };
    let row = bill::Job {
        id: job.encode(),
        provider: PROVIDER.to_owned(),
        model: path,
        kind: job.made.kind.billed_as().to_owned(),
        prompt_hash: bill::hash(&input.subject),
        at: job.start,
        billed: cost(model, &job),
    };
    let accepted = wire::accepted(&origin, &model.app(), &row.id);
    let (told, signature) = (wire::webhook(&row.id), sandbox.signer.for_fal(&row.id));
    match sandbox.bill.record(row).await {
        Ok(()) => {
            let caller = &sandbox.caller;
            caller.call_back_signed(order, &told, Some(signature));
            answer::json(StatusCode::OK, &accepted)
        }
        Err(error) => broken(&error),
    }
}

/// Where to call, as the query of a submit says.
fn webhook(uri: &Uri) -> Option<String> {
    let query = uri.query().unwrap_or_default().as_bytes();
    let mut pairs = url::form_urlencoded::parse(query);
    pairs.find_map(|(name, value)| (name == "fal_webhook").then(|| value.into_owned()))
}

fn broken(error: &Error) -> Response {
    tracing::error!(%error, "the sandbox failed");
    wire::BROKEN.answer()
}

/// `GET /fal/{owner}/{app}/requests/{id}/status`, and without `/status`.
pub(crate) async fn look(
    State(sandbox): State<Sandbox>,
    Path(path): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let found = match find(&path, &headers, &uri) {
        Ok(found) => found,
        Err(refusal) => return refusal.answer(),
    };
    match sandbox.bill.is_cancelled(found.asked.id).await {
        Ok(true) => return stopped(&found),
        Ok(false) => {}
        Err(error) => return broken(&error),
    }
    match (found.job.state(found.now), found.asked.what) {
        (JobState::Unknown, _) => wire::NO_REQUEST.answer(),
        (JobState::Malformed, _) => answer::malformed(),
        (state, Some("status")) => status(&found, state),
        (state, None) => result(&sandbox, &found, state),
        (_, Some(_)) => wire::NO_REQUEST.answer(),
    }
}

/// `PUT /fal/{owner}/{app}/requests/{id}/cancel`.
pub(crate) async fn cancel(
    State(sandbox): State<Sandbox>,
    Path(path): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let cancelled = |status, word: &str| answer::json(status, &json!({ "status": word }));
    let found = match find(&path, &headers, &uri) {
        Ok(found) if found.asked.what == Some("cancel") => found,
        Err(refusal) if refusal == wire::NO_KEY => return refusal.answer(),
        Ok(_) | Err(_) => return cancelled(StatusCode::NOT_FOUND, "NOT_FOUND"),
    };
    match found.job.state(found.now) {
        JobState::Unknown => cancelled(StatusCode::NOT_FOUND, "NOT_FOUND"),
        JobState::Pending(percent) => {
            if percent < wire::QUEUED
                && let Err(error) = sandbox.bill.cancel(found.asked.id, found.now).await
            {
                return broken(&error);
            }
            cancelled(StatusCode::ACCEPTED, "CANCELLATION_REQUESTED")
        }
        JobState::Ready
        | JobState::Failed
        | JobState::RequestModerated
        | JobState::ContentModerated
        | JobState::Malformed => cancelled(StatusCode::BAD_REQUEST, "ALREADY_COMPLETED"),
    }
}

/// The job that a request is about.
fn find<'a>(path: &'a str, headers: &HeaderMap, uri: &Uri) -> Result<Found<'a>, Refusal> {
    if !has_key(headers) {
        return Err(wire::NO_KEY);
    }
    let asked = asked(path).ok_or(wire::NO_APP)?;
    let job = Job::decode(asked.id).ok_or(wire::NO_REQUEST)?;
    let model = model::of_app(&asked.app, job.made.kind).ok_or(wire::NO_REQUEST)?;
    Ok(Found {
        asked,
        model,
        job,
        origin: answer::origin(headers, uri).ok_or(wire::NO_HOST)?,
        now: now_micros(),
    })
}

fn asked(path: &str) -> Option<Asked<'_>> {
    let parts: Vec<&str> = path.split('/').collect();
    let (owner, app, id, what) = match parts.as_slice() {
        [owner, app, "requests", id] => (owner, app, id, None),
        [owner, app, "requests", id, what] => (owner, app, id, Some(*what)),
        _ => return None,
    };
    Some(Asked {
        app: format!("{owner}/{app}"),
        id,
        what,
    })
}

/// What is said of a job that was cancelled in time.
fn stopped(found: &Found<'_>) -> Response {
    let end = wire::cancelled();
    if found.asked.what.is_none() {
        return end.answer();
    }
    let urls = wire::urls(&found.origin, &found.asked.app, found.asked.id);
    let body = wire::completed(urls, &found.job, Some(&end));
    answer::json(StatusCode::OK, &body)
}

fn status(found: &Found<'_>, state: JobState) -> Response {
    let urls = wire::urls(&found.origin, &found.asked.app, found.asked.id);
    let (status, body) = if let JobState::Pending(percent) = state {
        (StatusCode::ACCEPTED, wire::pending(urls, percent))
    } else {
        let end = end(found.model, state);
        let body = wire::completed(urls, &found.job, end.as_ref());
        (StatusCode::OK, body)
    };
    answer::json(status, &wire::logged(body, &found.job))
}

fn result(sandbox: &Sandbox, found: &Found<'_>, state: JobState) -> Response {
    if matches!(state, JobState::Pending(_)) {
        return wire::EARLY.answer();
    }
    if let Some(end) = end(found.model, state) {
        return end.answer();
    }
    // A picture that was flagged is there all the same.
    let job = if state == JobState::ContentModerated {
        unmoderated(&found.job)
    } else {
        found.job.clone()
    };
    let life = micros(sandbox.config.link_life);
    let expires = found.now.saturating_add(life) / MICROS_PER_SECOND;
    let links: Vec<String> = (0..job.made.count)
        .map(|number| made::link(&found.origin, PROVIDER, &job, number, expires))
        .collect();
    let output = wire::output(found.model, &job, &links, state);
    let mut response = answer::json(StatusCode::OK, &output);
    if found.model.place == Place::Words && job.outcome == Outcome::Cut {
        // There is no file that could be.
        return answer::cut(response, &Bytes::from(output.to_string()));
    }
    let units = HeaderValue::from(units(found.model, &job));
    response.headers_mut().insert("x-fal-billable-units", units);
    response
}

/// How a job without a result ended. Models that make pictures from a prompt flag the picture instead.
fn end(model: &Model, state: JobState) -> Option<wire::Ended> {
    match state {
        JobState::Failed => Some(wire::FAILED),
        JobState::RequestModerated => Some(wire::moderated(model)),
        JobState::ContentModerated if model.place != Place::Images => Some(wire::moderated(model)),
        JobState::ContentModerated
        | JobState::Pending(_)
        | JobState::Ready
        | JobState::Unknown
        | JobState::Malformed => None,
    }
}

fn unmoderated(job: &Job) -> Job {
    Job {
        outcome: Outcome::Success,
        ..job.clone()
    }
}

/// How many pictures, seconds or sounds.
fn units(model: &Model, job: &Job) -> i64 {
    let units = match model.place {
        Place::Images | Place::Image | Place::Audio => i64::from(job.made.count),
        Place::Video | Place::Words => i64::from(job.made.seconds),
    };
    if job.outcome == Outcome::Overreport {
        return units * OVERREPORTED;
    }
    units
}

/// What the provider would charge, in micro-US-dollars. Failures of theirs are free; what moderation costs, they do not say, and here
/// it is free as well.
fn cost(model: &Model, job: &Job) -> i64 {
    match job.outcome {
        Outcome::Fail | Outcome::Moderated | Outcome::Hang => 0,
        Outcome::Success
        | Outcome::RateLimited
        | Outcome::Overloaded
        | Outcome::OutOfBalance
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Overreport
        | Outcome::Cut => model.price * units(model, job),
    }
}

/// The outcomes that refuse a submit at once.
fn refusal(outcome: Outcome) -> Option<Refusal> {
    let table = [
        (Outcome::RateLimited, wire::RATE_LIMITED),
        (Outcome::Overloaded, wire::OVERLOADED),
        (Outcome::OutOfBalance, wire::OUT_OF_BALANCE),
    ];
    let row = table.into_iter().find(|row| row.0 == outcome);
    row.map(|(_, refusal)| refusal)
}

fn has_key(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::AUTHORIZATION);
    let key = sent.and_then(|sent| sent.to_str().ok()?.strip_prefix(SCHEME));
    key.is_some_and(|key| !key.is_empty())
}
