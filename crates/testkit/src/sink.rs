//! An endpoint on loopback that remembers every request and answers as it was told: a customer's webhook, or a provider.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use anyhow::Result;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use chassis::Tasks;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tracing::Span;

use crate::eventually;

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The path and the query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// When all of it had come.
    pub at: SystemTime,
}

/// What to answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status without a body.
    Status(u16),
    /// 200 with JSON.
    Json(Value),
    /// A redirect to this address.
    Redirect(String),
    /// Nothing, until the other side gives up.
    Hang,
    /// 200 with an event stream that begins with this text, and then stands still until the other side gives up.
    Stream(&'static str),
}

/// The endpoint.
#[derive(Clone, Debug)]
pub struct Sink {
    address: SocketAddr,
    state: Arc<Mutex<Memory>>,
}

#[derive(Debug)]
struct Memory {
    received: Vec<Received>,
    script: VecDeque<Answer>,
    otherwise: Answer,
    /// When the other side gave up.
    left: Vec<SystemTime>,
}

/// An answer without an end, that is being waited for; notes when nobody does any more.
struct Waiting(Sink);

// === impl Sink ===

impl Sink {
    /// Starts an endpoint that answers everything like this: on loopback, or where `AIO_TEST_SINK` says that a system that runs
    /// elsewhere reaches this machine.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(otherwise: Answer) -> Result<Self> {
        let address = chassis::config::variable_value("AIO_TEST_SINK");
        let address = address.as_deref().unwrap_or("127.0.0.1");
        let listener = TcpListener::bind((address, 0)).await?;
        let sink = Self {
            address: listener.local_addr()?,
            state: Arc::new(Mutex::new(Memory {
                received: Vec::new(),
                script: VecDeque::new(),
                otherwise,
                left: Vec::new(),
            })),
        };
        let router = Router::new().fallback(take).with_state(sink.clone());
        let tasks = Tasks::default();
        let limits = chassis::http::Limits::default();
        let serving = chassis::http::serve(listener, router, limits, tasks.clone());
        tasks.spawn_detached(Span::none(), serving);
        Ok(sink)
    }

    /// Answers the next requests like this, and then as before.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.memory().script.extend(answers);
    }

    /// From now on, answers like this.
    pub fn answer(&self, otherwise: Answer) {
        self.memory().otherwise = otherwise;
    }

    /// Where it is: `http://127.0.0.1:PORT`, and the path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything so far, in the order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.memory().received.clone()
    }

    /// Waits until the other side has given up that often, and says when it did.
    ///
    /// # Errors
    /// When it does not.
    pub async fn wait_for_left(&self, count: usize) -> Result<Vec<SystemTime>> {
        eventually(
            &format!("{count} answers that nobody waits for"),
            async || {
                let left = self.memory().left.clone();
                Ok((left.len() >= count).then_some(left))
            },
        )
        .await
    }

    /// Waits until at least `count` requests have come, and gives all.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn wait_for(&self, count: usize) -> Result<Vec<Received>> {
        eventually(&format!("{count} requests at the endpoint"), async || {
            let received = self.received();
            Ok((received.len() >= count).then_some(received))
        })
        .await
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, received: Received) -> Answer {
        let mut memory = self.memory();
        memory.received.push(received);
        let scripted = memory.script.pop_front();
        scripted.unwrap_or_else(|| memory.otherwise.clone())
    }
}

async fn take(State(sink): State<Sink>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        // Cut in the middle: it did not arrive.
        return status(400);
    };
    let answer = sink.note(Received {
        path: parts.uri.to_string(),
        headers: parts.headers,
        body: body.to_bytes(),
        at: SystemTime::now(),
    });
    match answer {
        Answer::Status(code) => status(code),
        Answer::Json(value) => Response::new(Body::from(value.to_string())),
        Answer::Redirect(to) => {
            let mut response = status(307);
            if let Ok(to) = to.parse() {
                response.headers_mut().insert(http::header::LOCATION, to);
            }
            response
        }
        Answer::Hang => {
            let _waiting = Waiting(sink);
            std::future::pending().await
        }
        Answer::Stream(text) => {
            let begun = stream::iter([Ok::<_, Infallible>(Bytes::from_static(text.as_bytes()))]);
            let waiting = Waiting(sink);
            let silence = stream::once(async move {
                let _waiting = waiting;
                std::future::pending().await
            });
            let mut response = Response::new(Body::from_stream(begun.chain(silence)));
            let kind = HeaderValue::from_static("text/event-stream");
            response
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, kind);
            response
        }
    }
}

fn status(code: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    response
}

// === impl Waiting ===

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.memory().left.push(SystemTime::now());
    }
}

// === impl Received ===

impl Received {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not.
    pub fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// One header; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }
}
