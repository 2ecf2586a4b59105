//! `/credits`: what credit there is, how it is bought, and where it went. The ledger (`ledger.rs`), and orders with their invoices
//! (`orders.rs`) have pages of their own.

mod ledger;
pub(super) mod money;
mod orders;

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Redirect},
    routing::{get, post},
};
use domain::{Micros, Mode};
use http::StatusCode;
use proto::billing::v1::{
    Balance, GetBalanceRequest, ListPacksReply, ListPacksRequest, RedeemRequest,
    ResetTestBalanceRequest, SetAlertRequest,
};
use serde::Deserialize;

use self::{
    ledger::{Held, Line},
    orders::OrderView,
};
use super::Frame;
use crate::{
    Site,
    page::Page,
    refused::{Answer, Refusal, Refused},
    router::Row,
    show::{self, Time},
    who::{self, Manages, Member},
};

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[
    ("/credits", || get(page)),
    ("/credits/redeem", || post(redeem)),
    ("/credits/reset", || post(reset)),
    ("/credits/alert", || post(alert)),
    ("/credits/ledger", || get(ledger::page)),
    ("/credits/orders", || get(orders::list).post(orders::create)),
    ("/credits/orders/{id}", || get(orders::page)),
    ("/credits/orders/{id}/invoice", || get(orders::invoice)),
];

/// Movements and orders that the first page shows.
const NEWEST: u32 = 8;
/// Open holds that it shows.
const HOLDS: u32 = 20;

/// What a link to the first page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    /// What was just done: see [`said`].
    said: String,
}

/// What the form of a code says.
#[derive(Deserialize)]
struct Typed {
    code: String,
}

/// What the form of the alert says.
#[derive(Deserialize)]
struct Alert {
    below: String,
}

#[derive(Template)]
#[template(path = "app/credits/page.html")]
struct Html<'s> {
    frame: Frame<'s>,
    purse: Purse,
    shop: Shop,
    holds: Vec<Held>,
    lines: Vec<Line>,
    orders: Vec<OrderView>,
    wrong: Wrong,
}

/// What is on the balance.
struct Purse {
    /// In credits.
    available: String,
    held: String,
    posted: String,
    /// How many holds are open.
    open: i64,
    frozen: bool,
    /// What expires: how much, and when.
    expiring: Vec<(String, Time)>,
    /// Below what its owner is told; empty: never.
    alert: String,
}

/// What can be bought.
struct Shop {
    packs: Vec<Pack>,
    /// Whether anything is sold here.
    sold: bool,
    /// Makes an order that is sent twice one.
    request: String,
}

struct Pack {
    id: String,
    name: String,
    credits: String,
    price: String,
}

/// What was wrong with a form, beside it.
#[derive(Debug, Default)]
struct Wrong {
    redeem: Option<String>,
    alert: Option<String>,
    order: Option<String>,
}

/// What was just done, in words.
fn said(word: &str) -> Option<&'static str> {
    match word {
        "redeemed" => Some("The code is redeemed."),
        "repeated" => Some("You had redeemed this code before. Nothing was booked again."),
        "reset" => Some("The test balance is back at its default."),
        "alert" => Some("You will be told when the balance falls below."),
        "quiet" => Some("You will not be told of a low balance any more."),
        _ => None,
    }
}

/// `GET /credits`.
async fn page(
    State(site): State<Arc<Site>>,
    member: Member,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let page = first(&site, &member, Wrong::default(), said(&wanted.said)).await?;
    Ok(page.into_response())
}

/// `POST /credits/redeem`.
async fn redeem(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Form(typed): Form<Typed>,
) -> Answer {
    let request = RedeemRequest {
        context: Some(member.context()),
        code: typed.code,
    };
    let ask = site.peers.ask(request);
    match site.peers.orders.clone().redeem(ask).await {
        Ok(reply) if reply.get_ref().repeated => to("repeated"),
        Ok(_) => to("redeemed"),
        Err(status) => {
            let refusal = Refused::from(status).told()?;
            let redeem = Some(refusal.message.clone());
            let wrong = Wrong {
                redeem,
                ..Wrong::default()
            };
            again(&site, &member, &refusal, wrong).await
        }
    }
}

