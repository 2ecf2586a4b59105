//! The routes that accept media tasks. Only the shape of the request is looked at here; media reads the body.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::rpc;
use domain::{TaskId, ids};
use http::StatusCode;
use proto::{id_from_wire, media::v1::SubmitRequest};
use serde::Serialize;

use crate::{
    App,
    auth::{Inference, Scoped},
    body,
    error::ApiError,
    http::{idempotency_key, max_cost, put, put_replayed, success},
};

/// The wire form of an accepted task.
#[derive(Serialize)]
struct Accepted {
    task_id: String,
    status: &'static str,
}

/// `POST /images/generations`.
pub(crate) async fn images(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    request: Request,
) -> Result<Response, ApiError> {
    submit(&app, &caller, "images/generations", request).await
}

/// Accepts a task for a route.
async fn submit(
    app: &App,
    caller: &Scoped<Inference>,
    route: &str,
    request: Request,
) -> Result<Response, ApiError> {
    let limits = &app.config.limits;
    let idempotency_key = idempotency_key(request.headers())?;
    let max_cost = max_cost(request.headers())?;
    let body = body::read(request, limits.bodies.media, &limits.bodies).await?;
    let request = SubmitRequest {
        context: Some(caller.context()),
        task_id: chassis::mint::<ids::Task>().to_vec().into(),
        route: route.to_owned(),
        body,
        idempotency_key,
        models: caller.identity.models.clone(),
        max_open_tasks: caller.identity.max_open_tasks,
        max_cost,
    };
    let reply = app
        .clients
        .media
        .clone()
        .submit(rpc::request(request, limits.deadlines.submit))
        .await?
        .into_inner();
    let task: TaskId = id_from_wire(&reply.task_id)?;
    let accepted = Accepted {
        task_id: task.to_string(),
        status: "IN_PROGRESS",
    };
    let mut response = success(StatusCode::ACCEPTED, &accepted)?;
    let headers = response.headers_mut();
    let operation = task.cast::<ids::Operation>().to_string();
    put(headers, "x-aio-operation-id", &operation);
    if reply.replayed {
        put_replayed(headers);
    }
    Ok(response)
}
