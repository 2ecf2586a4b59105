//! A provider that answers from a script over a real socket, and remembers what it was asked.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::Response,
};
use chassis::Tasks;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, Uri, header};
use tokio::{net::TcpListener, sync::Notify};

/// How a body ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// As it should.
    Close,
    /// The connection drops.
    Break,
    /// Silence.
    Hang,
    /// As it should, once the test says so.
    Told,
}

/// One scripted answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) pieces: Vec<String>,
    pub(crate) end: End,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

#[derive(Debug, Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Asked>>,
    /// Answers that somebody stopped reading, or never got.
    stopped: AtomicUsize,
    /// Answers that came to their end.
    ended: AtomicUsize,
    word: Notify,
}

/// The running provider. Clones share their script.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) origin: String,
    script: Arc<Script>,
}

/// Counts when it is dropped without having been disarmed.
struct Guard(Option<Arc<Script>>);

// === impl Reply ===

impl Reply {
    /// A body in one piece.
    pub(crate) fn whole(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            pieces: vec![body.to_owned()],
            end: End::Close,
        }
    }

    /// A stream, one piece per event.
    pub(crate) fn stream(text: &str, end: End) -> Self {
        let pieces = text.split_inclusive("\n\n").map(str::to_owned).collect();
        Self {
            pieces,
            end,
            ..Self::whole(200, "")
        }
    }

    /// Nothing at all, for ever.
    pub(crate) fn silence() -> Self {
        Self {
            status: 0,
            ..Self::whole(200, "")
        }
    }
}

// === impl Provider ===

impl Provider {
    pub(crate) async fn start(tasks: &Tasks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Script::default());
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&script));
        tasks.spawn_detached(tracing::Span::none(), async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { origin, script }
    }

    /// Adds an answer; requests get them in order.
    pub(crate) fn will(&self, reply: Reply) {
        self.script.replies.lock().unwrap().push_back(reply);
    }

    /// Every request, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }

    /// The JSON of the one request.
    pub(crate) fn body(&self) -> serde_json::Value {
        let asked = self.asked();
        let [asked] = asked.as_slice() else {
            panic!("{} requests", asked.len());
        };
        serde_json::from_str(&asked.body).unwrap()
    }

    /// Lets an answer end that waits to be told.
    pub(crate) fn tell(&self) {
        self.script.word.notify_one();
    }

    /// How many answers came to their end.
    pub(crate) fn ended(&self) -> usize {
        self.script.ended.load(Ordering::SeqCst)
    }

    /// How many answers were stopped from outside.
    pub(crate) fn stopped(&self) -> usize {
        self.script.stopped.load(Ordering::SeqCst)
    }
}

async fn answer(
    State(script): State<Arc<Script>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION);
    script.asked.lock().unwrap().push(Asked {
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        authorization: authorization
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default(),
        headers: headers.clone(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let reply = script
        .replies
        .lock()
        .unwrap()
        .pop_front()
        .expect("a scripted answer");
    let guard = Guard(Some(script));
    if reply.status == 0 {
        std::future::pending::<Infallible>().await;
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, *value);
    }
    response
        .body(Body::from_stream(pieces(reply, guard)))
        .unwrap()
}

fn pieces(
    reply: Reply,
    guard: Guard,
) -> impl futures::Stream<Item = Result<String, std::io::Error>> {
    let end = stream::unfold((reply.end, guard), |(end, mut guard)| async move {
        // So that what came before is flushed.
        tokio::task::yield_now().await;
        match end {
            End::Close => {
                guard.end();
                None
            }
            End::Told => {
                if let Some(script) = &guard.0 {
                    script.word.notified().await;
                }
                guard.end();
                None
            }
            End::Break => {
                guard.end();
                let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                Some((Err(error), (End::Close, guard)))
            }
            End::Hang => std::future::pending().await,
        }
    });
    stream::iter(reply.pieces).map(Ok).chain(end)
}

impl Guard {
    fn end(&mut self) {
        if let Some(script) = self.0.take() {
            script.ended.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(script) = self.0.take() {
            script.stopped.fetch_add(1, Ordering::SeqCst);
        }
    }
}
