//! A provider on loopback that answers everything with the same bytes, whatever it is asked: for what reads answers.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What it answers: a status, and a body.
type Answer = Arc<Mutex<(u16, Vec<u8>)>>;

/// The provider.
#[derive(Clone, Debug)]
pub struct Parrot {
    address: SocketAddr,
    answer: Answer,
}

// === impl Parrot ===

impl Parrot {
    /// Starts it. It is to be served by whoever started it: [`Parrot::serve`].
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> io::Result<(Self, TcpListener)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let parrot = Self {
            address: listener.local_addr()?,
            answer: Arc::default(),
        };
        Ok((parrot, listener))
    }

    /// From now on, it answers this.
    pub fn says(&self, status: u16, body: &[u8]) {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        *answer = (status, body.to_vec());
    }

    /// Where it is: `http://127.0.0.1:PORT/p/`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}/p/", self.address)
    }

    /// Serves one after another, for ever.
    pub async fn serve(self, listener: TcpListener) {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                // Whoever asked may have left.
                let _ = self.answer(stream).await;
            }
        }
    }

    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut asked = Vec::new();
        while !is_whole(&asked) {
            if stream.read_buf(&mut asked).await? == 0 {
                break;
            }
        }
        let (status, body) = {
            let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
            answer.clone()
        };
        let head = format!(
            "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown().await
    }
}

/// Whether a request has come to its end.
fn is_whole(asked: &[u8]) -> bool {
    let Some(head) = asked.windows(4).position(|end| end == b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(&asked[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let body = asked.len().saturating_sub(head.saturating_add(4));
    body >= length.unwrap_or(0)
}
