//! The guarded client: what it reaches, what it does not, and how long it puts up with it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::HeaderMap;
use upstream::{Caps, EgressConfig, EgressError, GuardedClient, Redirects, Refusal, Trust};
use url::Url;

use crate::server::{Server, Step, answer, open_ended};

const CAPS: Caps = Caps {
    timeout: Duration::from_secs(10),
    max_bytes: 1_000,
    redirects: Redirects::Follow,
};

pub(crate) fn client(allow: &str) -> GuardedClient {
    let settings = serde_json::json!({ "allow": allow });
    let config: EgressConfig = serde_json::from_value(settings).unwrap();
    GuardedClient::new(&config).unwrap()
}

async fn post(
    client: &GuardedClient,
    url: &str,
    caps: &Caps,
) -> Result<upstream::Answer, EgressError> {
    let url = client.policy().admit(url).unwrap();
    client
        .post(&url, HeaderMap::new(), Bytes::from("{}"), caps)
        .await
}

/// The whole body of a download.
async fn fetch(
    client: &GuardedClient,
    url: &str,
    trust: Trust<'_>,
    caps: &Caps,
) -> Result<Bytes, EgressError> {
    let mut download = client.get_to(url, trust, caps).await?;
    let mut body = BytesMut::new();
    while let Some(chunk) = download.next().await {
        body.extend_from_slice(&chunk?);
    }
    Ok(body.freeze())
}

#[tokio::test]
async fn without_an_allowed_range_loopback_is_never_reached() {
    let server = Server::start(|_, _| vec![answer("200 OK", "", "inside")]).await;
    let client = client("");
    let port = server.addr.port();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:7f00:1]"] {
        let url = format!("http://{host}:{port}/");
        assert!(client.check(&url).await.is_err(), "{url}");
        let refused = fetch(&client, &url, Trust::Public, &CAPS)
            .await
            .unwrap_err();
        assert!(matches!(refused, EgressError::Refused(_)), "{refused:?}");
    }
    assert_eq!(server.connects(), 0);
}

