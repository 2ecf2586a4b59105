//! Tasks: look, cancel, follow. Looks are answered from the shared state and go to media only when nothing is there. Another
//! tenant's task and an unknown one are the same 404.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{body::Body, extract::State, response::Response};
use bytes::{Bytes, BytesMut};
use chassis::rpc;
use domain::{TaskId, ids};
use futures::stream;
use http::{HeaderMap, StatusCode, Uri};
use live::{TaskSnapshot, Terminal};
use proto::{
    Kind, WireError, code, id_from_wire,
    media::v1::{
        self as wire, CancelTaskRequest, DeleteOutputRequest, GetTaskRequest, ListTasksRequest,
    },
    mode_from_wire,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use crate::{
    App,
    auth::{Identity, Inference, Read, Scoped},
    error::ApiError,
    http::{
        Segments, doubt, enveloped,
        query::{Page, Params},
        success,
        usage::canonical,
    },
    sse,
};

/// Tasks of a page, unless the request says so, and at most.
const PAGE: (u32, u32) = (20, 100);
/// How a task can stand, and what is said to who asks for something else.
pub(super) const STATUSES: [&str; 4] = ["queued", "processing", "completed", "failed"];
pub(super) const STATUS: &str = "be queued, processing, completed or failed";

/// `GET /tasks/{id}`.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let snapshot = look(&app, &caller, parse(&id)?).await?;
    let view = doubt::view(&app, &caller, snapshot).await;
    Ok(enveloped(StatusCode::OK, &view))
}

/// `GET /tasks`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Params::parse(&uri);
    let page: Page<ids::Task> = query.page_of(PAGE);
    let status = query.read("status", STATUS, |word| {
        STATUSES.contains(&word).then(|| word.to_owned())
    });
    let model = query.take("model");
    let created_from = query.moment("created_from");
    let created_until = query.moment("created_until");
    query.finish()?;
    let request = ListTasksRequest {
        context: Some(caller.context()),
        limit: page.limit,
        before: page.behind(),
        status: status.unwrap_or_default(),
        models: model
            .map(|model| canonical(&app, Some(model)))
            .into_iter()
            .collect(),
        created_from: created_from.unwrap_or_default(),
        created_until: created_until.unwrap_or_default(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let answer = app.clients.media.clone().list_tasks(request).await;
    let views = answer?.into_inner().views;
    let items: Vec<Listed> = views.iter().map(listed).collect::<Result<_, _>>()?;
    success(StatusCode::OK, &page.list(items, Listed::id))
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

/// `DELETE /tasks/{id}/files/{n}`: answers how the task stands then.
pub(crate) async fn delete_file(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    Segments((id, index)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let request = DeleteOutputRequest {
        context: Some(caller.context()),
        task_id: parse(&id)?.to_vec().into(),
        index: index.parse().map_err(|_| unknown())?,
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let answer = app.clients.media.clone().delete_output(request).await;
    let snapshot = from_wire(answer.map_err(unknown_alike)?.into_inner())?;
    keep(&app, &snapshot).await;
    Ok(enveloped(StatusCode::OK, &snapshot.view))
}

/// `GET /tasks/{id}/events`: how the task stands now, then every change, until it has ended. Who comes back with what it has heard
/// last (`Last-Event-ID`) hears only what is newer; and nothing more of a task that has ended, so that a browser does not come
/// back for ever (HTML, server-sent events: 204 ends the reconnecting).
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    Segments(id): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let snapshot = look(&app, &caller, parse(&id)?).await?;
    let heard = heard(&headers).is_some_and(|heard| heard >= snapshot.version);
    if heard && snapshot.terminal == Terminal::Ended {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let watch = Watch {
        app,
        caller,
        task: snapshot.task,
        next: if heard {
            Next::Wait(snapshot.version)
        } else {
            Next::Tell(snapshot)
        },
    };
    let mut response = Response::new(Body::from_stream(stream::unfold(watch, Watch::step)));
    sse::set_headers(response.headers_mut());
    Ok(response)
}

/// The number of the last event that a client has heard. What is no number is no such client's.
fn heard(headers: &HeaderMap) -> Option<i64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
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

/// A task of a list: as media shows it, and its id, which leads to the next page.
pub(super) struct Listed {
    id: String,
    view: Box<RawValue>,
}

/// The one field of a view that is read here.
#[derive(Deserialize)]
struct Named {
    task_id: String,
}

impl Listed {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.view.serialize(serializer)
    }
}

pub(super) fn listed(view: &Bytes) -> Result<Listed, ApiError> {
    let unreadable = |_| ApiError::internal();
    let Named { task_id } = serde_json::from_slice(view).map_err(unreadable)?;
    Ok(Listed {
        id: task_id,
        view: serde_json::from_slice(view).map_err(unreadable)?,
    })
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
        let heartbeat = self.app.config.limits.streams.heartbeat;
        newer(&self.app, &self.caller, (self.task, version), heartbeat).await
    }
}

/// A task of the caller's that has ended, if it does so within a time; nothing when this process stops before.
pub(crate) async fn ended_within<N>(
    app: &App,
    caller: &Scoped<N>,
    task: TaskId,
    time: Duration,
) -> Option<TaskSnapshot> {
    let until = Instant::now() + time;
    let heartbeat = app.config.limits.streams.heartbeat;
    let ended = |snapshot: &TaskSnapshot| snapshot.terminal == Terminal::Ended;
    // A look that fails says nothing of the task.
    let mut found = look(app, caller, task).await.ok();
    while !found.as_ref().is_some_and(ended) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // The shared state may have missed the end.
            return ask(app, caller, task).await.ok().filter(ended);
        }
        let version = found.as_ref().map_or(0, |snapshot| snapshot.version);
        let newer = newer(app, caller, (task, version), left.min(heartbeat));
        tokio::select! {
            newer = newer => found = newer.or(found),
            () = app.tasks.stopping() => return None,
        }
    }
    found
}

/// Waits for a newer version of a task than this one, so long at most.
async fn newer<N>(
    app: &App,
    caller: &Scoped<N>,
    (task, version): (TaskId, i64),
    time: Duration,
) -> Option<TaskSnapshot> {
    let began = Instant::now();
    loop {
        let left = time.saturating_sub(began.elapsed());
        match app.live.wait_task(task, version, left).await {
            Ok(Some(snapshot)) => return Some(snapshot),
            Ok(None) => {}
            // The shared state is lost: until it is back we look every now and then.
            Err(error) => {
                tracing::debug!(%error, "cannot wait for a task");
                sleep(app.config.limits.streams.poll.min(left)).await;
            }
        }
        // Quiet, or lost: a look finds out, and asks media where it must.
        if let Ok(snapshot) = look(app, caller, task).await
            && snapshot.version > version
        {
            return Some(snapshot);
        }
        if began.elapsed() >= time {
            return None;
        }
    }
}

/// How a task of the caller's stands.
pub(super) async fn look<N>(
    app: &App,
    caller: &Scoped<N>,
    task: TaskId,
) -> Result<TaskSnapshot, ApiError> {
    if let Ok(Some(snapshot)) = app.live.get_task(task).await
        && owns(&caller.identity, &snapshot)
    {
        return Ok(snapshot);
    }
    // Another tenant's task takes this way too, so that it takes as long as an unknown one.
    ask(app, caller, task).await
}

/// The same of media itself.
pub(super) async fn ask<N>(
    app: &App,
    caller: &Scoped<N>,
    task: TaskId,
) -> Result<TaskSnapshot, ApiError> {
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
