//! `GET /audit-log` and `GET /admin/audit-log`: who changed what.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use chassis::{clock, rpc};
use domain::{AccountId, EventId, ids};
use http::{StatusCode, Uri};
use proto::{
    billing::v1::{AuditLogEntry, ListAuditLogRequest},
    id_from_wire, mode_from_wire,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    App,
    auth::{Admin, Manage, Scoped},
    error::ApiError,
    http::{
        query::{Page, Params},
        success,
    },
};

/// A row of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLogEntry)]
pub(crate) struct Entry {
    entry_id: String,
    created_at: String,
    account_id: Option<String>,
    mode: Option<&'static str>,
    actor: String,
    request_id: Option<String>,
    action: String,
    subject: String,
    #[schema(value_type = Option<Object>)]
    detail: Option<Box<RawValue>>,
}

/// `GET /audit-log`: of the caller's account and mode.
pub(crate) async fn own(
    State(app): State<Arc<App>>,
    caller: Scoped<Manage>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let page: Page<ids::Event> = Page::of(&uri)?;
    let request = ListAuditLogRequest {
        context: Some(caller.context()),
        ..ListAuditLogRequest::default()
    };
    answer(&app, page, request).await
}

/// `GET /admin/audit-log`: of all accounts, or of one.
pub(crate) async fn all(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Params::parse(&uri);
    let page = query.page();
    let allowed = "be an account's id, such as acct_…";
    let account = query.read("account_id", allowed, AccountId::parse);
    query.finish()?;
    let request = ListAuditLogRequest {
        account_id: account.map(AccountId::to_vec).unwrap_or_default().into(),
        ..ListAuditLogRequest::default()
    };
    answer(&app, page, request).await
}

async fn answer(
    app: &App,
    page: Page<ids::Event>,
    request: ListAuditLogRequest,
) -> Result<Response, ApiError> {
    let request = ListAuditLogRequest {
        limit: page.limit,
        before: page.behind(),
        ..request
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let reply = app.clients.billing.clone().list_audit_log(request).await?;
    let entries = reply.into_inner().entries.into_iter();
    let items: Vec<Entry> = entries.map(Entry::try_from).collect::<Result<_, _>>()?;
    success(
        StatusCode::OK,
        &page.list(items, |entry| entry.entry_id.as_str()),
    )
}

// === impl Entry ===

impl TryFrom<AuditLogEntry> for Entry {
    type Error = ApiError;

    fn try_from(entry: AuditLogEntry) -> Result<Self, ApiError> {
        let id: EventId = id_from_wire(&entry.entry_id)?;
        let account: Option<AccountId> = Some(&entry.account_id)
            .filter(|id| !id.is_empty())
            .map(|id| id_from_wire(id))
            .transpose()?;
        let mode = Some(entry.mode).filter(|mode| *mode != 0);
        let mode = mode.map(mode_from_wire).transpose()?;
        Ok(Self {
            entry_id: id.to_string(),
            created_at: clock::rfc3339(entry.created_at),
            account_id: account.map(|id| id.to_string()),
            mode: mode.map(domain::Mode::as_str),
            actor: entry.actor,
            request_id: Some(entry.request_id).filter(|id| !id.is_empty()),
            action: entry.action,
            subject: entry.subject,
            detail: serde_json::from_slice(&entry.detail).ok(),
        })
    }
}
