//! The trace of a call crosses it in the headers: put in where a call leaves, taken out where it arrives.
//! The same pair of layers stands around calls in process and over the network. What a trace context is, only
//! `crate::telemetry` knows.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Code, body::Body};
use tower::Service;
use tracing::{Instrument as _, Span, debug_span, field};

use super::Answer;
use crate::telemetry;

/// Around a call that leaves.
#[derive(Clone)]
pub(super) struct Inject<S>(pub(super) S);

/// Around a call that arrives.
#[derive(Clone)]
pub(super) struct Adopt<S>(pub(super) S);

/// The span under which a call is handled. It is to be a child of the one named in the call's headers, and of no other, so that it is
/// the same in process.
pub(super) fn handling(path: &str) -> Span {
    let path = path.trim_start_matches('/');
    let (service, method) = path.split_once('/').unwrap_or((path, ""));
    debug_span!(
        parent: None,
        "call",
        otel.name = path,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
    )
}

/// Notes how a call ended.
pub(super) fn note(code: Code) {
    Span::current().record("rpc.grpc.status_code", i32::from(code));
}

/// How a call ended, as far as its head says: a failure before the first message stands there.
fn code(answer: &Response<Body>) -> Code {
    let status = answer.headers().get("grpc-status");
    status.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

// === impl Inject ===

impl<S> Service<Request<Body>> for Inject<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        telemetry::inject(request.headers_mut());
        self.0.call(request)
    }
}

// === impl Adopt ===

impl<S> Service<Request<Body>> for Adopt<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let span = handling(request.uri().path());
        telemetry::adopt(request.headers(), &span);
        // Inside the span, for services that begin before they are polled.
        let handled = span.in_scope(|| self.0.call(request));
        if span.is_disabled() {
            return Box::pin(handled);
        }
        let noted = async move {
            let answer = handled.await?;
            note(code(&answer));
            Ok(answer)
        };
        Box::pin(noted.instrument(span))
    }
}
