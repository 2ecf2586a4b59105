//! A payment provider of the test's own: it speaks as much of Stripe's API as billing reads, says what the test tells it, and
//! counts who asked. And billing's orders over it, called as the edge calls them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    routing::{get, post},
};
use billing::ledger::BalanceId;
use chassis::{Tasks, rpc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, StatusCode};
use proto::{
    Fault,
    billing::v1::{self as wire, orders_client::OrdersClient},
    common::v1 as common,
    mode_to_wire,
};
use serde_json::{Value, json};
use sha2::Sha256;
use tonic::{Request, Status};
use tracing::Span;

use crate::house::House;

pub(crate) const SECRET: &str = "whsec_of_this_test";
const KEY: &str = "sk_of_this_test";

/// The provider. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Shop {
    pub(crate) state: Arc<Mutex<Goods>>,
}

#[derive(Default)]
pub(crate) struct Goods {
    base: String,
    sessions: HashMap<String, Value>,
    payments: HashMap<String, Value>,
    refunds: Vec<Value>,
    disputes: Vec<Value>,
    /// What pages were asked for: the form, and the idempotency key.
    pub(crate) asked: Vec<(HashMap<String, String>, String)>,
    /// The status of every answer, while it is set.
    pub(crate) broken: Option<u16>,
    /// How often it was called.
    pub(crate) calls: usize,
}

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

// === impl Shop ===

impl Shop {
    pub(crate) async fn start() -> Self {
        let shop = Self::default();
        let router = Router::new()
            .route("/v1/checkout/sessions", post(open))
            .route("/v1/checkout/sessions/{id}", get(session))
            .route("/v1/payment_intents/{id}", get(payment))
            .route("/v1/refunds", get(refunds))
            .route("/v1/disputes", get(disputes))
            .with_state(shop.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        shop.state.lock().unwrap().base = format!("http://{}", listener.local_addr().unwrap());
        Tasks::default().spawn(Span::none(), async move {
            let _ = axum::serve(listener, router).await;
        });
        shop
    }

    /// What billing is told of it.
    pub(crate) fn settings(&self) -> String {
        let base = self.state.lock().unwrap().base.clone();
        format!(
            "[orders]\ncollect_every = '1h'\n[orders.stripe]\napi_key = '{KEY}'\nwebhook_secret = '{SECRET}'\nbase_url = '{base}'\n"
        )
    }

    /// An order's payment succeeds, with this much in this currency; gives the payment's id.
    pub(crate) fn pay(&self, order: &str, amount: i64, currency: &str) -> String {
        let mut goods = self.state.lock().unwrap();
        let payment = order.replace("ord", "pi");
        let made = json!({
            "id": payment, "status": "succeeded", "amount_received": amount, "currency": currency,
            "metadata": { "order_id": order },
        });
        goods.payments.insert(payment.clone(), made);
        let session = goods.sessions.get_mut(&order.replace("ord", "cs")).unwrap();
        session["status"] = json!("complete");
        session["payment_intent"] = json!(payment);
        payment
    }

    /// A session stands like this.
    pub(crate) fn session_is(&self, order: &str, name: &str, value: Value) {
        let mut goods = self.state.lock().unwrap();
        let session = goods.sessions.get_mut(&order.replace("ord", "cs")).unwrap();
        session[name] = value;
    }

    /// A payment stands like this.
    pub(crate) fn payment_is(&self, payment: &str, value: Value) {
        let mut goods = self.state.lock().unwrap();
        goods.payments.insert(payment.to_owned(), value);
    }

    /// A refund is there, or stands otherwise now.
    pub(crate) fn refund(&self, id: &str, payment: &str, amount: i64, status: &str) {
        put(
            &mut self.state.lock().unwrap().refunds,
            json!({ "id": id, "payment_intent": payment, "amount": amount, "status": status }),
        );
    }

    /// A dispute is there, or stands otherwise now.
    pub(crate) fn dispute(&self, id: &str, payment: &str, amount: i64, status: &str) {
        put(
            &mut self.state.lock().unwrap().disputes,
            json!({ "id": id, "payment_intent": payment, "amount": amount, "status": status }),
        );
    }

    fn answer(
        &self,
        headers: &HeaderMap,
        value: impl FnOnce(&mut Goods) -> Option<Value>,
    ) -> Answer {
        let mut goods = self.state.lock().unwrap();
        goods.calls += 1;
        let refuse = |status: StatusCode| {
            let body = json!({ "error": { "message": "the test says no", "type": "x" } });
            (status, Json(body))
        };
        assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
        assert!(headers.contains_key("stripe-version"));
        if let Some(status) = goods.broken {
            return Err(refuse(StatusCode::from_u16(status).unwrap()));
        }
        let value = value(&mut goods);
        value.map(Json).ok_or_else(|| refuse(StatusCode::NOT_FOUND))
    }
}

fn put(list: &mut Vec<Value>, item: Value) {
    list.retain(|known| known["id"] != item["id"]);
    list.push(item);
}

async fn open(State(shop): State<Shop>, headers: HeaderMap, body: Bytes) -> Answer {
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let order = form["client_reference_id"].clone();
    let once = headers["idempotency-key"].to_str().unwrap().to_owned();
    shop.answer(&headers, |goods| {
        goods.asked.push((form, once));
        let id = order.replace("ord", "cs");
        let session = json!({
            "id": id, "status": "open", "payment_intent": null, "client_reference_id": order,
            "url": format!("https://checkout.example/{id}"), "metadata": { "order_id": order },
        });
        let session = goods.sessions.entry(id).or_insert(session);
        Some(session.clone())
    })
}

async fn session(State(shop): State<Shop>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    shop.answer(&headers, |goods| goods.sessions.get(&id).cloned())
}

async fn payment(State(shop): State<Shop>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    shop.answer(&headers, |goods| goods.payments.get(&id).cloned())
}

async fn refunds(
    State(shop): State<Shop>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    shop.answer(&headers, |goods| Some(page(&goods.refunds, &query)))
}

async fn disputes(
    State(shop): State<Shop>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    shop.answer(&headers, |goods| Some(page(&goods.disputes, &query)))
}

/// Two a page, so that there is more than one.
fn page(all: &[Value], query: &HashMap<String, String>) -> Value {
    let mut rest = all
        .iter()
        .filter(|item| item["payment_intent"] == query["payment_intent"].as_str());
    if let Some(after) = query.get("starting_after") {
        rest.find(|item| item["id"] == after.as_str());
    }
    let data: Vec<_> = rest.by_ref().take(2).collect();
    json!({ "object": "list", "data": data, "has_more": rest.next().is_some() })
}

/// An event as the provider sends it: the bytes and the signature.
pub(crate) fn event(id: &str, kind: &str, object: Value) -> wire::StripeEvent {
    let event = json!({ "id": id, "type": kind, "data": { "object": object } });
    signed(&event.to_string(), SECRET)
}

/// A body with its signature.
pub(crate) fn signed(body: &str, secret: &str) -> wire::StripeEvent {
    signed_before(body, secret, 0)
}

/// The same, made so many seconds ago.
pub(crate) fn signed_before(body: &str, secret: &str, seconds: i64) -> wire::StripeEvent {
    let moment = chassis::clock::now_micros() / 1_000_000 - seconds;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{moment}.{body}").as_bytes());
    let hash = mac.finalize().into_bytes();
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    wire::StripeEvent {
        payload: body.to_owned().into(),
        signature: format!("t={moment},v1={digits}"),
    }
}

/// The event that a session of this order has changed.
pub(crate) fn of_session(id: &str, kind: &str, order: &str) -> wire::StripeEvent {
    event(id, kind, json!({ "id": order.replace("ord", "cs") }))
}

/// The event that something about this payment has changed.
pub(crate) fn of_payment(id: &str, kind: &str, payment: &str) -> wire::StripeEvent {
    event(id, kind, json!({ "id": "x", "payment_intent": payment }))
}

// === impl House ===

impl House {
    pub(crate) fn orders(&self) -> OrdersClient<rpc::Channel> {
        OrdersClient::new(rpc::in_process(self.billing.orders_server()))
    }

