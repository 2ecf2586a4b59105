//! An HTTP server that misbehaves on demand, one connection after another, and counts who connected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the server does after reading a request.
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends one byte every few milliseconds for ever.
    Drip,
    /// Sends as much as the other side takes.
    Flood,
    /// Says that the other side may go on, for ever.
    Continue,
    /// Sends a head without an end.
    Heads,
    /// Says nothing more, and keeps the connection.
    Hang,
    /// Reads the next request on the same connection.
    Again,
}

/// From the text of a request (head and body) to what is done with it.
pub(crate) type Script = fn(&str, SocketAddr) -> Vec<Step>;

/// A running server; it ends when dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    connects: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

// === impl Server ===

impl Server {
    pub(crate) async fn start(script: Script) -> Self {
        Self::start_on("127.0.0.1", script).await
    }

    /// On another address of this machine.
    pub(crate) async fn start_on(ip: &str, script: Script) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let [connects, requests] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let (counter, heard) = (Arc::clone(&connects), Arc::clone(&requests));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(stream, (script, addr), Arc::clone(&heard)));
            }
        });
        Self {
            addr,
            connects,
            requests,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn connects(&self) -> usize {
        self.connects.load(Ordering::SeqCst)
    }

    /// How many requests it has read.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// A complete answer that keeps the connection open.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Step {
    let length = body.len();
    Step::Send(
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
            .into_bytes(),
    )
}

/// The head of an answer whose body goes on until the connection ends.
pub(crate) fn open_ended(body: &str) -> Step {
    Step::Send(format!("HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n{body}").into_bytes())
}

async fn serve(
    mut stream: TcpStream,
    (script, addr): (Script, SocketAddr),
    heard: Arc<AtomicUsize>,
) {
    let mut again = true;
    while again {
        again = false;
        let Some(request) = read_request(&mut stream).await else {
            return;
        };
        heard.fetch_add(1, Ordering::SeqCst);
        for step in script(&request, addr) {
            again |= matches!(step, Step::Again);
            if act(&mut stream, step).await.is_err() {
                return;
            }
        }
    }
}

async fn act(stream: &mut TcpStream, step: Step) -> std::io::Result<()> {
    match step {
        Step::Send(bytes) => stream.write_all(&bytes).await,
        Step::Drip => loop {
            stream.write_all(b".").await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        },
        Step::Flood => loop {
            stream.write_all(&[b'x'; 16_384]).await?;
        },
        Step::Continue => loop {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        },
        Step::Heads => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream
                    .write_all(&[b"x-more: ", &[b'x'; 1_024][..], b"\r\n"].concat())
                    .await?;
            }
        }
        Step::Hang => std::future::pending().await,
        Step::Again => Ok(()),
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.ok()?;
        if read == 0 {
            return None;
        }
        text.extend_from_slice(buffer.get(..read)?);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |value| value.parse().unwrap());
            if body.len() >= length {
                return Some(so_far);
            }
        }
    }
}
