//! `GET /audio/music/feed`: a task of songs in the shape of Suno's own routes. It is a view of the task and nothing more: `GET
//! /tasks/{id}` says the same.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{StatusCode, Uri};
use proto::{Fault, code};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use utoipa::ToSchema;

use crate::{
    App,
    auth::{Read, Scoped},
    error::ApiError,
    http::{query::Params, success, task},
};

/// What a view calls a task of songs.
const MUSIC: &str = "music";

/// What is read of a task's view.
#[derive(Deserialize)]
struct Seen {
    task_id: String,
    #[serde(rename = "type")]
    kind: String,
    model: String,
    status: String,
    stage: Option<String>,
    request: Map<String, Value>,
    output: Vec<Map<String, Value>>,
    error_message: Option<String>,
    consumed_credits: Box<RawValue>,
    created_at: String,
}

/// A task that makes music, in the shape of Suno's routes.
#[derive(Serialize, ToSchema)]
pub(crate) struct Feed {
    task_id: String,
    /// `IN_PROGRESS`, `SUCCESS` or `FAILED`.
    #[serde(rename = "type")]
    state: &'static str,
    stage: Option<String>,
    #[schema(value_type = Object)]
    request_body: Map<String, Value>,
    response_data: Vec<Clip>,
    error_message: Option<String>,
    #[schema(value_type = f64)]
    consumed_credits: Box<RawValue>,
    created_at: String,
}

/// A song. What its provider does not tell is null.
#[derive(Serialize, ToSchema)]
struct Clip {
    id: Value,
    audio_url: Value,
    image_url: Value,
    status: &'static str,
    title: Value,
    prompt: Value,
    tags: Value,
    duration: Value,
    model_name: Value,
    extra_message: &'static str,
    fail_message: &'static str,
    error_message: &'static str,
}

/// `GET /audio/music/feed`.
pub(crate) async fn feed(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Params::parse(&uri);
    let (id, older) = (query.take("task_id"), query.take("workId"));
    query.finish()?;
    let missing = || Fault::new(code::MISSING_PARAMETER, "task_id is required").param("task_id");
    let id = task::parse(&id.or(older).ok_or_else(missing)?)?;
    let snapshot = task::look(&app, &caller, id).await?;
    let seen: Seen = serde_json::from_slice(&snapshot.view).map_err(|_| ApiError::internal())?;
    if seen.kind != MUSIC {
        return Err(task::unknown());
    }
    success(StatusCode::OK, &Feed::from(seen))
}

// === impl Feed ===

impl From<Seen> for Feed {
    fn from(seen: Seen) -> Self {
        let state = match seen.status.as_str() {
            "completed" => "SUCCESS",
            "failed" => "FAILED",
            _ => "IN_PROGRESS",
        };
        let mut request_body = seen.request;
        request_body
            .entry("model")
            .or_insert(Value::String(seen.model));
        Self {
            task_id: seen.task_id,
            state,
            stage: seen.stage,
            request_body,
            response_data: seen.output.into_iter().map(Clip::from).collect(),
            error_message: seen.error_message,
            consumed_credits: seen.consumed_credits,
            created_at: seen.created_at,
        }
    }
}

// === impl Clip ===

impl From<Map<String, Value>> for Clip {
    fn from(mut output: Map<String, Value>) -> Self {
        let mut take = |name: &str| output.remove(name).unwrap_or_default();
        Self {
            id: take("id"),
            audio_url: take("url"),
            image_url: take("image_url"),
            status: "complete",
            title: take("title"),
            prompt: take("lyrics"),
            tags: take("tags"),
            duration: take("duration_seconds"),
            model_name: take("model_name"),
            extra_message: "All generated successfully.",
            fail_message: "",
            error_message: "",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn feed(view: Value) -> Value {
        let seen: Seen = serde_json::from_value(view).unwrap();
        serde_json::to_value(Feed::from(seen)).unwrap()
    }

    fn view(status: &str, output: Value) -> Value {
        json!({
            "task_id": "task_1", "type": "music", "model": "suno", "status": status, "stage": null, "request": {"prompt": "la"},
            "output": output, "error_message": null, "consumed_credits": 5, "created_at": "2026-02-24T12:00:31Z", "attempts": 1,
        })
    }

    #[test]
    fn a_finished_task_has_its_songs() {
        let song = json!({
            "url": "https://a/0", "content_type": "audio/mpeg", "bytes": 1, "duration_seconds": 186.5, "image_url": "https://a/2",
            "id": "song-1", "title": "Fox", "tags": "pop", "lyrics": "la", "model_name": "chirp-v4",
        });
        assert_eq!(
            feed(view("completed", json!([song]))),
            json!({
                "task_id": "task_1", "type": "SUCCESS", "stage": null, "request_body": {"prompt": "la", "model": "suno"},
                "response_data": [{
                    "id": "song-1", "audio_url": "https://a/0", "image_url": "https://a/2",
                    "status": "complete", "title": "Fox", "prompt": "la", "tags": "pop", "duration": 186.5, "model_name": "chirp-v4",
                    "extra_message": "All generated successfully.", "fail_message": "", "error_message": "",
                }],
                "error_message": null, "consumed_credits": 5, "created_at": "2026-02-24T12:00:31Z",
            })
        );
    }

    #[test]
    fn any_other_task_has_none() {
        for (status, told) in [
            ("queued", "IN_PROGRESS"),
            ("processing", "IN_PROGRESS"),
            ("failed", "FAILED"),
        ] {
            let feed = feed(view(status, json!([])));
            assert_eq!(
                (&feed["type"], &feed["response_data"]),
                (&json!(told), &json!([]))
            );
        }
    }
}
