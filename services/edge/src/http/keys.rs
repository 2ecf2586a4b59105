//! API keys: a customer's own, of the account and mode of the key that asks. (Those of operators: `admin`.) What a caller may
//! see and hand out, billing decides; here bodies are read and answers written.

pub(crate) mod admin;
mod read;
pub(crate) mod show;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::rpc;
use domain::{KeyId, ids};
use http::{StatusCode, Uri};
use live::Notice;
use proto::{
    billing::v1::{
        CreateKeyRequest, ListKeysRequest, RevokeKeyRequest, RotateKeyRequest, UpdateKeyRequest,
    },
    id_from_wire,
};

use self::read::Whose;
use crate::{
    App,
    auth::{Manage, Scoped},
    error::ApiError,
    http::{
        Segments,
        admin::{nothing, read as body},
        not_kept,
        query::Page,
        success,
    },
};

/// `GET /keys`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let request = ListKeysRequest {
        context: Some(caller.context()),
        ..ListKeysRequest::default()
    };
    answer_list(&app, Page::of(&uri)?, request).await
}

/// `POST /keys`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = body(&app, request).await?;
    let request = CreateKeyRequest {
        context: Some(caller.context()),
        ..read::new_key(&app, &body, Whose::Callers)?
    };
    answer_created(&app, request).await
}

/// `POST /keys/{id}/rotate`.
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let key = key_of(&id)?;
    let request = RotateKeyRequest {
        context: Some(caller.context()),
        ..read::rotation(key, &body(&app, request).await?)?
    };
    answer_rotated(&app, key, request).await
}

/// `PATCH /keys/{id}`.
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let key = key_of(&id)?;
    let request = UpdateKeyRequest {
        context: Some(caller.context()),
        ..read::change(&app, key, &body(&app, request).await?)?
    };
    answer_updated(&app, key, request).await
}

/// `DELETE /keys/{id}`.
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let key = key_of(&id)?;
    let request = RevokeKeyRequest {
        context: Some(caller.context()),
        key_id: key.to_vec().into(),
        by: None,
    };
    answer_revoked(&app, key, request).await
}

async fn answer_list(
    app: &App,
    page: Page<ids::Key>,
    request: ListKeysRequest,
) -> Result<Response, ApiError> {
    let request = ListKeysRequest {
        limit: page.limit,
        after: page.behind(),
        ..request
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let reply = app.clients.keys.clone().list_keys(request).await?;
    let keys = reply.into_inner().keys;
    let items: Vec<show::Key> = keys
        .into_iter()
        .map(show::Key::try_from)
        .collect::<Result<_, _>>()?;
    success(StatusCode::OK, &page.list(items, |key| &key.key_id))
}

async fn answer_created(app: &App, request: CreateKeyRequest) -> Result<Response, ApiError> {
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let reply = app.clients.keys.clone().create_key(request).await?;
    let created = reply.into_inner();
    let id: KeyId = id_from_wire(&created.key_id)?;
    let key = show::NewKey {
        key_id: id.to_string(),
        key: created.key,
    };
    Ok(not_kept(success(StatusCode::CREATED, &key)?))
}

async fn answer_rotated(
    app: &App,
    key: KeyId,
    request: RotateKeyRequest,
) -> Result<Response, ApiError> {
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let reply = app.clients.keys.clone().rotate_key(request).await?;
    changed(app, key).await;
    let rotated = show::RotatedKey::of(key, reply.into_inner());
    Ok(not_kept(success(StatusCode::OK, &rotated)?))
}

async fn answer_updated(
    app: &App,
    key: KeyId,
    request: UpdateKeyRequest,
) -> Result<Response, ApiError> {
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let reply = app.clients.keys.clone().update_key(request).await?;
    changed(app, key).await;
    success(StatusCode::OK, &show::Key::try_from(reply.into_inner())?)
}

async fn answer_revoked(
    app: &App,
    key: KeyId,
    request: RevokeKeyRequest,
) -> Result<Response, ApiError> {
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    app.clients.keys.clone().revoke_key(request).await?;
    changed(app, key).await;
    let revoked = show::RevokedKey {
        key_id: key.to_string(),
        revoked: true,
    };
    success(StatusCode::OK, &revoked)
}

/// In this process the key is what it is now when the answer leaves; in others when the notice arrives, or when their entries end.
async fn changed(app: &App, key: KeyId) {
    app.keys.forget(key).await;
    if let Err(error) = app.live.notify(Notice::KeyChanged(key)).await {
        tracing::warn!(%error, "cannot tell other processes that a key was changed");
    }
}

/// Reads a key's id. What cannot be one is as unknown as one that nobody has.
fn key_of(id: &str) -> Result<KeyId, ApiError> {
    KeyId::parse(id).ok_or_else(|| nothing("key"))
}
