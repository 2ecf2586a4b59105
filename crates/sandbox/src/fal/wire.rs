//! What fal's queue answers. Pure.

use std::time::Duration;

use axum::response::Response;
use chassis::clock::{MICROS_PER_SECOND, micros};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{
    heard,
    model::{Model, Place},
    request::Violation,
};
use crate::{
    answer, elevenlabs,
    job::{Job, Reading, State},
    recording::Recording,
};

/// A request that the queue does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    /// Its word in a header and a field, if it has one.
    kind: Option<&'static str>,
    detail: &'static str,
}

/// A job that its model did not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    status: StatusCode,
    kind: &'static str,
    /// The part of the input at fault.
    field: Option<&'static str>,
    msg: &'static str,
    retryable: &'static str,
}

/// Until so much of its time has passed, in percent, a job waits in the queue.
pub(crate) const QUEUED: u8 = 30;

pub(crate) const NO_KEY: Refusal = Refusal::new(
    StatusCode::UNAUTHORIZED,
    "Authentication is required to access this application.",
);
pub(crate) const NO_APP: Refusal = Refusal::new(StatusCode::NOT_FOUND, "Application not found");
pub(crate) const NO_REQUEST: Refusal = Refusal::new(StatusCode::NOT_FOUND, "Request not found");
pub(crate) const NO_HOST: Refusal = Refusal::new(StatusCode::BAD_REQUEST, "Invalid host header");
pub(crate) const EARLY: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "Request is still in progress");
pub(crate) const RATE_LIMITED: Refusal =
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
pub(crate) const OUT_OF_BALANCE: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "User is locked. Reason: Exhausted balance. Top up your balance to go on.",
);
pub(crate) const OVERLOADED: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    kind: Some("runner_scheduling_failure"),
    detail: "No runner could be scheduled",
};
/// The sandbox itself failed.
pub(crate) const BROKEN: Refusal =
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");

pub(crate) const FAILED: Ended = Ended {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    kind: "internal_server_error",
    field: None,
    msg: "Internal server error",
    retryable: "true",
};

/// The content policy refused what the model works on.
pub(crate) fn moderated(model: &Model) -> Ended {
    Ended {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        kind: "content_policy_violation",
        field: model.needs.first().copied(),
        msg: "The content was flagged by a content checker.",
        retryable: "false",
    }
}

/// It was cancelled before it began.
pub(crate) fn cancelled() -> Ended {
    Ended {
        // Not in the list of statuses, and theirs.
        status: StatusCode::from_u16(499).unwrap_or(StatusCode::CONFLICT),
        kind: "client_cancelled",
        field: None,
        msg: "The request was cancelled",
        retryable: "false",
    }
}

/// What a webhook says of a job that is done. Of its result it says nothing, which is there to be fetched.
pub(crate) fn webhook(id: &str) -> Value {
    json!({ "request_id": id, "gateway_request_id": id, "status": "OK", "payload": {} })
}

/// A wrong input.
pub(crate) fn unprocessable(violations: &[Violation]) -> Response {
    let body = json!({ "detail": violations });
    let response = answer::json(StatusCode::UNPROCESSABLE_ENTITY, &body);
    retryable(response, "false")
}

/// The answer to a submit.
pub(crate) fn accepted(origin: &str, app: &str, id: &str) -> Value {
    let body = answer::with(urls(origin, app, id), "status", json!("IN_QUEUE"));
    let body = answer::with(body, "gateway_request_id", json!(id));
    answer::with(body, "queue_position", json!(0))
}

/// A job's id, and what leads to it. The queue names the app alone, and not the whole model.
pub(crate) fn urls(origin: &str, app: &str, id: &str) -> Value {
    let job = format!("{origin}/fal/{app}/requests/{id}");
    json!({
        "request_id": id,
        "response_url": job,
        "status_url": format!("{job}/status"),
        "cancel_url": format!("{job}/cancel"),
    })
}

