//! A second guard: a proxy of the operator's, which is asked for addresses that have passed, and for nothing else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
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

/// Tunnels to where it is asked to, or refuses.
struct Proxy {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let line = head.lines().next().unwrap().to_owned();
                let to = line.split(' ').nth(1).unwrap().to_owned();
                heard.lock().unwrap().push(line);
                let answer = format!("HTTP/1.1 {status}\r\n\r\n");
                client.write_all(answer.as_bytes()).await.unwrap();
                if status.starts_with("200") {
                    let mut server = TcpStream::connect(to).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            }
        });
        Self {
            addr,
            asked,
            _tasks: tasks,
        }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[tokio::test]
async fn what_has_passed_goes_by_the_proxy_and_what_has_not_does_not_reach_it() {
    let server = Server::start_on(PUBLIC, |request, _| {
        assert!(
            request.starts_with("GET /a ") || request.starts_with("POST /a "),
            "{request}"
        );
        vec![answer("200 OK", "", "there")]
    })
    .await;
    let (proxy, watch) = (
        Proxy::start("200 Connection established").await,
        Watch::default(),
    );
    let dns = NameServer::start(zones).await;
    let client = watch.client(json!({
        "allow": PUBLIC,
        "nameservers": dns.addr.to_string(),
        "proxy": format!("localhost:{}", proxy.addr.port()),
    }));
    let port = server.addr.port();
    for host in [PUBLIC, "hook.example"] {
        let url = format!("http://{host}:{port}/a");
        assert_eq!(fetch(&client, &url, &CAPS).await.unwrap(), b"there");
        assert_eq!(post(&client, &url).await.unwrap().body, "there");
        // A name is never left to the proxy.
        let line = format!("CONNECT {PUBLIC}:{port} HTTP/1.1");
        assert_eq!(proxy.asked(), [line.clone(), line]);
    }
    let to_proxy = watch.seen();
    assert!(
        to_proxy
            .iter()
            .all(|address| address.port() == proxy.addr.port()),
        "{to_proxy:?}"
    );
    for host in [
        "127.0.0.1",
        "localhost",
        "metadata.example",
        "mixed.example",
    ] {
        let url = format!("http://{host}:{port}/a");
        assert_ne!(
            reason(fetch(&client, &url, &CAPS).await),
            "reached",
            "{host}"
        );
    }
    assert!(proxy.asked().is_empty() && watch.seen().is_empty());
}

#[tokio::test]
async fn what_the_proxy_refuses_is_not_reached_by_another_way() {
    let server = Server::start_on(PUBLIC, |_, _| vec![answer("200 OK", "", "there")]).await;
    let proxy = Proxy::start("407 Proxy Authentication Required").await;
    let client =
        Watch::default().client(json!({ "allow": PUBLIC, "proxy": proxy.addr.to_string() }));
    let url = server.url("/secret");
    let error = fetch(&client, &url, &CAPS).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
    assert_eq!(reason::<()>(Err(error)), "connect");
    assert_eq!((proxy.asked().len(), server.connects()), (1, 0));
}
