//! The HTTP listener: our own accept loop, because every wait on a client must have an end (`axum::serve` sets none).

mod preface;

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderValue, Version, header::CONNECTION},
};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use ipnet::IpNet;
use serde::Deserialize;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tower::{ServiceExt as _, service_fn};
use tracing::{Span, debug, warn};

use self::preface::Prefaced;
use crate::{Tasks, config::duration};

/// How HTTP/2 begins.
const HTTP2: &[u8] = b"PR";
/// HTTP/2 frames of one connection that may be open at once.
const MAX_STREAMS: u32 = 100;

/// The client's address, among a request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The client's address: what a trusted proxy says of it, nearest first, or the peer itself.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer.to_canonical();
    if !is_trusted(&peer) {
        return peer;
    }
    let mut nearest = peer;
    for value in headers.get_all("x-forwarded-for").iter().rev() {
        for hop in value.to_str().unwrap_or_default().rsplit(',') {
            let Ok(address) = hop.trim().parse::<IpAddr>() else {
                return nearest;
            };
            nearest = address.to_canonical();
            if !is_trusted(&nearest) {
                return nearest;
            }
        }
    }
    nearest
}

/// Limits of a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections.
    pub max_connections: usize,
    /// From accept to the first byte of a request; and as long from there, where that byte may be HTTP/2's, until it is known whether it is.
    #[serde(with = "duration")]
    pub first_byte_timeout: Duration,
    /// From a request's first byte to the end of its head.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// How long what we sent may stay unread before the connection is cut (`TCP_USER_TIMEOUT`), so that a client that
    /// stops reading cannot hold one for ever. Default `60s`.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// Bytes of a request's head.
    pub max_header_bytes: usize,
    /// Header fields of a request.
    pub max_headers: usize,
}

// === impl Limits ===

impl Default for Limits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            first_byte_timeout: ten_seconds(),
            header_timeout: ten_seconds(),
            write_timeout: Duration::from_secs(60),
            max_header_bytes: 32 * 1024,
            max_headers: 64,
        }
    }
}

impl Limits {
    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_headers(self.max_headers)
            .max_buf_size(self.max_header_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(self.max_header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(Some(Duration::from_secs(20)))
            .keep_alive_timeout(Duration::from_secs(10))
            .max_pending_accept_reset_streams(Some(20));
        builder
    }
}

/// Serves until told to stop; then takes no new connection, and lets open ones finish their request. From the moment when the process
/// is to leave, every answer is the last one of its connection, so that clients who keep theirs open go elsewhere before it closes.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, tasks: Tasks) {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let builders = Arc::new(Builders::new(&limits));
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &slots) => accepted,
            () = tasks.stopping() => return,
        };
        let Some((stream, peer, slot)) = accepted else {
            continue;
        };
        let connection = Connection {
            router: router.clone(),
            builders: Arc::clone(&builders),
            first_byte_timeout: limits.first_byte_timeout,
            write_timeout: limits.write_timeout,
            tasks: tasks.clone(),
        };
        tasks.spawn(Span::none(), async move {
            connection.run(stream, peer).await;
            drop(slot);
        });
    }
}

