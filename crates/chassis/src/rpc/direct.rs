//! Calls within a process: what is said is handed over as it is. The same stack stands around them as around the others, in the same
//! order, but that nothing of it goes through headers that need not.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    convert::Infallible,
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response};
use tonic::{Status, body::Body};
use tower::{Service, util::BoxCloneSyncService};
use tracing::Instrument as _;

use super::{Answer, deadline, panics, trace};
use crate::telemetry;

/// A way to another service over HTTP, be it to another process or not.
pub(super) type Wire = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A way to call another service. Callers and generated clients are made over it: `BillingCaller::new(channel)`. A caller hands its
/// messages over where the service is in this process; what else is called, is called over HTTP.
#[derive(Clone, Debug)]
pub struct Channel {
    wire: Wire,
    /// The services that are in this process, by what they are called as.
    here: Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

// === impl Channel ===

impl Channel {
    pub(super) fn over(wire: Wire) -> Self {
        Self {
            wire,
            here: Arc::default(),
        }
    }

    /// The same, but `service` is in this process, and its callers call it without a wire.
    #[must_use]
    pub fn with<D>(mut self, service: Arc<D>) -> Self
    where
        D: ?Sized + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.here).insert(TypeId::of::<D>(), Arc::new(service));
        self
    }

    /// The service that is called as `D`, if it is in this process.
    pub fn here<D>(&self) -> Option<Arc<D>>
    where
        D: ?Sized + Send + Sync + 'static,
    {
        let service = self.here.get(&TypeId::of::<D>())?;
        service.downcast_ref::<Arc<D>>().cloned()
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.wire.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        self.wire.call(request)
    }
}

/// Calls a handler in this process: under a span of its own, within its deadline, and whatever it panics at. `path` is that of the
/// call over HTTP: `/package.Service/Method`.
///
/// # Errors
/// What the handler says; that it took too long; that it panicked.
pub async fn call<M, R, F>(
    path: &'static str,
    request: tonic::Request<M>,
    handle: impl FnOnce(tonic::Request<M>) -> F,
) -> Result<tonic::Response<R>, Status>
where
    F: Future<Output = Result<tonic::Response<R>, Status>>,
{
    let Some(deadline) = deadline::of(&request) else {
        return Err(deadline::too_late());
    };
    let handled = panics::caught(handle(request));
    let handled = deadline::keep(deadline, handled);
    let span = trace::handling(path);
    if span.is_disabled() {
        return handled.await;
    }
    // As over HTTP: a child of the span that calls, and of no other.
    let mut headers = HeaderMap::new();
    telemetry::inject(&mut headers);
    telemetry::adopt(&headers, &span);
    let noted = async move {
        let answer = handled.await;
        trace::note(answer.as_ref().err().map_or(tonic::Code::Ok, Status::code));
        answer
    };
    noted.instrument(span).await
}
