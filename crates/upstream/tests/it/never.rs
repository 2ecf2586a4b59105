//! The list of what must never be connected to, tried by every door of the client. All of it is asserted at the sockets: the listeners
//! inside hear nobody, and the connector is asked for no address at all.
//!
//! What stands for the public is another address of this machine, 127.0.0.2, which is then the only range that is allowed; or nothing is
//! allowed, and the form of URLs is open as far as it can be, so that the rule for addresses alone stands between them and the listeners.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use http::HeaderMap;
use serde_json::json;
use tokio::net::TcpStream;
use upstream::{Caps, Dial, EgressError, GuardedClient, Redirects, Trust};

use crate::dns::{NameServer, Zone};
use crate::form::{CREDENTIALS, IPV6, LOOPBACK, NAMES, OTHER, SPECIAL};
use crate::inside::{Inside, Watch, client_by};
use crate::server::{Server, Step, answer};

const CAPS: Caps = Caps {
    timeout: Duration::from_secs(10),
    max_bytes: 100_000,
    redirects: Redirects::Follow,
};

/// What stands for the public.
pub(crate) const PUBLIC: &str = "127.0.0.2";

/// What the name server knows.
pub(crate) fn zones(name: &str, turn: usize) -> Zone {
    let ips =
        |list: &[&str]| -> Vec<IpAddr> { list.iter().map(|ip| ip.parse().unwrap()).collect() };
    match name {
        "hook.example" | "other.example" => Zone::Addresses(ips(&[PUBLIC])),
        "public.example" => Zone::Addresses(ips(&["93.184.216.34"])),
        "a-loopback.example" => Zone::Addresses(ips(&["127.0.0.1"])),
        "aaaa-loopback.example" => Zone::Addresses(ips(&["::1"])),
        "mapped.example" => Zone::Addresses(ips(&["::ffff:127.0.0.1"])),
        "nat64.example" => Zone::Addresses(ips(&["64:ff9b::7f00:1"])),
        "metadata.example" => Zone::Addresses(ips(&["169.254.169.254"])),
        "mixed.example" => Zone::Addresses(ips(&[PUBLIC, "93.184.216.34", "127.0.0.1"])),
        "mixed6.example" => Zone::Addresses(ips(&[PUBLIC, "93.184.216.34", "::1"])),
        "alias.example" => Zone::Alias("redis.internal.", ips(&["127.0.0.1"])),
        "chain.example" => Zone::Chain("chain2.example."),
        "chain2.example" => Zone::Chain("chain3.example."),
        "chain3.example" => Zone::Addresses(ips(&["127.0.0.1"])),
        "crowd.example" => {
            Zone::Addresses((1..=100).map(|i| IpAddr::from([127, 0, 0, i])).collect())
        }
        "to-metadata.example" if turn == 0 => Zone::Addresses(ips(&["93.184.216.34"])),
        "to-metadata.example" => Zone::Addresses(ips(&["169.254.169.254"])),
        "to-loopback.example" if turn == 0 => Zone::Addresses(ips(&[PUBLIC])),
        "to-loopback.example" => Zone::Addresses(ips(&["127.0.0.1"])),
        "silent.example" => Zone::Silent,
        _ => Zone::Missing,
    }
}

/// Every name of them that leads inside, to too many places, or nowhere, and why it is not called.
const LED_ASTRAY: [(&str, &str); 13] = [
    ("a-loopback", "resolved"),
    ("aaaa-loopback", "resolved"),
    ("mapped", "resolved"),
    ("nat64", "resolved"),
    ("metadata", "resolved"),
    ("mixed", "resolved"),
    ("mixed6", "resolved"),
    ("alias", "resolved"),
    ("chain", "resolved"),
    ("chain2", "resolved"),
    ("crowd", "too_many_addresses"),
    ("silent", "unresolved"),
    ("missing", "unresolved"),
];

pub(crate) async fn post(
    client: &GuardedClient,
    url: &str,
) -> Result<upstream::Answer, EgressError> {
    let url = client.admit(url).map_err(EgressError::Refused)?;
    client
        .post(&url, HeaderMap::new(), Bytes::from("{}"), &CAPS)
        .await
}

pub(crate) async fn fetch(
    client: &GuardedClient,
    url: &str,
    caps: &Caps,
) -> Result<Vec<u8>, EgressError> {
    let mut download = client.get_to(url, Trust::Public, caps).await?;
    let mut body = Vec::new();
    while let Some(chunk) = download.next().await {
        body.extend_from_slice(&chunk?);
    }
    Ok(body)
}