async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, slot)),
        Err(error) => {
            // Out of file descriptors, mostly: a pause lets some connections end.
            warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// How connections are served.
struct Builders {
    /// Those that speak HTTP/1 for certain: told apart by hyper, each would be read twice into buffers of twice the size.
    http1: auto::Builder<TokioExecutor>,
    /// Those that may speak HTTP/2.
    any: auto::Builder<TokioExecutor>,
}

/// What a connection speaks, by its first bytes.
#[derive(Clone, Copy, Debug)]
enum Spoken {
    Http1,
    PerhapsHttp2,
}

struct Connection {
    router: Router,
    builders: Arc<Builders>,
    first_byte_timeout: Duration,
    write_timeout: Duration,
    tasks: Tasks,
}

// === impl Builders ===

impl Builders {
    fn new(limits: &Limits) -> Self {
        Self {
            http1: limits.builder().http1_only(),
            any: limits.builder(),
        }
    }

    const fn of(&self, spoken: Spoken) -> &auto::Builder<TokioExecutor> {
        match spoken {
            Spoken::Http1 => &self.http1,
            Spoken::PerhapsHttp2 => &self.any,
        }
    }
}

// === impl Spoken ===

impl Spoken {
    /// HTTP/2 begins with `PRI * HTTP/2.0` (RFC 9113, 3.4); of HTTP/1's methods in use only PROPFIND and PROPPATCH begin alike, and hyper
    /// tells those apart.
    fn by(beginning: &[u8]) -> Self {
        if beginning.starts_with(HTTP2) || HTTP2.starts_with(beginning) {
            Self::PerhapsHttp2
        } else {
            Self::Http1
        }
    }
}

// === impl Connection ===

impl Connection {
    async fn run(self, stream: TcpStream, peer: SocketAddr) {
        if self.prepare(&stream).is_err() {
            return;
        }
        let Some(spoken) = self.speaks(&stream).await else {
            return;
        };
        let stream = match spoken {
            Spoken::Http1 => Prefaced::known(stream),
            Spoken::PerhapsHttp2 => Prefaced::within(stream, self.first_byte_timeout),
        };
        let (router, tasks) = (self.router.clone(), self.tasks.clone());
        let service =
            TowerToHyperService::new(service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Peer(peer));
                let says_so = request.version() < Version::HTTP_2;
                let (answer, tasks) = (router.clone().oneshot(request), tasks.clone());
                async move {
                    let mut answer = answer.await?;
                    if says_so && tasks.is_leaving() {
                        let last = HeaderValue::from_static("close");
                        answer.headers_mut().insert(CONNECTION, last);
                    }
                    Ok::<_, Infallible>(answer)
                }
            }));
        let builder = self.builders.of(spoken);
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.is_to_close(spoken) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    // Bodies are looked at once more: those that last say their last word.
                    () = self.tasks.ending() => connection.await,
                }
            }
        };
        if let Err(error) = ended {
            debug!(%error, "connection ended early");
        }
    }

    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        // Small writes must not wait for an acknowledgement (Nagle), or streams stall by 40 ms.
        stream.set_nodelay(true)?;
        SockRef::from(stream).set_tcp_user_timeout(Some(self.write_timeout))
    }

    /// Completes when no further request should come by it. HTTP/2 has a frame to say so, and nothing that is on its way is lost by it; an
    /// HTTP/1 connection that waits for its next request can only be closed, perhaps in the face of one: so it is left until the end.
    async fn is_to_close(&self, spoken: Spoken) {
        match spoken {
            Spoken::Http1 => self.tasks.stopping().await,
            Spoken::PerhapsHttp2 => self.tasks.leaving().await,
        }
    }

    /// Waits for the first byte, and says what is spoken: hyper's look at the protocol has no timeout of its own.
    async fn speaks(&self, stream: &TcpStream) -> Option<Spoken> {
        let mut beginning = [0; HTTP2.len()];
        let length = tokio::select! {
            peeked = timeout(self.first_byte_timeout, stream.peek(&mut beginning)) => peeked.ok()?.ok()?,
            () = self.tasks.stopping() => return None,
        };
        let beginning = beginning.get(..length).filter(|read| !read.is_empty())?;
        Some(Spoken::by(beginning))
    }
}

