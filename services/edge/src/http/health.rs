//! Whether this process lives and can serve, and what it counts.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::header;
use proto::{Fault, code};

use crate::{App, error::ApiError};

/// Tells whether a process can serve.
pub type Ready = Arc<dyn Fn() -> Readiness + Send + Sync>;
/// Writes a process's metrics in Prometheus' text format.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// Whether a process can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Send it requests.
    Ready,
    /// It starts or stops: send them elsewhere.
    NotReady,
}

/// The media type of Prometheus' text format.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/healthz`, `/readyz` and `/metrics`, for a process's admin listener.
pub fn health_router(ready: Ready, metrics: MetricsText) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(move || async move { answer(ready()) }))
        .route(
            "/metrics",
            get(move || async move { ([(header::CONTENT_TYPE, METRICS_TYPE)], metrics()) }),
        )
}

/// `GET /healthz`.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.tasks.is_stopping() {
        return answer(Readiness::NotReady);
    }
    answer((app.ready)())
}

fn answer(readiness: Readiness) -> Response {
    match readiness {
        Readiness::Ready => "ready\n".into_response(),
        Readiness::NotReady => {
            let fault = Fault::new(code::SERVICE_UNAVAILABLE, "not ready to serve");
            ApiError::from(fault).into_response()
        }
    }
}
