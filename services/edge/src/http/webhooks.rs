//! Webhooks: the secret by which customers check that a callback is ours, the URLs they register for events, each with a secret of its
//! own, and what became of what was sent. What is delivered and how is the business of webhooks. (For operators: `admin`.)

pub(crate) mod admin;
mod ask;
mod read;
pub(crate) mod show;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::rpc;
use http::{StatusCode, Uri};
use proto::webhooks::v1::{
    CreateEndpointRequest, GetSecretRequest, ListEndpointsRequest, Whose, whose,
};

use self::show::{Endpoint, Secret};
use crate::{
    App,
    auth::{Manage, Scoped},
    error::ApiError,
    http::{Segments, admin::read as body, not_kept, query::List, success},
};

/// The caller's own things, of its mode.
fn own(caller: &Scoped<Manage>) -> Option<Whose> {
    Some(Whose {
        whose: Some(whose::Whose::Caller(caller.context())),
    })
}

/// `GET /webhooks/secret`: that of the key's account and mode.
pub(crate) async fn secret(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
) -> Result<Response, ApiError> {
    let request = GetSecretRequest {
        context: Some(caller.context()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.webhooks);
    let reply = app.clients.webhooks.clone().get_secret(request).await?;
    let secret = Secret {
        secret: reply.into_inner().secret,
    };
    Ok(not_kept(success(StatusCode::OK, &secret)?))
}

/// `POST /webhooks/secret/rotate`.
pub(crate) async fn rotate_secret(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    request: Request,
) -> Result<Response, ApiError> {
    let overlap = read::overlap(&body(&app, request).await?)?;
    ask::rotate(&app, own(&caller), None, overlap).await
}

/// `GET /webhooks/endpoints`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
) -> Result<Response, ApiError> {
    let request = ListEndpointsRequest {
        whose: own(&caller),
        ..ListEndpointsRequest::default()
    };
    let items = ask::endpoints(&app, request).await?;
    success(StatusCode::OK, &List::whole(items))
}

/// `POST /webhooks/endpoints`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    request: Request,
) -> Result<Response, ApiError> {
    let request = CreateEndpointRequest {
        context: Some(caller.context()),
        ..read::new_endpoint(&body(&app, request).await?)?
    };
    let request = rpc::request(request, app.config.limits.deadlines.webhooks);
    let reply = app.clients.manage.clone().create_endpoint(request).await?;
    let reply = reply.into_inner();
    let made = Endpoint::try_from(reply.endpoint.unwrap_or_default())?.with_secret(reply.secret);
    Ok(not_kept(success(StatusCode::CREATED, &made)?))
}

/// `GET /webhooks/endpoints/{id}`.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let endpoint = ask::endpoint(&app, own(&caller), read::endpoint(&id)?).await?;
    success(StatusCode::OK, &endpoint)
}

/// `PATCH /webhooks/endpoints/{id}`.
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = read::endpoint(&id)?;
    let change = read::change(&body(&app, request).await?)?;
    let endpoint = ask::update(&app, own(&caller), id, change).await?;
    success(StatusCode::OK, &endpoint)
}

/// `DELETE /webhooks/endpoints/{id}`.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    ask::remove(&app, own(&caller), read::endpoint(&id)?).await
}

/// `POST /webhooks/endpoints/{id}/rotate-secret`.
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = read::endpoint(&id)?;
    let overlap = read::overlap(&body(&app, request).await?)?;
    ask::rotate(&app, own(&caller), Some(id), overlap).await
}

/// `POST /webhooks/endpoints/{id}/test`.
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = read::endpoint(&id)?;
    let kind = read::kind(&body(&app, request).await?)?;
    ask::test(&app, own(&caller), id, kind).await
}

/// `POST /webhooks/endpoints/{id}/recover`.
pub(crate) async fn recover_endpoint(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = read::endpoint(&id)?;
    let request = read::recovery(&body(&app, request).await?, Some(id), read::Asks::Customer)?;
    ask::recover(&app, own(&caller), request).await
}

/// `GET /webhooks/deliveries`.
pub(crate) async fn deliveries(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (page, request) = read::search(&uri, read::Asks::Customer)?;
    let found = ask::deliveries(&app, own(&caller), request).await?;
    success(StatusCode::OK, &page.list(found, show::Delivery::id))
}

/// `GET /webhooks/deliveries/{id}`.
pub(crate) async fn delivery(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    ask::delivery(&app, own(&caller), read::delivery(&id)?).await
}

/// `POST /webhooks/deliveries/{id}/replay`.
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    ask::replay(&app, own(&caller), read::delivery(&id)?).await
}

/// `POST /webhooks/deliveries/recover`.
pub(crate) async fn recover(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    request: Request,
) -> Result<Response, ApiError> {
    let request = read::recovery(&body(&app, request).await?, None, read::Asks::Customer)?;
    ask::recover(&app, own(&caller), request).await
}
