//! In a process of its own: what its environment says, which an attacker or a careless operator may have written, and TLS with an authority
//! that only this process trusts.
//!
//! The certificates are made for these tests alone: an authority, and one that it gave to `hook.example`.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use upstream::{Caps, Redirects};

use crate::dns::NameServer;
use crate::inside::Watch;
use crate::never::{PUBLIC, fetch, post, reason, zones};
use crate::server::{Server, answer};

const CAPS: Caps = Caps {
    timeout: std::time::Duration::from_secs(10),
    max_bytes: 1_000,
    redirects: Redirects::Follow,
};

/// What proxies are read from, by those who read it.
const PROXIES: [&str; 8] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "FTP_PROXY",
    "SOCKS_PROXY",
];
/// The authority of the tests, where a process looks for those that it trusts.
const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certs/ca.pem");

/// Runs a test of this file in a process with this environment.
fn run(test: &str, env: &[(&str, &str)]) {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args([
        "--exact",
        &format!("process::{test}"),
        "--ignored",
        "--nocapture",
    ]);
    let output = command.envs(env.iter().copied()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let is_good = output.status.success() && told.contains("1 passed");
    assert!(is_good, "{told}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn no_proxy_of_the_environment_is_asked() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let env = PROXIES.map(|name| (name, address.as_str()));
    run("calls_in_the_environment_of_an_attacker", &env);
    let accepted = proxy.accept().map(|(_, peer)| peer);
    assert_eq!(
        accepted.map_err(|error| error.kind()),
        Err(ErrorKind::WouldBlock)
    );
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn calls_in_the_environment_of_an_attacker() {
    let server = Server::start_on(PUBLIC, |_, _| vec![answer("200 OK", "", "there")]).await;
    let (watch, dns) = (Watch::default(), NameServer::start(zones).await);
    let client = watch.client(json!({
        "allow": PUBLIC,
        "nameservers": dns.addr.to_string(),
        "connect_timeout": "1s",
    }));
    for host in [PUBLIC, "hook.example"] {
        let url = format!("http://{host}:{}/", server.addr.port());
        assert_eq!(fetch(&client, &url, &CAPS).await.unwrap(), b"there");
        assert_eq!(post(&client, &url).await.unwrap().body, "there");
        let no_tls = url.replace("http:", "https:");
        assert_eq!(reason(fetch(&client, &no_tls, &CAPS).await), "connect");
    }
    assert_eq!(watch.seen(), [server.addr; 6]);
}

#[test]
fn tls_is_with_who_was_meant() {
    run("calls_with_tls", &[("SSL_CERT_FILE", AUTHORITY)]);
    run("calls_of_who_does_not_trust_the_authority", &[]);
}

/// The name asked for in a handshake, the protocols offered there, and the head of the request that followed.
type Heard = (String, Vec<String>, String);

/// Where customers' callbacks go: with a certificate for `hook.example`.
struct TlsServer {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    _tasks: JoinSet<()>,
}

impl TlsServer {
    /// Redirects to a place without TLS, if there is one.
    async fn start(redirect: Option<String>) -> Self {
        let listener = tokio::net::TcpListener::bind((PUBLIC, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = acceptor();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let answer = match redirect {
            None => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthere".to_owned(),
            Some(to) => {
                format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
            }
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let offered = tokio_rustls::LazyConfigAcceptor::new(
                    rustls::server::Acceptor::default(),
                    stream,
                );
                let Ok(start) = offered.await else { continue };
                let hello = start.client_hello();
                let name = hello.server_name().unwrap_or_default().to_owned();
                let protocols = hello.alpn().into_iter().flatten();
                let protocols = protocols
                    .map(|name| String::from_utf8_lossy(name).into_owned())
                    .collect();
                let Ok(mut stream) = start.into_stream(Arc::clone(acceptor.config())).await else {
                    continue;
                };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else {
                        break;
                    };
                    head.push(byte);
                }
                if head.is_empty() {
                    continue;
                }
                hears
                    .lock()
                    .unwrap()
                    .push((name, protocols, String::from_utf8(head).unwrap()));
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self {
            port,
            heard,
            _tasks: tasks,
        }
    }
}

fn acceptor() -> TlsAcceptor {
    let chain = CertificateDer::from_pem_slice(include_bytes!("../certs/hook.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../certs/hook.key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn calls_with_tls() {
    let (server, dns) = (TlsServer::start(None).await, NameServer::start(zones).await);
    let settings = json!({ "allow": PUBLIC, "nameservers": dns.addr.to_string() });
    let client = Watch::default().client(settings);
    let url = |host: &str, port: u16| format!("https://{host}:{port}/");
    assert_eq!(
        fetch(&client, &url("hook.example", server.port), &CAPS)
            .await
            .unwrap(),
        b"there"
    );
    let heard = std::mem::take(&mut *server.heard.lock().unwrap());
    let [(name, protocols, head)] = heard.as_slice() else {
        panic!("{heard:?}");
    };
    // Whom TLS was with is whom the request is for.
    assert_eq!(name, "hook.example");
    let host = format!("host: hook.example:{}\r\n", server.port);
    assert!(head.to_lowercase().contains(&host), "{head}");
    assert_eq!(protocols, &["http/1.1"]);
    // The same server by another name, and by its address.
    for other in ["other.example", PUBLIC] {
        let outcome = fetch(&client, &url(other, server.port), &CAPS).await;
        assert_eq!(reason(outcome), "connect", "{other}");
    }
    let plain = Server::start_on(PUBLIC, |_, _| vec![answer("200 OK", "", "there")]).await;
    let downgrading = TlsServer::start(Some(plain.url("/"))).await;
    let outcome = fetch(&client, &url("hook.example", downgrading.port), &CAPS).await;
    assert_eq!(reason(outcome), "downgrade");
    // From one host to another: a handshake with that one's own name.
    let to = url("other.example", server.port);
    let leading_on = TlsServer::start(Some(to)).await;
    let outcome = fetch(&client, &url("hook.example", leading_on.port), &CAPS).await;
    assert_eq!(reason(outcome), "connect");
    assert_eq!(
        (server.heard.lock().unwrap().len(), plain.connects()),
        (0, 0)
    );
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn calls_of_who_does_not_trust_the_authority() {
    let (server, dns) = (TlsServer::start(None).await, NameServer::start(zones).await);
    let settings = json!({ "allow": PUBLIC, "nameservers": dns.addr.to_string() });
    let client = Watch::default().client(settings);
    let url = format!("https://hook.example:{}/", server.port);
    assert_eq!(reason(fetch(&client, &url, &CAPS).await), "connect");
    assert_eq!(reason(post(&client, &url).await), "connect");
    assert!(server.heard.lock().unwrap().is_empty());
}
