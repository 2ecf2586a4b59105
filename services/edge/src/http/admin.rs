//! The operator's routes: accounts, credits, the audit, tasks with an unknown outcome. (Those about keys are in `keys/`.) Served
//! to keys with scope `admin`, and on the operator's own socket.

pub(crate) mod prices;
pub(crate) mod retention;
pub(crate) mod tasks;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::{clock, rpc};
use domain::{AccountId, Micros, Mode, TaskId, ids};
use http::{StatusCode, Uri};
use proto::{
    billing::v1::{
        self as billing, AddCreditsRequest, AuditRequest, CreateAccountRequest,
        FreezeAccountRequest, ListAccountsRequest,
    },
    code, id_from_wire,
    media::v1::ListUnknownAttemptsRequest,
    mode_to_wire, price_factor_from_wire,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::{
    App,
    auth::{Admin, Scoped},
    body,
    error::ApiError,
    http::{
        Segments,
        account::Credits,
        fields::Fields,
        idempotency_key,
        query::{List, Page, Params},
        success,
    },
};

/// Characters of the longest name or reason.
pub(super) const TEXT_LEN: usize = 200;

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Account {
    account_id: String,
    name: String,
    created_at: String,
    /// What it pays of a price, as a decimal of six places.
    #[schema(value_type = f64)]
    price_factor: Micros,
}

/// A new account.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewAccount {
    account_id: String,
    name: String,
}

/// An account that was stopped or let go on.
#[derive(Serialize, ToSchema)]
pub(crate) struct FrozenAccount {
    account_id: String,
    frozen: bool,
}

/// An audit.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerAudit)]
pub(crate) struct Audit {
    ok: bool,
    checks: Vec<Check>,
}

/// One check of an audit.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerCheck)]
pub(crate) struct Check {
    name: String,
    ok: bool,
    figure: i64,
}

/// An attempt whose outcome is unknown.
#[derive(Serialize, ToSchema)]
pub(crate) struct UnknownAttempt {
    task_id: String,
    attempt: u32,
    provider: String,
    submitted_at: String,
}

// === impl Account ===

impl TryFrom<billing::Account> for Account {
    type Error = ApiError;

    fn try_from(account: billing::Account) -> Result<Self, ApiError> {
        let id: AccountId = id_from_wire(&account.account_id)?;
        let factor = price_factor_from_wire(account.price_factor)?;
        Ok(Self {
            account_id: id.to_string(),
            name: account.name,
            created_at: clock::rfc3339(account.created_at),
            price_factor: Micros::new(factor.parts_per_million()),
        })
    }
}