pub(crate) fn reason<T>(outcome: Result<T, EgressError>) -> &'static str {
    match outcome {
        Ok(_) => "reached",
        Err(EgressError::Refused(refusal)) => refusal.reason(),
        Err(EgressError::Unresolved) => "unresolved",
        Err(EgressError::Connect(_)) => "connect",
        Err(EgressError::TimedOut) => "timed_out",
        Err(EgressError::Interrupted(_)) => "interrupted",
        Err(EgressError::TooLarge { .. }) => "too_large",
        Err(EgressError::Status { .. }) => "status",
    }
}

/// Tries every door; why each stays shut, which must be one reason.
async fn tried(client: &GuardedClient, url: &str) -> &'static str {
    let posted = reason(post(client, url).await);
    let fetched = reason(fetch(client, url, &CAPS).await);
    assert_eq!(posted, fetched, "{url}");
    // What leads nowhere yet may lead somewhere by the time it is called.
    let checked = client.check(url).await;
    assert!(checked.is_err() || posted == "unresolved", "{url}");
    posted
}

/// Settings under which only the rule for names and addresses is left: both schemes, and the ports of the listeners.
fn open_form(inside: &Inside, dns: &NameServer, allow: &str) -> serde_json::Value {
    json!({
        "allow": allow,
        "schemes": "http,https",
        "ports": inside.ports,
        "nameservers": dns.addr.to_string(),
        "resolve_timeout": "500ms",
    })
}

#[tokio::test]
async fn no_spelling_of_the_list_is_ever_connected_to() {
    let (inside, watch) = (Inside::open(), Watch::default());
    let dns = NameServer::start(zones).await;
    for allow in ["", PUBLIC] {
        let client = watch.client(open_form(&inside, &dns, allow));
        let hosts = [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "0",
            "0.0.0.0",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "127.000.000.001",
            "127.0.0.1.",
            "①②⑦.⓪.⓪.①",
            "127。0。0。1",
            "localhost",
            "LOCALHOST.",
            "localhost.localdomain",
            "redis",
            "kubernetes.default.svc",
        ];
        for host in hosts.iter().chain(IPV6).chain(SPECIAL) {
            for (scheme, port) in [("http", inside.ports[0]), ("https", inside.ports[1])] {
                let why = tried(&client, &format!("{scheme}://{host}:{port}/")).await;
                // Where a range is allowed, an internal name may lead there.
                let is_shut =
                    matches!(why, "literal" | "name") || (why, allow) == ("unresolved", PUBLIC);
                assert!(is_shut, "{allow} {host}: {why}");
            }
        }
        for url in LOOPBACK.iter().chain(CREDENTIALS).chain(NAMES).copied() {
            assert_ne!(tried(&client, url).await, "reached", "{url}");
        }
        for (url, _) in OTHER.iter().filter(|(_, why)| *why != "scheme") {
            assert_ne!(tried(&client, url).await, "reached", "{url}");
        }
    }
    assert_eq!(watch.seen(), []);
    inside.is_untouched();
}

#[tokio::test]
async fn no_name_that_leads_inside_is_ever_connected_to() {
    let (inside, watch) = (Inside::open(), Watch::default());
    let dns = NameServer::start(zones).await;
    for allow in ["", PUBLIC] {
        let client = watch.client(open_form(&inside, &dns, allow));
        for (name, expected) in LED_ASTRAY {
            let (url, begun) = (
                format!("http://{name}.example:{}/", inside.port()),
                Instant::now(),
            );
            assert_eq!(tried(&client, &url).await, expected, "{allow} {name}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{name}");
        }
    }
    assert_eq!(watch.seen(), []);
    inside.is_untouched();
}

#[tokio::test]
async fn a_name_is_judged_anew_by_every_call() {
    let (inside, watch) = (Inside::open(), Watch::default());
    for (name, allow) in [("to-metadata", ""), ("to-loopback", PUBLIC)] {
        let dns = NameServer::start(zones).await;
        let client = watch.client(open_form(&inside, &dns, allow));
        let url = format!("http://{name}.example:{}/", inside.port());
        client.check(&url).await.unwrap();
        assert_eq!(reason(post(&client, &url).await), "resolved", "{name}");
        assert_eq!(
            reason(fetch(&client, &url, &CAPS).await),
            "resolved",
            "{name}"
        );
    }
    assert_eq!(watch.seen(), []);
    inside.is_untouched();
}

