//! Webhooks: the secret by which customers check that a callback is ours, and the URLs they register for events, each with a
//! secret of its own. What is delivered and how is the business of webhooks.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::{clock, rpc};
use domain::{EndpointId, EventType};
use http::StatusCode;
use proto::{
    id_from_wire,
    webhooks::v1::{
        self as wire, CreateEndpointRequest, DeleteEndpointRequest, GetSecretRequest,
        ListEndpointsRequest,
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    auth::{Manage, Scoped},
    error::ApiError,
    http::{
        Segments,
        admin::{nothing, read},
        fields::Fields,
        not_kept,
        query::List,
        success,
    },
};

/// Characters of the longest URL.
const MAX_URL_CHARS: usize = 2_048;

/// A secret.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(crate) struct Secret {
    secret: String,
}

/// An endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(crate) struct Endpoint {
    endpoint_id: String,
    url: String,
    events: Vec<String>,
    created_at: String,
    /// Only when it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A removed endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpointRemoved)]
pub(crate) struct Removed {
    endpoint_id: String,
    removed: bool,
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

/// `GET /webhooks/endpoints`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
) -> Result<Response, ApiError> {
    let request = ListEndpointsRequest {
        context: Some(caller.context()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.webhooks);
    let reply = app.clients.webhooks.clone().list_endpoints(request).await?;
    let endpoints = reply.into_inner().endpoints.into_iter();
    let items: Vec<Endpoint> = endpoints
        .map(Endpoint::try_from)
        .collect::<Result<_, _>>()?;
    success(StatusCode::OK, &List::whole(items))
}

/// `POST /webhooks/endpoints`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = read(&app, request).await?;
    let mut fields = Fields::parse(&body)?;
    let url = fields.text("url", 1, MAX_URL_CHARS);
    fields.require("url", url.as_ref());
    let known = EventType::OF_ENDPOINTS.iter().map(|known| known.as_str());
    let allowed = format!("these types: {}", known.collect::<Vec<_>>().join(", "));
    let is_known = |word: &str| EventType::of_endpoints(word).is_some();
    let events = fields.words("events", &allowed, is_known);
    fields.finish()?;
    let request = CreateEndpointRequest {
        context: Some(caller.context()),
        url: url.unwrap_or_default(),
        events: events.unwrap_or_default(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.webhooks);
    let reply = app
        .clients
        .webhooks
        .clone()
        .create_endpoint(request)
        .await?;
    let reply = reply.into_inner();
    let made = Endpoint {
        secret: Some(reply.secret),
        ..Endpoint::try_from(reply.endpoint.unwrap_or_default())?
    };
    Ok(not_kept(success(StatusCode::CREATED, &made)?))
}

/// `DELETE /webhooks/endpoints/{id}`.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let endpoint = EndpointId::parse(&id).ok_or_else(|| nothing("webhook endpoint"))?;
    let request = DeleteEndpointRequest {
        context: Some(caller.context()),
        endpoint_id: endpoint.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.webhooks);
    app.clients
        .webhooks
        .clone()
        .delete_endpoint(request)
        .await?;
    let removed = Removed {
        endpoint_id: endpoint.to_string(),
        removed: true,
    };
    success(StatusCode::OK, &removed)
}

// === impl Endpoint ===

impl TryFrom<wire::Endpoint> for Endpoint {
    type Error = ApiError;

    fn try_from(endpoint: wire::Endpoint) -> Result<Self, ApiError> {
        let id: EndpointId = id_from_wire(&endpoint.endpoint_id)?;
        Ok(Self {
            endpoint_id: id.to_string(),
            url: endpoint.url,
            events: endpoint.events,
            created_at: clock::rfc3339(endpoint.created_at),
            secret: None,
        })
    }
}
