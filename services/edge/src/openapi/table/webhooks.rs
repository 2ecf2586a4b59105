//! Webhooks: what customers look after, and operators over everybody's.

use http::Method;

use super::{Doc, Gives, Query, Takes, row};
use crate::{
    http::webhooks::show::{Delivery, Endpoint, Recovered, Removed, Rotated, Secret, Tested},
    openapi::{
        bodies::{
            EndpointChange, EndpointRequest, OverlapRequest, RecoverRequest, TestEndpointRequest,
        },
        shapes::{self, Shape},
    },
};

const DELIVERIES: &[Query] = &[
    Query("limit", "1 to 1000; usually 100."),
    Query("cursor", "The `next_cursor` of the page before."),
    Query("task_id", "Of this task."),
    Query("endpoint_id", "For this endpoint."),
    Query("state", "`due`, `inflight`, `delivered` or `dead`."),
    Query("type", "Of this type, such as `task.completed`."),
    Query("since", "Made from this moment on (RFC 3339)."),
    Query("until", "Made before this moment (RFC 3339)."),
];

const EVERYBODYS_DELIVERIES: &[Query] = &[
    Query("limit", "1 to 1000; usually 100."),
    Query("cursor", "The `next_cursor` of the page before."),
    Query("account_id", "Of this account."),
    Query("task_id", "Of this task."),
    Query("endpoint_id", "For this endpoint."),
    Query("state", "`due`, `inflight`, `delivered` or `dead`."),
    Query("type", "Of this type, such as `task.completed`."),
    Query("since", "Made from this moment on (RFC 3339)."),
    Query("until", "Made before this moment (RFC 3339)."),
];

const EVERYBODYS_ENDPOINTS: &[Query] = &[
    Query("limit", "1 to 1000; usually 100."),
    Query("cursor", "The `next_cursor` of the page before."),
    Query("account_id", "Of this account."),
];

pub(super) fn own() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Webhooks", summary);
    let secret: Shape = shapes::of::<Secret>;
    vec![
        row(
            Method::GET,
            "/webhooks/secret",
            "The secret that signs your callbacks",
        )
        .gives(Gives::Data("200", secret)),
        row(
            Method::POST,
            "/webhooks/secret/rotate",
            "Gives your callbacks another secret",
        )
        .takes(Takes::Perhaps(shapes::of::<OverlapRequest>))
        .gives(Gives::Data("200", shapes::of::<Rotated>)),
    ]
    .into_iter()
    .chain(endpoints())
    .chain(deliveries())
    .collect()
}

fn endpoints() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Webhooks", summary);
    let endpoint: Shape = shapes::of::<Endpoint>;
    vec![
        row(
            Method::GET,
            "/webhooks/endpoints",
            "Who is told what happens to your account",
        )
        .gives(Gives::Page("200", endpoint)),
        row(
            Method::POST,
            "/webhooks/endpoints",
            "Registers an endpoint, and shows its secret once",
        )
        .takes(Takes::Json(shapes::of::<EndpointRequest>))
        .gives(Gives::Data("201", endpoint)),
        row(Method::GET, "/webhooks/endpoints/{id}", "An endpoint")
            .gives(Gives::Data("200", endpoint)),
        row(
            Method::PATCH,
            "/webhooks/endpoints/{id}",
            "Changes an endpoint, disables it, or lets it go on",
        )
        .takes(Takes::Json(shapes::of::<EndpointChange>))
        .gives(Gives::Data("200", endpoint)),
        row(
            Method::DELETE,
            "/webhooks/endpoints/{id}",
            "Removes an endpoint",
        )
        .gives(Gives::Data("200", shapes::of::<Removed>)),
        row(
            Method::POST,
            "/webhooks/endpoints/{id}/rotate-secret",
            "Gives an endpoint another secret, and shows it once",
        )
        .takes(Takes::Perhaps(shapes::of::<OverlapRequest>))
        .gives(Gives::Data("200", shapes::of::<Rotated>)),
        row(
            Method::POST,
            "/webhooks/endpoints/{id}/test",
            "Sends a sample event to an endpoint",
        )
        .takes(Takes::Perhaps(shapes::of::<TestEndpointRequest>))
        .gives(Gives::Data("202", shapes::of::<Tested>)),
        row(
            Method::POST,
            "/webhooks/endpoints/{id}/recover",
            "Sends an endpoint again what was given up",
        )
        .takes(Takes::Json(shapes::of::<RecoverRequest>))
        .gives(Gives::Data("202", shapes::of::<Recovered>)),
    ]
}

