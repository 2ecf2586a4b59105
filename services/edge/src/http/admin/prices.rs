//! What the operator does about prices: what an account pays of them, and the lists that receipts name.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::{clock, rpc};
use http::StatusCode;
use proto::billing::v1::{GetPriceListRequest, SetPriceFactorRequest};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Account, account_of, read};
use crate::{
    App,
    auth::{Admin, Scoped},
    error::ApiError,
    http::{Segments, fields::Fields, success},
};

/// A price list.
#[derive(Serialize, ToSchema)]
pub(crate) struct PriceList {
    version: String,
    created_at: String,
    list: String,
}

/// `PATCH /admin/accounts/{id}`: sets what the account pays of a price, within five seconds everywhere.
pub(crate) async fn update_account(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let account = account_of(&id)?;
    let body = read(&app, request).await?;
    let mut fields = Fields::parse(&body)?;
    let factor = fields.price_factor("price_factor");
    fields.require("price_factor", factor.as_ref());
    fields.finish()?;
    let request = SetPriceFactorRequest {
        account_id: account.to_vec().into(),
        price_factor: factor.unwrap_or_default().parts_per_million(),
        by: Some(caller.by()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let changed = app.clients.prices.clone().set_price_factor(request).await?;
    success(StatusCode::OK, &Account::try_from(changed.into_inner())?)
}

/// `GET /admin/price-lists/{version}`: what `aio receipt verify --prices` takes.
pub(crate) async fn price_list(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
    Segments(version): Segments<String>,
) -> Result<Response, ApiError> {
    let request = GetPriceListRequest { version };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let list = app.clients.prices.clone().get_price_list(request).await?;
    let list = list.into_inner();
    let list = PriceList {
        version: list.version,
        created_at: clock::rfc3339(list.created_at),
        list: list.body,
    };
    success(StatusCode::OK, &list)
}
