//! Credit that is not bought: redeem codes, for customers and for operators, and the test balance put back to its default.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::{clock, rpc};
use domain::{Micros, Mode, RedeemCodeId, ids};
use http::{StatusCode, Uri};
use proto::{
    billing::v1::{
        self as wire, CreateRedeemCodesRequest, ListRedeemCodesRequest, RedeemRequest,
        ResetTestBalanceRequest, RevokeRedeemCodeRequest,
    },
    id_from_wire, mode_from_wire, mode_to_wire,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    auth::{Admin, Manage, Scoped},
    error::ApiError,
    http::{
        Segments,
        account::Credits,
        admin::{nothing, read},
        fields::Fields,
        not_kept,
        query::{List, Page},
        success,
    },
};

/// Characters of the longest code, as people type it.
const CODE_LEN: usize = 100;

/// A redeemed code.
#[derive(Serialize, ToSchema)]
pub(crate) struct Redeemed {
    #[schema(value_type = f64)]
    redeemed_credits: Micros,
    redeemed_microcredits: i64,
    repeated: bool,
    balance: Credits,
}

/// A code.
#[derive(Serialize, ToSchema)]
#[schema(as = RedeemCode)]
pub(crate) struct Code {
    code_id: String,
    /// Only when it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    last_four: String,
    mode: &'static str,
    #[schema(value_type = f64)]
    credits: Micros,
    max_uses: u32,
    uses: u32,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    created_at: String,
}

/// A revoked code.
#[derive(Serialize, ToSchema)]
#[schema(as = RevokedRedeemCode)]
pub(crate) struct Revoked {
    code_id: String,
    revoked: bool,
}

/// `POST /credits/redeem`.
pub(crate) async fn redeem(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = read(&app, request).await?;
    let mut fields = Fields::parse(&body)?;
    let code = fields.text("code", 1, CODE_LEN);
    fields.require("code", code.as_ref());
    fields.finish()?;
    let request = RedeemRequest {
        context: Some(caller.context()),
        code: code.unwrap_or_default(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let reply = app.clients.orders.clone().redeem(request).await?;
    let reply = reply.into_inner();
    let redeemed = Redeemed {
        redeemed_credits: Micros::new(reply.credits),
        redeemed_microcredits: reply.credits,
        repeated: reply.repeated,
        balance: Credits::try_from(reply.balance.unwrap_or_default())?,
    };
    success(StatusCode::OK, &redeemed)
}

/// `POST /credits/test/reset`.
pub(crate) async fn reset_test_balance(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
) -> Result<Response, ApiError> {
    let request = ResetTestBalanceRequest {
        context: Some(caller.context()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let balance = app
        .clients
        .orders
        .clone()
        .reset_test_balance(request)
        .await?;
    success(StatusCode::OK, &Credits::try_from(balance.into_inner())?)
}

/// `POST /admin/redeem-codes`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = read(&app, request).await?;
    let mut fields = Fields::parse(&body)?;
    let count = fields.count("count");
    let credits = fields.credits("credits");
    fields.require("credits", credits.as_ref());
    let mode = fields.word("mode", "test or live", Mode::parse);
    fields.require("mode", mode.as_ref());
    let max_uses = fields.count("max_uses");
    let expires_at = fields.moment("expires_at");
    if expires_at.is_some_and(|at| at <= clock::now_micros()) {
        fields.invalid("expires_at", "lie in the future");
    }
    fields.finish()?;
    let request = CreateRedeemCodesRequest {
        count: count.unwrap_or(1),
        credits: credits.unwrap_or_default().get(),
        mode: mode_to_wire(mode.unwrap_or(Mode::Test)).into(),
        max_uses: max_uses.unwrap_or(1),
        expires_at: expires_at.unwrap_or_default(),
        by: Some(caller.by()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let reply = app
        .clients
        .orders
        .clone()
        .create_redeem_codes(request)
        .await?;
    let codes = reply.into_inner().codes.into_iter().map(|made| {
        let code = Code::try_from(made.code.unwrap_or_default())?;
        Ok(Code {
            code: Some(made.text),
            ..code
        })
    });
    let codes = codes.collect::<Result<Vec<_>, ApiError>>()?;
    Ok(not_kept(success(StatusCode::CREATED, &List::whole(codes))?))
}

/// `GET /admin/redeem-codes`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let page: Page<ids::Code> = Page::of(&uri)?;
    let request = ListRedeemCodesRequest {
        limit: page.limit,
        before: page.behind(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let reply = app
        .clients
        .orders
        .clone()
        .list_redeem_codes(request)
        .await?;
    let codes = reply.into_inner().codes.into_iter();
    let items: Vec<Code> = codes.map(Code::try_from).collect::<Result<_, _>>()?;
    success(StatusCode::OK, &page.list(items, |code| &code.code_id))
}

/// `DELETE /admin/redeem-codes/{id}`.
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let code = RedeemCodeId::parse(&id).ok_or_else(|| nothing("redeem code"))?;
    let request = RevokeRedeemCodeRequest {
        code_id: code.to_vec().into(),
        by: Some(caller.by()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    app.clients
        .orders
        .clone()
        .revoke_redeem_code(request)
        .await?;
    let revoked = Revoked {
        code_id: code.to_string(),
        revoked: true,
    };
    success(StatusCode::OK, &revoked)
}

// === impl Code ===

impl TryFrom<wire::RedeemCode> for Code {
    type Error = ApiError;

    fn try_from(code: wire::RedeemCode) -> Result<Self, ApiError> {
        let id: RedeemCodeId = id_from_wire(&code.code_id)?;
        let moment = |at: i64| (at != 0).then(|| clock::rfc3339(at));
        Ok(Self {
            code_id: id.to_string(),
            code: None,
            last_four: code.last_four,
            mode: mode_from_wire(code.mode)?.as_str(),
            credits: Micros::new(code.credits),
            max_uses: code.max_uses,
            uses: code.uses,
            expires_at: moment(code.expires_at),
            revoked_at: moment(code.revoked_at),
            created_at: clock::rfc3339(code.created_at),
        })
    }
}
