//! Responses that are kept: gone on from, looked at, deleted. What a response is, `responses` says; chat keeps them. Another account's,
//! one that was deleted, one that is kept no longer and one that never was are the same 404.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use bytes::Bytes;
use chassis::rpc;
use domain::OperationId;
use http::StatusCode;
use proto::{
    Fault, Kind,
    chat::v1::{DeleteResponseRequest, GetResponseRequest, KeepResponseRequest, KeptResponse},
    code,
    common::v1::Context,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    auth::{Inference, Kept as Looking, Scoped},
    error::ApiError,
    http::{Segments, json},
    responses::{
        items, operation_of,
        request::{Found, fields, read},
        turn::{Kept, Turn},
    },
};

/// The field that names a response to go on from.
const PREVIOUS: &str = "previous_response_id";

/// A response that is gone.
#[derive(Serialize, ToSchema)]
#[schema(as = ResponseDeleted)]
pub(crate) struct Deleted<'a> {
    id: &'a str,
    object: &'static str,
    deleted: bool,
}

/// Which part of a kept response is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Conversation,
    Object,
}

/// `GET /responses/{id}`.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Scoped<Looking>,
    Segments(id): Segments<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let asked = query.unwrap_or_default();
    if asked.split('&').any(|pair| pair == "stream=true") {
        let message = "stream must be false: a response is complete when it is kept";
        return Err(Fault::new(code::INVALID_PARAMETER, message)
            .param("stream")
            .into());
    }
    let wanted = (operation_of(&id), Wanted::Object);
    let kept = look(&app, caller.context(), wanted).await?;
    let kept = kept.ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, kept.object))
}

/// `DELETE /responses/{id}`.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let operation = operation_of(&id).ok_or_else(unknown)?;
    let request = DeleteResponseRequest {
        context: Some(caller.context()),
        operation_id: operation.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.responses);
    let deleted = app.clients.chat.clone().delete_response(request).await;
    if found(deleted)?.is_none() {
        return Err(unknown());
    }
    let deleted = Deleted {
        id: &id,
        object: "response",
        deleted: true,
    };
    let body = serde_json::to_vec(&deleted).map_err(|_| ApiError::internal())?;
    Ok(json(StatusCode::OK, body.into()))
}

/// Reads a request, and joins it with the conversation that it goes on from: what is to be answered, and how chat is asked.
pub(crate) async fn open(
    app: &App,
    context: Context,
    body: &Bytes,
) -> Result<(Turn, Bytes), ApiError> {
    let (fields, referred) = fields(body)?;
    let found = find(app, &context, referred).await?;
    let asked = read(fields, &found)?;
    let earlier = match &asked.previous {
        None => None,
        Some(id) => {
            let kept = look(app, context, (operation_of(id), Wanted::Conversation)).await?;
            Some(kept.ok_or_else(|| gone(id))?.conversation)
        }
    };
    let continued = earlier.is_some();
    let (turn, body) = Turn::open(asked, earlier.as_deref());
    let most = app.config.limits.bodies.chat;
    if body.len() > most {
        let (what, param) = if continued {
            (
                "the conversation that it goes on from and the input",
                PREVIOUS,
            )
        } else {
            ("the input", "input")
        };
        let message = format!(
            "{what} come to {} bytes, and may have {most}: begin another conversation",
            body.len()
        );
        return Err(Fault::new(code::BODY_TOO_LARGE, message)
            .param(param)
            .into());
    }
    Ok((turn, body))
}

/// Has a response kept, if it is to be. That it cannot be is told by the response, and costs the customer nothing of it.
pub(crate) async fn keep(
    app: Arc<App>,
    (context, operation): (Context, OperationId),
    response: Option<KeptResponse>,
) -> Kept {
    if response.is_none() {
        return Kept::No;
    }
    let request = KeepResponseRequest {
        context: Some(context),
        operation_id: operation.to_vec().into(),
        response,
    };
    let request = rpc::request(request, app.config.limits.deadlines.responses);
    match app.clients.chat.clone().keep_response(request).await {
        Ok(reply) if reply.get_ref().kept => return Kept::Yes,
        Ok(_) => {
            tracing::debug!(%operation, "a response is too long to be kept, or its account keeps as much as it may");
        }
        Err(status) => {
            let fault = Fault::from(status);
            tracing::warn!(%operation, code = fault.code.word, "a response cannot be kept");
        }
    }
    app.metrics.unkept.inc();
    Kept::No
}

/// Items of kept responses, by their ids. Those of responses that are not kept are not among them.
async fn find(app: &App, context: &Context, made: Vec<OperationId>) -> Result<Found, ApiError> {
    let bodies = &app.config.limits.bodies;
    if made.len() > bodies.referred {
        let message = format!(
            "input may refer to items of at most {} responses: go on from the last one by previous_response_id, or send the items \
             themselves",
            bodies.referred
        );
        return Err(Fault::new(code::INVALID_PARAMETER, message)
            .param("input")
            .into());
    }
    let (mut found, mut bytes) = (Found::new(), 0_usize);
    for operation in made {
        let wanted = (Some(operation), Wanted::Object);
        let Some(kept) = look(app, context.clone(), wanted).await? else {
            continue;
        };
        bytes = bytes.saturating_add(kept.object.len());
        if bytes > bodies.chat {
            let message = format!(
                "the responses that input refers to come to more than {} bytes",
                bodies.chat
            );
            return Err(Fault::new(code::BODY_TOO_LARGE, message)
                .param("input")
                .into());
        }
        found.extend(items(&kept.object));
    }
    Ok(found)
}

/// A part of what is kept of a response; `None` where there is none for this caller.
async fn look(
    app: &App,
    context: Context,
    (operation, wanted): (Option<OperationId>, Wanted),
) -> Result<Option<KeptResponse>, ApiError> {
    let Some(operation) = operation else {
        return Ok(None);
    };
    let request = GetResponseRequest {
        context: Some(context),
        operation_id: operation.to_vec().into(),
        conversation: wanted == Wanted::Conversation,
    };
    let request = rpc::request(request, app.config.limits.deadlines.responses);
    found(app.clients.chat.clone().get_response(request).await)
}

/// Makes every way of not finding a response look the same.
fn found<T>(answer: Result<tonic::Response<T>, tonic::Status>) -> Result<Option<T>, ApiError> {
    match answer.map_err(ApiError::from) {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(error) if error.fault().kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn unknown() -> ApiError {
    ApiError::new(code::NOT_FOUND, "there is no such response for this key")
}

fn gone(id: &str) -> ApiError {
    // What is no id at all is not said back.
    let named = operation_of(id)
        .map(|_| format!(" {id}"))
        .unwrap_or_default();
    let message = format!(
        "{PREVIOUS} must name a response that is kept for this key's account and mode: there is no response{named}"
    );
    Fault::new(code::NOT_FOUND, message).param(PREVIOUS).into()
}
