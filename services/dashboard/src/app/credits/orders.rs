//! Orders: made here, paid at the payment provider, shown here again; and their invoices.
//!
//! A form's answer may not lead a browser to another origin (`form-action 'self'`), so it leads to the order's own page, and that one
//! onwards (`Refresh`), with a link for whoever stays.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect, Response},
};
use domain::OrderId;
use http::HeaderValue;
use proto::billing::v1::{CreateOrderRequest, GetOrderRequest, ListOrdersRequest, Order};
use serde::Deserialize;

use super::{Wrong, again, money::money};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::{Answer, Refused},
    show::{self, Pager, Time},
    who::{Manages, Member},
};

/// Orders on one page.
const PAGE: u32 = 50;
/// Seconds until the page of an order that is about to be paid is looked at again.
const LOOK_AGAIN: &str = "3";
/// Characters of what a customer has put on an invoice.
const TO_LEN: usize = 500;

/// What a link to the list says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// The last order of the page before.
    before: String,
}

/// What the form of a pack says.
#[derive(Deserialize)]
pub(super) struct Chosen {
    pack: String,
    /// Makes an order that is sent twice one.
    #[serde(default)]
    request: String,
}

/// What a link to an order says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Way {
    /// Just made: on to the payment.
    go: String,
    /// Back from the payment.
    paid: String,
}

/// What the form of an invoice says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Billed {
    /// To whom it is addressed.
    to: String,
}

/// An order.
#[derive(Debug)]
pub(super) struct OrderView {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) credits: String,
    pub(super) price: String,
    pub(super) state: Standing,
    /// Where to pay; empty: there is nothing to pay.
    pub(super) checkout: String,
    /// Taken back of its credit, and still to be taken back; empty: nothing.
    pub(super) reversed: String,
    pub(super) owed: String,
    pub(super) made: Time,
    /// When its credit was booked.
    pub(super) paid: Option<Time>,
}

/// How an order stands: its badge, whether that is good or bad, and a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) word: &'static str,
    pub(super) badge: &'static str,
    pub(super) told: &'static str,
    /// Whether something is about to happen.
    pub(super) moves: bool,
    /// Whether money has come.
    pub(super) billed: bool,
}

#[derive(Template)]
#[template(path = "app/credits/orders.html")]
struct List<'s> {
    frame: Frame<'s>,
    orders: Vec<OrderView>,
    pager: Pager,
}

#[derive(Template)]
#[template(path = "app/credits/order.html")]
struct Html<'s> {
    frame: Frame<'s>,
    order: OrderView,
    /// Whether the browser is led on to the payment.
    leaves: bool,
    /// Whether the page looks again by itself.
    looks: bool,
}

#[derive(Template)]
#[template(path = "app/credits/invoice.html")]
struct Invoice<'s> {
    frame: Frame<'s>,
    order: OrderView,
    /// Lines of who sells, and of who has bought.
    from: Vec<&'s str>,
    to: Vec<&'s str>,
    typed: &'s str,
    account: String,
}

/// `GET /credits/orders`.
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    member: Member,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let before = OrderId::parse(&wanted.before);
    let mut orders = ask(&site, &member, before, PAGE.saturating_add(1)).await?;
    let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let more = orders.len() > most;
    orders.truncate(most);
    let older = orders.last().filter(|_| more);
    let pager = Pager {
        first: before.map(|_| "/credits/orders".to_owned()),
        older: older.map(|last| format!("/credits/orders?before={}", last.id)),
    };
    let html = List {
        frame: Frame::new(&site, &member, "/credits", "Orders"),
        orders,
        pager,
    };
    Ok(Page::html(&html).into_response())
}

/// `POST /credits/orders`.
pub(super) async fn create(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Form(chosen): Form<Chosen>,
) -> Answer {
    let request = CreateOrderRequest {
        context: Some(member.context()),
        pack: chosen.pack,
        request_key: chosen.request,
        origin: site.public_url.clone(),
        back: "/credits/orders/{ORDER_ID}".to_owned(),
    };
    let ask = site.peers.ask(request);
    let order = match site.peers.orders.clone().create_order(ask).await {
        Ok(reply) => reply.into_inner().order.ok_or_else(Refused::internal)?,
        Err(status) => {
            let refusal = Refused::from(status).told()?;
            let order = Some(refusal.message.clone());
            let wrong = Wrong {
                order,
                ..Wrong::default()
            };
            return again(&site, &member, &refusal, wrong).await;
        }
    };
    let id: OrderId = proto::id_from_wire(&order.order_id)?;
    Ok(Redirect::to(&format!("/credits/orders/{id}?go=1")).into_response())
}

