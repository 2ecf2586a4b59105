//! The same for operators, over everybody's endpoints and deliveries. Of a URL they see whom it is at, and no more: its path or query may
//! be a secret.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::rpc;
use domain::{AccountId, ids};
use http::{StatusCode, Uri};
use proto::webhooks::v1::{GetAlertSecretRequest, ListEndpointsRequest, Whose, whose};

use super::{
    ask, read,
    show::{self, Endpoint, Secret},
};
use crate::{
    App,
    auth::{Admin, Scoped},
    error::ApiError,
    http::{
        Segments,
        admin::read as body,
        not_kept,
        query::{Page, Params},
        success,
    },
};

/// Everybody's things.
fn everybody(caller: &Scoped<Admin>) -> Option<Whose> {
    Some(Whose {
        whose: Some(whose::Whose::Operator(caller.by())),
    })
}

/// `GET /admin/webhooks/endpoints`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Params::parse(&uri);
    let page: Page<ids::Endpoint> = query.page();
    let account = query.read("account_id", read::ACCOUNT, AccountId::parse);
    query.finish()?;
    let request = ListEndpointsRequest {
        whose: everybody(&caller),
        limit: page.limit,
        after: page.behind(),
        account_id: account.map(AccountId::to_vec).unwrap_or_default().into(),
    };
    let items = ask::endpoints(&app, request).await?;
    let items: Vec<Endpoint> = items.into_iter().map(Endpoint::for_operators).collect();
    success(StatusCode::OK, &page.list(items, Endpoint::id))
}

/// `GET /admin/webhooks/endpoints/{id}`.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let endpoint = ask::endpoint(&app, everybody(&caller), read::endpoint(&id)?).await?;
    success(StatusCode::OK, &endpoint.for_operators())
}

/// `PATCH /admin/webhooks/endpoints/{id}`.
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = read::endpoint(&id)?;
    let change = read::change(&body(&app, request).await?)?;
    let endpoint = ask::update(&app, everybody(&caller), id, change).await?;
    success(StatusCode::OK, &endpoint.for_operators())
}

/// `POST /admin/webhooks/endpoints/{id}/rotate-secret`.
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = read::endpoint(&id)?;
    let overlap = read::overlap(&body(&app, request).await?)?;
    ask::rotate(&app, everybody(&caller), Some(id), overlap).await
}

/// `POST /admin/webhooks/endpoints/{id}/test`.
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = read::endpoint(&id)?;
    let kind = read::kind(&body(&app, request).await?)?;
    ask::test(&app, everybody(&caller), id, kind).await
}

/// `GET /admin/webhooks/deliveries`.
pub(crate) async fn deliveries(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (page, request) = read::search(&uri, read::Asks::Operator)?;
    let found = ask::deliveries(&app, everybody(&caller), request).await?;
    success(StatusCode::OK, &page.list(found, show::Delivery::id))
}

/// `GET /admin/webhooks/deliveries/{id}`.
pub(crate) async fn delivery(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    ask::delivery(&app, everybody(&caller), read::delivery(&id)?).await
}

/// `POST /admin/webhooks/deliveries/{id}/replay`.
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    ask::replay(&app, everybody(&caller), read::delivery(&id)?).await
}

/// `POST /admin/webhooks/deliveries/recover`.
pub(crate) async fn recover(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    request: Request,
) -> Result<Response, ApiError> {
    let request = read::recovery(&body(&app, request).await?, None, read::Asks::Operator)?;
    ask::recover(&app, everybody(&caller), request).await
}

/// `GET /admin/webhooks/alert-secret`.
pub(crate) async fn alert_secret(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
) -> Result<Response, ApiError> {
    let deadline = app.config.limits.deadlines.webhooks;
    let request = rpc::request(GetAlertSecretRequest {}, deadline);
    let reply = app.clients.manage.clone().get_alert_secret(request).await?;
    let secret = Secret {
        secret: reply.into_inner().secret,
    };
    Ok(not_kept(success(StatusCode::OK, &secret)?))
}
