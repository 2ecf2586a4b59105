//! API keys of every account, for operators: the same without a context, by which billing knows that an operator asks.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::Uri;
use proto::billing::v1::{
    CreateKeyRequest, ListKeysRequest, RevokeKeyRequest, RotateKeyRequest, UpdateKeyRequest,
};

use super::{
    answer_created, answer_list, answer_revoked, answer_rotated, answer_updated, key_of,
    read::{self, Whose},
};
use crate::{
    App,
    auth::{Admin, Scoped},
    error::ApiError,
    http::{
        Segments,
        admin::{account_of, read as body},
        query::Page,
    },
};

/// `GET /admin/accounts/{id}/keys`: of both modes.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let request = ListKeysRequest {
        account_id: account_of(&id)?.to_vec().into(),
        ..ListKeysRequest::default()
    };
    answer_list(&app, Page::of(&uri)?, request).await
}

/// `POST /admin/accounts/{id}/keys`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let account = account_of(&id)?;
    let body = body(&app, request).await?;
    let request = CreateKeyRequest {
        account_id: account.to_vec().into(),
        by: Some(caller.by()),
        ..read::new_key(&app, &body, Whose::Anybodys)?
    };
    answer_created(&app, request).await
}

/// `POST /admin/keys/{id}/rotate`.
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let key = key_of(&id)?;
    let request = RotateKeyRequest {
        by: Some(caller.by()),
        ..read::rotation(key, &body(&app, request).await?)?
    };
    answer_rotated(&app, key, request).await
}

/// `PATCH /admin/keys/{id}`.
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let key = key_of(&id)?;
    let request = UpdateKeyRequest {
        by: Some(caller.by()),
        ..read::change(&app, key, &body(&app, request).await?)?
    };
    answer_updated(&app, key, request).await
}

/// `DELETE /admin/keys/{id}`.
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let key = key_of(&id)?;
    let request = RevokeKeyRequest {
        context: None,
        key_id: key.to_vec().into(),
        by: Some(caller.by()),
    };
    answer_revoked(&app, key, request).await
}
