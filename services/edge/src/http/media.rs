//! The routes that accept media tasks. Only the shape of the request is looked at here; media reads the body.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    response::Response,
    routing::{MethodRouter, post},
};
use bytes::Bytes;
use chassis::rpc;
use domain::{TaskId, ids};
use http::{HeaderMap, StatusCode, Version};
use proto::{id_from_wire, media::v1::SubmitRequest};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App, Gate,
    auth::{Inference, Scoped},
    body,
    error::ApiError,
    http::{
        cover, enveloped, idempotency_key, images, lyrics, max_cost, put, put_replayed, speech,
        success, task, transcriptions,
    },
};

/// The route of pictures, and that of speech.
const IMAGES: &str = "images/generations";
const SPEECH: &str = "audio/speech";

/// The routes of a song's pictures, and of its timed lyrics.
const COVER: &str = "audio/music/cover/generate";
const LYRICS: &str = "audio/music/timestamped-lyrics";

/// How an accepted task is answered, and one that has ended, by its view.
pub(super) type Answers = (
    fn(TaskId) -> Result<Response, ApiError>,
    fn(&[u8]) -> Result<Response, ApiError>,
);

/// The shape in which an answer is wanted.
pub(super) enum Shape {
    /// The accepted task.
    Task,
    /// OpenAI's pictures.
    Pictures(images::Asked),
    /// OpenAI's sound: the bytes.
    Sound(speech::Asked),
    /// The accepted task in the words of Suno's route for pictures.
    Cover,
    /// Timed lyrics, once they are there; their task may take so long.
    Lyrics(Duration),
    /// What is said in a recording, in OpenAI's shapes.
    Transcript(transcriptions::Asked),
}

/// What the head of a paid request says.
pub(super) struct Paid {
    idempotency_key: String,
    max_cost: i64,
    wait: Option<Duration>,
    /// Whether an answer without a length that breaks off looks otherwise than one that has come to its end. HTTP/1.0 ends both by closing the
    /// connection (RFC 9112, 6.3).
    sees_breaks: bool,
}

/// A request that has come.
pub(super) struct Ready<'r> {
    pub(super) route: &'r str,
    /// The task's own.
    pub(super) body: Bytes,
    pub(super) shape: Shape,
    /// SHA-256 of what was sent, where that is not the body; else nothing.
    pub(super) sent_hash: Bytes,
}

/// An accepted task.
#[derive(Serialize, ToSchema)]
#[schema(as = TaskAccepted)]
pub(crate) struct Accepted {
    task_id: String,
    status: &'static str,
}

/// A route that accepts tasks, below `/api/v1/`.
pub(crate) fn accepting(route: &'static str) -> MethodRouter<Gate> {
    post(
        move |State(app): State<Arc<App>>, caller: Scoped<Inference>, request: Request| async move {
            submit(&app, &caller, route, request).await
        },
    )
}

/// Accepts a task for a route.
pub(super) async fn submit(
    app: &Arc<App>,
    caller: &Scoped<Inference>,
    route: &str,
    request: Request,
) -> Result<Response, ApiError> {
    let bodies = &app.config.limits.bodies;
    let paid = Paid::of(app, &request)?;
    let body = body::read(request, bodies.media, bodies).await?;
    let shape = Shape::of(app, route, &body)?;
    let ready = Ready {
        route,
        body: shape.body().cloned().unwrap_or(body),
        shape,
        sent_hash: Bytes::new(),
    };
    accept(app, caller, paid, ready).await
}

/// Accepts a task, and answers in the shape that is wanted.
pub(super) async fn accept(
    app: &Arc<App>,
    caller: &Scoped<Inference>,
    paid: Paid,
    ready: Ready<'_>,
) -> Result<Response, ApiError> {
    let limits = &app.config.limits;
    let (shape, wait) = (ready.shape, paid.wait);
    let task: TaskId = chassis::mint();
    let heard = match &shape {
        // Before anything can be heard.
        Shape::Sound(asked) if paid.sees_breaks => {
            app.listen(caller.context(), task, asked.form).await
        }
        Shape::Sound(_)
        | Shape::Task
        | Shape::Pictures(_)
        | Shape::Cover
        | Shape::Lyrics(_)
        | Shape::Transcript(_) => None,
    };
    let request = SubmitRequest {
        context: Some(caller.context()),
        task_id: task.to_vec().into(),
        route: ready.route.to_owned(),
        body: ready.body,
        idempotency_key: paid.idempotency_key,
        models: caller.identity.models.clone(),
        max_open_tasks: caller.identity.max_open_tasks,
        max_cost: paid.max_cost,
        sent_hash: ready.sent_hash,
    };
    let request = rpc::request(request, limits.deadlines.submit);
    let reply = app.clients.media.clone().submit(request).await?;
    let reply = reply.into_inner();
    let task: TaskId = id_from_wire(&reply.task_id)?;
    let mut response = match shape {
        Shape::Task => accepted(app, caller, task, wait, OWN).await?,
        Shape::Cover => accepted(app, caller, task, wait, cover::ANSWERS).await?,
        Shape::Pictures(asked) => pictures(app, caller, task, &asked).await?,
        Shape::Sound(asked) => {
            let heard = heard.filter(|_| !reply.replayed);
            speech::speak(app, caller, (task, &asked), heard).await?
        }
        Shape::Lyrics(time) => timed_lyrics(app, caller, task, time).await?,
        Shape::Transcript(asked) => transcript(app, caller, task, &asked).await?,
    };
    let headers = response.headers_mut();
    let operation = task.cast::<ids::Operation>().to_string();
    put(headers, "x-aio-operation-id", &operation);
    if reply.replayed {
        put_replayed(headers);
    }
    Ok(response)
}

