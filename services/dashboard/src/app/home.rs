//! `/home`: the first page behind the door: balance, what it is spent on, what runs. Also the switch between the two balances.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::State,
    response::{IntoResponse as _, Redirect},
    routing::{get, post},
};
use domain::Mode;
use http::StatusCode;
use proto::billing::v1::GetBalanceRequest;
use serde::Deserialize;

use super::Frame;
use crate::{
    Site,
    page::Page,
    refused::{Answer, Refused},
    router::Row,
    show,
    store::session,
    who::Member,
};

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[("/home", || get(page)), ("/mode", || post(switch))];

/// What the form of the switch says.
#[derive(Deserialize)]
struct Switch {
    mode: String,
    #[serde(default)]
    back: String,
}

#[derive(Template)]
#[template(path = "app/home.html")]
struct Html<'s> {
    frame: Frame<'s>,
    /// In credits.
    available: String,
    held: String,
}

/// The page.
async fn page(State(site): State<Arc<Site>>, member: Member) -> Answer {
    let request = GetBalanceRequest {
        context: Some(member.context()),
    };
    let balance = site
        .peers
        .billing
        .clone()
        .get_balance(site.peers.ask(request))
        .await?
        .into_inner();
    let credits = |micros| show::credits(micros);
    let html = Html {
        frame: Frame::new(&site, &member, "/home", "Home"),
        available: credits(balance.posted.saturating_sub(balance.held)),
        held: credits(balance.held),
    };
    Ok(Page::html(&html).into_response())
}

/// Looks at the other balance.
async fn switch(State(site): State<Arc<Site>>, member: Member, Form(said): Form<Switch>) -> Answer {
    let told = "A mode is test or live.";
    let mode =
        Mode::parse(&said.mode).ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, told))?;
    let (mac, account) = (member.session, member.view().account);
    let write = site
        .db
        .write(move |connection| Box::pin(session::look_at(connection, mac, (account, mode))));
    write.await?;
    Ok(Redirect::to(crate::sign::own_path(&said.back)).into_response())
}
