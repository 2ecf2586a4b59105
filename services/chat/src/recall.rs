//! A request that asks for an answer that an equal one was given: it gets that, for nothing, or runs, and its own answer is kept for the
//! next. Which answers those are is in `cache.rs` and `lasting.rs`.
//!
//! Nothing here fails a request, or keeps one waiting for long: where the database is away, it runs as any other. Two equal ones at
//! once may both run.

use std::sync::Arc;

use chassis::telemetry::causes;
use tokio::time::timeout;
use tracing::{Span, warn};

use crate::{
    Service,
    attempt::somebody_serves,
    cache::{Hit, Outcome},
    complete::Work,
    kept::Kept,
    lasting::lasts,
    listener::{Begun, Listener},
    plan::Plan,
};

/// What a look came to, for metrics and traces.
const HIT: &str = "hit";
pub(crate) const MISS: &str = "miss";
const UNAVAILABLE: &str = "unavailable";

/// Answers a request without an Idempotency-Key.
pub(crate) async fn run(service: Arc<Service>, plan: Plan, listener: Listener) {
    if let Some(hit) = look(&service, &plan).await {
        return give(*hit, &listener).await;
    }
    if let Err(fault) = somebody_serves(&service, &plan) {
        return listener.fail(fault, Begun::No).await;
    }
    Box::pin(Work::new(service, plan, listener, None).run()).await;
}

/// The answer to an equal request, if this one may be given it.
pub(crate) async fn look(service: &Service, plan: &Plan) -> Option<Box<Hit>> {
    let wish = plan.wish.as_deref()?;
    let cache = &service.cache;
    let (hit, word) = match timeout(cache.limits.look_timeout, cache.find(wish)).await {
        Ok(Ok(Some(hit))) => (Some(Box::new(hit)), HIT),
        Ok(Ok(None)) => (None, MISS),
        Ok(Err(failure)) => {
            warn!(error = %causes(&failure), "cannot look into the cache");
            (None, UNAVAILABLE)
        }
        Err(_elapsed) => {
            warn!("looking into the cache takes too long");
            (None, UNAVAILABLE)
        }
    };
    service.metrics.kept.looked(&plan.answering.model, word);
    hit
}

/// Gives it.
pub(crate) async fn give(hit: Hit, listener: &Listener) {
    let span = Span::current();
    span.record("aio.cache", HIT);
    span.record("aio.cost.microcredits", 0);
    for event in hit.kept.given_again(hit.operation, hit.age) {
        if listener.send(event).await.is_err() {
            break;
        }
    }
}

/// Keeps the answer that an operation gave and was charged for, if it is one to be given again. So many may be about it at once: their
/// customers have left, and nothing else bounds what waits for a database that is slow.
pub(crate) async fn keep(service: &Service, plan: Plan, answer: Kept) {
    // The rest of the request goes now: it may be long.
    let Plan {
        surface,
        operation,
        wish: Some(wish),
        ..
    } = plan
    else {
        return;
    };
    let cache = &service.cache;
    let outcome = match cache.places.try_acquire() {
        Err(_) => Outcome::Busy,
        Ok(_) if answer.len() > cache.limits.max_bytes => Outcome::TooLong,
        Ok(_) if !lasts(surface, answer.data.iter().chain(&answer.tail)) => Outcome::NotWhole,
        Ok(_place) => {
            let kept = cache.keep(&wish, operation, answer).await;
            kept.unwrap_or_else(|failure| {
                warn!(error = %causes(&failure), %operation, "an answer cannot be kept for the cache");
                Outcome::Failed
            })
        }
    };
    service.metrics.kept.cached(outcome.as_str());
}
