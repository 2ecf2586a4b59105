//! The API on the pages' own origin, where they are a process of their own: what is asked of `/api` and `/v1` goes to an edge as it
//! comes, and its answer comes back as the edge sends it, event by event. The playground calls the API so, and needs no proxy in front.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use chassis::http::Peer;
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri, Version, header,
    uri::{Authority, Scheme},
};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use proto::{Code, Fault, code};
use serde_json::json;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::warn;

use crate::{Site, config::RelayLimits, error::Error, who::request_id};

/// What a metric calls every path that is relayed.
const ROUTE: &str = "/api";
/// Fields that are about one connection, and not about what goes over it (RFC 9110, 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The way to the edges.
#[derive(Debug)]
pub(crate) struct Relay {
    /// At least one.
    edges: Vec<Authority>,
    next: AtomicUsize,
    client: Client<HttpConnector, Body>,
    room: Arc<Semaphore>,
    limits: RelayLimits,
}

/// The layer's handler: everything below `/api` and `/v1`.
pub(crate) async fn relay(State(site): State<Arc<Site>>, request: Request) -> Response {
    let began = Instant::now();
    let response = match &site.wire.relay {
        Some(relay) => relay.pass(request).await,
        None => refused(code::UNKNOWN_ROUTE),
    };
    let status = response.status();
    site.wire
        .metrics
        .answered(Some(ROUTE), status, began.elapsed());
    response
}

// === impl Relay ===

impl Relay {
    /// To the edges at `address`: `http://host:port`, several with commas between.
    ///
    /// # Errors
    /// When that is no such address.
    pub(crate) fn new(address: &str, limits: &RelayLimits) -> Result<Self, Error> {
        let edges: Option<Vec<Authority>> = address.split(',').map(authority).collect();
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(limits.connect_timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle)
            .build(connector);
        Ok(Self {
            edges: edges.ok_or(Error::EdgeAddress)?,
            next: AtomicUsize::new(0),
            client,
            room: Arc::new(Semaphore::new(limits.at_once)),
            limits: limits.clone(),
        })
    }

    /// Passes a request on, and gives back what is answered. Who leaves before the end takes the edge's connection along, so that it knows.
    async fn pass(&self, request: Request) -> Response {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            return refused(code::OVERLOADED);
        };
        let Some(request) = self.outgoing(request) else {
            return refused(code::UNKNOWN_ROUTE);
        };
        let answered = timeout(self.limits.patience, self.client.request(request)).await;
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                warn!(%error, "an edge does not answer");
                return refused(code::SERVICE_UNAVAILABLE);
            }
            Err(_elapsed) => return refused(code::TIMEOUT),
        };
        let (mut head, body) = response.into_parts();
        remove_hop_by_hop(&mut head.headers);
        // The place is taken until the last byte has left, or nobody waits for it any more.
        let body = body.map_frame(move |frame| {
            let _kept = &place;
            frame
        });
        Response::from_parts(head, Body::new(body))
    }

    /// The request as the edge gets it.
    fn outgoing(&self, request: Request) -> Option<Request> {
        let (mut head, body) = request.into_parts();
        let peer = head.extensions.get::<Peer>().map(|peer| peer.0.ip());
        head.extensions.clear();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let edge = self.edges.get(turn.checked_rem(self.edges.len())?)?;
        let mut uri = head.uri.into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(edge.clone());
        head.uri = Uri::from_parts(uri).ok()?;
        // Who speaks HTTP/1.0 cannot tell an answer that breaks off from one that has ended: the edge is to know.
        if head.version != Version::HTTP_10 {
            head.version = Version::HTTP_11;
        }
        remove_hop_by_hop(&mut head.headers);
        head.headers.remove(header::HOST);
        // Who is signed in here is nothing to the API: a key says who asks.
        head.headers.remove(header::COOKIE);
        name_peer(&mut head.headers, peer);
        Some(Request::from_parts(head, body))
    }
}

fn authority(address: &str) -> Option<Authority> {
    let uri: Uri = address.trim().parse().ok()?;
    let is_bare = uri.scheme() == Some(&Scheme::HTTP) && uri.path() == "/";
    uri.into_parts().authority.filter(|_| is_bare)
}

/// Takes out what is about this connection: the known fields, and those that `connection` names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let lines = headers.get_all(header::CONNECTION).into_iter();
    let named: Vec<HeaderName> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    // What proxies before us said of who asks is not the asker's to take back.
    for name in named.into_iter().filter(|name| *name != FORWARDED_FOR) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Says who asks, behind what proxies before us said.
fn name_peer(headers: &mut HeaderMap, peer: Option<IpAddr>) {
    let value = peer.and_then(|peer| HeaderValue::from_str(&peer.to_canonical().to_string()).ok());
    if let Some(value) = value {
        headers.append(FORWARDED_FOR, value);
    }
}

/// What the API itself would say, in its own words.
fn refused(code: Code) -> Response {
    let fault = Fault::of(code);
    let error = json!({
        "message": fault.message,
        "type": fault.kind().error_type(),
        "code": code.word,
        "param": null,
        "request_id": request_id(),
    });
    let kind = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::RETRY_AFTER, "1"),
    ];
    let body = json!({ "error": error }).to_string();
    (code.http_status(), kind, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(address: &str) -> Result<Relay, Error> {
        Relay::new(address, &RelayLimits::default())
    }

    #[tokio::test]
    async fn edges_are_addresses_without_a_path() {
        for (address, good) in [
            ("http://edge:8080", true),
            ("http://edge:8080/, http://10.0.0.1:80", true),
            ("https://edge:8080", false),
            ("http://edge:8080/api", false),
            ("edge:8080", false),
            ("", false),
        ] {
            assert_eq!(relay(address).is_ok(), good, "{address}");
        }
    }

    #[tokio::test]
    async fn a_request_goes_on_without_what_is_ours() {
        let relay = relay("http://one:1,http://two:2").unwrap();
        let asked = || {
            let peer = Peer("[::ffff:192.0.2.1]:5".parse().unwrap());
            Request::post("/v1/chat/completions?x=1")
                .header("host", "pages:8081")
                .header("cookie", "aio_session=x")
                .header("connection", "keep-alive, x-hop")
                .header("x-hop", "1")
                .header("transfer-encoding", "chunked")
                .header("authorization", "Bearer k")
                .header("x-forwarded-for", "203.0.113.9")
                .extension(peer)
                .body(Body::empty())
                .unwrap()
        };
        let sent = relay.outgoing(asked()).unwrap();
        assert_eq!(sent.uri(), "http://one:1/v1/chat/completions?x=1");
        let headers = sent.headers();
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "x-forwarded-for"]);
        let ways: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        assert_eq!(ways, ["203.0.113.9", "192.0.2.1"]);
        let next = relay.outgoing(asked()).unwrap();
        assert_eq!(next.uri().host(), Some("two"));
    }

    #[tokio::test]
    async fn with_no_place_left_nobody_is_asked() {
        let limits = RelayLimits {
            at_once: 0,
            ..RelayLimits::default()
        };
        let relay = Relay::new("http://127.0.0.1:1", &limits).unwrap();
        let request = Request::get("/api/v1/models").body(Body::empty()).unwrap();
        let response = relay.pass(request).await;
        assert_eq!(response.status(), http::StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}
