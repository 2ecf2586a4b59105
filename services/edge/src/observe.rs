//! The outermost layer: gives every request its ticket, and finishes every answer: failures are written down, the request's
//! id and the rate go into the head, the ticket goes with the body, the answer is counted. The request's trace begins here, or
//! goes on from its `traceparent`.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    response::Response,
};
use chassis::telemetry;
use http::HeaderValue;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};
use tracing::{Span, debug_span, field};

use crate::{
    App,
    error::Failure,
    router,
    ticket::{Ticket, TicketedBody},
};

/// Makes [`Observe`].
#[derive(Clone)]
pub(crate) struct ObserveLayer(pub(crate) Arc<App>);

/// A service whose requests have tickets.
#[derive(Clone)]
pub(crate) struct Observe<S> {
    inner: S,
    app: Arc<App>,
}

pin_project! {
    /// The answer under way.
    pub(crate) struct Answer<F> {
        #[pin]
        inner: F,
        app: Arc<App>,
        ticket: Arc<Ticket>,
        path: Option<MatchedPath>,
        since: Instant,
    }
}

// === impl ObserveLayer ===

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe {
            inner,
            app: Arc::clone(&self.0),
        }
    }
}

// === impl Observe ===

impl<S> Service<Request> for Observe<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let path = request.extensions().get::<MatchedPath>().cloned();
        let span = span(&request, path.as_ref());
        let ticket = Ticket::new(span.clone());
        request.extensions_mut().insert(Arc::clone(&ticket));
        Answer {
            inner: span.in_scope(|| self.inner.call(request)),
            app: Arc::clone(&self.app),
            ticket,
            path,
            since: Instant::now(),
        }
    }
}

// === impl Answer ===

impl<F> Future for Answer<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let span = &this.ticket.span;
        let _entered = span.enter();
        let Ok(mut response) = ready!(this.inner.poll(context));
        if let Some(begun) = this.ticket.begun.get() {
            begun.answered();
        }
        if let Some(failure) = response.extensions_mut().remove::<Failure>() {
            let path = this.path.as_ref().map(MatchedPath::as_str);
            let route = path.map(router::below_prefix).unwrap_or_default();
            failure.render(&mut response, route, &this.ticket.request_id);
            log(&failure, &response, &this.ticket.request_id);
        }
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&this.ticket.request_id) {
            // Anthropic's SDKs look for it under another name.
            headers.insert("request-id", id.clone());
            headers.insert("x-request-id", id);
        }
        this.ticket.write_rate(headers);
        span.record("http.response.status_code", response.status().as_u16());
        if response.status().is_server_error() {
            span.record("otel.status_code", "error");
        }
        let path = this.path.as_ref().map(MatchedPath::as_str);
        this.app
            .metrics
            .route(path.map(router::below_prefix))
            .count(response.status(), this.since.elapsed());
        let body = std::mem::replace(response.body_mut(), Body::empty());
        *response.body_mut() = TicketedBody::wrap(body, Arc::clone(this.ticket));
        Poll::Ready(Ok(response))
    }
}

/// What a trace calls the request: its method and its route, never its path or its query.
fn span(request: &Request, path: Option<&MatchedPath>) -> Span {
    let (method, route) = (request.method(), path.map_or("", MatchedPath::as_str));
    let span = debug_span!(
        parent: None,
        "request",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = field::Empty,
    );
    telemetry::adopt_customers(request.headers(), &span);
    span
}

/// Our own failures are worth a line; customers' mistakes are not.
fn log(failure: &Failure, response: &Response, request_id: &str) {
    let code = failure.code().word;
    if response.status().is_server_error() {
        tracing::warn!(request_id, code, "a request failed");
    } else {
        tracing::debug!(request_id, code, "a request was refused");
    }
}
