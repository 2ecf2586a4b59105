//! Stripe, as far as prepaid orders need it: `/stripe/v1/…` speaks its API, `/stripe/pay/{session}` is the page where a
//! customer pays, and `/stripe/simulate/…` does what customers, banks and operators do. Events are signed and sent to the endpoint
//! that `sandbox.stripe.webhook_url` or `POST /stripe/v1/webhook_endpoints` names: once, several times, or kept back and sent in
//! another order, as the call says.
//!
//! It keeps everything in memory, and forgets it when it stops. No money exists here.

mod deliver;
mod shop;
mod wire;

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use self::{
    deliver::{Courier, Delivery},
    shop::{Happening, NewSession, Shop, Wrong},
};
use crate::{Config, Sandbox, answer};

/// The simulated Stripe. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Stripe {
    shop: Arc<Shop>,
    courier: Courier,
}

/// The settings of the section `sandbox.stripe`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StripeConfig {
    /// Where events are sent: plain `http` only. Default: nowhere, until an endpoint is made through the API.
    pub webhook_url: Option<String>,
    /// What signs events. Default `whsec_sandbox`.
    pub webhook_secret: String,
}

/// What a list is asked for.
#[derive(Debug, Deserialize)]
struct Listing {
    payment_intent: Option<String>,
}

/// How much of a payment an action is about, and in which currency; all of it unless said otherwise.
#[derive(Debug, Deserialize)]
struct Part {
    amount: Option<i64>,
    currency: Option<String>,
}

/// The routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/stripe/v1/checkout/sessions", post(create_session))
        .route("/stripe/v1/checkout/sessions/{id}", get(session))
        .route("/stripe/v1/payment_intents/{id}", get(payment))
        .route("/stripe/v1/refunds", get(refunds).post(refund))
        .route("/stripe/v1/disputes", get(disputes))
        .route("/stripe/v1/webhook_endpoints", post(endpoint))
        .route("/stripe/pay/{id}", get(page).post(pay_on_page))
        .route("/stripe/simulate/sessions/{id}/{what}", post(on_session))
        .route("/stripe/simulate/payments/{id}/dispute", post(dispute))
        .route("/stripe/simulate/disputes/{id}/{what}", post(on_dispute))
        .route("/stripe/simulate/refunds/{id}/fail", post(fail_refund))
        .route("/stripe/simulate/events", post(send_held))
}

// === impl Stripe ===

impl Stripe {
    pub(crate) fn new(config: &Config, tasks: &chassis::Tasks) -> Self {
        Self {
            shop: Arc::default(),
            courier: Courier::new(&config.stripe, tasks),
        }
    }

    /// Sends what happened, and answers with what it happened to.
    fn told(
        &self,
        happened: Result<(Value, Vec<Happening>), Wrong>,
        delivery: &Delivery,
    ) -> Response {
        match happened {
            Ok((object, happenings)) => {
                let events = happenings.into_iter().map(wire::event);
                self.courier.send(events.collect(), delivery);
                answer::json(StatusCode::OK, &object)
            }
            Err(wrong) => wrong.into(),
        }
    }
}

// === impl StripeConfig ===

impl Default for StripeConfig {
    fn default() -> Self {
        Self {
            webhook_url: None,
            webhook_secret: "whsec_sandbox".to_owned(),
        }
    }
}

async fn create_session(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    if let Err(wrong) = key(&headers) {
        return wrong.into();
    }
    let origin = answer::origin(&headers, &uri).unwrap_or_default();
    let asked = NewSession::read(&form(&body), &format!("{origin}/stripe/pay"));
    let once = headers.get("idempotency-key").map(|key| (key, &body));
    match asked.and_then(|asked| sandbox.stripe.shop.open(asked, once)) {
        Ok(session) => answer::json(StatusCode::OK, &session),
        Err(wrong) => wrong.into(),
    }
}

async fn session(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    read(&headers, || sandbox.stripe.shop.session(&id))
}

async fn payment(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    read(&headers, || sandbox.stripe.shop.payment(&id))
}

async fn refunds(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    Query(asked): Query<Listing>,
) -> Response {
    let payment = asked.payment_intent.unwrap_or_default();
    read(&headers, || Ok(sandbox.stripe.shop.refunds_of(&payment)))
}

