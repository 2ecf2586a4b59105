//! What the operator does about media tasks of anybody. A task is told as media tells it, without its content, and with what webhooks has of
//! its events.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::{
    clock::{micros, now_micros, rfc3339},
    config::duration,
    rpc,
};
use domain::{AccountId, EndpointId, EventId, TaskId, ids};
use http::{StatusCode, Uri};
use proto::{
    id_from_wire,
    media::v1::{
        FindTasksRequest, RequeueTaskRequest, ShowTaskRequest, ShownTask, StopTaskRequest,
    },
    webhooks::v1::{self as wire, ListDeliveriesReply, ListDeliveriesRequest},
};
use serde::Serialize;
use serde_json::{Map, Value};
use tonic::Status;
use tracing::warn;

use super::read;
use crate::{
    App,
    auth::{Admin, Scoped},
    error::ApiError,
    http::{
        Segments,
        fields::Fields,
        query::{Page, Params},
        success,
        task::{Listed, STATUS, STATUSES, listed},
        usage::canonical,
    },
};

/// One event on its way to one URL.
#[derive(Serialize)]
struct Delivery {
    event_id: String,
    #[serde(rename = "type")]
    kind: String,
    /// `None`: it is for the URL that the request named.
    endpoint_id: Option<String>,
    state: String,
    attempts: u32,
    last_status: Option<u32>,
    last_error: Option<String>,
    created_at: String,
    next_at: Option<String>,
    ended_at: Option<String>,
}

/// `GET /admin/tasks`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Params::parse(&uri);
    let page: Page<ids::Task> = query.page();
    let status = query.read("status", STATUS, |word| {
        STATUSES.contains(&word).then(|| word.to_owned())
    });
    let model = query.take("model");
    let provider = query.take("provider");
    let account = query.read("account_id", "be the id of an account", AccountId::parse);
    let older = query.read(
        "older_than",
        "be a duration, such as 90s, 10m or 2h",
        duration::parse,
    );
    query.finish()?;
    let until = older.map(|older| now_micros().saturating_sub(micros(older)));
    let request = FindTasksRequest {
        limit: page.limit,
        before: page.behind(),
        status: status.unwrap_or_default(),
        model: canonical(&app, model),
        provider: provider.unwrap_or_default(),
        account_id: account.map(AccountId::to_vec).unwrap_or_default().into(),
        created_until: until.unwrap_or_default(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let found = app.clients.operators.clone().find_tasks(request).await?;
    let items = found.into_inner().tasks;
    let items: Vec<Listed> = items.iter().map(listed).collect::<Result<_, _>>()?;
    success(StatusCode::OK, &page.list(items, Listed::id))
}

/// `GET /admin/tasks/{id}`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let task = task_of(&id)?;
    let request = ShowTaskRequest {
        task_id: task.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let story = app.clients.operators.clone().show_task(request).await;
    shown(&app, task, story).await
}

/// `POST /admin/tasks/{id}/requeue`.
pub(crate) async fn requeue(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let task = task_of(&id)?;
    let body = read(&app, request).await?;
    let force = if body.is_empty() {
        false
    } else {
        let mut fields = Fields::parse(&body)?;
        let force = fields.flag("force");
        fields.finish()?;
        force.unwrap_or_default()
    };
    let request = RequeueTaskRequest {
        task_id: task.to_vec().into(),
        by: Some(caller.by()),
        force,
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let story = app.clients.operators.clone().requeue_task(request).await;
    shown(&app, task, story).await
}

/// `POST /admin/tasks/{id}/cancel`.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let task = task_of(&id)?;
    let request = StopTaskRequest {
        task_id: task.to_vec().into(),
        by: Some(caller.by()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let story = app.clients.operators.clone().stop_task(request).await;
    shown(&app, task, story).await
}

fn task_of(id: &str) -> Result<TaskId, ApiError> {
    TaskId::parse(id).ok_or_else(|| super::nothing("task"))
}

/// What became of a task, with what its customer was told of it.
async fn shown(
    app: &App,
    task: TaskId,
    story: Result<tonic::Response<ShownTask>, Status>,
) -> Result<Response, ApiError> {
    let unreadable = |_| ApiError::internal();
    let story = story?.into_inner().story;
    let mut story: Map<String, Value> = serde_json::from_slice(&story).map_err(unreadable)?;
    let deliveries = serde_json::to_value(deliveries(app, task).await).map_err(unreadable)?;
    story.insert("deliveries".to_owned(), deliveries);
    success(StatusCode::OK, &story)
}

/// The deliveries of a task's events. `None`: webhooks does not say, and the rest of the story is worth telling all the same.
async fn deliveries(app: &App, task: TaskId) -> Option<Vec<Delivery>> {
    let request = ListDeliveriesRequest {
        task_id: task.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.webhooks);
    let told = app.clients.webhooks.clone().list_deliveries(request).await;
    let read = |told: tonic::Response<ListDeliveriesReply>| {
        let deliveries = told.into_inner().deliveries.into_iter();
        deliveries.map(Delivery::try_from).collect()
    };
    match told.map_err(ApiError::from).and_then(read) {
        Ok(deliveries) => Some(deliveries),
        Err(error) => {
            warn!(
                code = error.fault().code.word,
                "cannot say what was told of a task"
            );
            None
        }
    }
}

// === impl Delivery ===

impl TryFrom<wire::Delivery> for Delivery {
    type Error = ApiError;

    fn try_from(told: wire::Delivery) -> Result<Self, ApiError> {
        let event: EventId = id_from_wire(&told.event_id)?;
        let endpoint = Some(&told.endpoint_id).filter(|id| !id.is_empty());
        let endpoint: Option<EndpointId> = endpoint.map(|id| id_from_wire(id)).transpose()?;
        let is_due = told.state == "due";
        Ok(Self {
            event_id: event.to_string(),
            kind: told.r#type,
            endpoint_id: endpoint.map(|id| id.to_string()),
            state: told.state,
            attempts: told.attempts,
            last_status: (told.last_status > 0).then_some(told.last_status),
            last_error: Some(told.last_error).filter(|error| !error.is_empty()),
            created_at: rfc3339(told.created_at),
            next_at: is_due.then(|| rfc3339(told.due_at)),
            ended_at: (told.ended_at > 0).then(|| rfc3339(told.ended_at)),
        })
    }
}
