//! Stripe: its objects in every state, and its events as they arrive.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, routing::post};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use tracing::Span;

use crate::{App, PATIENCE};

/// What the real adapter sends for a pack.
const FORM: &str = "mode=payment&client_reference_id=ord_1&metadata[order_id]=ord_1\
    &payment_intent_data[metadata][order_id]=ord_1&line_items[0][quantity]=1\
    &line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=1000\
    &line_items[0][price_data][product_data][name]=1%2C000+credits&success_url=http%3A%2F%2Fx%2Fdone&cancel_url=http%3A%2F%2Fx%2F";

/// An endpoint that takes everything, and says no at first as often as it is told.
#[derive(Clone, Default)]
struct Endpoint {
    taken: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    refusals: Arc<Mutex<u32>>,
}

// === impl Endpoint ===

impl Endpoint {
    async fn start(&self, app: &App) {
        let (taken, refusals) = (self.taken.clone(), self.refusals.clone());
        let take = move |headers: HeaderMap, body: Bytes| async move {
            let mut left = refusals.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            taken.lock().unwrap().push((headers, body));
            StatusCode::OK
        };
        let router = Router::new().route("/hook", post(take));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        app.tasks.spawn(Span::none(), async move {
            let _ = axum::serve(listener, router).await;
        });
        let made = call(app, "v1/webhook_endpoints", &format!("url={url}")).await;
        assert_eq!(made["secret"], "whsec_sandbox");
    }

