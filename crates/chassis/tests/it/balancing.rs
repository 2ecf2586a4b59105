//! Calls are spread over what is there, and keep away from what is not.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chassis::{
    Tasks,
    rpc::{Channel, Peer, Resolve},
};
use domain::Secret;
use tokio::{net::TcpListener, time::Instant};

use crate::{
    fake::{PATIENCE, ask, ask_within, eventually, next, open},
    server::{EDGE, Server, connect, impatient, limits},
};

/// Addresses that a test decides.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<SocketAddr>>>);

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(self.0.lock().unwrap().clone())
    }
}

async fn three() -> [Server; 3] {
    [
        Server::start("a").await,
        Server::start("b").await,
        Server::start("c").await,
    ]
}

fn urls(servers: &[Server]) -> String {
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    urls.join(",")
}

/// A channel to all of `servers`, with every one of them ready.
async fn all_ready(servers: &[Server]) -> Channel {
    let channel = connect(&urls(servers), EDGE);
    eventually("all are ready", async || {
        shares(&channel, 40).await.len() == servers.len()
    })
    .await;
    channel
}

/// Who answered how many of `calls`; a failed one counts for "nobody".
async fn shares(channel: &Channel, calls: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..calls {
        let name = ask(channel, "name").await;
        let name = name.unwrap_or_else(|_failed| "nobody".to_owned());
        *shares.entry(name).or_default() += 1;
    }
    shares
}

#[tokio::test]
async fn each_server_gets_its_share() {
    let servers = three().await;
    let channel = all_ready(&servers).await;
    let shares = shares(&channel, 300).await;
    assert_eq!(shares.len(), 3, "{shares:?}");
    assert!(shares.values().all(|share| *share >= 60), "{shares:?}");
}

#[tokio::test]
async fn an_open_stream_counts_until_its_end() {
    let servers = three().await;
    let channel = all_ready(&servers).await;
    let mut streams = Vec::new();
    let mut counts = BTreeMap::<String, usize>::new();
    for _ in 0..60 {
        let mut stream = open(&channel, 2).await.unwrap();
        *counts
            .entry(next(&mut stream).await.unwrap().unwrap())
            .or_default() += 1;
        streams.push(stream);
    }
    // By chance alone, shares as even as these would be rare.
    assert!(
        counts.values().all(|count| (16..=24).contains(count)),
        "{counts:?}"
    );
}

#[tokio::test]
async fn a_killed_server_costs_at_most_what_was_sent_to_it_and_comes_back() {
    let mut servers = three().await;
    let channel = all_ready(&servers).await;
    let [_, killed, _] = &mut servers;
    killed.kill().await;
    // Until the system has told us, each of its two connections can lose one call.
    let failed = shares(&channel, 20).await.remove("nobody").unwrap_or(0);
    assert!(failed <= 2, "{failed} calls failed");
    let later = shares(&channel, 300).await;
    assert_eq!(later.keys().collect::<Vec<_>>(), ["a", "c"]);
    killed.restart().await;
    eventually("it gets calls again", async || {
        let shares = shares(&channel, 10).await;
        assert!(!shares.contains_key("nobody"));
        shares.contains_key("b")
    })
    .await;
}

#[tokio::test]
async fn an_address_that_never_answers_gets_no_call() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start("a").await;
    let urls = format!("http://{},{}", silent.local_addr().unwrap(), server.url());
    let channel = connect(&urls, EDGE);
    let begun = Instant::now();
    assert_eq!(
        shares(&channel, 100).await,
        BTreeMap::from([("a".to_owned(), 100)])
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    let only_silent = connect(&format!("http://{}", silent.local_addr().unwrap()), EDGE);
    let status = ask(&only_silent, "name").await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn a_frozen_server_is_found_and_its_streams_end() {
    let servers = [Server::start("a").await, Server::start("b").await];
    let [frozen, _] = &servers;
    let impatiently = |address: &str| {
        Peer::new(address, Secret::new(EDGE))
            .limits(impatient())
            .connect(&Tasks::default())
            .unwrap()
    };
    let channel = impatiently(&urls(&servers));
    let direct = impatiently(&frozen.url());
    let mut stream = open(&direct, 2).await.unwrap();
    next(&mut stream).await.unwrap();
    let freeze = ask_within(&direct, "stop the world", Duration::from_millis(100));
    freeze.await.unwrap_err();

    let begun = Instant::now();
    next(&mut stream).await.unwrap_err();
    assert!(begun.elapsed() < PATIENCE, "found by keepalive");
    eventually("no call goes there", async || {
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(ask_within(&channel, "name", Duration::from_secs(1)).await);
        }
        answers
            .iter()
            .all(|answer| matches!(answer.as_deref(), Ok("b")))
    })
    .await;
}

#[tokio::test]
async fn the_default_limits_find_a_dead_peer_in_fifteen_seconds() {
    let limits = chassis::rpc::ClientLimits::default();
    assert!(limits.keepalive_interval + limits.keepalive_timeout <= Duration::from_secs(15));
}

#[tokio::test]
async fn new_addresses_are_found_and_old_ones_drained() {
    let servers = [Server::start("a").await, Server::start("b").await];
    let [a, b] = &servers;
    let names = Names::default();
    *names.0.lock().unwrap() = vec![a.address];
    let channel = Peer::new("http://name:1", Secret::new(EDGE))
        .limits(limits())
        .resolver(Arc::new(names.clone()))
        .connect(&Tasks::default())
        .unwrap();
    let mut stream = open(&channel, 2).await.unwrap();
    assert_eq!(next(&mut stream).await.unwrap().as_deref(), Some("a"));

    *names.0.lock().unwrap() = vec![a.address, b.address];
    eventually("the new one is found", async || {
        shares(&channel, 10).await.contains_key("b")
    })
    .await;
    *names.0.lock().unwrap() = vec![b.address];
    eventually("the old one is left", async || {
        shares(&channel, 20).await == BTreeMap::from([("b".to_owned(), 20)])
    })
    .await;
    // Nobody knows any address: those known before stay.
    names.0.lock().unwrap().clear();
    a.fake.go_on.add_permits(1);
    assert_eq!(next(&mut stream).await.unwrap().as_deref(), Some("a"));
    assert_eq!(next(&mut stream).await.unwrap(), None);
    assert_eq!(
        shares(&channel, 5).await,
        BTreeMap::from([("b".to_owned(), 5)])
    );
}