/// `GET /credits/orders/{id}`.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    member: Member,
    Path(id): Path<String>,
    Query(way): Query<Way>,
) -> Answer {
    let order = one(&site, &member, &id).await?;
    let leaves = !way.go.is_empty() && !order.checkout.is_empty();
    let looks = order.state.moves && (!way.paid.is_empty() || order.checkout.is_empty());
    let refresh = if leaves {
        HeaderValue::from_str(&format!("0; url={}", order.checkout)).ok()
    } else {
        looks.then_some(HeaderValue::from_static(LOOK_AGAIN))
    };
    let html = Html {
        frame: Frame::new(&site, &member, "/credits", "Order"),
        order,
        leaves,
        looks,
    };
    let mut response: Response = Page::html(&html).into_response();
    let headers = response.headers_mut();
    headers.extend(refresh.map(|refresh| (http::header::REFRESH, refresh)));
    Ok(response)
}

/// `GET /credits/orders/{id}/invoice`: of what was paid.
pub(super) async fn invoice(
    State(site): State<Arc<Site>>,
    member: Member,
    Path(id): Path<String>,
    Query(billed): Query<Billed>,
) -> Answer {
    let order = one(&site, &member, &id).await?;
    if !order.state.billed {
        return Err(Refused::not_found());
    }
    let end = billed.to.char_indices().nth(TO_LEN);
    let typed = billed
        .to
        .get(..end.map_or(billed.to.len(), |(end, _)| end))
        .unwrap_or_default();
    let person = &member.person;
    let to = match typed.trim() {
        "" => vec![member.view().name.as_str(), person.email.as_str()],
        typed => typed.lines().collect(),
    };
    let from = match site.config.invoice_from.trim() {
        "" => vec![site.public_url.as_str()],
        from => from.lines().collect(),
    };
    let html = Invoice {
        frame: Frame::new(&site, &member, "/credits", format!("Invoice {}", order.id)),
        order,
        from,
        to,
        typed,
        account: member.view().account.to_string(),
    };
    Ok(Page::html(&html).into_response())
}

/// The newest orders.
pub(super) async fn newest<N>(
    site: &Site,
    member: &Member<N>,
    limit: u32,
) -> Result<Vec<OrderView>, Refused> {
    ask(site, member, None, limit).await
}

async fn ask<N>(
    site: &Site,
    member: &Member<N>,
    before: Option<OrderId>,
    limit: u32,
) -> Result<Vec<OrderView>, Refused> {
    let request = ListOrdersRequest {
        context: Some(member.context()),
        limit,
        before: before.map(|id| id.to_vec().into()).unwrap_or_default(),
    };
    let ask = site.peers.ask(request);
    let reply = site.peers.orders.clone().list_orders(ask).await?;
    let orders = reply.into_inner().orders;
    orders.into_iter().map(OrderView::of).collect()
}

async fn one<N>(site: &Site, member: &Member<N>, id: &str) -> Result<OrderView, Refused> {
    let id = OrderId::parse(id).ok_or_else(Refused::not_found)?;
    let request = GetOrderRequest {
        context: Some(member.context()),
        order_id: id.to_vec().into(),
    };
    let ask = site.peers.ask(request);
    OrderView::of(site.peers.orders.clone().get_order(ask).await?.into_inner())
}

// === impl OrderView ===

impl OrderView {
    fn of(order: Order) -> Result<Self, Refused> {
        let id: OrderId = proto::id_from_wire(&order.order_id)?;
        let some = |micros: i64| match micros {
            0 => String::new(),
            micros => show::credits(micros),
        };
        Ok(Self {
            id: id.to_string(),
            name: order.name,
            credits: show::credits(order.credits),
            price: money(order.price, &order.currency),
            state: Standing::of(&order.status),
            checkout: order.checkout_url,
            reversed: some(order.reversed),
            owed: some(order.owed),
            made: Time::of(order.created_at),
            paid: (order.paid_at != 0).then(|| Time::of(order.paid_at)),
        })
    }
}

// === impl Standing ===

impl Standing {
    fn of(status: &str) -> Self {
        let state = |word, badge, told| Self {
            word,
            badge,
            told,
            moves: false,
            billed: false,
        };
        let moving = |state: Self| Self {
            moves: true,
            ..state
        };
        let billed = |state: Self| Self {
            billed: true,
            ..state
        };
        match status {
            "pending" => moving(state("to be paid", "", "It is not paid yet.")),
            "processing" => moving(state(
                "on its way",
                "",
                "The payment is on its way. The credit comes with it, which takes some days for some ways to pay.",
            )),
            "paid" => billed(state(
                "paid",
                "good",
                "It is paid, and its credit is yours.",
            )),
            "partly_refunded" => billed(state(
                "partly refunded",
                "",
                "A part of the money was given back, and that part of the credit with it.",
            )),
            "refunded" => billed(state(
                "refunded",
                "",
                "The money was given back, and the credit with it.",
            )),
            "disputed" => billed(state(
                "disputed",
                "bad",
                "The bank claims the money back. As long as it does, the credit is taken back.",
            )),
            "expired" => state(
                "expired",
                "",
                "Nobody paid in time. Nothing was charged; order again if you like.",
            ),
            "failed" => state(
                "failed",
                "bad",
                "The payment did not come about. Nothing was charged; order again if you like.",
            ),
            _ => state(
                "looked at",
                "bad",
                "What was paid is not what was asked for. The operator looks at it.",
            ),
        }
    }
}