    /// Waits for so many events, and gives their types.
    async fn kinds(&self, count: usize) -> Vec<String> {
        let waiting = async {
            while self.taken.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
        let taken = self.taken.lock().unwrap();
        let kind = |(_, body): &(HeaderMap, Bytes)| {
            let event: Value = serde_json::from_slice(body).unwrap();
            event["type"].as_str().unwrap().to_owned()
        };
        taken.iter().map(kind).collect()
    }
}

async fn try_call(app: &App, path: &str, form: &str) -> (StatusCode, Value) {
    let request = app.post(&format!("/stripe/{path}")).bearer_auth("sk_any");
    let response = request.body(form.to_owned()).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn call(app: &App, path: &str, form: &str) -> Value {
    let (status, answer) = try_call(app, path, form).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

async fn look(app: &App, path: &str) -> Value {
    let request = app.get(&format!("/stripe/v1/{path}")).bearer_auth("sk_any");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap()
}

#[tokio::test]
async fn a_session_is_opened_once_and_paid() {
    let app = App::start().await;
    let open = |form: String| {
        let request = app.post("/stripe/v1/checkout/sessions");
        let request = request.bearer_auth("sk_any").header("idempotency-key", "k");
        request.body(form)
    };
    let first: Value = open(FORM.to_owned())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let again: Value = open(FORM.to_owned())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(first, again);
    let other = open(FORM.replace("1000", "2000")).send().await.unwrap();
    assert_eq!(other.status(), 400);
    let other: Value = other.json().await.unwrap();
    assert_eq!(other["error"]["type"], "idempotency_error");
    assert_eq!(first["status"], "open");
    assert_eq!(
        (&first["amount_total"], &first["currency"]),
        (&json!(1000), &json!("usd"))
    );
    assert_eq!(first["metadata"], json!({ "order_id": "ord_1" }));
    let id = text(&first, "id");
    assert_eq!(text(&first, "url"), format!("{}/stripe/pay/{id}", app.base));
    let page = app.client.get(text(&first, "url")).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("10.00 USD"));
    call(&app, &format!("simulate/sessions/{id}/pay"), "").await;
    let paid = look(&app, &format!("checkout/sessions/{id}")).await;
    assert_eq!(
        (&paid["status"], &paid["payment_status"]),
        (&json!("complete"), &json!("paid"))
    );
    let payment = look(
        &app,
        &format!("payment_intents/{}", text(&paid, "payment_intent")),
    )
    .await;
    assert_eq!(
        (&payment["status"], &payment["amount_received"]),
        (&json!("succeeded"), &json!(1000))
    );
    assert_eq!(payment["metadata"], json!({ "order_id": "ord_1" }));
    for what in ["pay", "expire", "begin"] {
        let (status, _) = try_call(&app, &format!("simulate/sessions/{id}/{what}"), "").await;
        assert_eq!(status, 400, "{what}: it has ended");
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_stripes_words() {
    let app = App::start().await;
    let keyless = app.post("/stripe/v1/checkout/sessions").body(FORM).send();
    assert_eq!(keyless.await.unwrap().status(), 401);
    for (form, words) in [
        (
            FORM.replace("mode=payment&", ""),
            "Missing required param: mode.",
        ),
        (
            FORM.replace("unit_amount]=1000", "unit_amount]=-1"),
            "Invalid positive integer",
        ),
        (
            FORM.replace("success_url", "x"),
            "Missing required param: success_url.",
        ),
    ] {
        let (status, answer) = try_call(&app, "v1/checkout/sessions", &form).await;
        assert_eq!(
            (status, text(&answer["error"], "message")),
            (StatusCode::BAD_REQUEST, words)
        );
    }
    for path in ["simulate/sessions/cs_1/pay", "simulate/disputes/du_1/won"] {
        assert_eq!(try_call(&app, path, "").await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn refunds_and_disputes_are_listed_and_told() {
    let app = App::start().await;
    let endpoint = Endpoint::default();
    endpoint.start(&app).await;
    let session = call(&app, "v1/checkout/sessions", FORM).await;
    let pay = format!("simulate/sessions/{}/pay", text(&session, "id"));
    let payment = call(&app, &pay, "").await["payment_intent"].clone();
    let payment = payment.as_str().unwrap();
    let refund = |amount: i64| format!("payment_intent={payment}&amount={amount}");
    let first = call(&app, "v1/refunds", &refund(300)).await;
    assert_eq!(
        try_call(&app, "v1/refunds", &refund(701)).await.0,
        400,
        "more than is left"
    );
    call(&app, "v1/refunds", &refund(700)).await;
    let fail = format!("simulate/refunds/{}/fail", text(&first, "id"));
    call(&app, &fail, "").await;
    let listed = look(&app, &format!("refunds?payment_intent={payment}")).await;
    let statuses: Vec<_> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(one, "status"))
        .collect();
    assert_eq!(
        statuses
            .iter()
            .filter(|status| **status == "failed")
            .count(),
        1
    );
    let dispute = call(&app, &format!("simulate/payments/{payment}/dispute"), "").await;
    let won = format!("simulate/disputes/{}/won", text(&dispute, "id"));
    call(&app, &won, "").await;
    let listed = look(&app, &format!("disputes?payment_intent={payment}")).await;
    assert_eq!(listed["data"][0]["status"], "won");
    assert_eq!(
        look(&app, "disputes?payment_intent=pi_x").await["data"],
        json!([])
    );
    let mut kinds = endpoint.kinds(8).await;
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            "charge.dispute.closed",
            "charge.dispute.created",
            "charge.refunded",
            "charge.refunded",
            "checkout.session.completed",
            "refund.created",
            "refund.created",
            "refund.failed",
        ]
    );
}

#[tokio::test]
async fn events_are_signed_repeated_and_turned_round() {
    let app = App::start().await;
    let endpoint = Endpoint::default();
    *endpoint.refusals.lock().unwrap() = 2;
    endpoint.start(&app).await;
    for kind in ["begin", "fail"] {
        let session = call(&app, "v1/checkout/sessions", FORM).await;
        let path = format!(
            "simulate/sessions/{}/{kind}?hold=true",
            text(&session, "id")
        );
        call(&app, &path, "").await;
    }
    assert!(endpoint.taken.lock().unwrap().is_empty());
    let sent = call(&app, "simulate/events?copies=3&reverse=true", "").await;
    assert_eq!(sent["events"], 2);
    let kinds = endpoint.kinds(6).await;
    assert_eq!(kinds[..3], ["checkout.session.async_payment_failed"; 3]);
    assert_eq!(kinds[3..], ["checkout.session.completed"; 3]);
    let taken = endpoint.taken.lock().unwrap();
    assert_eq!(taken[0].1, taken[1].1, "copies are the same bytes");
    for (headers, body) in taken.iter() {
        let header = headers["stripe-signature"].to_str().unwrap();
        let (moment, signature) = header.split_once(",v1=").unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"whsec_sandbox").unwrap();
        mac.update(format!("{}.", &moment[2..]).as_bytes());
        mac.update(body);
        let hash = mac.finalize().into_bytes();
        let expected: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(signature, expected);
    }
}