#[tokio::test]
async fn whoever_is_at_the_other_end_is_who_was_checked_or_hears_nothing() {
    let server = Server::start(|_, _| vec![answer("200 OK", "", "inside")]).await;
    let (watch, dns) = (Watch::default(), NameServer::start(zones).await);
    let settings = json!({
        "schemes": "http,https",
        "nameservers": dns.addr.to_string(),
    });
    // The network leads everything to a server inside.
    let client = client_by(&watch.dial_to(server.addr), settings);
    for url in [
        "http://public.example/",
        "https://1.1.1.1/",
        "http://[2606:4700:4700::1111]/",
    ] {
        assert_eq!(reason(post(&client, url).await), "resolved", "{url}");
    }
    let expected = [
        "93.184.216.34:80",
        "1.1.1.1:443",
        "[2606:4700:4700::1111]:80",
    ];
    assert_eq!(
        watch.seen(),
        expected.map(|address| address.parse::<SocketAddr>().unwrap())
    );
    assert_eq!(server.requests(), 0);
}

/// Answers `/{status}/{number}` with a redirect of that status to the place of that number.
fn redirecting(request: &str, addr: SocketAddr) -> Vec<Step> {
    let path = request.split(' ').nth(1).unwrap_or_default();
    if path == "/there" {
        return vec![answer("200 OK", "", "there")];
    }
    let mut words = path.split('/').skip(1);
    let status = words.next().unwrap_or_default();
    let place = words.next().and_then(|number| number.parse::<usize>().ok());
    let (inside, place) = match place {
        Some(place) => {
            let (place, _) = PLACES.get(place).unwrap();
            (words.next().unwrap_or_default(), *place)
        }
        None => ("", ""),
    };
    let location = place
        .replace("{inside}", inside)
        .replace("{here}", &addr.to_string());
    let location = if place.is_empty() { path } else { &location };
    vec![answer(
        &format!("{status} Moved"),
        &format!("location: {location}\r\n"),
        "",
    )]
}

/// Where a redirect may lead, and why it is not followed.
const PLACES: [(&str, &str); 21] = [
    ("http://{here}/there", "reached"),
    ("http://127.0.0.1:{inside}/", "literal"),
    ("//127.0.0.1:{inside}/", "literal"),
    ("\\\\127.0.0.1:{inside}\\", "literal"),
    ("http://2130706433:{inside}/", "literal"),
    ("http://[::1]:{inside}/", "literal"),
    ("http://[::ffff:7f00:1]:{inside}/", "literal"),
    ("http://[64:ff9b::7f00:1]:{inside}/", "literal"),
    ("http://localhost:{inside}/", "name"),
    ("http://redis:{inside}/", "unresolved"),
    ("http://a-loopback.example:{inside}/", "resolved"),
    ("http://mixed.example:{inside}/", "resolved"),
    ("http://chain.example:{inside}/", "resolved"),
    ("http://crowd.example:{inside}/", "too_many_addresses"),
    ("http://169.254.169.254/latest/meta-data/", "literal"),
    ("http://168.63.129.16/", "literal"),
    ("http://10.0.0.1/", "literal"),
    ("http://user:pass@127.0.0.1:{inside}/", "credentials"),
    ("file:///etc/passwd", "scheme"),
    ("gopher://127.0.0.1:6379/_FLUSHALL", "scheme"),
    ("http://public.example:22/", "resolved"),
];

#[tokio::test]
async fn a_redirect_leads_nowhere_that_a_url_does_not() {
    let server = Server::start_on(PUBLIC, redirecting).await;
    let (inside, watch) = (Inside::open(), Watch::default());
    let dns = NameServer::start(zones).await;
    let client = watch.client(open_form(&inside, &dns, PUBLIC));
    let refuse = Caps {
        redirects: Redirects::Refuse,
        ..CAPS
    };
    for status in [301, 302, 303, 307, 308] {
        for (number, (place, expected)) in PLACES.iter().enumerate() {
            let url = server.url(&format!("/{status}/{number}/{}", inside.port()));
            let fetched = reason(fetch(&client, &url, &CAPS).await);
            assert_eq!(fetched, *expected, "{status} {place}");
            // A callback follows none, wherever it leads; nor does who does not ask for it.
            assert_eq!(post(&client, &url).await.unwrap().status.as_u16(), status);
            assert_eq!(reason(fetch(&client, &url, &refuse).await), "status");
        }
        let url = server.url(&format!("/{status}/loop"));
        assert_eq!(
            reason(fetch(&client, &url, &CAPS).await),
            "too_many_redirects"
        );
    }
    assert!(watch.seen().iter().all(|address| *address == server.addr));
    inside.is_untouched();
}