/// In our own words.
const OWN: Answers = (
    |task| {
        let accepted = Accepted {
            task_id: task.to_string(),
            status: "IN_PROGRESS",
        };
        success(StatusCode::ACCEPTED, &accepted)
    },
    |view| Ok(enveloped(StatusCode::OK, view)),
);

/// The accepted task, or the ended one if the customer would wait and it ended in time.
async fn accepted(
    app: &App,
    caller: &Scoped<Inference>,
    task: TaskId,
    wait: Option<Duration>,
    (accepted, ended): Answers,
) -> Result<Response, ApiError> {
    let Some(wait) = wait else {
        return accepted(task);
    };
    let mut response = match task::ended_within(app, caller, task, wait).await {
        Some(found) => ended(&found.view)?,
        None => accepted(task)?,
    };
    let applied = format!("wait={}", wait.as_secs());
    put(response.headers_mut(), "preference-applied", &applied);
    Ok(response)
}

/// The pictures, once they are made.
async fn pictures(
    app: &App,
    caller: &Scoped<Inference>,
    task: TaskId,
    asked: &images::Asked,
) -> Result<Response, ApiError> {
    let ended = task::ended_within(app, caller, task, asked.time).await;
    let ended = ended.ok_or_else(|| images::not_yet(task))?;
    app.pictures(asked, (caller.context(), task), &ended.view)
        .await
}

/// The timed lyrics, once they are there.
async fn timed_lyrics(
    app: &App,
    caller: &Scoped<Inference>,
    task: TaskId,
    time: Duration,
) -> Result<Response, ApiError> {
    let ended = task::ended_within(app, caller, task, time).await;
    let ended = ended.ok_or_else(|| lyrics::not_yet(task))?;
    app.timed_lyrics((caller.context(), task), &ended.view)
        .await
}

/// What is said in a recording, once it is heard.
async fn transcript(
    app: &App,
    caller: &Scoped<Inference>,
    task: TaskId,
    asked: &transcriptions::Asked,
) -> Result<Response, ApiError> {
    let ended = task::ended_within(app, caller, task, asked.time).await;
    let ended = ended.ok_or_else(|| transcriptions::not_yet(task))?;
    app.transcript(asked, (caller.context(), task), &ended.view)
        .await
}

/// How long the customer would wait for the task's end (RFC 7240: `Prefer: wait=N`, in seconds), and may. What else is preferred, or is
/// no number, is passed over, as the RFC wants it.
fn wait(headers: &HeaderMap, longest: Duration) -> Option<Duration> {
    let lines = headers.get_all("prefer").into_iter();
    let preferences = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    let mut waits = preferences.filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse().ok()?;
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then_some(Duration::from_secs(seconds))
    });
    // Of several, the first counts.
    waits.next().map(|wait| wait.min(longest))
}

// === impl Paid ===

impl Paid {
    pub(super) fn of(app: &App, request: &Request) -> Result<Self, ApiError> {
        let headers = request.headers();
        Ok(Self {
            idempotency_key: idempotency_key(headers)?,
            max_cost: max_cost(headers)?,
            wait: wait(headers, app.config.limits.streams.longest_wait),
            sees_breaks: request.version() >= Version::HTTP_11,
        })
    }
}

// === impl Shape ===

impl Shape {
    pub(super) fn of(app: &App, route: &str, body: &[u8]) -> Result<Self, ApiError> {
        Ok(match route {
            IMAGES => images::read(&app.catalogue, body)?.map_or(Self::Task, Self::Pictures),
            SPEECH => speech::read(&app.catalogue, body)?.map_or(Self::Task, Self::Sound),
            COVER => Self::Cover,
            LYRICS => Self::Lyrics(lyrics::time(&app.catalogue, route)),
            transcriptions::ROUTE => {
                let asked = transcriptions::read(&app.catalogue, body)?;
                asked.map_or(Self::Task, Self::Transcript)
            }
            _ => Self::Task,
        })
    }

    /// The task's own request, where it is not what was sent.
    pub(super) const fn body(&self) -> Option<&Bytes> {
        match self {
            Self::Task | Self::Cover | Self::Lyrics(_) => None,
            Self::Pictures(asked) => Some(&asked.body),
            Self::Sound(asked) => Some(&asked.body),
            Self::Transcript(asked) => Some(&asked.body),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_preferred_is_read_as_the_rfc_says() {
        for (lines, seconds) in [
            (&["wait=10"][..], Some(10)),
            (&["respond-async, Wait = 5 ; x=1"], Some(5)),
            (&["respond-async", "wait=\"7\""], Some(7)),
            (&["wait=3, wait=9"], Some(3)),
            (&["wait=900"], Some(60)),
            (&["wait=0"], Some(0)),
            (&["wait"], None),
            (&["wait=soon", "waiting=3"], None),
            (&["wait=-1"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("prefer", HeaderValue::from_static(line));
            }
            let read = wait(&headers, Duration::from_secs(60));
            assert_eq!(read, seconds.map(Duration::from_secs), "{lines:?}");
        }
    }
}
