//! The endpoints that `bench webhooks` tells: this process, at every loopback address, so that each is an origin of its own. Those at
//! `/hang` never answer; the others do at once, and when they were first told of an event is noted by its number.

use crate::studio::marker;
use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

/// Where the endpoints that never answer are, and the others.
pub(crate) const HANG: &str = "/hang";
pub(crate) const FINE: &str = "/";

/// The endpoints.
pub(crate) struct Hooks {
    listener: TcpListener,
    port: u16,
    book: Arc<Mutex<Book>>,
}

/// What they were told.
#[derive(Default)]
pub(crate) struct Book {
    /// When each event came first, by its number.
    pub(crate) first: HashMap<u64, Instant>,
    /// How many came again.
    pub(crate) again: u64,
}

// === impl Hooks ===

impl Hooks {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", 0)).await?;
        Ok(Self {
            port: listener.local_addr()?.port(),
            listener,
            book: Arc::default(),
        })
    }

    /// An endpoint at the origin of this number.
    pub(crate) fn url(&self, origin: u16, path: &str) -> String {
        let [high, low] = origin.to_be_bytes();
        format!("http://127.1.{high}.{low}:{}{path}", self.port)
    }

    /// What was told since this was last asked for.
    pub(crate) fn take(&self) -> Book {
        std::mem::take(&mut *self.book())
    }

    /// How many events have come.
    pub(crate) fn heard(&self) -> usize {
        self.book().first.len()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers for as long as it is asked to.
    pub(crate) async fn serve(&self) -> anyhow::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let (stream, _) = accepted.context("endpoints cannot listen")?;
                    let book = Arc::clone(&self.book);
                    let answer = service_fn(move |request| answer(Arc::clone(&book), request));
                    connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
                }
                // Each is closed by who called.
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn answer(
    book: Arc<Mutex<Book>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    if request.uri().path() == HANG {
        return std::future::pending().await;
    }
    let body = request.into_body().collect().await?.to_bytes();
    if let Some(number) = marker(&body, b"@n=") {
        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
        match book.first.entry(number) {
            Entry::Vacant(first) => {
                first.insert(Instant::now());
            }
            Entry::Occupied(_) => book.again += 1,
        }
    }
    Ok(Response::new(Full::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    async fn call(hooks: &Hooks, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.1.2.3", hooks.port)).await.unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn an_event_is_noted_when_it_first_comes() {
        let hooks = Hooks::start().await.unwrap();
        let calls = async {
            for body in ["@n=7@", "@n=8@", "@n=7@", "nothing"] {
                assert!(call(&hooks, body).await.starts_with("HTTP/1.1 200"));
            }
        };
        tokio::select! {
            ended = hooks.serve() => panic!("{ended:?}"),
            () = calls => {}
        }
        assert_eq!(hooks.heard(), 2);
        let book = hooks.take();
        assert_eq!((book.first.len(), book.again, hooks.heard()), (2, 1, 0));
        assert!(hooks.url(515, HANG).starts_with("http://127.1.2.3:"));
    }
}
