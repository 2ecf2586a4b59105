//! `GET /credits`: what a balance holds, and `PUT /credits/alert`: when to be told that it is low. The sums are billing's; here they are
//! only written down.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::rpc;
use domain::{AccountId, Micros};
use http::StatusCode;
use proto::{
    billing::v1::{self as wire, GetBalanceRequest, SetAlertRequest},
    id_from_wire, mode_from_wire,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    auth::{Manage, Read, Scoped},
    error::ApiError,
    http::{admin::read, fields::Fields, success},
};

/// A balance.
#[derive(Serialize, ToSchema)]
pub(crate) struct Credits {
    account_id: String,
    mode: &'static str,
    #[schema(value_type = f64)]
    available_credits: Micros,
    #[schema(value_type = f64)]
    held_credits: Micros,
    #[schema(value_type = f64)]
    posted_credits: Micros,
    available_microcredits: i64,
    held_microcredits: i64,
    posted_microcredits: i64,
    open_holds: i64,
    frozen: bool,
    expiring: Vec<Expiring>,
    /// Below what posted amount the customer is told.
    #[schema(value_type = Option<f64>)]
    alert_below_credits: Option<Micros>,
}

/// Credit that expires.
#[derive(Serialize, ToSchema)]
#[schema(as = ExpiringCredit)]
pub(crate) struct Expiring {
    #[schema(value_type = f64)]
    credits: Micros,
    expires_at: String,
}

// === impl Credits ===

impl TryFrom<wire::Balance> for Credits {
    type Error = ApiError;

    fn try_from(balance: wire::Balance) -> Result<Self, ApiError> {
        let account: AccountId = id_from_wire(&balance.account_id)?;
        let posted = Micros::new(balance.posted);
        let held = Micros::new(balance.held);
        let available = posted.minus(held).map_err(|_| ApiError::internal())?;
        Ok(Self {
            account_id: account.to_string(),
            mode: mode_from_wire(balance.mode)?.as_str(),
            available_credits: available,
            held_credits: held,
            posted_credits: posted,
            available_microcredits: available.get(),
            held_microcredits: held.get(),
            posted_microcredits: posted.get(),
            open_holds: balance.open_holds,
            frozen: balance.frozen,
            expiring: balance.expiring.into_iter().map(Expiring::from).collect(),
            alert_below_credits: balance.alert_below.map(Micros::new),
        })
    }
}

// === impl Expiring ===

impl From<wire::Expiring> for Expiring {
    fn from(expiring: wire::Expiring) -> Self {
        Self {
            credits: Micros::new(expiring.left),
            expires_at: chassis::clock::rfc3339(expiring.expires_at),
        }
    }
}

/// The balance of the key's account and mode.
pub(crate) async fn credits(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
) -> Result<Response, ApiError> {
    let request = GetBalanceRequest {
        context: Some(caller.context()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let balance = app
        .clients
        .billing
        .clone()
        .get_balance(request)
        .await?
        .into_inner();
    success(StatusCode::OK, &Credits::try_from(balance)?)
}

/// From what balance on the customer is told that it is low; `null`: they are not told.
pub(crate) async fn set_alert(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = read(&app, request).await?;
    let mut fields = Fields::parse(&body)?;
    let never = fields.is_null("below_credits");
    let below = fields.credits("below_credits");
    if !never {
        fields.require("below_credits", below.as_ref());
    }
    fields.finish()?;
    let request = SetAlertRequest {
        context: Some(caller.context()),
        below: below.map(Micros::get),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let balance = app.clients.billing.clone().set_alert(request).await?;
    success(StatusCode::OK, &Credits::try_from(balance.into_inner())?)
}
