//! A way for calls between services on which whole calls go wrong: each is made twice, or the answer to one in some is lost when the call
//! has been answered. For calls that have one question and one answer.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::{Request, Response, Uri, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::task::JoinSet;

type Caller = Client<HttpConnector, Full<Bytes>>;

/// What becomes of calls. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    /// How often each call is made, beyond once.
    again: AtomicU32,
    /// The answer to each so-and-so-many-th call is lost; 0: none.
    lost_each: AtomicU32,
    calls: AtomicU64,
    lost: AtomicU64,
}

/// The way to one address. Dropping it ends all calls.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

// === impl Fate ===

impl Fate {
    /// From now on each call is made so many times, and answered by the last of them.
    pub(crate) fn repeat(&self, times: u32) {
        self.0
            .again
            .store(times.saturating_sub(1), Ordering::Relaxed);
    }

    /// From now on the answer to each so-and-so-many-th call is lost; 0: none.
    pub(crate) fn lose_each(&self, count: u32) {
        self.0.lost_each.store(count, Ordering::Relaxed);
    }

    /// How many calls there were, and how many answers were lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (read(&self.0.calls), read(&self.0.lost))
    }

    /// Whether the answer to the next call is lost.
    fn loses_next(&self) -> bool {
        let number = self.0.calls.fetch_add(1, Ordering::Relaxed);
        let each = u64::from(self.0.lost_each.load(Ordering::Relaxed));
        let lost = number.checked_rem(each) == Some(0);
        if lost {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
        lost
    }
}

// === impl Relay ===

impl Relay {
    /// A way to the process at `base`, such as `http://127.0.0.1:9103`.
    pub(crate) fn to(base: &str, fate: &Fate) -> Result<Self> {
        let target = base.strip_prefix("http://").context("no address")?;
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let client: Caller = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build(HttpConnector::new());
        let (target, fate) = (target.to_owned(), fate.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        let (client, target, fate) = (client.clone(), target.clone(), fate.clone());
                        let service = service_fn(move |request| {
                            relay(client.clone(), target.clone(), fate.clone(), request)
                        });
                        let server = http2::Builder::new(TokioExecutor::new());
                        connections.spawn(server.serve_connection(TokioIo::new(stream), service));
                    }
                    // One that breaks off breaks its calls off.
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            _serving: serving,
        })
    }

    /// Where whoever calls by this way calls.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// One call. An error resets it, which to who called is a call whose outcome nobody knows.
async fn relay(
    client: Caller,
    target: String,
    fate: Fate,
    request: Request<Incoming>,
) -> Result<Response<Collected<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path_and_query().context("no path")?;
    let uri: Uri = format!("http://{target}{path}").parse()?;
    let again = fate.0.again.load(Ordering::Relaxed);
    let mut last = None;
    for _ in 0..=again {
        let mut call = Request::builder()
            .method(head.method.clone())
            .uri(uri.clone());
        if let Some(headers) = call.headers_mut() {
            headers.clone_from(&head.headers);
        }
        let (head, body) = client
            .request(call.body(Full::new(body.clone()))?)
            .await?
            .into_parts();
        last = Some(Response::from_parts(head, body.collect().await?));
    }
    if fate.loses_next() {
        bail!("the answer is lost");
    }
    last.context("no answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_so_and_so_many_th_answer_is_lost() {
        let fate = Fate::default();
        assert!((0..5).all(|_| !fate.loses_next()));
        fate.lose_each(3);
        let lost = (0..9).filter(|_| fate.loses_next()).count();
        assert_eq!((lost, fate.counts()), (3, (14, 3)));
    }

    #[tokio::test]
    async fn a_call_is_made_as_often_as_it_is_to_be() {
        let made = Arc::new(AtomicU64::new(0));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let count = Arc::clone(&made);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                let service = service_fn(move |_: Request<Incoming>| {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    let answer = Response::new(Full::new(Bytes::from(number.to_string())));
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                let server = http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }
        });
        let fate = Fate::default();
        let relay = Relay::to(&base, &fate).unwrap();
        let caller: Caller = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build(HttpConnector::new());
        let call = || {
            let request = Request::post(format!("{}/call", relay.base())).body(Full::default());
            caller.request(request.unwrap())
        };
        fate.repeat(3);
        let answer = call().await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.to_bytes(), "2");
        fate.lose_each(1);
        assert!(call().await.is_err());
        assert_eq!(made.load(Ordering::Relaxed), 6);
    }
}
