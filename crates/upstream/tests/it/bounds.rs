//! How large, how long and how slow an answer may be, and that it comes as it was sent.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use upstream::{Caps, Redirects};

use crate::inside::Watch;
use crate::never::{PUBLIC, fetch, post, reason};
use crate::server::{Server, Step, open_ended};

const CAPS: Caps = Caps {
    timeout: Duration::from_secs(10),
    max_bytes: 100_000,
    redirects: Redirects::Follow,
};

#[tokio::test]
async fn a_drip_is_ended_long_before_the_time_of_the_call() {
    let server = Server::start_on(PUBLIC, |_, _| vec![open_ended(""), Step::Drip]).await;
    let settings = |least: u64| json!({ "allow": PUBLIC, "idle_timeout": "300ms", "min_bytes_per_second": least });
    let begun = Instant::now();
    let fetched = fetch(
        &Watch::default().client(settings(1_000)),
        &server.url("/"),
        &CAPS,
    )
    .await;
    assert_eq!(reason(fetched), "timed_out");
    assert!(begun.elapsed() < CAPS.timeout / 2, "{:?}", begun.elapsed());
    // It is never silent: without that bound only the time of the call ends it.
    let caps = Caps {
        timeout: Duration::from_secs(1),
        ..CAPS
    };
    let begun = Instant::now();
    let fetched = fetch(
        &Watch::default().client(settings(0)),
        &server.url("/"),
        &caps,
    )
    .await;
    assert_eq!(reason(fetched), "timed_out");
    assert!(begun.elapsed() >= caps.timeout);
}

#[tokio::test]
async fn no_answer_is_larger_or_longer_than_its_bounds() {
    let client = |idle: &str| {
        Watch::default()
            .client(json!({ "allow": PUBLIC, "idle_timeout": idle, "connect_timeout": idle }))
    };
    let ten_gigabytes = |_: &str, _: SocketAddr| {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n";
        vec![Step::Send(head.into()), Step::Flood]
    };
    let endless = |_: &str, _: SocketAddr| vec![open_ended(""), Step::Flood];
    for script in [ten_gigabytes, endless] {
        let server = Server::start_on(PUBLIC, script).await;
        let fetched = fetch(&client("30s"), &server.url("/"), &CAPS).await;
        assert_eq!(reason(fetched), "too_large");
    }
    // It is told to go on, for ever.
    let server = Server::start_on(PUBLIC, |_, _| vec![Step::Continue]).await;
    let begun = Instant::now();
    for outcome in [
        reason(fetch(&client("300ms"), &server.url("/"), &CAPS).await),
        reason(post(&client("300ms"), &server.url("/")).await),
    ] {
        assert_eq!(outcome, "timed_out");
    }
    assert!(begun.elapsed() < CAPS.timeout / 2, "{:?}", begun.elapsed());
    // Heads are bounded as well.
    let server = Server::start_on(PUBLIC, |_, _| vec![Step::Heads]).await;
    assert_eq!(
        reason(fetch(&client("30s"), &server.url("/"), &CAPS).await),
        "interrupted"
    );
}

/// 1 MiB of nothing, as gzip packs it: its first bytes are enough to see that nobody unpacks them.
const PACKED: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x01\x0d\x00\x00\x00\xc2\xa0\xf7Om\x0f\x07";

#[tokio::test]
async fn nothing_is_unpacked() {
    let server = Server::start_on(PUBLIC, |request, _| {
        assert!(
            !request.to_lowercase().contains("accept-encoding"),
            "{request}"
        );
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            PACKED.len()
        );
        vec![Step::Send([head.as_bytes(), PACKED].concat())]
    })
    .await;
    let client = Watch::default().client(json!({ "allow": PUBLIC }));
    assert_eq!(
        fetch(&client, &server.url("/"), &CAPS).await.unwrap(),
        PACKED
    );
    assert_eq!(post(&client, &server.url("/")).await.unwrap().body, PACKED);
}
