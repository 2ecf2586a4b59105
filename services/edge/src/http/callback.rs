//! `POST /callbacks/{token}`: a provider says that something has changed about a task of ours. Whose it is, the token says, which only we can
//! make; without a good one nothing is read, nor is anybody asked. What is said goes on to media, which believes none of it.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::rpc;
use domain::TaskId;
use http::{HeaderMap, StatusCode, header};
use live::{Admission, Rate};
use proto::{Fault, code, media::v1::HearRequest};

use crate::{
    App, body,
    error::ApiError,
    http::{Segments, orders::Received, success},
};

/// What stands in the names of headers that a signature may stand in: at the beginning, and wherever.
const BEGINS: &str = "x-";
const HOLDS: &str = "webhook-";
/// Bytes of the longest of them.
const LONGEST: usize = 1_024;

/// Hears what a provider says.
pub(crate) async fn hear(
    State(app): State<Arc<App>>,
    Segments(token): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let task = app.links.verify_callback(&token);
    let task = task.ok_or_else(|| Fault::of(code::UNKNOWN_ROUTE))?;
    admit(&app, task).await?;
    let headers = signed_in(request.headers());
    let bodies = &app.config.limits.bodies;
    let body = body::read(request, bodies.media, bodies).await?;
    let request = HearRequest {
        task_id: task.to_vec().into(),
        headers,
        body,
    };
    let request = rpc::request(request, app.config.limits.deadlines.media);
    app.clients.media.clone().hear(request).await?;
    success(StatusCode::OK, &Received { received: true })
}

/// A provider that calls too often about a task is told to wait.
async fn admit(app: &App, task: TaskId) -> Result<(), ApiError> {
    let most = app.config.limits.rates.callbacks_per_minute;
    let rate = Rate {
        per_minute: most,
        burst: most,
    };
    match app.live.admit(&format!("callback/{task}"), rate).await {
        Ok(Admission::Refused { retry_after }) => {
            let message = format!("{most} callbacks a minute are heard for a task");
            let fault = Fault::new(code::RATE_LIMITED, message);
            Err(fault.retry_after(retry_after).into())
        }
        // Where nobody can count, it is let through: it can only hasten a look.
        Ok(Admission::Allowed { .. }) | Err(_) => Ok(()),
    }
}

fn signed_in(headers: &HeaderMap) -> HashMap<String, String> {
    let pairs = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let value = value.to_str().ok()?;
        // Some sign the date that HTTP has.
        let may_be = name.starts_with(BEGINS) || name.contains(HOLDS) || name == header::DATE;
        (may_be && value.len() <= LONGEST).then(|| (name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}
