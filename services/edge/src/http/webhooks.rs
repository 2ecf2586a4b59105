//! `GET /webhooks/secret`: the secret by which customers check that a callback is ours.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use chassis::rpc;
use http::StatusCode;
use proto::webhooks::v1::GetSecretRequest;
use serde::Serialize;

use crate::{
    App,
    auth::{Manage, Scoped},
    error::ApiError,
    http::{not_kept, success},
};

/// The wire form of a secret.
#[derive(Serialize)]
struct Secret {
    secret: String,
}

/// The secret of the key's account and mode.
pub(crate) async fn secret(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
) -> Result<Response, ApiError> {
    let request = GetSecretRequest {
        context: Some(caller.context()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.webhooks);
    let reply = app
        .clients
        .webhooks
        .clone()
        .get_secret(request)
        .await?
        .into_inner();
    let secret = Secret {
        secret: reply.secret,
    };
    Ok(not_kept(success(StatusCode::OK, &secret)?))
}
