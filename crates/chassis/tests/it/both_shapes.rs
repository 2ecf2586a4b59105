//! What holds in process, with messages handed over or written and read, and over the network alike.

use std::{sync::atomic::Ordering, time::Duration};

use chassis::rpc::{self, Channel, ServerLimits};
use proto::{
    Fault,
    chat::v1::{chat_caller, chat_server::ChatServer},
    code,
    webhooks::v1::{webhooks_caller, webhooks_server::WebhooksServer},
};
use tokio::time::timeout;
use tonic::service::Routes;
use tower::ServiceExt as _;

use crate::{
    fake::{CRASHES, Fake, PATIENCE, ask, ask_within, eventually, next, open},
    server::Server,
};

/// How the service is called.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// By the messages themselves.
    Direct,
    InProcess,
    Network,
}

/// A service that is called in one of these ways.
struct House {
    channel: Channel,
    fake: Fake,
    _server: Option<Server>,
}

// === impl Shape ===

impl Shape {
    const ALL: [Self; 3] = [Self::Direct, Self::InProcess, Self::Network];

    async fn start(self, fake: Fake) -> House {
        match self {
            Self::Direct => House {
                // Whatever goes over a wire reaches nobody.
                channel: rpc::nobody()
                    .with(webhooks_caller::here(fake.clone()))
                    .with(chat_caller::here(fake.clone())),
                fake,
                _server: None,
            },
            Self::InProcess => {
                let routes = Routes::new(WebhooksServer::new(fake.clone()))
                    .add_service(ChatServer::new(fake.clone()))
                    .into_axum_router();
                let server = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
                    let answer = routes.clone().oneshot(request);
                    async move { Ok(answer.await.unwrap().map(tonic::body::Body::new)) }
                });
                House {
                    channel: rpc::in_process(server),
                    fake,
                    _server: None,
                }
            }
            Self::Network => {
                let limits = ServerLimits::default();
                let server = Server::start_with(fake.clone(), "127.0.0.1:0", limits).await;
                House {
                    channel: server.channel(),
                    fake,
                    _server: Some(server),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_call_is_answered() {
    for shape in Shape::ALL {
        let house = shape.start(Fake::new("a")).await;
        assert_eq!(ask(&house.channel, "name").await.unwrap(), "a", "{shape:?}");
    }
}

#[tokio::test]
async fn a_stream_comes_event_by_event_and_outlives_its_deadline() {
    for shape in Shape::ALL {
        let house = shape.start(Fake::new("a")).await;
        let mut stream = open(&house.channel, 3).await.unwrap();
        assert_eq!(next(&mut stream).await.unwrap().as_deref(), Some("a"));
        let waiting = timeout(Duration::from_millis(50), next(&mut stream)).await;
        assert!(waiting.is_err(), "{shape:?}: an event nobody let go");
        house.fake.go_on.add_permits(2);
        assert_eq!(next(&mut stream).await.unwrap().as_deref(), Some("a"));
        assert_eq!(next(&mut stream).await.unwrap().as_deref(), Some("a"));
        assert_eq!(next(&mut stream).await.unwrap(), None);
    }
}

/// Over the network its connection's task catches it (`lifetimes.rs`); here it would be the caller's.
#[tokio::test]
async fn a_stream_that_panics_takes_its_caller_not_with_it() {
    let house = Shape::Direct.start(Fake::new("a")).await;
    let mut stream = open(&house.channel, CRASHES).await.unwrap();
    let told = loop {
        match next(&mut stream).await {
            Ok(event) => assert!(event.is_some(), "it ended as if all were well"),
            Err(status) => break status,
        }
    };
    assert_eq!(told.code(), tonic::Code::Internal);
    assert_eq!(next(&mut stream).await.unwrap(), None);
    ask(&house.channel, "name").await.unwrap();
}

#[tokio::test]
async fn a_deadline_ends_the_call_and_drops_the_handler() {
    for shape in Shape::ALL {
        let house = shape.start(Fake::new("a")).await;
        ask(&house.channel, "name").await.unwrap();
        let late = ask_within(&house.channel, "hang", Duration::from_millis(100)).await;
        let fault = Fault::from(late.unwrap_err());
        assert_eq!(fault.code, code::TIMEOUT, "{shape:?}");
        eventually("the handler is dropped", async || {
            house.fake.dropped.load(Ordering::SeqCst) == 1
        })
        .await;
    }
}

#[tokio::test]
async fn no_time_left_means_that_nothing_is_sent() {
    for shape in Shape::ALL {
        let house = shape.start(Fake::new("a")).await;
        let late = ask_within(&house.channel, "hang", Duration::ZERO).await;
        assert_eq!(Fault::from(late.unwrap_err()).code, code::TIMEOUT);
        assert_eq!(house.fake.dropped.load(Ordering::SeqCst), 0, "{shape:?}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_drops_the_handler() {
    for shape in Shape::ALL {
        let house = shape.start(Fake::new("a")).await;
        ask(&house.channel, "name").await.unwrap();
        let gone = timeout(Duration::from_millis(100), ask(&house.channel, "hang")).await;
        assert!(gone.is_err());
        eventually("the handler is dropped", async || {
            house.fake.dropped.load(Ordering::SeqCst) == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_deadline_shrinks_over_two_hops() {
    for shape in Shape::ALL {
        let last = shape.start(Fake::new("last")).await;
        let mut fake = Fake::new("first");
        fake.next = Some(last.channel.clone());
        let first = shape.start(fake).await;
        ask(&first.channel, "hop").await.unwrap();
        // The first hop names a minute of its own, and has no more than it was given.
        let left = ask_within(&first.channel, "hop", Duration::from_secs(3)).await;
        let left: u64 = left.unwrap().parse().unwrap();
        assert!((2_000..=3_000).contains(&left), "{shape:?}: {left} ms");
    }
}

#[tokio::test]
async fn a_fault_crosses_whole() {
    for shape in Shape::ALL {
        let house = shape.start(Fake::new("a")).await;
        let refusal = ask(&house.channel, "refuse").await.unwrap_err();
        assert_eq!(
            Fault::from(refusal),
            Fault::of(code::INSUFFICIENT_CREDITS),
            "{shape:?}"
        );
    }
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_call() {
    for shape in Shape::ALL {
        let house = shape.start(Fake::new("a")).await;
        let failure = ask(&house.channel, "crash").await.unwrap_err();
        assert_eq!(Fault::from(failure).code, code::INTERNAL, "{shape:?}");
        assert_eq!(ask(&house.channel, "name").await.unwrap(), "a");
    }
}

#[tokio::test]
async fn outside_of_a_call_nothing_is_left_to_share() {
    assert_eq!(rpc::time_left(), None);
    for shape in Shape::ALL {
        let house = shape.start(Fake::new("a")).await;
        let left = ask(&house.channel, "left").await.unwrap();
        let left = Duration::from_millis(left.parse().unwrap());
        assert!((PATIENCE / 2..=PATIENCE).contains(&left), "{shape:?}");
    }
}