#[tokio::test]
async fn an_allowed_range_is_reached_by_address_and_by_localhost_and_never_twice_on_one_connection()
{
    let server = Server::start(|request, _| {
        assert!(
            request.starts_with("POST /hook?a=b HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.ends_with("{}"), "{request}");
        assert!(!request.contains("accept-encoding"), "{request}");
        vec![
            answer("202 Accepted", "retry-after: 2\r\n", "thanks"),
            Step::Again,
        ]
    })
    .await;
    let client = client("127.0.0.1/32");
    let port = server.addr.port();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{port}/hook?a=b#c");
        client.check(&url).await.unwrap();
        let answer = post(&client, &url, &CAPS).await.unwrap();
        assert_eq!(answer.status.as_u16(), 202);
        assert_eq!(answer.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(answer.body, "thanks");
    }
    assert_eq!(server.connects(), 2);
}

#[tokio::test]
async fn a_post_never_follows_a_redirect() {
    let server = Server::start(|_, addr| {
        vec![answer(
            "307 Temporary Redirect",
            &format!("location: http://{addr}/x\r\n"),
            "",
        )]
    })
    .await;
    let answer = post(&client("127.0.0.1/32"), &server.url("/"), &CAPS)
        .await
        .unwrap();
    assert_eq!(answer.status.as_u16(), 307);
    assert_eq!(server.connects(), 1);
}

#[tokio::test]
async fn the_answer_to_a_post_is_cut_and_never_waited_for_longer_than_allowed() {
    let client = client("127.0.0.1/32");
    let caps = Caps {
        timeout: Duration::from_millis(200),
        max_bytes: 5,
        ..CAPS
    };
    let flood = Server::start(|_, _| vec![open_ended(""), Step::Flood]).await;
    assert_eq!(
        post(&client, &flood.url("/"), &caps).await.unwrap().body,
        "xxxxx"
    );
    // The status has come: it is the answer, even if its body drips.
    let caps = Caps {
        max_bytes: 1_000_000,
        ..caps
    };
    let drip = Server::start(|_, _| vec![open_ended("part"), Step::Drip]).await;
    let answer = post(&client, &drip.url("/"), &caps).await.unwrap();
    assert!(answer.body.starts_with(b"part"));
    let hang = Server::start(|_, _| vec![Step::Hang]).await;
    let error = post(&client, &hang.url("/"), &caps).await.err().unwrap();
    assert!(matches!(error, EgressError::TimedOut), "{error:?}");
    let interim = Server::start(|_, _| {
        vec![
            Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(50)),
            Step::Hang,
        ]
    })
    .await;
    let error = post(&client, &interim.url("/"), &caps).await.err().unwrap();
    assert!(matches!(error, EgressError::TimedOut), "{error:?}");
}

#[tokio::test]
async fn a_download_is_bounded_in_bytes_and_time_and_left_as_it_came() {
    let client = client("127.0.0.1/32");
    let packed = Server::start(|_, _| {
        let headers = "content-type: image/png\r\ncontent-encoding: gzip\r\n";
        vec![answer("200 OK", headers, "\u{1f}packed")]
    })
    .await;
    let download = client
        .get_to(&packed.url("/"), Trust::Public, &CAPS)
        .await
        .unwrap();
    assert_eq!(download.content_type(), Some("image/png"));
    assert_eq!(download.content_length(), Some(7));
    let body = fetch(&client, &packed.url("/"), Trust::Public, &CAPS)
        .await
        .unwrap();
    assert_eq!(body, "\u{1f}packed", "nothing is decompressed");

    let announced = Server::start(|_, _| {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n".to_vec()),
            Step::Flood,
        ]
    })
    .await;
    let unannounced = Server::start(|_, _| vec![open_ended(""), Step::Flood]).await;
    for server in [announced, unannounced] {
        let error = fetch(&client, &server.url("/"), Trust::Public, &CAPS)
            .await
            .unwrap_err();
        assert!(
            matches!(error, EgressError::TooLarge { max_bytes: 1_000 }),
            "{error:?}"
        );
    }

    let caps = Caps {
        timeout: Duration::from_millis(200),
        ..CAPS
    };
    let drip = Server::start(|_, _| vec![open_ended(""), Step::Drip]).await;
    let error = fetch(&client, &drip.url("/"), Trust::Public, &caps)
        .await
        .unwrap_err();
    assert!(matches!(error, EgressError::TimedOut), "{error:?}");
}

