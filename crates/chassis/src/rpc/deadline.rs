//! The deadline of a call: sent with it, enforced on both sides, and the upper bound of every call made on its behalf.

use std::{
    convert::Infallible,
    future::Future,
    task::{Context, Poll},
    time::Duration,
};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::time::{Instant, timeout_at};
use tonic::{Status, body::Body};
use tower::Service;

use super::Answer;

/// How long a call may take when its caller names no deadline.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// The header of gRPC that carries the deadline over HTTP/2.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The largest count the header may hold: eight digits.
const LARGEST_COUNT: u128 = 99_999_999;

tokio::task_local! {
    /// When the call that is being handled must be answered.
    static DEADLINE: Instant;
}

/// How long a call may take, on its way to whoever sends it: only over a wire it is a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget(pub(super) Duration);

/// What is left until the call that is being handled must be answered; `None` outside of one, as in every task that was
/// spawned: those may outlive the call.
pub fn time_left() -> Option<Duration> {
    DEADLINE
        .try_with(|deadline| deadline.saturating_duration_since(Instant::now()))
        .ok()
}

/// Around a call that leaves: says how long it may take, and stops waiting when that is over.
#[derive(Clone)]
pub(super) struct Send<S>(pub(super) S);

/// Around a call that arrives: drops the handler when its time is over, and lets it know what is left.
#[derive(Clone)]
pub(super) struct Keep<S>(pub(super) S);

// === impl Send ===

impl<S> Service<Request<Body>> for Send<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: std::marker::Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Answer {
        let budget = budget(request.extensions(), request.headers());
        request.headers_mut().insert(GRPC_TIMEOUT, write(budget));
        if budget.is_zero() {
            return Box::pin(std::future::ready(Ok(too_late().into_http())));
        }
        let answer = self.0.call(request);
        Box::pin(answer_by(after(budget), answer))
    }
}

// === impl Keep ===

impl<S> Service<Request<Body>> for Keep<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: std::marker::Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let deadline = after(read(request.headers()).unwrap_or(DEFAULT_DEADLINE));
        let answer = self.0.call(request);
        Box::pin(DEADLINE.scope(deadline, answer_by(deadline, answer)))
    }
}

async fn answer_by(
    deadline: Instant,
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
) -> Result<Response<Body>, Infallible> {
    timeout_at(deadline, answer)
        .await
        .unwrap_or_else(|_elapsed| Ok(too_late().into_http()))
}

/// When a call must be answered; `None` when no time is left.
pub(super) fn of<M>(request: &tonic::Request<M>) -> Option<Instant> {
    let budget = budget(request.extensions(), request.metadata().as_ref());
    (!budget.is_zero()).then(|| after(budget))
}

/// How long a call may take that leaves.
fn budget(extensions: &Extensions, headers: &HeaderMap) -> Duration {
    let named = extensions.get().map(|Budget(named)| *named);
    named.or_else(|| read(headers)).unwrap_or(DEFAULT_DEADLINE)
}

/// Drops a handler in this process when its time is over, and lets it know what is left.
pub(super) async fn keep<R>(
    deadline: Instant,
    handled: impl Future<Output = Result<R, Status>>,
) -> Result<R, Status> {
    let answer = DEADLINE.scope(deadline, timeout_at(deadline, handled));
    answer.await.unwrap_or_else(|_elapsed| Err(too_late()))
}

pub(super) fn too_late() -> Status {
    Status::deadline_exceeded("the call took too long")
}

/// A moment from now; one beyond what the clock can tell is a day away.
fn after(budget: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(budget)
        .unwrap_or_else(|| now + Duration::from_secs(86_400))
}

/// Reads `grpc-timeout`: up to eight digits and a unit (gRPC over HTTP/2 specification).
fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => count.checked_mul(3600).map(Duration::from_secs),
        "M" => count.checked_mul(60).map(Duration::from_secs),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Writes `grpc-timeout` in the finest unit that holds it.
fn write(budget: Duration) -> HeaderValue {
    let (count, unit) = [
        (budget.as_nanos(), 'n'),
        (budget.as_micros(), 'u'),
        (budget.as_millis(), 'm'),
    ]
    .into_iter()
    .find(|(count, _)| *count <= LARGEST_COUNT)
    .unwrap_or_else(|| (u128::from(budget.as_secs()).min(LARGEST_COUNT), 'S'));
    HeaderValue::try_from(format!("{count}{unit}")).unwrap_or(HeaderValue::from_static("0n"))
}

#[cfg(test)]
mod tests {
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::rpc::in_process;

    fn headers(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(GRPC_TIMEOUT, text.parse().unwrap())])
    }

    #[test]
    fn deadlines_are_read_in_every_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("123456789n", None),
            ("7", None),
            ("", None),
            ("S", None),
        ] {
            assert_eq!(read(&headers(text)), expected, "{text}");
        }
    }

    #[test]
    fn deadlines_survive_the_header() {
        for millis in [0, 1, 99, 5_000, 900_000, 200_000_000] {
            let budget = Duration::from_millis(millis);
            let written = HeaderMap::from_iter([(GRPC_TIMEOUT, write(budget))]);
            assert_eq!(read(&written), Some(budget));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline() {
        let stuck = service_fn(|_request: Request<Body>| {
            std::future::pending::<Result<Response<Body>, Infallible>>()
        });
        let mut request = Request::new(Body::empty());
        *request.headers_mut() = headers("20m");
        let answer = in_process(stuck).oneshot(request).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_knows_what_is_left_and_what_it_spawns_does_not() {
        let handler = service_fn(|_request: Request<Body>| async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(time_left(), Some(Duration::from_millis(70)));
            let tasks = crate::Tasks::default();
            let spawned = tasks.run_to_end(tracing::Span::none(), async { time_left() });
            assert_eq!(spawned.await, Some(None));
            Ok(Response::new(Body::empty()))
        });
        let mut request = Request::new(Body::empty());
        *request.headers_mut() = headers("100m");
        let answer = in_process(handler).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), http::StatusCode::OK);
    }
}
