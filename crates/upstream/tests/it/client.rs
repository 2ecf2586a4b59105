//! Calls to providers: replies, limits, and which failure says what.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::HeaderMap;
use upstream::{Call, Class, ProviderClient, Reply, UpstreamConfig, Verdict};

use crate::server::{Server, Step, answer, open_ended};

const SHORT: Duration = Duration::from_millis(60);

/// Generous limits, but for what a test shortens.
fn limits() -> UpstreamConfig {
    UpstreamConfig {
        max_response_bytes: 1_000,
        max_error_bytes: 16,
        max_event_bytes: 100,
        ..UpstreamConfig::default()
    }
}

async fn send(config: &UpstreamConfig, url: &str) -> Result<Reply, upstream::Failure> {
    let client = ProviderClient::new(config).unwrap();
    let call = Call::post(url.parse().unwrap(), HeaderMap::new(), Bytes::from("{}"));
    client.send(call, |_| None).await
}

#[tokio::test]
async fn a_reply_is_read_whole_over_a_reused_connection() {
    let server = Server::start(|request, _| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        vec![answer("200 OK", "x-cost: 7\r\n", body), Step::Again]
    })
    .await;
    let client = ProviderClient::new(&limits()).unwrap();
    for body in ["first", "second"] {
        let call = Call::post(
            server.url("/").parse().unwrap(),
            HeaderMap::new(),
            body.into(),
        );
        let reply = client.send(call, |_| None).await.unwrap();
        assert_eq!(reply.headers()["x-cost"], "7");
        assert_eq!(reply.bytes().await.unwrap(), body);
    }
    assert_eq!(server.connects(), 1);
}

#[tokio::test]
async fn a_stream_comes_as_events() {
    let server = Server::start(|_, _| vec![open_ended("data: 1\n\n: ping\n\ndata: 2\n\n")]).await;
    let reply = send(&limits(), &server.url("/")).await.unwrap();
    let events: Vec<_> = reply.into_events().collect().await;
    let data: Vec<_> = events
        .into_iter()
        .map(|event| event.unwrap().data)
        .collect();
    assert_eq!(data, [Some("1".into()), None, Some("2".into())]);
}

#[tokio::test]
async fn a_refusal_is_read_by_the_adapter_first() {
    let server = Server::start(|_, _| {
        let body = "insufficient_quota and much more";
        vec![answer("429 Too Many Requests", "retry-after: 3\r\n", body)]
    })
    .await;
    let client = ProviderClient::new(&limits()).unwrap();
    let call = Call::get(server.url("/").parse().unwrap(), HeaderMap::new());
    let failure = client
        .send(call.clone(), |answer| {
            (answer.body == b"insufficient_quo").then(|| Verdict::of(Class::Balance))
        })
        .await
        .unwrap_err();
    assert_eq!(failure.class(), Class::Balance);
    assert_eq!(failure.retry_after(), Some(Duration::from_secs(3)));
    let failure = client.send(call, |_| None).await.unwrap_err();
    assert_eq!(failure.class(), Class::RateLimited);
    assert_eq!(failure.status().unwrap().as_u16(), 429);
}

#[tokio::test]
async fn a_paid_submit_is_refused_for_certain_only_by_a_certain_answer() {
    let server = Server::start(|request, _| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        vec![answer(&format!("{} Refused", &path[1..]), "", "{}")]
    })
    .await;
    let client = ProviderClient::new(&limits()).unwrap();
    for (status, plain, submit) in [
        (400, Class::Invalid, Class::Invalid),
        (408, Class::Overloaded, Class::Unknown),
        (409, Class::Overloaded, Class::Unknown),
        (425, Class::Overloaded, Class::Unknown),
        (429, Class::RateLimited, Class::RateLimited),
        (500, Class::Overloaded, Class::Unknown),
        (503, Class::Overloaded, Class::Overloaded),
    ] {
        let url = || server.url(&format!("/{status}")).parse().unwrap();
        let post = Call::post(url(), HeaderMap::new(), Bytes::from("{}"));
        let paid = Call::submit(url(), HeaderMap::new(), Bytes::from("{}"));
        let failure = client.send(post, |_| None).await.unwrap_err();
        assert_eq!(failure.class(), plain, "{status}");
        let failure = client.send(paid.clone(), |_| None).await.unwrap_err();
        assert_eq!(failure.class(), submit, "{status}");
        let known = |_: &upstream::ProviderAnswer<'_>| Some(Verdict::of(Class::Balance));
        let failure = client.send(paid, known).await.unwrap_err();
        assert_eq!(failure.class(), Class::Balance, "the adapter knows better");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|_, addr| {
        vec![answer(
            "302 Found",
            &format!("location: http://{addr}/x\r\n"),
            "",
        )]
    })
    .await;
    let failure = send(&limits(), &server.url("/")).await.unwrap_err();
    assert_eq!(failure.class(), Class::Malformed);
    assert_eq!(server.connects(), 1);
}