#[tokio::test]
async fn a_download_follows_few_redirects_and_checks_each() {
    let server = Server::start(|request, addr| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let location = match path {
            "/ok" => return vec![answer("200 OK", "", "there")],
            "/far" => "/ok".to_owned(),
            "/loop" => "/loop".to_owned(),
            "/private" => "http://10.0.0.1/".to_owned(),
            "/metadata" => "http://169.254.169.254/latest".to_owned(),
            "/schemeless" => "//127.0.0.2/".to_owned(),
            "/file" => "file:///etc/passwd".to_owned(),
            "/credentials" => format!("http://user:pass@{addr}/ok"),
            "/port" => "http://example.com:22/".to_owned(),
            _ => "http://[".to_owned(),
        };
        vec![answer(
            "302 Found",
            &format!("location: {location}\r\n"),
            "",
        )]
    })
    .await;
    let client = client("127.0.0.1/32");
    let body = fetch(&client, &server.url("/far"), Trust::Public, &CAPS)
        .await
        .unwrap();
    assert_eq!(body, "there");
    for (path, reason) in [
        ("/loop", "too_many_redirects"),
        ("/private", "literal"),
        ("/metadata", "literal"),
        ("/schemeless", "literal"),
        ("/file", "scheme"),
        ("/credentials", "credentials"),
        ("/broken", "malformed"),
    ] {
        match fetch(&client, &server.url(path), Trust::Public, &CAPS).await {
            Err(EgressError::Refused(refusal)) => assert_eq!(refusal.reason(), reason, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    let caps = Caps {
        redirects: Redirects::Refuse,
        ..CAPS
    };
    let error = fetch(&client, &server.url("/far"), Trust::Public, &caps)
        .await
        .unwrap_err();
    assert!(
        matches!(error, EgressError::Status { status } if status.as_u16() == 302),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_provider_is_trusted_on_its_own_origin_only() {
    let other = Server::start(|_, _| vec![answer("200 OK", "", "inside")]).await;
    let provider = Server::start(|request, _| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        match path.split_once("/to/") {
            Some((_, port)) => {
                let location = format!("location: http://127.0.0.1:{port}/\r\n");
                vec![answer("302 Found", &location, "")]
            }
            None => vec![answer("200 OK", "", "result")],
        }
    })
    .await;
    let client = client("");
    let base = Url::parse(&provider.url("/api/v1")).unwrap();
    let trust = Trust::Origin(&base);
    let body = fetch(&client, &provider.url("/files/1?sig=x"), trust, &CAPS)
        .await
        .unwrap();
    assert_eq!(body, "result");
    let away = format!("/to/{}", other.addr.port());
    let credentials = provider.url("/").replace("//", "//user:pass@");
    for url in [other.url("/"), provider.url(&away), credentials] {
        let error = fetch(&client, &url, trust, &CAPS).await.unwrap_err();
        assert!(matches!(error, EgressError::Refused(_)), "{url}: {error:?}");
    }
    assert_eq!(other.connects(), 0);
}

/// Says whether it was shown the key, or leads to another port.
fn keyed_or_away(request: &str, _: std::net::SocketAddr) -> Vec<Step> {
    let path = request.split(' ').nth(1).unwrap_or_default();
    if let Some((_, port)) = path.split_once("/to/") {
        let location = format!("location: http://127.0.0.1:{port}/\r\n");
        return vec![answer("302 Found", &location, "")];
    }
    let is_told = request.to_lowercase().contains("x-key: k3y");
    vec![answer(
        "200 OK",
        "",
        if is_told { "told" } else { "not told" },
    )]
}

#[tokio::test]
async fn a_credential_is_shown_to_its_provider_alone() {
    let other = Server::start(keyed_or_away).await;
    let provider = Server::start(keyed_or_away).await;
    let client = client("127.0.0.1/32");
    let base = Url::parse(&provider.url("/api/v1/")).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-key", http::HeaderValue::from_static("k3y"));
    let keyed = Trust::Keyed(&base, &headers);
    let away = provider.url(&format!("/to/{}", other.addr.port()));
    for (url, trust, told) in [
        (provider.url("/files/1"), keyed, "told"),
        (provider.url("/files/1"), Trust::Origin(&base), "not told"),
        (away, keyed, "not told"),
        (other.url("/"), keyed, "not told"),
    ] {
        let body = fetch(&client, &url, trust, &CAPS).await.unwrap();
        assert_eq!(body, told, "{url}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_told_apart_and_repeats_nothing_of_the_url() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{addr}/secret");
    let error = post(&client("127.0.0.1/32"), &url, &CAPS)
        .await
        .err()
        .unwrap();
    assert!(matches!(error, EgressError::Connect(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret"));
    let refused = EgressError::Refused(Refusal::Credentials);
    assert!(refused.to_string().contains("leave them out"));
}

#[tokio::test]
async fn a_download_begins_where_it_is_asked_to_where_the_other_side_gives_parts() {
    let gives_parts = Server::start(|request, _| {
        if request.contains("range: bytes=4-\r\n") {
            let headers = "content-range: bytes 4-9/10\r\n";
            return vec![answer("206 Partial Content", headers, "456789")];
        }
        vec![answer("200 OK", "", "0123456789")]
    })
    .await;
    let gives_none = Server::start(|_, _| vec![answer("200 OK", "", "0123456789")]).await;
    let client = client("127.0.0.1/32");
    for (server, from, is_part, body) in [
        (&gives_parts, 0, false, "0123456789"),
        (&gives_parts, 4, true, "456789"),
        (&gives_none, 4, false, "0123456789"),
    ] {
        let url = server.url("/");
        let download = client.get_from(&url, Trust::Public, &CAPS, from).await;
        let mut download = download.unwrap();
        assert_eq!(download.is_part(), is_part, "{from}");
        let mut read = BytesMut::new();
        while let Some(chunk) = download.next().await {
            read.extend_from_slice(&chunk.unwrap());
        }
        assert_eq!(read, body);
    }
}
