//! A customer's endpoint: a real server on loopback that remembers what it was sent and answers as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use chassis::Tasks;
use http::HeaderMap;
use tokio::sync::Semaphore;
use tracing::Span;

use crate::app::until;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// A status and one header.
    With(u16, &'static str, String),
    /// A status, once this has a permit for it.
    Once(Arc<Semaphore>, u16),
    /// A status and a body.
    Body(u16, &'static str),
    /// 200, and a body that never ends; it counts what of it was taken.
    Endless(Arc<AtomicU64>),
    /// Nothing, for ever.
    Hang,
}

type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

/// The endpoint.
#[derive(Clone)]
pub(crate) struct Sink {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Script>,
}

// === impl Sink ===

impl Sink {
    /// Starts an endpoint whose answer depends on how many requests came before.
    pub(crate) async fn start(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(
            "127.0.0.1:0",
            Arc::new(move |before, _: &Seen| script(before)),
        )
        .await
    }

    /// Starts endpoints at every loopback address ([`Sink::url_at`]): as many origins. The answer depends on what is asked.
    pub(crate) async fn everywhere(
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::on("0.0.0.0:0", Arc::new(move |_, seen: &Seen| script(seen))).await
    }

    async fn on(address: &str, script: Arc<Script>) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let sink = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            script,
        };
        let router = Router::new().fallback(receive).with_state(sink.clone());
        Tasks::default().spawn_detached(Span::none(), async move {
            axum::serve(listener, router).await.unwrap();
        });
        sink
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A URL at the origin of this number, one of those that [`Sink::everywhere`] serves.
    pub(crate) fn url_at(&self, origin: u16, path: &str) -> String {
        let [high, low] = origin.to_be_bytes();
        format!("http://127.1.{high}.{low}:{}{path}", self.address.port())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for as many requests.
    pub(crate) async fn saw(&self, count: usize) -> Vec<Seen> {
        until("requests at an endpoint", async || {
            Some(self.seen()).filter(|seen| seen.len() >= count)
        })
        .await
    }
}

async fn receive(State(sink): State<Sink>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let one = Seen {
        path: head.uri.to_string(),
        headers: head.headers,
        body,
        at: Instant::now(),
    };
    let before = {
        let mut seen = sink.seen.lock().unwrap();
        seen.push(one.clone());
        seen.len() - 1
    };
    let answer = match (sink.script)(before, &one) {
        Reply::Status(status) => Response::builder().status(status),
        Reply::With(status, name, value) => Response::builder().status(status).header(name, value),
        Reply::Once(told, status) => {
            told.acquire().await.unwrap().forget();
            Response::builder().status(status)
        }
        Reply::Body(status, text) => {
            let answer = Response::builder().status(status).body(Body::from(text));
            return answer.unwrap();
        }
        Reply::Endless(taken) => {
            let chunks = futures::stream::repeat_with(move || {
                taken.fetch_add(64 * 1024, Ordering::Relaxed);
                Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 64 * 1024]))
            });
            return Response::new(Body::from_stream(chunks));
        }
        Reply::Hang => std::future::pending().await,
    };
    answer.body(Body::empty()).unwrap()
}