    /// Orders a pack, and gives the order.
    pub(crate) async fn order(
        &self,
        balance: BalanceId,
        pack: &str,
    ) -> Result<wire::Order, String> {
        self.order_with(balance, pack, "").await
    }

    /// The same with an Idempotency-Key.
    pub(crate) async fn order_with(
        &self,
        balance: BalanceId,
        pack: &str,
        key: &str,
    ) -> Result<wire::Order, String> {
        let request = wire::CreateOrderRequest {
            context: context(balance),
            pack: pack.to_owned(),
            request_key: key.to_owned(),
            origin: "https://api.example".to_owned(),
            back: String::new(),
        };
        let reply = told(self.orders().create_order(ask(request)).await)?;
        Ok(reply.order.unwrap())
    }

    /// How an order stands.
    pub(crate) async fn order_now(&self, balance: BalanceId, id: &str) -> wire::Order {
        let id = domain::OrderId::parse(id).unwrap();
        let request = wire::GetOrderRequest {
            context: context(balance),
            order_id: id.to_vec().into(),
        };
        told(self.orders().get_order(ask(request)).await).unwrap()
    }

    /// Gives billing an event of the provider.
    pub(crate) async fn take(&self, event: wire::StripeEvent) -> Result<(), String> {
        told(self.orders().take_stripe_event(ask(event)).await).map(|_| ())
    }

    /// Redeems a code.
    pub(crate) async fn redeem(
        &self,
        balance: BalanceId,
        code: &str,
    ) -> Result<wire::RedeemReply, String> {
        let request = wire::RedeemRequest {
            context: context(balance),
            code: code.to_owned(),
        };
        told(self.orders().redeem(ask(request)).await)
    }
}

/// The order's id as text.
pub(crate) fn id_of(order: &wire::Order) -> String {
    domain::OrderId::from_slice(&order.order_id)
        .unwrap()
        .to_string()
}

pub(crate) fn ask<M>(message: M) -> Request<M> {
    rpc::request(message, Duration::from_secs(60))
}

pub(crate) fn context(balance: BalanceId) -> Option<common::Context> {
    Some(common::Context {
        account_id: balance.account.to_vec().into(),
        mode: mode_to_wire(balance.mode).into(),
        ..common::Context::default()
    })
}

/// The answer, or the code a customer would see.
pub(crate) fn told<T>(answer: Result<tonic::Response<T>, Status>) -> Result<T, String> {
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| Fault::from(status).code.word.to_owned())
}