fn deliveries() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Webhooks", summary);
    let delivery: Shape = shapes::of::<Delivery>;
    vec![
        row(
            Method::GET,
            "/webhooks/deliveries",
            "Deliveries, the newest first",
        )
        .query(DELIVERIES)
        .gives(Gives::Page("200", delivery)),
        row(
            Method::GET,
            "/webhooks/deliveries/{id}",
            "A delivery with every attempt",
        )
        .gives(Gives::Data("200", delivery)),
        row(
            Method::POST,
            "/webhooks/deliveries/{id}/replay",
            "Sends a delivery again that has ended",
        )
        .gives(Gives::Data("202", delivery)),
        row(
            Method::POST,
            "/webhooks/deliveries/recover",
            "Sends again what was given up, so many in each call",
        )
        .takes(Takes::Json(shapes::of::<RecoverRequest>))
        .gives(Gives::Data("202", shapes::of::<Recovered>)),
    ]
}

pub(super) fn everybodys() -> Vec<Doc> {
    let mut all = everybodys_endpoints();
    all.extend(everybodys_deliveries());
    all
}

fn everybodys_endpoints() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Operator", summary);
    let endpoint: Shape = shapes::of::<Endpoint>;
    vec![
        row(
            Method::GET,
            "/admin/webhooks/endpoints",
            "Everybody's webhook endpoints",
        )
        .query(EVERYBODYS_ENDPOINTS)
        .gives(Gives::Page("200", endpoint)),
        row(
            Method::GET,
            "/admin/webhooks/endpoints/{id}",
            "An endpoint of anybody",
        )
        .gives(Gives::Data("200", endpoint)),
        row(
            Method::PATCH,
            "/admin/webhooks/endpoints/{id}",
            "Changes an endpoint of anybody",
        )
        .takes(Takes::Json(shapes::of::<EndpointChange>))
        .gives(Gives::Data("200", endpoint)),
        row(
            Method::POST,
            "/admin/webhooks/endpoints/{id}/rotate-secret",
            "Gives an endpoint of anybody another secret",
        )
        .takes(Takes::Perhaps(shapes::of::<OverlapRequest>))
        .gives(Gives::Data("200", shapes::of::<Rotated>)),
        row(
            Method::POST,
            "/admin/webhooks/endpoints/{id}/test",
            "Sends a sample event to an endpoint of anybody",
        )
        .takes(Takes::Perhaps(shapes::of::<TestEndpointRequest>))
        .gives(Gives::Data("202", shapes::of::<Tested>)),
    ]
}

fn everybodys_deliveries() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Operator", summary);
    let delivery: Shape = shapes::of::<Delivery>;
    vec![
        row(
            Method::GET,
            "/admin/webhooks/deliveries",
            "Everybody's deliveries, the newest first",
        )
        .query(EVERYBODYS_DELIVERIES)
        .gives(Gives::Page("200", delivery)),
        row(
            Method::GET,
            "/admin/webhooks/deliveries/{id}",
            "A delivery of anybody, with every attempt",
        )
        .gives(Gives::Data("200", delivery)),
        row(
            Method::POST,
            "/admin/webhooks/deliveries/{id}/replay",
            "Sends a delivery of anybody again",
        )
        .gives(Gives::Data("202", delivery)),
        row(
            Method::POST,
            "/admin/webhooks/deliveries/recover",
            "Sends again what was given up, of anybody or of one account",
        )
        .takes(Takes::Json(shapes::of::<RecoverRequest>))
        .gives(Gives::Data("202", shapes::of::<Recovered>)),
        row(
            Method::GET,
            "/admin/webhooks/alert-secret",
            "The secret that signs what you are told at `webhooks.alert_url`",
        )
        .gives(Gives::Data("200", shapes::of::<Secret>)),
    ]
}
