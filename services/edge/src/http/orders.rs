//! `/orders`: packs of credit, orders, and the payment provider's events. What an order is worth and what a payment means,
//! billing knows; here they are only written down.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::{clock, rpc};
use domain::{Micros, OrderId, ids};
use http::{HeaderMap, StatusCode, Uri};
use proto::{
    billing::v1::{
        self as wire, CreateOrderRequest, GetOrderRequest, ListOrdersRequest, ListPacksRequest,
        StripeEvent,
    },
    id_from_wire,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    auth::{AnyKey, Manage, Read, Scoped},
    body,
    error::ApiError,
    http::{
        Segments,
        admin::{nothing, read},
        fields::Fields,
        idempotency_key, put_replayed,
        query::{List, Page},
        success, welcome,
    },
};

/// Characters of the longest name of a pack.
const PACK_LEN: usize = 40;
/// The name of the header with the payment provider's signature.
const SIGNATURE: &str = "stripe-signature";

/// A pack.
#[derive(Serialize, ToSchema)]
#[schema(as = CreditPack)]
pub(crate) struct Pack {
    id: String,
    name: String,
    #[schema(value_type = f64)]
    credits: Micros,
    price: i64,
    currency: String,
}

/// An order.
#[derive(Serialize, ToSchema)]
pub(crate) struct Order {
    order_id: String,
    object: &'static str,
    status: String,
    pack: String,
    name: String,
    #[schema(value_type = f64)]
    credits: Micros,
    price: i64,
    currency: String,
    checkout_url: Option<String>,
    #[schema(value_type = f64)]
    credited_credits: Micros,
    #[schema(value_type = f64)]
    reversed_credits: Micros,
    #[schema(value_type = f64)]
    owed_credits: Micros,
    created_at: String,
    updated_at: String,
}

/// The wire form of "we have it".
#[derive(Serialize, ToSchema)]
#[schema(as = EventReceived)]
pub(crate) struct Received {
    pub(crate) received: bool,
}

/// `GET /orders/packs`.
pub(crate) async fn packs(
    State(app): State<Arc<App>>,
    _caller: Scoped<AnyKey>,
) -> Result<Response, ApiError> {
    let request = rpc::request(ListPacksRequest {}, app.config.limits.deadlines.billing);
    let reply = app.clients.orders.clone().list_packs(request).await?;
    let items = reply.into_inner().packs.into_iter().map(|pack| Pack {
        id: pack.id,
        name: pack.name,
        credits: Micros::new(pack.credits),
        price: pack.price,
        currency: pack.currency,
    });
    success(StatusCode::OK, &List::whole(items.collect()))
}

/// `POST /orders`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    request: Request,
) -> Result<Response, ApiError> {
    let request_key = idempotency_key(request.headers())?;
    let origin = origin(&app, request.headers());
    let body = read(&app, request).await?;
    let mut fields = Fields::parse(&body)?;
    let pack = fields.text("pack", 1, PACK_LEN);
    fields.require("pack", pack.as_ref());
    fields.finish()?;
    let request = CreateOrderRequest {
        context: Some(caller.context()),
        pack: pack.unwrap_or_default(),
        request_key,
        origin,
        back: String::new(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.orders);
    let reply = app.clients.orders.clone().create_order(request).await?;
    let reply = reply.into_inner();
    let order = Order::try_from(reply.order.unwrap_or_default())?;
    let mut response = success(StatusCode::CREATED, &order)?;
    if reply.replayed {
        put_replayed(response.headers_mut());
    }
    Ok(response)
}

/// `GET /orders`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let page: Page<ids::Order> = Page::of(&uri)?;
    let request = ListOrdersRequest {
        context: Some(caller.context()),
        limit: page.limit,
        before: page.behind(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let reply = app.clients.orders.clone().list_orders(request).await?;
    let orders = reply.into_inner().orders.into_iter();
    let items: Vec<Order> = orders.map(Order::try_from).collect::<Result<_, _>>()?;
    success(StatusCode::OK, &page.list(items, |order| &order.order_id))
}

/// `GET /orders/{id}`.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let id = OrderId::parse(&id).ok_or_else(|| nothing("order"))?;
    let request = GetOrderRequest {
        context: Some(caller.context()),
        order_id: id.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let order = app.clients.orders.clone().get_order(request).await?;
    success(StatusCode::OK, &Order::try_from(order.into_inner())?)
}

/// `POST /payments/stripe/webhook`. The bytes go on as they came: their signature is checked where the secret is.
pub(crate) async fn stripe_event(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let signature = request.headers().get(SIGNATURE);
    let signature = signature.and_then(|value| value.to_str().ok());
    let signature = signature.unwrap_or_default().to_owned();
    let bodies = &app.config.limits.bodies;
    let payload = body::read(request, bodies.payment_event, bodies).await?;
    let event = StripeEvent { payload, signature };
    let request = rpc::request(event, app.config.limits.deadlines.orders);
    app.clients
        .orders
        .clone()
        .take_stripe_event(request)
        .await?;
    success(StatusCode::OK, &Received { received: true })
}

/// Where the customer's browser finds us.
fn origin(app: &App, headers: &HeaderMap) -> String {
    match &app.config.server.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => welcome::of_request(headers),
    }
}

// === impl Order ===

impl TryFrom<wire::Order> for Order {
    type Error = ApiError;

    fn try_from(order: wire::Order) -> Result<Self, ApiError> {
        let id: OrderId = id_from_wire(&order.order_id)?;
        Ok(Self {
            order_id: id.to_string(),
            object: "order",
            status: order.status,
            pack: order.pack,
            name: order.name,
            credits: Micros::new(order.credits),
            price: order.price,
            currency: order.currency,
            checkout_url: Some(order.checkout_url).filter(|url| !url.is_empty()),
            credited_credits: Micros::new(order.credited),
            reversed_credits: Micros::new(order.reversed),
            owed_credits: Micros::new(order.owed),
            created_at: clock::rfc3339(order.created_at),
            updated_at: clock::rfc3339(order.updated_at),
        })
    }
}