/// The state of a job that is not done.
pub(crate) fn pending(urls: Value, percent: u8) -> Value {
    if percent < QUEUED {
        let body = answer::with(urls, "status", json!("IN_QUEUE"));
        return answer::with(body, "queue_position", json!(0));
    }
    answer::with(urls, "status", json!("IN_PROGRESS"))
}

/// The state of a job that is done, with a result or without.
pub(crate) fn completed(urls: Value, job: &Job, ended: Option<&Ended>) -> Value {
    let body = answer::with(urls, "status", json!("COMPLETED"));
    let Some(ended) = ended else {
        let metrics = json!({ "inference_time": seconds(job) });
        return answer::with(body, "metrics", metrics);
    };
    let body = answer::with(body, "error", json!(ended.msg));
    answer::with(body, "error_type", json!(ended.kind))
}

/// A state with a line in its log, where the directive of the job was not understood.
pub(crate) fn logged(body: Value, job: &Job) -> Value {
    let logs = match job.directive {
        Reading::Whole => json!([]),
        Reading::Partly => json!([{
            "message": "the directive was not fully understood", "level": "WARN", "source": "SANDBOX",
        }]),
    };
    answer::with(body, "logs", logs)
}

/// A result, flagged if it was refused. What was asked is not in the id, so it cannot come back.
pub(crate) fn output(model: &Model, job: &Job, links: &[String], state: State) -> Value {
    let files: Vec<Value> = links.iter().map(|link| file(model, job, link)).collect();
    let place = model.place.field();
    match model.place {
        Place::Images => {
            let flagged = state == State::ContentModerated;
            let flags = vec![flagged; links.len()];
            json!({
                place: files,
                "seed": job.seed,
                "has_nsfw_concepts": flags,
                "prompt": "(the sandbox keeps no prompts)",
                "timings": { "inference": seconds(job) },
            })
        }
        Place::Image | Place::Video | Place::Audio => json!({ place: files.first() }),
        Place::Words => {
            let recording = Recording::lasting(job.made.seconds.into());
            elevenlabs::transcript(&recording, &heard::wanted(&job.made))
        }
    }
}

/// One file of a result. Its size is known when it is made, which is when it is fetched.
fn file(model: &Model, job: &Job, link: &str) -> Value {
    let name = link.split('?').next().unwrap_or(link);
    let name = name.rsplit('/').next().unwrap_or(name);
    let body = json!({
        "url": link,
        "content_type": job.made.kind.content_type(),
        "file_name": name,
        "file_size": null,
    });
    match model.place {
        Place::Images | Place::Image => {
            let body = answer::with(body, "width", json!(job.made.width));
            answer::with(body, "height", json!(job.made.height))
        }
        Place::Video | Place::Audio | Place::Words => body,
    }
}

/// How long the job took.
fn seconds(job: &Job) -> f64 {
    let took = micros(Duration::from_millis(job.delay_millis.into()));
    let (whole, rest) = (took / MICROS_PER_SECOND, took % MICROS_PER_SECOND);
    format!("{whole}.{rest:06}").parse().unwrap_or_default()
}

fn retryable(mut response: Response, word: &'static str) -> Response {
    let word = HeaderValue::from_static(word);
    response.headers_mut().insert("x-fal-retryable", word);
    response
}

// === impl Refusal ===

impl Refusal {
    const fn new(status: StatusCode, detail: &'static str) -> Self {
        Self {
            status,
            kind: None,
            detail,
        }
    }

    /// As the queue says it.
    pub(crate) fn answer(self) -> Response {
        let body = json!({ "detail": self.detail });
        let Some(kind) = self.kind else {
            return answer::json(self.status, &body);
        };
        let body = answer::with(body, "error_type", json!(kind));
        let mut response = answer::json(self.status, &body);
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert("x-fal-error-type", kind);
        response
    }
}

// === impl Ended ===

impl Ended {
    /// As the model says it, in the place of its result.
    pub(crate) fn answer(self) -> Response {
        let violation = Violation::new(self.kind, self.field, self.msg, &Value::Null);
        let body = json!({ "detail": [violation] });
        retryable(answer::json(self.status, &body), self.retryable)
    }
}
