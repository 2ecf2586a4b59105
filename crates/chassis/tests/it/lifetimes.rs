//! How connections and servers end without harm to calls.

use std::time::Duration;

use chassis::{
    Tasks,
    rpc::{ClientLimits, ConnectionAge, Metrics, Peer, ServerLimits},
};
use domain::Secret;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::{
    fake::{CRASHES, Fake, PATIENCE, ask, eventually, next, open},
    server::{EDGE, Server, limits},
};

#[tokio::test]
async fn connections_grow_old_and_no_call_notices() {
    let age = ConnectionAge {
        longest: Duration::from_millis(60),
        spread: Duration::from_millis(40),
        grace: Duration::from_secs(5),
    };
    let limits = ServerLimits {
        age,
        ..ServerLimits::default()
    };
    let server = Server::start_with(Fake::new("a"), "127.0.0.1:0", limits).await;
    let channel = server.channel();
    let mut stream = open(&channel, 2).await.unwrap();
    next(&mut stream).await.unwrap();
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        assert_eq!(ask(&channel, "name").await.unwrap(), "a");
    }
    server.fake.go_on.add_permits(1);
    assert!(next(&mut stream).await.unwrap().is_some());
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams_and_takes_nothing_new() {
    let server = Server::start("a").await;
    let channel = server.channel();
    let mut stream = open(&channel, 3).await.unwrap();
    next(&mut stream).await.unwrap();
    let tasks = server.tasks.clone();
    let stop = tasks.stop(PATIENCE);
    let meanwhile = async {
        server.tasks.stopping().await;
        eventually("no new call is taken", async || {
            ask(&channel, "name").await.is_err()
        })
        .await;
        server.fake.go_on.add_permits(2);
        assert!(next(&mut stream).await.unwrap().is_some());
        assert!(next(&mut stream).await.unwrap().is_some());
        assert_eq!(next(&mut stream).await.unwrap(), None);
    };
    let (stopped, ()) = tokio::join!(stop, meanwhile);
    assert!(stopped, "it ends with its last stream");
}

#[tokio::test]
async fn stopping_does_not_wait_longer_than_it_may() {
    let server = Server::start("a").await;
    let channel = server.channel();
    let mut stream = open(&channel, 2).await.unwrap();
    next(&mut stream).await.unwrap();
    assert!(!server.tasks.stop(Duration::from_millis(100)).await);
}

#[tokio::test]
async fn a_stopping_caller_can_still_call_and_does_not_wait_for_its_connections() {
    let server = Server::start("a").await;
    let tasks = Tasks::default();
    let channel = Peer::new(&server.url(), Secret::new(EDGE))
        .limits(limits())
        .connect(&tasks)
        .unwrap();
    ask(&channel, "name").await.unwrap();
    assert!(tasks.stop(Duration::from_secs(1)).await);
    assert_eq!(ask(&channel, "name").await.unwrap(), "a");
}

#[tokio::test]
async fn calls_are_counted_by_how_they_end() {
    let server = Server::start("a").await;
    let mut registry = Registry::default();
    let channel = Peer::new(&server.url(), Secret::new(EDGE))
        .named("webhooks")
        .metrics(Metrics::register(&mut registry))
        .connect(&Tasks::default())
        .unwrap();
    ask(&channel, "name").await.unwrap();
    ask(&channel, "refuse").await.unwrap_err();
    let text = chassis::telemetry::metrics_text(&registry);
    for line in [
        "rpc_calls_total{peer=\"webhooks\",result=\"Ok\"} 1",
        "rpc_calls_total{peer=\"webhooks\",result=\"FailedPrecondition\"} 1",
        "rpc_call_seconds_count{peer=\"webhooks\"} 2",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn a_panic_fails_its_own_call_and_no_other_on_the_connection() {
    let server = Server::start("a").await;
    let channel = Peer::new(&server.url(), Secret::new(EDGE))
        .limits(ClientLimits {
            connections: 1,
            ..limits()
        })
        .connect(&Tasks::default())
        .unwrap();
    let mut stream = open(&channel, 2).await.unwrap();
    next(&mut stream).await.unwrap();
    ask(&channel, "crash").await.unwrap_err();
    // The reset may overtake the head of the answer.
    if let Ok(mut crashing) = open(&channel, CRASHES).await {
        while let Ok(event) = next(&mut crashing).await {
            assert!(event.is_some(), "it ended as if all were well");
        }
    }
    server.fake.go_on.add_permits(1);
    assert!(next(&mut stream).await.unwrap().is_some());
    assert_eq!(next(&mut stream).await.unwrap(), None);
}
