//! A handler that panics answers INTERNAL, in process and over the network alike, and in the middle of a stream. Left alone, the panic would end the caller
//! too in process, and look like a broken connection over the network.

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};

use futures::FutureExt as _;
use http::{Request, Response};
use tonic::{Status, body::Body};
use tower::Service;
use tracing::error;

use super::Answer;

/// Around a handler: a panic becomes a failure. What the handler shared with others it must have left whole, as with any
/// other early end.
#[derive(Clone)]
pub(super) struct Catch<S>(pub(super) S);

// === impl Catch ===

impl<S> Service<Request<Body>> for Catch<S>
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
        let answer = AssertUnwindSafe(self.0.call(request)).catch_unwind();
        Box::pin(async move {
            answer
                .await
                .unwrap_or_else(|_panic| Ok(panicked().into_http()))
        })
    }
}

/// The same around a handler in this process.
pub(super) async fn caught<R>(
    handled: impl Future<Output = Result<R, Status>>,
) -> Result<R, Status> {
    let answer = AssertUnwindSafe(handled).catch_unwind().await;
    answer.unwrap_or_else(|_panic| Err(panicked()))
}

/// What a panic is told as.
pub fn panicked() -> Status {
    error!("a handler panicked");
    Status::internal("the handler panicked")
}
