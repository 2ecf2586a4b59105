//! One HTTP/2 connection to one address of a peer.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, Uri,
    header::AUTHORIZATION,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{net::TcpStream, sync::Notify, time::timeout};
use tonic::{Status, body::Body};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::Service;
use tracing::Span;

use super::{Answer, ClientLimits, open};
use crate::Tasks;

/// How a connection is made: the same for all of one channel.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) limits: ClientLimits,
    /// What we show: `Bearer …`.
    pub(super) token: HeaderValue,
    pub(super) tasks: Tasks,
}

/// Where one connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// The name the address was found under: what the peer is told it is called.
    pub(super) authority: Authority,
}

/// One connection. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    sender: SendRequest<Body>,
    line: Arc<Line>,
}

/// What all clones of a connection share. How many there are of it is the count of open calls.
#[derive(Debug)]
struct Line {
    authority: Authority,
    token: HeaderValue,
    open: Arc<()>,
    /// Rung when a call ends without an answer, or the connection is found closed.
    doubt: Arc<Notify>,
}

/// Why a call did not get an answer.
pub(super) enum Failure {
    /// Nothing of it was sent: it may go out on another connection.
    NotSent(Box<Request<Body>>),
    /// It may have been done.
    Broken,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("nobody answers there")]
    Connect(#[source] io::Error),
    #[error("what answers does not speak HTTP/2")]
    Handshake(#[source] hyper::Error),
    #[error("the peer says that it is not well")]
    Unwell(#[source] Box<Status>),
    #[error("the peer takes no calls now")]
    NotServing,
    #[error("connecting took too long")]
    TooSlow,
}

/// Calls that were given up lately, whose last bytes are passed over.
const REMEMBERED_RESETS: usize = 4_096;

// === impl Dialer ===

impl Dialer {
    /// Connects, and asks the peer whether it is well.
    pub(super) async fn dial(&self, target: &Target) -> Result<Connection, DialError> {
        timeout(self.limits.connect_timeout, self.connect(target))
            .await
            .unwrap_or(Err(DialError::TooSlow))
    }

    async fn connect(&self, target: &Target) -> Result<Connection, DialError> {
        let stream = TcpStream::connect(target.address)
            .await
            .map_err(DialError::Connect)?;
        // What we sent and nobody acknowledges ends the connection as soon as an unanswered ping does.
        let silence = self.limits.keepalive_interval + self.limits.keepalive_timeout;
        stream
            .set_nodelay(true)
            .and_then(|()| SockRef::from(&stream).set_tcp_user_timeout(Some(silence)))
            .map_err(DialError::Connect)?;
        let (sender, driver) = self
            .builder()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(DialError::Handshake)?;
        let connection = Connection {
            sender,
            line: Arc::new(Line {
                authority: target.authority.clone(),
                token: self.token.clone(),
                open: Arc::new(()),
                doubt: Arc::new(Notify::new()),
            }),
        };
        let doubt = Arc::clone(&connection.line.doubt);
        // Stopping must not wait for it: what ends last still calls others.
        self.tasks.spawn_detached(Span::none(), async move {
            // How it ended, the calls on it are told.
            let _ = driver.await;
            doubt.notify_one();
        });
        connection.check().await?;
        Ok(connection)
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.keepalive_interval)
            .keep_alive_timeout(self.limits.keepalive_timeout)
            .keep_alive_while_idle(true)
            // Who has its answer, or gives it up, may go before its last bytes have come. They would count as the other side's mistakes, and so
            // many of those end a connection, and every call on it; but the other side is one of ours.
            .max_concurrent_reset_streams(REMEMBERED_RESETS)
            .max_local_error_reset_streams(None)
            .initial_stream_window_size(self.limits.stream_window)
            .initial_connection_window_size(self.limits.connection_window)
            .max_header_list_size(self.limits.max_header_bytes);
        builder
    }
}

// === impl Connection ===

impl Connection {
    /// Whether both are clones of one.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.line, &other.line)
    }

    /// Whether it takes no calls any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Calls that were sent on it and whose answers have not been read to the end.
    pub(super) fn open_calls(&self) -> usize {
        Arc::strong_count(&self.line.open)
    }

    /// Completes when there is a reason to look whether the peer still lives.
    pub(super) async fn doubted(&self) {
        self.line.doubt.notified().await;
    }

    /// Asks the peer whether it is well (`grpc.health.v1`).
    pub(super) async fn check(&self) -> Result<(), DialError> {
        let question = HealthCheckRequest::default();
        let answer = HealthClient::new(self.clone()).check(question).await;
        let status = answer.map_err(|status| DialError::Unwell(Box::new(status)))?;
        match status.get_ref().status() {
            ServingStatus::Serving => Ok(()),
            ServingStatus::NotServing | ServingStatus::Unknown | ServingStatus::ServiceUnknown => {
                Err(DialError::NotServing)
            }
        }
    }

    /// Sends a call and waits until its answer begins.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let open = Arc::clone(&self.line.open);
        let mut unanswered = Unanswered {
            doubt: Some(Arc::clone(&self.line.doubt)),
        };
        let sent = self
            .sender
            .clone()
            .try_send_request(self.addressed(request));
        match sent.await {
            Ok(answer) => {
                unanswered.doubt = None;
                Ok(open::hold(answer, open))
            }
            Err(mut error) => Err(error
                .take_message()
                .map_or(Failure::Broken, |back| Failure::NotSent(Box::new(back)))),
        }
    }

    fn addressed(&self, mut request: Request<Body>) -> Request<Body> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.line.authority.clone());
        parts
            .path_and_query
            .get_or_insert(PathAndQuery::from_static("/"));
        // All three parts are there, so they make a URI.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        request
            .headers_mut()
            .insert(AUTHORIZATION, self.line.token.clone());
        request
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let connection = self.clone();
        Box::pin(async move {
            let answer = connection.send(request).await;
            Ok(answer.unwrap_or_else(|_failure| open::broken().into_http()))
        })
    }
}

/// Rings when dropped, unless an answer came: a caller gave up waiting, or the connection broke.
struct Unanswered {
    doubt: Option<Arc<Notify>>,
}

// === impl Unanswered ===

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(doubt) = &self.doubt {
            doubt.notify_one();
        }
    }
}

/// The pause after `failures` tries in a row: doubled each time up to `longest`, with up to a half taken off by chance, so
/// that callers do not come all at once.
pub(super) fn pause(failures: u32, longest: Duration) -> Duration {
    let doubled = (longest / 16).saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    doubled.min(longest).mul_f64(rand::random_range(0.5..=1.0))
}
