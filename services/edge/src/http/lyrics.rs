//! `POST /audio/music/timestamped-lyrics`: the lyrics of a song with the moment of each line, as soon as they are there. Behind it is a task like
//! any other, whose one file they are.

use std::time::Duration;

use axum::response::Response;
use domain::{Catalogue, TaskId};
use http::StatusCode;
use proto::{code, common::v1::Context};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    App,
    error::ApiError,
    http::{
        ended::{Ended, GRACE},
        enveloped, file, put,
    },
};

/// What is read of the file, and the answer.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = TimedLyrics)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lyrics {
    /// All of them.
    text: String,
    /// Line by line: a `lyric` with its `start` and `end` in seconds, or a `segment_break` that names a section in `metadata.style`.
    #[schema(value_type = Vec<Object>)]
    lyric_params: Box<RawValue>,
    /// How loud the song is, moment by moment.
    #[schema(value_type = Vec<f64>)]
    waveform: Box<RawValue>,
}

/// How long the task may take.
pub(super) fn time(catalogue: &Catalogue, route: &str) -> Duration {
    let model = catalogue.unnamed(route);
    let model = model.and_then(|name| catalogue.find(name));
    let deadline = model.map_or(0, |model| model.deadline_seconds);
    Duration::from_secs(deadline.into()) + GRACE
}

impl App {
    /// The answer to a request whose task has ended as this view shows it.
    pub(super) async fn timed_lyrics(
        &self,
        (context, task): (Context, TaskId),
        view: &[u8],
    ) -> Result<Response, ApiError> {
        let credits = Ended::paid(view, || not_yet(task))?;
        let request = file::output(Some(context), task, 0);
        // They are paid for, whatever is wrong with them: no program may ask for them again by itself.
        let file = file::whole(self, request).await;
        let file = file.map_err(|_| not_yet(task))?;
        let lyrics: Lyrics = serde_json::from_slice(&file).map_err(|_| not_yet(task))?;
        let lyrics = serde_json::to_vec(&lyrics).map_err(|_| not_yet(task))?;
        let mut answer = enveloped(StatusCode::OK, &lyrics);
        put(answer.headers_mut(), "x-aio-cost-credits", credits.get());
        Ok(answer)
    }
}

/// Who cannot have them now: the task may still end, and be charged, or has been.
pub(super) fn not_yet(task: TaskId) -> ApiError {
    let message = format!("the lyrics are not there yet; they will be at /api/v1/tasks/{task}");
    ApiError::new(code::TIMEOUT, message)
}
