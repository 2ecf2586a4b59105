//! Names: every answer of the name server is judged, at submit and again inside the connector.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use upstream::{Caps, EgressConfig, EgressError, GuardedClient, Redirects};

use crate::dns::{NameServer, Zone};
use crate::server::{Server, answer};

const CAPS: Caps = Caps {
    timeout: Duration::from_secs(10),
    max_bytes: 1_000,
    redirects: Redirects::Refuse,
};

fn zones(name: &str, turn: usize) -> Zone {
    let ips =
        |list: &[&str]| -> Vec<IpAddr> { list.iter().map(|ip| ip.parse().unwrap()).collect() };
    match name {
        "public.example" => Zone::Addresses(ips(&["93.184.216.34", "2606:2800:220:1::1"])),
        "loopback.example" | "sink" => Zone::Addresses(ips(&["127.0.0.1"])),
        "loopback6.example" => Zone::Addresses(ips(&["::1"])),
        "mapped.example" => Zone::Addresses(ips(&["::ffff:127.0.0.1"])),
        "metadata.example" => Zone::Addresses(ips(&["169.254.169.254"])),
        "mixed.example" => Zone::Addresses(ips(&["93.184.216.34", "10.0.0.1"])),
        "mixed6.example" => Zone::Addresses(ips(&["93.184.216.34", "fd00::1"])),
        "alias.example" => Zone::Alias("redis.internal.", ips(&["10.0.0.1"])),
        "crowd.example" => {
            Zone::Addresses((1..=17).map(|i| IpAddr::from([93, 184, 216, i])).collect())
        }
        "rebinding.example" if turn == 0 => Zone::Addresses(ips(&["93.184.216.34"])),
        "rebinding.example" => Zone::Addresses(ips(&["127.0.0.1"])),
        "silent.example" => Zone::Silent,
        _ => Zone::Missing,
    }
}

fn client(dns: &NameServer, allow: &str) -> GuardedClient {
    let config: EgressConfig = serde_json::from_value(serde_json::json!({
        "allow": allow,
        "nameservers": dns.addr.to_string(),
        "resolve_timeout": "300ms",
        // So that the only thing between a name and our server is the address rule.
        "schemes": "http,https",
    }))
    .unwrap();
    GuardedClient::new(&config).unwrap()
}

/// A client whose public form reaches the port of `server`.
fn open_form(dns: &NameServer, server: &Server) -> GuardedClient {
    let config = EgressConfig {
        ports: vec![server.addr.port()],
        ..serde_json::from_value(serde_json::json!({
            "nameservers": dns.addr.to_string(),
            "resolve_timeout": "300ms",
            "schemes": ["http"],
        }))
        .unwrap()
    };
    GuardedClient::new(&config).unwrap()
}

async fn post(client: &GuardedClient, url: &str) -> Result<upstream::Answer, EgressError> {
    let url = client.policy().admit(url).unwrap();
    client
        .post(&url, HeaderMap::new(), Bytes::new(), &CAPS)
        .await
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_at_submit_and_at_the_call() {
    let server = Server::start(|_, _| vec![answer("200 OK", "", "inside")]).await;
    let dns = NameServer::start(zones).await;
    let client = open_form(&dns, &server);
    for (name, reason) in [
        ("loopback", "resolved"),
        ("loopback6", "resolved"),
        ("mapped", "resolved"),
        ("metadata", "resolved"),
        ("mixed", "resolved"),
        ("mixed6", "resolved"),
        ("alias", "resolved"),
        ("crowd", "too_many_addresses"),
    ] {
        let url = format!("http://{name}.example:{}/", server.addr.port());
        let refusal = client.check(&url).await.unwrap_err();
        assert_eq!(refusal.reason(), reason, "{name}");
        match post(&client, &url).await {
            Err(EgressError::Refused(refusal)) => assert_eq!(refusal.reason(), reason, "{name}"),
            Err(other) => panic!("{name}: {other:?}"),
            Ok(answer) => panic!("{name}: reached, {}", answer.status),
        }
    }
    assert_eq!(server.connects(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_does_not_win() {
    let server = Server::start(|_, _| vec![answer("200 OK", "", "inside")]).await;
    let dns = NameServer::start(zones).await;
    let client = open_form(&dns, &server);
    let url = format!("http://rebinding.example:{}/", server.addr.port());
    client.check(&url).await.unwrap();
    let error = post(&client, &url).await.err().unwrap();
    assert!(matches!(error, EgressError::Refused(_)), "{error:?}");
    assert_eq!(server.connects(), 0);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_refused_at_submit() {
    let dns = NameServer::start(zones).await;
    let client = client(&dns, "");
    client.check("https://public.example/").await.unwrap();
    for name in ["missing", "silent"] {
        let url = format!("https://{name}.example/");
        let began = Instant::now();
        client.check(&url).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "{name}");
        let error = post(&client, &url).await.err().unwrap();
        assert!(
            matches!(error, EgressError::Unresolved),
            "{name}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_name_that_leads_into_an_allowed_range_may_have_any_form() {
    let server = Server::start(|_, _| vec![answer("200 OK", "", "sink")]).await;
    let dns = NameServer::start(zones).await;
    let client = client(&dns, "127.0.0.1/32");
    let port = server.addr.port();
    for host in ["sink", "loopback.example"] {
        let url = format!("http://{host}:{port}/");
        client.check(&url).await.unwrap();
        assert_eq!(post(&client, &url).await.unwrap().body, "sink", "{host}");
    }
    // A form that only the range would excuse stays refused when the name leads elsewhere or nowhere.
    for (host, reason) in [
        ("public.example", "port"),
        ("missing.example", "port"),
        ("redis", "name"),
        ("metadata.google.internal", "name"),
    ] {
        let url = format!("http://{host}:{port}/");
        assert_eq!(
            client.check(&url).await.unwrap_err().reason(),
            reason,
            "{host}"
        );
    }
    let error = post(&client, &format!("http://public.example:{port}/"))
        .await
        .err()
        .unwrap();
    assert!(matches!(error, EgressError::Refused(_)), "{error:?}");
    assert_eq!(server.connects(), 2);
}

#[tokio::test]
async fn localhost_and_literals_are_never_asked_of_a_name_server() {
    let dns = NameServer::start(zones).await;
    let client = client(&dns, "127.0.0.1/32");
    for url in [
        "http://localhost:9/",
        "http://127.0.0.1:9/",
        "https://1.1.1.1/",
    ] {
        client.check(url).await.unwrap();
    }
    assert!(client.check("http://10.0.0.1/").await.is_err());
    assert_eq!(dns.asked(), 0);
}