#[tokio::test]
async fn an_installation_does_not_call_itself_but_for_files_that_it_gave() {
    let server = Server::start_on(PUBLIC, |_, _| vec![answer("200 OK", "", "file")]).await;
    let (watch, dns) = (Watch::default(), NameServer::start(zones).await);
    let settings = |allow: &str, allow_own: bool| {
        json!({
            "allow": allow,
            "allow_own": allow_own,
            "own_hosts": "Hook.Example., 203.0.113.9,1.1.1.1",
            "schemes": "http,https",
            "nameservers": dns.addr.to_string(),
        })
    };
    let client = watch.client(settings("", false));
    // A range that is allowed does not make it another's.
    let in_range = watch.client(settings(&format!("{PUBLIC},1.1.1.1"), false));
    for path in [
        "",
        "healthz",
        "api/v1/credits",
        "api/v1/tasks/t/files/0/..",
        "files/f/content",
        "v1/files/f",
    ] {
        for host in ["hook.example", "HOOK.example.", "1.1.1.1"] {
            for client in [&client, &in_range] {
                let url = format!("https://{host}/{path}");
                assert_eq!(tried(client, &url).await, "own", "{path}");
            }
        }
    }
    // Some are reached by a URL that has a path.
    for path in [
        "api/v1/tasks/t/files/0?sig=s",
        "v1/files/f/content?exp=1",
        "ai/api/v1/tasks/t/files/0?sig=s",
        "ai/v/api/v1/files/f/content?exp=1",
    ] {
        for client in [&client, &in_range] {
            let url = format!("https://hook.example/{path}");
            client.admit(&url).unwrap();
        }
    }
    client.admit("https://other.example/").unwrap();
    assert_eq!(watch.seen(), []);
    let url = format!("http://hook.example:{}/", server.addr.port());
    assert_eq!(tried(&in_range, &url).await, "own");
    let link = format!("{url}v1/files/f/content");
    assert_eq!(reason(fetch(&in_range, &link, &CAPS).await), "reached");
    // Where the operator says so, it is as any other host.
    let client = watch.client(settings(PUBLIC, true));
    assert_eq!(reason(fetch(&client, &url, &CAPS).await), "reached");
}

#[tokio::test]
async fn at_a_loopback_address_that_is_allowed_are_others_than_the_installation() {
    let (watch, dns) = (Watch::default(), NameServer::start(zones).await);
    let client = watch.client(json!({
        "allow": "127.0.0.0/8",
        "own_hosts": "127.0.0.1,localhost",
        "nameservers": dns.addr.to_string(),
    }));
    for url in ["http://127.0.0.1:9000/hook", "http://localhost:9000/hook"] {
        client.admit(url).unwrap();
    }
}

#[tokio::test]
async fn a_connection_is_made_for_each_call_to_what_may_be_called() {
    let server = Server::start_on(PUBLIC, |_, _| {
        vec![answer("200 OK", "", "there"), Step::Again]
    })
    .await;
    let (watch, dns) = (Watch::default(), NameServer::start(zones).await);
    let client = watch.client(json!({ "allow": PUBLIC, "nameservers": dns.addr.to_string() }));
    for host in [PUBLIC, "hook.example"] {
        let url = format!("http://{host}:{}/", server.addr.port());
        assert_eq!(fetch(&client, &url, &CAPS).await.unwrap(), b"there");
        assert_eq!(post(&client, &url).await.unwrap().body, "there");
    }
    assert_eq!(watch.seen(), [server.addr; 4]);
    assert_eq!((server.connects(), server.requests()), (4, 4));
}

#[tokio::test]
async fn an_address_that_is_dead_leaves_time_for_the_next() {
    let server = Server::start_on(PUBLIC, |_, _| vec![answer("200 OK", "", "there")]).await;
    let dns = NameServer::start(|_, _| {
        Zone::Addresses(["127.0.0.3", PUBLIC].map(|ip| ip.parse().unwrap()).to_vec())
    })
    .await;
    let addr = server.addr;
    let dial: Dial = Arc::new(move |address| {
        if address == addr {
            Box::pin(TcpStream::connect(address))
        } else {
            Box::pin(std::future::pending())
        }
    });
    let settings = json!({
        "allow": "127.0.0.0/8",
        "connect_timeout": "2s",
        "nameservers": dns.addr.to_string(),
    });
    let url = format!("http://two.example:{}/", addr.port());
    assert_eq!(
        fetch(&client_by(&dial, settings), &url, &CAPS)
            .await
            .unwrap(),
        b"there"
    );
}
