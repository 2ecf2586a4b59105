//! Who is let in, how many, and what a customer hears of it.

use std::time::Duration;

use chassis::{
    Tasks,
    rpc::{Peer, ServerLimits},
};
use domain::Secret;
use proto::{Fault, code};

use crate::{
    fake::{Fake, ask, eventually, next, open},
    server::{CHAT, EDGE, LARGEST, Server, connect},
};

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_customer_hears_only_that_we_are_away() {
    let server = Server::start("a").await;
    assert!(ask(&connect(&server.url(), EDGE), "name").await.is_ok());
    for (token, expected) in [
        (CHAT, tonic::Code::PermissionDenied),
        (
            "nobodys-token-0123456789abcdefghij",
            tonic::Code::Unauthenticated,
        ),
        ("", tonic::Code::Unauthenticated),
    ] {
        let status = ask(&connect(&server.url(), token), "name")
            .await
            .unwrap_err();
        assert_eq!(status.code(), expected, "{token}");
        let fault = Fault::from(status);
        assert_eq!(fault.code, code::SERVICE_UNAVAILABLE);
        assert_eq!(fault.code.http_status(), 503);
        assert!(fault.retry_after.is_some());
    }
}

#[tokio::test]
async fn a_token_that_fits_no_header_is_a_mistake() {
    let peer = Peer::new("http://127.0.0.1:1", Secret::new("a\nb"));
    assert!(peer.connect(&Tasks::default()).is_err());
}

#[tokio::test]
async fn too_many_open_calls_are_refused_at_once() {
    let limits = ServerLimits {
        max_calls: 2,
        ..ServerLimits::default()
    };
    let server = Server::start_with(Fake::new("a"), "127.0.0.1:0", limits).await;
    let channel = server.channel();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = open(&channel, 2).await.unwrap();
        next(&mut stream).await.unwrap();
        streams.push(stream);
    }
    let status = ask(&channel, "name").await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert_eq!(Fault::from(status).code, code::SERVICE_UNAVAILABLE);
    // Streams that were read to their end make room.
    server.fake.go_on.add_permits(2);
    for mut ended in streams {
        while next(&mut ended).await.unwrap().is_some() {}
    }
    eventually("there is room", async || {
        ask(&channel, "name").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_named() {
    let server = Server::start("a").await;
    let channel = server.channel();
    let status = ask(&channel, &"x".repeat(2 * LARGEST)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::OutOfRange);
    assert!(status.message().contains("too large"), "{status}");
    assert_eq!(Fault::from(status).code, code::INTERNAL);
    assert_eq!(ask(&channel, "name").await.unwrap(), "a");
    assert_eq!(ask(&channel, "large").await.unwrap().len(), 64 * 1024);
}

#[tokio::test]
async fn nobody_there_is_said_after_a_short_wait() {
    let channel = connect("http://127.0.0.1:1", EDGE);
    let begun = tokio::time::Instant::now();
    let status = ask(&channel, "name").await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(!status.message().contains("127.0.0.1"), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(Fault::from(status).retry_after.is_some());
}
