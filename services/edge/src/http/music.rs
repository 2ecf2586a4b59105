//! Tasks of songs in the shape of Suno's own routes: `GET /audio/music/feed` and `GET /audio/music/upload-cover/status`. They are views of the task and
//! nothing more: `GET /tasks/{id}` says the same.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use domain::TaskId;
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

/// The routes of the tasks that are shown here begin so.
const ROUTES: &str = "audio/music";
/// That of the tasks with a route of their own to look at.
const UPLOADED: &str = "audio/music/upload-cover/generate";
/// The words that every one of these routes knows a task by.
const TASK_ID: &str = "task_id";

/// What is read of a task's view.
#[derive(Deserialize)]
struct Seen {
    task_id: String,
    route: String,
    model: String,
    status: String,
    stage: Option<String>,
    request: Map<String, Value>,
    #[serde(default)]
    clips: Vec<Map<String, Value>>,
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

/// A song made of an uploaded sound, in the shape of Suno's routes.
#[derive(Serialize, ToSchema)]
pub(crate) struct UploadCover {
    task_id: String,
    /// `IN_PROGRESS`, `SUCCESS` or `FAILED`.
    status: &'static str,
    response_data: Vec<Clip>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[schema(value_type = f64)]
    consumed_credits: Box<RawValue>,
    created_at: String,
}

/// A song. What its provider does not tell is null, and so is where it is until the task is done.
#[derive(Serialize, ToSchema)]
struct Clip {
    id: Value,
    audio_url: Value,
    image_url: Value,
    /// `text`: its words are there; `first`: it is there, and the task goes on; `complete`.
    status: Value,
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
    let id = task_id(&uri, "workId")?;
    let seen = look(&app, &caller, id).await?;
    success(StatusCode::OK, &Feed::from(seen))
}

/// `GET /audio/music/upload-cover/status`.
pub(crate) async fn upload_status(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let id = task_id(&uri, "taskId")?;
    let seen = look(&app, &caller, id).await?;
    if seen.route != UPLOADED {
        return Err(task::unknown());
    }
    success(StatusCode::OK, &UploadCover::from(seen))
}

/// The task that a query names, by the word that all these routes know, or by an older one.
pub(super) fn task_id(uri: &Uri, older: &str) -> Result<TaskId, ApiError> {
    let mut query = Params::parse(uri);
    let (id, older) = (query.take(TASK_ID), query.take(older));
    query.finish()?;
    let missing = || Fault::new(code::MISSING_PARAMETER, "task_id is required").param(TASK_ID);
    task::parse(&id.or(older).ok_or_else(missing)?)
}

/// How a task stands, in the words of these routes.
pub(super) fn state(status: &str) -> &'static str {
    match status {
        "completed" => "SUCCESS",
        "failed" => "FAILED",
        _ => "IN_PROGRESS",
    }
}

async fn look(app: &App, caller: &Scoped<Read>, id: TaskId) -> Result<Seen, ApiError> {
    let snapshot = task::look(app, caller, id).await?;
    let seen: Seen = serde_json::from_slice(&snapshot.view).map_err(|_| ApiError::internal())?;
    if seen.route.starts_with(ROUTES) {
        Ok(seen)
    } else {
        Err(task::unknown())
    }
}

// === impl Seen ===

impl Seen {
    /// The songs that are there, or else what is known of those that will be.
    fn clips(&mut self) -> Vec<Clip> {
        let made = std::mem::take(&mut self.output);
        let made: Vec<Clip> = made.into_iter().filter_map(Clip::made).collect();
        if made.is_empty() {
            let coming = std::mem::take(&mut self.clips);
            return coming.into_iter().map(Clip::coming).collect();
        }
        made
    }
}

// === impl Feed ===