const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let check = |peer: &str, forwarded: &[&str], expected: &str| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            let found = client_address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap());
        };
        check("1.1.1.1", &["2.2.2.2"], "1.1.1.1");
        check("10.0.0.1", &["2.2.2.2"], "2.2.2.2");
        check("::ffff:10.0.0.1", &["2.2.2.2"], "2.2.2.2");
        check("10.0.0.1", &["6.6.6.6, 2.2.2.2, 10.0.0.2"], "2.2.2.2");
        check("10.0.0.1", &["6.6.6.6", "2.2.2.2"], "2.2.2.2");
        check("10.0.0.1", &["nonsense"], "10.0.0.1");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    async fn start(limits: Limits) -> (SocketAddr, Tasks) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::default();
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/large", get(|| async { vec![0_u8; 64 << 20] }));
        tasks.spawn(Span::none(), serve(listener, router, limits, tasks.clone()));
        (address, tasks)
    }

    fn limits() -> Limits {
        Limits {
            max_connections: 10,
            first_byte_timeout: Duration::from_millis(100),
            header_timeout: Duration::from_millis(100),
            write_timeout: Duration::from_millis(200),
            max_header_bytes: 16 * 1024,
            max_headers: 16,
        }
    }

    async fn talk(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(Duration::from_secs(5), stream.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_answered() {
        let (address, tasks) = start(limits()).await;
        let answer = talk(
            address,
            "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        )
        .await;
        assert!(answer.ends_with("hello"), "{answer}");
        assert!(tasks.stop(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn http2_is_known_by_how_it_begins_in_one_piece_or_two() {
        let (address, _tasks) = start(limits()).await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        for cut in [0, 1] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let (first, second) = preface.split_at(cut);
            stream.set_nodelay(true).unwrap();
            stream.write_all(first).await.unwrap();
            tokio::task::yield_now().await;
            stream.write_all(second).await.unwrap();
            let mut frame = [0; 9];
            stream.read_exact(&mut frame).await.unwrap();
            // RFC 9113, 6.5: the server begins with its settings.
            assert_eq!(frame[3], 4, "{frame:?}");
        }
        let post = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let answer = talk(address, post).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    }

    #[tokio::test]
    async fn a_silent_client_and_a_slow_head_are_cut() {
        let (address, _tasks) = start(limits()).await;
        assert_eq!(talk(address, "").await, "");
        let answer = talk(address, "GET / HTTP/1.1\r\nhost:").await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn who_begins_as_http2_does_and_falls_silent_is_cut() {
        let (address, _tasks) = start(limits()).await;
        for beginning in ["P", "PR", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            assert_eq!(talk(address, beginning).await, "", "{beginning:?}");
        }
        // What only began alike is answered.
        let answer = talk(address, "PROPFIND / HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.0 405"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_stops_reading_is_cut() {
        let (address, tasks) = start(limits()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        stream.readable().await.unwrap();
        assert!(tasks.stop(Duration::from_secs(20)).await);
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_stopping() {
        let (address, tasks) = start(Limits {
            first_byte_timeout: Duration::from_secs(60),
            ..limits()
        })
        .await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut kept = TcpStream::connect(address).await.unwrap();
        kept.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut first = [0; 12];
        kept.read_exact(&mut first).await.unwrap();
        assert!(tasks.stop(Duration::from_secs(5)).await);
        assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_comes_again_while_it_leaves_is_answered_for_the_last_time() {
        let (address, tasks) = start(limits()).await;
        let mut kept = TcpStream::connect(address).await.unwrap();
        let ask = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        kept.write_all(ask).await.unwrap();
        let mut first = vec![0; 1024];
        let length = kept.read(&mut first).await.unwrap();
        let first = String::from_utf8_lossy(&first[..length]).to_lowercase();
        assert!(!first.contains("connection: close"), "{first}");
        tasks.leave();
        kept.write_all(ask).await.unwrap();
        let mut last = String::new();
        kept.read_to_string(&mut last).await.unwrap();
        let last = last.to_lowercase();
        assert!(
            last.contains("connection: close") && last.ends_with("hello"),
            "{last}"
        );
        // New connections are taken still.
        assert!(
            talk(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                .await
                .ends_with("hello")
        );
    }
}
