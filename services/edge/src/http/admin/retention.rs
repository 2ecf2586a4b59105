//! How long an account's files are kept: an operator's word about what its tasks make and what it uploads.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::{config::duration, rpc};
use domain::AccountId;
use http::StatusCode;
use proto::media::v1::{self as wire, GetRetentionRequest, SetRetentionRequest};
use serde::Serialize;
use utoipa::ToSchema;

use super::{account_of, read};
use crate::{
    App,
    auth::{Admin, Scoped},
    error::ApiError,
    http::{Segments, fields::Fields, success},
};

/// How long an account's files are kept; `null`: as long as everybody's.
#[derive(Serialize, ToSchema)]
#[schema(as = AccountRetention)]
pub(crate) struct Shown {
    account_id: String,
    outputs_seconds: Option<u64>,
    files_seconds: Option<u64>,
}

/// `GET /admin/accounts/{id}/retention`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    _caller: Scoped<Admin>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let account = account_of(&id)?;
    let said = said(&app, account).await?;
    success(StatusCode::OK, &shown(account, said))
}

/// What is said of an account.
async fn said(app: &App, account: AccountId) -> Result<wire::Retention, ApiError> {
    let request = GetRetentionRequest {
        account_id: account.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let said = app.clients.operators.clone().get_retention(request).await?;
    Ok(said.into_inner())
}

/// `PUT /admin/accounts/{id}/retention`: what is absent stays as it was said, and `null` is as long as everybody's again.
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    caller: Scoped<Admin>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let account = account_of(&id)?;
    let body = read(&app, request).await?;
    let mut fields = Fields::parse(&body)?;
    let (outputs, files) = (
        seconds(&mut fields, "outputs"),
        seconds(&mut fields, "files"),
    );
    fields.finish()?;
    let before = said(&app, account).await?;
    let retention = wire::Retention {
        outputs: outputs.unwrap_or(before.outputs),
        files: files.unwrap_or(before.files),
    };
    let request = SetRetentionRequest {
        account_id: account.to_vec().into(),
        retention: Some(retention),
        by: Some(caller.by()),
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    let said = app.clients.operators.clone().set_retention(request).await?;
    success(StatusCode::OK, &shown(account, said.into_inner()))
}

/// So many whole seconds; 0: what was said is taken back; `None`: it stays.
fn seconds(fields: &mut Fields<'_>, name: &str) -> Option<u64> {
    if fields.is_null(name) {
        return Some(0);
    }
    let parse = |text: &str| {
        let whole = |life: &Duration| life.as_secs() > 0 && life.subsec_nanos() == 0;
        duration::parse(text).filter(whole)
    };
    let life = fields.word(
        name,
        "a duration of whole seconds, such as 30d, or null",
        parse,
    );
    life.map(|life| life.as_secs())
}

fn shown(account: AccountId, said: wire::Retention) -> Shown {
    let seconds = |seconds: u64| (seconds > 0).then_some(seconds);
    Shown {
        account_id: account.to_string(),
        outputs_seconds: seconds(said.outputs),
        files_seconds: seconds(said.files),
    }
}
