//! What the operator does about media tasks of anybody. A task is told as media tells it, without its content.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::{
    clock::{micros, now_micros},
    config::duration,
    rpc,
};
use domain::{AccountId, TaskId, ids};
use http::{StatusCode, Uri};
use proto::media::v1::{
    FindTasksRequest, RequeueTaskRequest, ShowTaskRequest, ShownTask, StopTaskRequest,
};
use tonic::Status;

use super::read;
use crate::{
    App,
    auth::{Admin, Scoped},
    error::ApiError,
    http::{
        Segments, enveloped,
        fields::Fields,
        query::{Page, Params},
        success,
        task::{Listed, STATUS, STATUSES, listed},
        usage::canonical,
    },
};

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
    let request = ShowTaskRequest {
        task_id: task_of(&id)?.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    shown(app.clients.operators.clone().show_task(request).await)
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
    shown(app.clients.operators.clone().requeue_task(request).await)
}

/// `POST /admin/tasks/{id}/cancel`.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let request = StopTaskRequest {
        task_id: task_of(&id)?.to_vec().into(),
        by: Some(caller.by()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    shown(app.clients.operators.clone().stop_task(request).await)
}

fn task_of(id: &str) -> Result<TaskId, ApiError> {
    TaskId::parse(id).ok_or_else(|| super::nothing("task"))
}

fn shown(answer: Result<tonic::Response<ShownTask>, Status>) -> Result<Response, ApiError> {
    Ok(enveloped(StatusCode::OK, &answer?.into_inner().story))
}