/// `POST /admin/accounts`.
pub(crate) async fn create_account(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = read(&app, request).await?;
    let mut fields = Fields::parse(&body)?;
    let name = fields.text("name", 1, TEXT_LEN);
    fields.require("name", name.as_ref());
    let test_credits = fields.credits("test_credits").map(Micros::get);
    if test_credits.is_some_and(i64::is_negative) {
        fields.invalid("test_credits", "not be negative");
    }
    fields.finish()?;
    let request = CreateAccountRequest {
        name: name.unwrap_or_default(),
        test_credits,
        by: Some(caller.by()),
        account_id: bytes::Bytes::new(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let account = app
        .clients
        .billing
        .clone()
        .create_account(request)
        .await?
        .into_inner();
    let id: AccountId = id_from_wire(&account.account_id)?;
    let account = NewAccount {
        account_id: id.to_string(),
        name: account.name,
    };
    success(StatusCode::CREATED, &account)
}

/// `GET /admin/accounts`.
pub(crate) async fn list_accounts(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let page: Page<ids::Account> = Page::of(&uri)?;
    let request = ListAccountsRequest {
        limit: page.limit,
        after: page.behind(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let accounts = app
        .clients
        .billing
        .clone()
        .list_accounts(request)
        .await?
        .into_inner()
        .accounts;
    let items = accounts.into_iter().map(Account::try_from);
    let items: Vec<Account> = items.collect::<Result<_, ApiError>>()?;
    success(
        StatusCode::OK,
        &page.list(items, |account| &account.account_id),
    )
}

/// `POST /admin/accounts/{id}/credits`.
pub(crate) async fn add_credits(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let account = account_of(&id)?;
    let idempotency_key = idempotency_key(request.headers())?;
    let body = read(&app, request).await?;
    let mut fields = Fields::parse(&body)?;
    let amount = fields.credits("credits");
    fields.require("credits", amount.as_ref());
    let mode = fields.word("mode", "test or live", Mode::parse);
    fields.require("mode", mode.as_ref());
    let reason = fields.text("reason", 1, TEXT_LEN);
    fields.require("reason", reason.as_ref());
    let expires_at = fields.moment("expires_at");
    // Whether it lies in the future billing says, by its clock; before 1970 nothing does.
    if expires_at.is_some_and(|at| at <= 0) {
        fields.invalid("expires_at", "lie in the future");
    }
    fields.finish()?;
    let mode = mode.unwrap_or(Mode::Test);
    let request = AddCreditsRequest {
        account_id: account.to_vec().into(),
        mode: mode_to_wire(mode).into(),
        amount: amount.unwrap_or_default().get(),
        reason: reason.unwrap_or_default(),
        transfer_id: transfer_id(account, mode, &idempotency_key).to_vec().into(),
        by: Some(caller.by()),
        expires_at: expires_at.unwrap_or_default(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let balance = app
        .clients
        .billing
        .clone()
        .add_credits(request)
        .await?
        .into_inner();
    success(StatusCode::OK, &Credits::try_from(balance)?)
}

/// `POST /admin/accounts/{id}/freeze`.
pub(crate) async fn freeze(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let request = FreezeAccountRequest {
        by: Some(caller.by()),
        account_id: account_of(&id)?.to_vec().into(),
        frozen: true,
    };
    freeze_account(&app, request).await
}

/// `POST /admin/accounts/{id}/unfreeze`.
pub(crate) async fn unfreeze(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let request = FreezeAccountRequest {
        by: Some(caller.by()),
        account_id: account_of(&id)?.to_vec().into(),
        frozen: false,
    };
    freeze_account(&app, request).await
}

async fn freeze_account(app: &App, request: FreezeAccountRequest) -> Result<Response, ApiError> {
    let account: AccountId = id_from_wire(&request.account_id)?;
    let frozen = request.frozen;
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    app.clients.billing.clone().freeze_account(request).await?;
    let account_id = account.to_string();
    success(StatusCode::OK, &FrozenAccount { account_id, frozen })
}

/// `GET /admin/ledger/audit`.
pub(crate) async fn audit(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
) -> Result<Response, ApiError> {
    let request = rpc::request(AuditRequest {}, app.config.limits.deadlines.audit);
    let reply = app
        .clients
        .billing
        .clone()
        .audit(request)
        .await?
        .into_inner();
    let checks = reply.checks.into_iter().map(|check| Check {
        name: check.name,
        ok: check.ok,
        figure: check.figure,
    });
    let audit = Audit {
        ok: reply.ok,
        checks: checks.collect(),
    };
    success(StatusCode::OK, &audit)
}

/// `GET /admin/tasks/unknown`: what was submitted to a provider whose answer we never saw.
pub(crate) async fn unknown_attempts(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Params::parse(&uri);
    let limit = query.limit();
    query.finish()?;
    let request = ListUnknownAttemptsRequest { limit };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let reply = app
        .clients
        .media
        .clone()
        .list_unknown_attempts(request)
        .await?
        .into_inner();
    let items = reply.attempts.into_iter().map(|attempt| {
        let task: TaskId = id_from_wire(&attempt.task_id)?;
        Ok(UnknownAttempt {
            task_id: task.to_string(),
            attempt: attempt.number,
            provider: attempt.provider,
            submitted_at: clock::rfc3339(attempt.submitted_at),
        })
    });
    let items = items.collect::<Result<Vec<_>, ApiError>>()?;
    success(StatusCode::OK, &List::whole(items))
}

pub(super) async fn read(app: &App, request: Request) -> Result<bytes::Bytes, ApiError> {
    let bodies = &app.config.limits.bodies;
    body::read(request, bodies.other, bodies).await
}

/// The transfer's id: the same for the same Idempotency-Key, so that a repeat books nothing twice.
fn transfer_id(account: AccountId, mode: Mode, idempotency_key: &str) -> domain::OperationId {
    let hash = Sha256::new()
        .chain_update(account.to_bytes())
        .chain_update(mode.as_str())
        .chain_update([0])
        .chain_update(idempotency_key)
        .finalize();
    let derived = (!idempotency_key.is_empty())
        .then(|| hash.get(..16))
        .flatten()
        .and_then(domain::OperationId::from_slice);
    derived.unwrap_or_else(chassis::mint::<ids::Operation>)
}

pub(super) fn account_of(id: &str) -> Result<AccountId, ApiError> {
    AccountId::parse(id).ok_or_else(|| nothing("account"))
}

pub(super) fn nothing(noun: &str) -> ApiError {
    ApiError::new(code::NOT_FOUND, format!("there is no such {noun}"))
}