impl From<Seen> for Feed {
    fn from(mut seen: Seen) -> Self {
        let response_data = seen.clips();
        let mut request_body = seen.request;
        request_body
            .entry("model")
            .or_insert(Value::String(seen.model));
        Self {
            task_id: seen.task_id,
            state: state(&seen.status),
            stage: seen.stage,
            request_body,
            response_data,
            error_message: seen.error_message,
            consumed_credits: seen.consumed_credits,
            created_at: seen.created_at,
        }
    }
}

// === impl UploadCover ===

impl From<Seen> for UploadCover {
    fn from(mut seen: Seen) -> Self {
        Self {
            response_data: seen.clips(),
            task_id: seen.task_id,
            status: state(&seen.status),
            error: seen.error_message,
            consumed_credits: seen.consumed_credits,
            created_at: seen.created_at,
        }
    }
}

// === impl Clip ===

impl Clip {
    /// Of an entry of a task's output: a song with its picture, or a picture alone. What is neither is none.
    fn made(mut output: Map<String, Value>) -> Option<Self> {
        let kind = output.get("content_type")?.as_str()?;
        let place = match kind.split_once('/')?.0 {
            "audio" => "audio_url",
            "image" => "image_url",
            _ => return None,
        };
        let url = output.remove("url").unwrap_or_default();
        output.insert(place.to_owned(), url);
        output.insert("status".to_owned(), "complete".into());
        Some(Self::of(output, "All generated successfully."))
    }

    /// Of a song that is not there yet.
    fn coming(clip: Map<String, Value>) -> Self {
        let is_first = clip.get("status").is_some_and(|status| status == "first");
        let message = if is_first {
            "First audio generated successfully."
        } else {
            "Text generated successfully."
        };
        Self::of(clip, message)
    }

    fn of(mut fields: Map<String, Value>, extra_message: &'static str) -> Self {
        let mut take = |name: &str| fields.remove(name).unwrap_or_default();
        Self {
            id: take("id"),
            audio_url: take("audio_url"),
            image_url: take("image_url"),
            status: take("status"),
            title: take("title"),
            prompt: take("lyrics"),
            tags: take("tags"),
            duration: take("duration_seconds"),
            model_name: take("model_name"),
            extra_message,
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
            "task_id": "task_1", "type": "music", "route": "audio/music", "model": "suno", "status": status, "stage": null, "request": {"prompt": "la"},
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

    #[test]
    fn what_is_known_of_songs_is_told_before_they_are_there() {
        let mut stood = view("processing", json!([]));
        stood["stage"] = json!("first");
        stood["clips"] = json!([
            {"id": "song-1", "title": "Fox", "lyrics": "la", "status": "first"}, {"id": "song-2", "status": "text"},
        ]);
        let feed = feed(stood);
        assert_eq!(
            (&feed["type"], &feed["stage"]),
            (&json!("IN_PROGRESS"), &json!("first"))
        );
        let clips = &feed["response_data"];
        assert_eq!(
            (&clips[0]["id"], &clips[0]["prompt"]),
            (&json!("song-1"), &json!("la"))
        );
        assert_eq!(
            (&clips[0]["status"], &clips[1]["status"]),
            (&json!("first"), &json!("text"))
        );
        assert_eq!(
            clips[0]["extra_message"],
            "First audio generated successfully."
        );
        assert_eq!(clips[1]["extra_message"], "Text generated successfully.");
        for place in ["audio_url", "image_url", "duration"] {
            assert_eq!(clips[0][place], Value::Null, "{place}");
        }
    }

    #[test]
    fn pictures_alone_are_shown_as_pictures_and_lyrics_not_at_all() {
        let output = json!([
            {"url": "https://a/0", "content_type": "image/png"}, {"url": "https://a/1", "content_type": "application/json"},
        ]);
        let feed = feed(view("completed", output));
        let clips = feed["response_data"].as_array().unwrap();
        assert_eq!(clips.len(), 1);
        assert_eq!(
            (&clips[0]["image_url"], &clips[0]["audio_url"]),
            (&json!("https://a/0"), &Value::Null)
        );
    }
}