async fn disputes(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    Query(asked): Query<Listing>,
) -> Response {
    let payment = asked.payment_intent.unwrap_or_default();
    read(&headers, || Ok(sandbox.stripe.shop.disputes_of(&payment)))
}

async fn refund(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    Query(delivery): Query<Delivery>,
    body: Bytes,
) -> Response {
    if let Err(wrong) = key(&headers) {
        return wrong.into();
    }
    let form = form(&body);
    let amount = form
        .get("amount")
        .map(|amount| amount.parse().unwrap_or(-1));
    let payment = form.get("payment_intent").map(String::as_str);
    let happened = sandbox
        .stripe
        .shop
        .refund(payment.unwrap_or_default(), amount);
    sandbox.stripe.told(happened, &delivery)
}

async fn endpoint(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(wrong) = key(&headers) {
        return wrong.into();
    }
    let Some(url) = form(&body).remove("url") else {
        return Wrong::missing("url").into();
    };
    let secret = sandbox.stripe.courier.point_to(url.clone());
    let endpoint = json!({
        "id": "we_sandbox", "object": "webhook_endpoint", "url": url, "secret": secret, "status": "enabled",
    });
    answer::json(StatusCode::OK, &endpoint)
}

async fn page(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    match sandbox.stripe.shop.session(&id) {
        Ok(session) => {
            let page = wire::page(&session);
            answer::text(StatusCode::OK, "text/html; charset=utf-8", page.into())
        }
        Err(wrong) => wrong.into(),
    }
}

async fn pay_on_page(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    let stripe = &sandbox.stripe;
    match stripe.shop.pay(&id, None, None) {
        Ok((session, happenings)) => {
            let events = happenings.into_iter().map(wire::event);
            stripe.courier.send(events.collect(), &Delivery::default());
            let back = session.get("success_url").and_then(Value::as_str);
            Redirect::to(back.unwrap_or("/")).into_response()
        }
        Err(wrong) => wrong.into(),
    }
}

async fn on_session(
    State(sandbox): State<Sandbox>,
    Path((id, what)): Path<(String, String)>,
    Query(part): Query<Part>,
    Query(delivery): Query<Delivery>,
) -> Response {
    let shop = &sandbox.stripe.shop;
    let happened = match what.as_str() {
        "pay" => shop.pay(&id, part.amount, part.currency),
        "begin" => shop.begin(&id),
        "fail" => shop.fail(&id),
        "expire" => shop.expire(&id),
        _ => Err(Wrong::nothing(&what)),
    };
    sandbox.stripe.told(happened, &delivery)
}

async fn dispute(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    Query(part): Query<Part>,
    Query(delivery): Query<Delivery>,
) -> Response {
    let happened = sandbox.stripe.shop.dispute(&id, part.amount);
    sandbox.stripe.told(happened, &delivery)
}

async fn on_dispute(
    State(sandbox): State<Sandbox>,
    Path((id, what)): Path<(String, String)>,
    Query(delivery): Query<Delivery>,
) -> Response {
    let happened = match what.as_str() {
        "won" | "lost" => sandbox.stripe.shop.close(&id, &what),
        _ => Err(Wrong::nothing(&what)),
    };
    sandbox.stripe.told(happened, &delivery)
}

async fn fail_refund(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    Query(delivery): Query<Delivery>,
) -> Response {
    let happened = sandbox.stripe.shop.fail_refund(&id);
    sandbox.stripe.told(happened, &delivery)
}

/// Sends the events that were kept back.
async fn send_held(State(sandbox): State<Sandbox>, Query(delivery): Query<Delivery>) -> Response {
    let sent = sandbox.stripe.courier.send_held(&delivery);
    answer::json(StatusCode::OK, &json!({ "events": sent }))
}

/// Whoever has a key may look.
fn read(headers: &HeaderMap, look: impl FnOnce() -> Result<Value, Wrong>) -> Response {
    match key(headers).and_then(|()| look()) {
        Ok(object) => answer::json(StatusCode::OK, &object),
        Err(wrong) => wrong.into(),
    }
}

/// Keys are checked for presence only.
fn key(headers: &HeaderMap) -> Result<(), Wrong> {
    let value = headers.get(header::AUTHORIZATION);
    let bearer = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match bearer {
        Some(key) if !key.is_empty() => Ok(()),
        Some(_) | None => Err(Wrong::unauthorized()),
    }
}

fn form(body: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}
