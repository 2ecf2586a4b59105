//! `/mode`: the switch between the two balances.

use std::sync::Arc;

use axum::{
    Form,
    extract::State,
    response::{IntoResponse as _, Redirect},
    routing::post,
};
use domain::Mode;
use http::StatusCode;
use serde::Deserialize;

use crate::{
    Site,
    refused::{Answer, Refused},
    router::Row,
    store::session,
    who::Member,
};

/// Its URL.
pub(crate) const ROUTES: &[Row] = &[("/mode", || post(switch))];

/// What the form of the switch says.
#[derive(Deserialize)]
struct Switch {
    mode: String,
    #[serde(default)]
    back: String,
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