/// `POST /credits/reset`.
async fn reset(State(site): State<Arc<Site>>, member: Member<Manages>) -> Answer {
    if member.view().mode != Mode::Test {
        let told = "Only the test balance can be reset.";
        return Err(Refused::new(StatusCode::BAD_REQUEST, told));
    }
    let request = ResetTestBalanceRequest {
        context: Some(member.context()),
    };
    let ask = site.peers.ask(request);
    site.peers.orders.clone().reset_test_balance(ask).await?;
    to("reset")
}

/// `POST /credits/alert`.
async fn alert(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Form(typed): Form<Alert>,
) -> Answer {
    let text = typed.below.trim().replace(',', "");
    let below = match text.as_str() {
        "" => Ok(None),
        text => Micros::parse_credits(text).map(|below| Some(below.get())),
    };
    let set = match below {
        Ok(below) => set_alert(&site, &member, below).await,
        Err(_) => {
            let told = "Write credits, such as 500, or nothing.";
            Err(Refused::new(StatusCode::BAD_REQUEST, told))
        }
    };
    match set {
        Ok(()) if text.is_empty() => to("quiet"),
        Ok(()) => to("alert"),
        Err(refused) => {
            let refusal = refused.told()?;
            let alert = Some(refusal.message.clone());
            let wrong = Wrong {
                alert,
                ..Wrong::default()
            };
            again(&site, &member, &refusal, wrong).await
        }
    }
}

async fn set_alert(
    site: &Site,
    member: &Member<Manages>,
    below: Option<i64>,
) -> Result<(), Refused> {
    let request = SetAlertRequest {
        context: Some(member.context()),
        below,
    };
    let ask = site.peers.ask(request);
    site.peers.billing.clone().set_alert(ask).await?;
    Ok(())
}

fn to(said: &str) -> Answer {
    Ok(Redirect::to(&format!("/credits?said={said}")).into_response())
}

/// The first page again, with what was wrong.
async fn again(site: &Site, member: &Member<Manages>, refusal: &Refusal, wrong: Wrong) -> Answer {
    let page = first(site, member, wrong, None).await?;
    Ok(page.with(refusal.status).into_response())
}

/// The first page.
async fn first<N>(
    site: &Site,
    member: &Member<N>,
    wrong: Wrong,
    said: Option<&'static str>,
) -> Result<Page, Refused> {
    let (purse, shop, lines, orders) = tokio::try_join!(
        balance(site, member),
        packs(site),
        ledger::newest(site, member, NEWEST),
        orders::newest(site, member, NEWEST),
    )?;
    let holds = match purse.open_holds {
        0 => Vec::new(),
        _ => ledger::holds(site, member, HOLDS).await?,
    };
    let html = Html {
        frame: Frame::new(site, member, "/credits", "Credits").saying(said),
        purse: Purse::of(purse),
        shop: Shop::of(shop),
        holds,
        lines,
        orders,
        wrong,
    };
    Ok(Page::html(&html))
}

async fn balance<N>(site: &Site, member: &Member<N>) -> Result<Balance, Refused> {
    let request = GetBalanceRequest {
        context: Some(member.context()),
    };
    let ask = site.peers.ask(request);
    Ok(site
        .peers
        .billing
        .clone()
        .get_balance(ask)
        .await?
        .into_inner())
}

async fn packs(site: &Site) -> Result<ListPacksReply, Refused> {
    let ask = site.peers.ask(ListPacksRequest {});
    Ok(site
        .peers
        .orders
        .clone()
        .list_packs(ask)
        .await?
        .into_inner())
}

// === impl Purse ===

impl Purse {
    fn of(balance: Balance) -> Self {
        let expiring = balance.expiring.iter();
        Self {
            available: show::credits(balance.posted.saturating_sub(balance.held)),
            held: show::credits(balance.held),
            posted: show::credits(balance.posted),
            open: balance.open_holds,
            frozen: balance.frozen,
            expiring: expiring
                .map(|lot| (show::credits(lot.left), Time::of(lot.expires_at)))
                .collect(),
            alert: balance
                .alert_below
                .map(|below| Micros::new(below).to_string())
                .unwrap_or_default(),
        }
    }
}

// === impl Shop ===

impl Shop {
    fn of(reply: ListPacksReply) -> Self {
        let packs = reply.packs.into_iter().map(|pack| Pack {
            credits: show::credits(pack.credits),
            price: money::money(pack.price, &pack.currency),
            id: pack.id,
            name: pack.name,
        });
        Self {
            packs: packs.collect(),
            sold: reply.sold,
            request: who::request_id(),
        }
    }
}
