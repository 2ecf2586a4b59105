//! One HTTP/1.1 connection that sends the same request again and again. It reads answers just far enough to know where
//! they end.

use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

const BUFFER: usize = 64 * 1024;
const HEADERS: usize = 64;
/// How a chunked body of JSON ends.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// An open connection, with the last answer in its buffer.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What an answer says about itself.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the connection may be used again.
    pub(crate) reusable: bool,
    /// When the first byte of the body was there.
    pub(crate) first: Instant,
}

/// Where an answer's head ends, and how its body does.
struct Head {
    answer: Answer,
    length: usize,
    body: Body,
}

enum Body {
    Length(usize),
    Chunked,
}

// === impl Connection ===

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::with_capacity(BUFFER);
        Ok(Self { stream, buffer })
    }

    /// Sends `request` and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let mut head = loop {
            self.read().await?;
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
        };
        while self.buffer.len() <= head.length && !head.is_complete(&self.buffer) {
            self.read().await?;
        }
        head.answer.first = Instant::now();
        while !head.is_complete(&self.buffer) {
            self.read().await?;
        }
        Ok(head.answer)
    }

    /// The last answer as text, as far as it is text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// The bytes of the last answer, with its head.
    pub(crate) fn received(&self) -> usize {
        self.buffer.len()
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

// === impl Head ===

impl Head {
    /// The head at the beginning of `buffer`, if all of it is there.
    fn parse(buffer: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(buffer).map_err(io::Error::other)?;
        let httparse::Status::Complete(length) = parsed else {
            return Ok(None);
        };
        let header = |name: &str| {
            let mut headers = response.headers.iter();
            let found = headers.find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let bytes = header("content-length").and_then(|bytes| bytes.parse().ok());
        let reusable = header("connection") != Some("close");
        let status = response.code.unwrap_or_default();
        Ok(Some(Self {
            answer: Answer {
                status,
                reusable,
                first: Instant::now(),
            },
            length,
            body: bytes.map_or(Body::Chunked, Body::Length),
        }))
    }

    fn is_complete(&self, buffer: &[u8]) -> bool {
        match self.body {
            Body::Length(bytes) => buffer.len() >= self.length + bytes,
            Body::Chunked => buffer.ends_with(LAST_CHUNK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(answer: &str) -> bool {
        let head = Head::parse(answer.as_bytes()).unwrap();
        head.is_some_and(|head| head.is_complete(answer.as_bytes()))
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        assert!(!complete("HTTP/1.1 200 OK\r\nContent-Le"));
        assert!(!complete(&format!("{head}{{")));
        assert!(complete(&format!("{head}{{}}")));
    }

    #[test]
    fn a_chunked_answer_ends_with_its_last_chunk() {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(!complete(&format!("{head}2\r\n{{}}\r\n")));
        assert!(complete(&format!("{head}2\r\n{{}}\r\n0\r\n\r\n")));
    }

    #[test]
    fn a_connection_that_closes_is_not_used_again() {
        let answer = b"HTTP/1.1 429 Slow\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let answer = Head::parse(answer).unwrap().unwrap().answer;
        assert!(answer.status == 429 && !answer.reusable);
    }
}
