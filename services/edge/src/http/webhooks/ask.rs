//! Webhooks asked, for whomever.

use std::time::Duration;

use axum::response::Response;
use chassis::rpc;
use domain::{DeliveryId, EndpointId};
use http::StatusCode;
use proto::webhooks::v1::{
    DeliveryRequest, EndpointRequest, FindDeliveriesRequest, ListEndpointsRequest, RecoverRequest,
    RotateSecretRequest, TestEndpointRequest, UpdateEndpointRequest, Whose,
};
use tonic::Request;

use super::show::{Delivery, Endpoint, Recovered, Removed, Rotated, Tested};
use crate::{
    App,
    error::ApiError,
    http::{not_kept, success},
};

/// A request that is answered in time, or not at all.
fn timely<T>(app: &App, request: T) -> Request<T> {
    rpc::request(request, app.config.limits.deadlines.webhooks)
}

pub(super) async fn endpoints(
    app: &App,
    request: ListEndpointsRequest,
) -> Result<Vec<Endpoint>, ApiError> {
    let listed = app
        .clients
        .manage
        .clone()
        .list_endpoints(timely(app, request))
        .await?;
    let listed = listed.into_inner().endpoints.into_iter();
    listed.map(Endpoint::try_from).collect()
}

pub(super) async fn endpoint(
    app: &App,
    whose: Option<Whose>,
    id: EndpointId,
) -> Result<Endpoint, ApiError> {
    let request = timely(app, named(whose, id));
    let found = app.clients.manage.clone().get_endpoint(request).await?;
    Endpoint::try_from(found.into_inner())
}

pub(super) async fn update(
    app: &App,
    whose: Option<Whose>,
    id: EndpointId,
    change: UpdateEndpointRequest,
) -> Result<Endpoint, ApiError> {
    let request = UpdateEndpointRequest {
        whose,
        endpoint_id: id.to_vec().into(),
        ..change
    };
    let changed = app
        .clients
        .manage
        .clone()
        .update_endpoint(timely(app, request))
        .await?;
    Endpoint::try_from(changed.into_inner())
}

pub(super) async fn remove(
    app: &App,
    whose: Option<Whose>,
    id: EndpointId,
) -> Result<Response, ApiError> {
    let request = timely(app, named(whose, id));
    app.clients.manage.clone().delete_endpoint(request).await?;
    success(StatusCode::OK, &Removed::of(id))
}

/// Without an endpoint: the secret of callbacks.
pub(super) async fn rotate(
    app: &App,
    whose: Option<Whose>,
    id: Option<EndpointId>,
    overlap: Duration,
) -> Result<Response, ApiError> {
    let request = RotateSecretRequest {
        whose,
        endpoint_id: id.map(EndpointId::to_vec).unwrap_or_default().into(),
        overlap_ms: u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX),
    };
    let rotated = app
        .clients
        .manage
        .clone()
        .rotate_secret(timely(app, request))
        .await?;
    let rotated = Rotated::of(id, rotated.into_inner());
    Ok(not_kept(success(StatusCode::OK, &rotated)?))
}

pub(super) async fn test(
    app: &App,
    whose: Option<Whose>,
    id: EndpointId,
    kind: String,
) -> Result<Response, ApiError> {
    let request = TestEndpointRequest {
        whose,
        endpoint_id: id.to_vec().into(),
        r#type: kind,
    };
    let sent = app
        .clients
        .manage
        .clone()
        .test_endpoint(timely(app, request))
        .await?;
    success(StatusCode::ACCEPTED, &Tested::try_from(sent.into_inner())?)
}

pub(super) async fn deliveries(
    app: &App,
    whose: Option<Whose>,
    request: FindDeliveriesRequest,
) -> Result<Vec<Delivery>, ApiError> {
    let request = FindDeliveriesRequest { whose, ..request };
    let found = app
        .clients
        .manage
        .clone()
        .find_deliveries(timely(app, request))
        .await?;
    let found = found.into_inner().deliveries.into_iter();
    found.map(Delivery::try_from).collect()
}

pub(super) async fn delivery(
    app: &App,
    whose: Option<Whose>,
    id: DeliveryId,
) -> Result<Response, ApiError> {
    let request = DeliveryRequest {
        whose,
        delivery_id: id.to_vec().into(),
    };
    let story = app
        .clients
        .manage
        .clone()
        .get_delivery(timely(app, request))
        .await?;
    success(StatusCode::OK, &Delivery::story(story.into_inner())?)
}

pub(super) async fn replay(
    app: &App,
    whose: Option<Whose>,
    id: DeliveryId,
) -> Result<Response, ApiError> {
    let request = DeliveryRequest {
        whose,
        delivery_id: id.to_vec().into(),
    };
    let story = app
        .clients
        .manage
        .clone()
        .replay_delivery(timely(app, request))
        .await?;
    success(StatusCode::ACCEPTED, &Delivery::story(story.into_inner())?)
}

pub(super) async fn recover(
    app: &App,
    whose: Option<Whose>,
    request: RecoverRequest,
) -> Result<Response, ApiError> {
    let request = RecoverRequest { whose, ..request };
    let reply = app
        .clients
        .manage
        .clone()
        .recover(timely(app, request))
        .await?;
    let reply = reply.into_inner();
    let recovered = Recovered {
        recovered: reply.recovered,
        more: reply.more,
    };
    success(StatusCode::ACCEPTED, &recovered)
}

fn named(whose: Option<Whose>, id: EndpointId) -> EndpointRequest {
    EndpointRequest {
        whose,
        endpoint_id: id.to_vec().into(),
    }
}
