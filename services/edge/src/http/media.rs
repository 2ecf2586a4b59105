//! The routes that accept media tasks. Only the shape of the request is looked at here; media reads the body.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    response::Response,
};
use chassis::rpc;
use domain::{TaskId, ids};
use http::{HeaderMap, StatusCode};
use proto::{id_from_wire, media::v1::SubmitRequest};
use serde::Serialize;

use crate::{
    App,
    auth::{Inference, Scoped},
    body,
    error::ApiError,
    http::{enveloped, idempotency_key, max_cost, put, put_replayed, success, task},
};

/// The wire form of an accepted task.
#[derive(Serialize)]
struct Accepted {
    task_id: String,
    status: &'static str,
}

/// `POST /images/generations`.
pub(crate) async fn images(
    State(app): State<Arc<App>>,
    caller: Scoped<Inference>,
    request: Request,
) -> Result<Response, ApiError> {
    submit(&app, &caller, "images/generations", request).await
}

/// Accepts a task for a route.
async fn submit(
    app: &App,
    caller: &Scoped<Inference>,
    route: &str,
    request: Request,
) -> Result<Response, ApiError> {
    let limits = &app.config.limits;
    let idempotency_key = idempotency_key(request.headers())?;
    let max_cost = max_cost(request.headers())?;
    let wait = wait(request.headers(), limits.streams.longest_wait);
    let body = body::read(request, limits.bodies.media, &limits.bodies).await?;
    let request = SubmitRequest {
        context: Some(caller.context()),
        task_id: chassis::mint::<ids::Task>().to_vec().into(),
        route: route.to_owned(),
        body,
        idempotency_key,
        models: caller.identity.models.clone(),
        max_open_tasks: caller.identity.max_open_tasks,
        max_cost,
    };
    let reply = app
        .clients
        .media
        .clone()
        .submit(rpc::request(request, limits.deadlines.submit))
        .await?
        .into_inner();
    let id: TaskId = id_from_wire(&reply.task_id)?;
    let ended = match wait {
        Some(wait) => task::ended_within(app, caller, id, wait).await,
        None => None,
    };
    let mut response = match &ended {
        Some(ended) => enveloped(StatusCode::OK, &ended.view),
        None => {
            let accepted = Accepted {
                task_id: id.to_string(),
                status: "IN_PROGRESS",
            };
            success(StatusCode::ACCEPTED, &accepted)?
        }
    };
    let headers = response.headers_mut();
    let operation = id.cast::<ids::Operation>().to_string();
    put(headers, "x-aio-operation-id", &operation);
    if let Some(wait) = wait {
        put(
            headers,
            "preference-applied",
            &format!("wait={}", wait.as_secs()),
        );
    }
    if reply.replayed {
        put_replayed(headers);
    }
    Ok(response)
}

/// How long the customer would wait for the task's end (RFC 7240: `Prefer: wait=N`, in seconds), and may. What else is preferred, or is
/// no number, is passed over, as the RFC wants it.
fn wait(headers: &HeaderMap, longest: Duration) -> Option<Duration> {
    let lines = headers.get_all("prefer").into_iter();
    let preferences = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    let mut waits = preferences.filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse().ok()?;
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then_some(Duration::from_secs(seconds))
    });
    // Of several, the first counts.
    waits.next().map(|wait| wait.min(longest))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_preferred_is_read_as_the_rfc_says() {
        for (lines, seconds) in [
            (&["wait=10"][..], Some(10)),
            (&["respond-async, Wait = 5 ; x=1"], Some(5)),
            (&["respond-async", "wait=\"7\""], Some(7)),
            (&["wait=3, wait=9"], Some(3)),
            (&["wait=900"], Some(60)),
            (&["wait=0"], Some(0)),
            (&["wait"], None),
            (&["wait=soon", "waiting=3"], None),
            (&["wait=-1"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("prefer", HeaderValue::from_static(line));
            }
            let read = wait(&headers, Duration::from_secs(60));
            assert_eq!(read, seconds.map(Duration::from_secs), "{lines:?}");
        }
    }
}
