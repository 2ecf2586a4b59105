//! A song's pictures in the words of Suno's routes: `POST /audio/music/cover/generate` and `GET /audio/music/cover/status`. They are a view of the
//! task and nothing more: `GET /tasks/{id}` says the same.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    auth::{Read, Scoped},
    error::ApiError,
    http::{json, media::Answers, music, task},
};

/// The route of the tasks that are shown here.
const ROUTE: &str = "audio/music/cover/generate";

/// How such tasks are answered to who submits one.
pub(super) const ANSWERS: Answers = (
    |task| {
        let task_id = task.to_string();
        answer(StatusCode::ACCEPTED, Accepted { task_id })
    },
    |view| answer(StatusCode::OK, Standing::read(view)?),
);

/// The envelope of these routes.
#[derive(Serialize)]
struct Envelope<T> {
    code: u16,
    msg: &'static str,
    data: T,
}

/// An accepted task.
#[derive(Serialize, ToSchema)]
#[schema(as = CoverAccepted)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    task_id: String,
}

/// What is read of a task's view.
#[derive(Deserialize)]
struct Seen {
    task_id: String,
    route: String,
    status: String,
    response: Vec<String>,
    error_message: Option<String>,
    created_at: String,
}

/// How the pictures of a song stand.
#[derive(Serialize, ToSchema)]
#[schema(as = Cover)]
pub(crate) struct Standing {
    #[serde(rename = "taskId")]
    task_id: String,
    /// `IN_PROGRESS`, `SUCCESS` or `FAILED`.
    status: &'static str,
    /// Where they are, once they are there.
    images: Option<Vec<String>>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    created_at: String,
}

/// `GET /audio/music/cover/status`.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let id = music::task_id(&uri, "taskId")?;
    let snapshot = task::look(&app, &caller, id).await?;
    answer(StatusCode::OK, Standing::read(&snapshot.view)?)
}

fn answer<T: Serialize>(status: StatusCode, data: T) -> Result<Response, ApiError> {
    let envelope = Envelope {
        code: 200,
        msg: "success",
        data,
    };
    let body = serde_json::to_vec(&envelope).map_err(|_| ApiError::internal())?;
    Ok(json(status, body.into()))
}

// === impl Standing ===

impl Standing {
    /// Of a task that makes something else, there is none.
    fn read(view: &[u8]) -> Result<Self, ApiError> {
        let seen: Seen = serde_json::from_slice(view).map_err(|_| ApiError::internal())?;
        if seen.route != ROUTE {
            return Err(task::unknown());
        }
        let status = music::state(&seen.status);
        Ok(Self {
            task_id: seen.task_id,
            images: (seen.status == "completed").then_some(seen.response),
            status,
            error: seen.error_message,
            created_at: seen.created_at,
        })
    }
}
