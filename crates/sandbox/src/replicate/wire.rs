//! What Replicate answers. Pure.

use std::time::Duration;

use axum::response::Response;
use chassis::clock::{MICROS_PER_SECOND, micros};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::model::Model;
use crate::{
    answer,
    job::{Job, Reading},
};

/// A request that they do not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: &'static str,
}

/// A prediction that an answer is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) id: &'a str,
    pub(crate) origin: &'a str,
    pub(crate) model: &'a Model,
    pub(crate) job: &'a Job,
    /// How many times its time is told.
    pub(crate) times: i64,
}

pub(crate) const NO_KEY: Problem = Problem {
    status: StatusCode::UNAUTHORIZED,
    title: "Unauthenticated",
    detail: "There is no token in the header Authorization.",
};
pub(crate) const NOT_FOUND: Problem = Problem {
    status: StatusCode::NOT_FOUND,
    title: "Not found",
    detail: "There is no such thing here.",
};
pub(crate) const NO_VERSION: Problem = Problem {
    status: StatusCode::UNPROCESSABLE_ENTITY,
    title: "Invalid version or not permitted",
    detail: "This version is not there, or not for you.",
};
pub(crate) const NO_JSON: Problem = Problem {
    status: StatusCode::BAD_REQUEST,
    title: "Malformed request",
    detail: "The body is not a JSON object.",
};
pub(crate) const NO_HOST: Problem = Problem {
    status: StatusCode::BAD_REQUEST,
    title: "Malformed request",
    detail: "There is no host in the request.",
};
pub(crate) const THROTTLED: Problem = Problem {
    status: StatusCode::TOO_MANY_REQUESTS,
    title: "Throttled",
    detail: "Request was throttled. Your rate limit resets in ~1s.",
};
pub(crate) const OVERLOADED: Problem = Problem {
    status: StatusCode::SERVICE_UNAVAILABLE,
    title: "Unavailable",
    detail: "There is no capacity at the moment.",
};
pub(crate) const NO_CREDIT: Problem = Problem {
    status: StatusCode::PAYMENT_REQUIRED,
    title: "Insufficient credit",
    detail: "There is not enough credit to run this model.",
};
/// The sandbox itself failed.
pub(crate) const BROKEN: Problem = Problem {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    title: "Internal server error",
    detail: "The sandbox failed.",
};

/// A wrong input.
pub(crate) fn invalid(field: &str, words: &str) -> Response {
    let body = json!({
        "title": "Input validation failed",
        "detail": format!("- {field}: {words}"),
        "status": StatusCode::UNPROCESSABLE_ENTITY.as_u16(),
        "invalid_fields": [{ "type": "invalid", "field": field, "description": words }],
    });
    answer::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

/// A prediction that is not over. What was asked is not in the id, so it cannot come back.
pub(crate) fn prediction(told: &Told<'_>, status: &str) -> Value {
    let place = format!("{}/replicate/v1/predictions/{}", told.origin, told.id);
    let logs = match told.job.directive {
        Reading::Whole => "",
        Reading::Partly => "sandbox: the directive in the input was not fully understood",
    };
    json!({
        "id": told.id, "model": told.model.name, "version": told.model.told_version(), "source": "api",
        "input": {}, "output": null, "error": null, "logs": logs, "status": status, "data_removed": false,
        "created_at": moment(told.job.start), "started_at": null, "completed_at": null, "metrics": {},
        "urls": { "get": place, "cancel": format!("{place}/cancel") },
    })
}

/// One with a result.
pub(crate) fn succeeded(told: &Told<'_>, output: Value) -> Value {
    answer::with(ended(told, "succeeded"), "output", output)
}

/// One without.
pub(crate) fn failed(told: &Told<'_>, error: &str) -> Value {
    answer::with(ended(told, "failed"), "error", json!(error))
}

fn ended(told: &Told<'_>, status: &str) -> Value {
    let took = micros(Duration::from_millis(told.job.delay_millis.into()));
    let metrics =
        json!({ "predict_time": seconds(took * told.times), "total_time": seconds(took) });
    let body = answer::with(prediction(told, status), "metrics", metrics);
    let body = answer::with(body, "started_at", json!(moment(told.job.start)));
    answer::with(body, "completed_at", json!(moment(told.job.due())))
}

fn seconds(took: i64) -> f64 {
    let (whole, rest) = (took / MICROS_PER_SECOND, took % MICROS_PER_SECOND);
    format!("{whole}.{rest:06}").parse().unwrap_or_default()
}

fn moment(at: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000);
    at.ok()?.format(&Rfc3339).ok()
}

// === impl Problem ===

impl Problem {
    pub(crate) fn answer(self) -> Response {
        let body =
            json!({ "title": self.title, "detail": self.detail, "status": self.status.as_u16() });
        let mut response = answer::json(self.status, &body);
        if self == THROTTLED {
            let second = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, second);
        }
        response
    }
}