#[tokio::test]
async fn what_never_left_was_not_accepted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    for url in [
        format!("http://{addr}/?key=secret"),
        "http://nowhere.invalid/?key=secret".to_owned(),
    ] {
        let failure = send(&limits(), &url).await.unwrap_err();
        assert_eq!(failure.class(), Class::NotSent, "{failure:?}");
        assert!(failure.outcome_known());
        assert!(!format!("{failure} {failure:?}").contains("secret"));
    }
}

#[tokio::test]
async fn tls_with_a_stranger_is_not_sent() {
    let server = Server::start(|_, _| vec![Step::Hang]).await;
    let config = UpstreamConfig {
        connect_timeout: SHORT,
        ..limits()
    };
    let url = server.url("/").replace("http:", "https:");
    let failure = send(&config, &url).await.unwrap_err();
    assert_eq!(failure.class(), Class::NotSent, "{failure:?}");
}

#[tokio::test]
async fn silence_after_sending_leaves_the_outcome_unknown() {
    let server = Server::start(|_, _| vec![Step::Hang]).await;
    let config = UpstreamConfig {
        first_byte_timeout: SHORT,
        ..limits()
    };
    let failure = send(&config, &server.url("/")).await.unwrap_err();
    assert_eq!(failure.class(), Class::Unknown);
    assert!(!failure.outcome_known());
    assert_eq!(failure.reason(), "no answer in time");
    assert_eq!(failure.wait(), Some(upstream::Wait::FirstByte));
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_unknown() {
    let before = Server::start(|_, _| vec![]).await;
    let failure = send(&limits(), &before.url("/")).await.unwrap_err();
    assert_eq!(failure.class(), Class::Unknown, "{failure:?}");
    let inside = Server::start(|_, _| {
        vec![Step::Send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec(),
        )]
    })
    .await;
    let reply = send(&limits(), &inside.url("/")).await.unwrap();
    let failure = reply.bytes().await.unwrap_err();
    assert_eq!(failure.class(), Class::Unknown, "{failure:?}");
}

#[tokio::test]
async fn what_was_made_may_be_larger_than_what_is_said() {
    let config = UpstreamConfig {
        max_result_bytes: 2_000,
        ..limits()
    };
    let server = Server::start(|request, _| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        vec![answer("200 OK", "", body)]
    })
    .await;
    let client = ProviderClient::new(&config).unwrap();
    for (length, is_fine) in [(1_500, true), (2_001, false)] {
        let url = server.url("/").parse().unwrap();
        let call = Call::submit(url, HeaderMap::new(), "x".repeat(length).into());
        let plain = client.send(call.clone(), |_| None).await.unwrap();
        let failure = plain.bytes().await.unwrap_err();
        assert_eq!(failure.class(), Class::Malformed, "{length}");
        let reply = client.send(call.for_a_result(), |_| None).await.unwrap();
        let read = reply.bytes().await.map(|bytes| bytes.len());
        assert_eq!(read.ok(), is_fine.then_some(length));
    }
}

#[tokio::test]
async fn a_body_that_falls_silent_is_given_up() {
    let server = Server::start(|_, _| vec![open_ended("half"), Step::Hang]).await;
    let config = UpstreamConfig {
        idle_timeout: SHORT,
        ..limits()
    };
    let mut body = send(&config, &server.url("/")).await.unwrap().into_body();
    assert_eq!(body.next().await.unwrap().unwrap(), "half");
    let failure = body.next().await.unwrap().unwrap_err();
    assert_eq!(failure.reason(), "the answer fell silent");
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_at_the_deadline() {
    let server = Server::start(|_, _| vec![open_ended(""), Step::Drip]).await;
    let config = UpstreamConfig {
        idle_timeout: Duration::from_secs(20),
        total_timeout: Duration::from_millis(150),
        ..limits()
    };
    let reply = send(&config, &server.url("/")).await.unwrap();
    let failure = reply.bytes().await.unwrap_err();
    assert_eq!(failure.reason(), "the answer did not end in time");
}

#[tokio::test]
async fn a_body_that_drips_is_not_silent() {
    let server = Server::start(|_, _| vec![open_ended(""), Step::Drip]).await;
    let config = UpstreamConfig {
        idle_timeout: Duration::from_millis(200),
        total_timeout: Duration::from_millis(600),
        ..limits()
    };
    let reply = send(&config, &server.url("/")).await.unwrap();
    let failure = reply.bytes().await.unwrap_err();
    assert_eq!(failure.reason(), "the answer did not end in time");
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut() {
    let server = Server::start(|_, _| vec![open_ended(""), Step::Flood]).await;
    let reply = send(&limits(), &server.url("/")).await.unwrap();
    assert_eq!(reply.bytes().await.unwrap_err().class(), Class::Malformed);
}
