//! Tasks: look, cancel, follow. Looks are answered from the shared state and go to media only when nothing is there. Another
//! tenant's task and an unknown one are the same 404.

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, extract::State, response::Response};
use bytes::{Bytes, BytesMut};
use chassis::rpc;
use domain::TaskId;
use futures::stream;
use http::StatusCode;
use live::{TaskSnapshot, Terminal};
use proto::{
    Kind, WireError, code, id_from_wire,
    media::v1::{self as wire, CancelTaskRequest, GetTaskRequest},
    mode_from_wire,
};
use tokio::time::{Instant, sleep};

use crate::{
    App,
    auth::{Identity, Inference, Read, Scoped},
    error::ApiError,
    http::{Segments, enveloped},
    sse,
};

/// `GET /tasks/{id}`.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let snapshot = look(&app, &caller, parse(&id)?).await?;
    Ok(enveloped(StatusCode::OK, &snapshot.view))
}

/// `POST /tasks/{id}/cancel`.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let request = CancelTaskRequest {
        context: Some(caller.context()),
        task_id: parse(&id)?.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let answer = app.clients.media.clone().cancel_task(request).await;
    let snapshot = from_wire(answer.map_err(unknown_alike)?.into_inner())?;
    keep(&app, &snapshot).await;
    Ok(enveloped(StatusCode::OK, &snapshot.view))
}

/// `GET /tasks/{id}/events`: how the task stands now, then every change, until it has ended.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let snapshot = look(&app, &caller, parse(&id)?).await?;
    let watch = Watch {
        app,
        caller,
        task: snapshot.task,
        next: Next::Tell(snapshot),
    };
    let mut response = Response::new(Body::from_stream(stream::unfold(watch, Watch::step)));
    sse::set_headers(response.headers_mut());
    Ok(response)
}

/// The failure for a task that is not there for this caller. It says nothing about which of the reasons it is.
pub(crate) fn unknown() -> ApiError {
    ApiError::new(code::NOT_FOUND, "there is no such task for this key")
}

/// Makes every way of not finding a task look the same.
pub(crate) fn unknown_alike(status: tonic::Status) -> ApiError {
    let error = ApiError::from(status);
    if error.fault().kind() == Kind::NotFound {
        unknown()
    } else {
        error
    }
}

/// Reads a task's id. What cannot be one is as unknown as one that nobody has.
pub(crate) fn parse(id: &str) -> Result<TaskId, ApiError> {
    TaskId::parse(id).ok_or_else(unknown)
}

/// A task somebody follows.
struct Watch {
    app: Arc<App>,
    caller: Scoped<Read>,
    task: TaskId,
    next: Next,
}

/// What a follower is told next.
enum Next {
    /// How the task stands.
    Tell(TaskSnapshot),
    /// Whatever comes after this version.
    Wait(i64),
    /// Nothing more.
    End,
}

// === impl Watch ===

impl Watch {
    /// Tells one thing: a change, or that we are still here.
    async fn step(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let snapshot = match self.next {
            Next::Tell(snapshot) => snapshot,
            Next::Wait(version) => {
                let tasks = self.app.tasks.clone();
                let changed = tokio::select! {
                    changed = self.changed(version) => changed,
                    // The client comes back to a process that stays.
                    () = tasks.stopping() => return None,
                };
                match changed {
                    Some(snapshot) => snapshot,
                    None => {
                        self.app.metrics.heartbeats.inc();
                        return Some((Ok(Bytes::from_static(sse::HEARTBEAT)), self));
                    }
                }
            }
            Next::End => return None,
        };
        let mut buffer = BytesMut::new();
        sse::put_event(&mut buffer, "task", snapshot.version, &snapshot.view);
        self.next = match snapshot.terminal {
            Terminal::Open => Next::Wait(snapshot.version),
            Terminal::Ended => Next::End,
        };
        Some((Ok(buffer.freeze()), self))
    }

    /// Waits for a newer version, at most until the next heartbeat.
    async fn changed(&self, version: i64) -> Option<TaskSnapshot> {
        let streams = &self.app.config.limits.streams;
        let began = Instant::now();
        loop {
            let left = streams.heartbeat.saturating_sub(began.elapsed());
            match self.app.live.wait_task(self.task, version, left).await {
                Ok(Some(snapshot)) => return Some(snapshot),
                Ok(None) => {}
                // The shared state is lost: until it is back we look every now and then.
                Err(error) => {
                    tracing::debug!(%error, "cannot wait for a task");
                    sleep(streams.poll.min(left)).await;
                }
            }
            // Quiet, or lost: a look finds out, and asks media where it must.
            if let Ok(snapshot) = look(&self.app, &self.caller, self.task).await
                && snapshot.version > version
            {
                return Some(snapshot);
            }
            if began.elapsed() >= streams.heartbeat {
                return None;
            }
        }
    }
}

/// How a task of the caller's stands.
async fn look(app: &App, caller: &Scoped<Read>, task: TaskId) -> Result<TaskSnapshot, ApiError> {
    if let Ok(Some(snapshot)) = app.live.get_task(task).await
        && owns(&caller.identity, &snapshot)
    {
        return Ok(snapshot);
    }
    // Another tenant's task takes this way too, so that it takes as long as an unknown one.
    let request = GetTaskRequest {
        context: Some(caller.context()),
        task_id: task.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let answer = app.clients.media.clone().get_task(request).await;
    let snapshot = from_wire(answer.map_err(unknown_alike)?.into_inner())?;
    if !owns(&caller.identity, &snapshot) {
        return Err(unknown());
    }
    keep(app, &snapshot).await;
    Ok(snapshot)
}

fn owns(identity: &Identity, snapshot: &TaskSnapshot) -> bool {
    snapshot.account == identity.account && snapshot.mode == identity.mode
}

/// Keeps a snapshot for the next look; when that fails, the next look asks media again.
async fn keep(app: &App, snapshot: &TaskSnapshot) {
    if let Err(error) = app.live.put_task(snapshot.clone()).await {
        tracing::debug!(%error, "cannot keep a task's snapshot");
    }
}

fn from_wire(snapshot: wire::TaskSnapshot) -> Result<TaskSnapshot, WireError> {
    Ok(TaskSnapshot {
        task: id_from_wire(&snapshot.task_id)?,
        account: id_from_wire(&snapshot.account_id)?,
        mode: mode_from_wire(snapshot.mode)?,
        version: snapshot.version,
        terminal: if snapshot.terminal {
            Terminal::Ended
        } else {
            Terminal::Open
        },
        view: snapshot.view,
    })
}
