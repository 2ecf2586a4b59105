//! A download through the guard: redirects checked hop by hop, and a body bounded in bytes and time.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::header::{CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body;
use tokio::time::Instant;
use url::Url;

use super::guarded::{Caps, EgressError, GuardedClient, Redirects, Target, Trust};
use super::refusal::Refusal;

/// The answer to a download: its head, and its body as a stream of chunks that ends after the first error.
pub struct Download {
    content_type: Option<String>,
    content_length: Option<u64>,
    is_part: bool,
    body: reqwest::Body,
    bytes_left: u64,
    max_bytes: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

// === impl Download ===

impl Download {
    /// The `Content-Type` as the other side claims it.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The length the other side announced, in bytes.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether the other side gives a part of it, as it was asked.
    #[must_use]
    pub const fn is_part(&self) -> bool {
        self.is_part
    }

    pub(super) async fn open(
        (client, text): (&GuardedClient, &str),
        trust: Trust<'_>,
        caps: &Caps,
        from: u64,
    ) -> Result<Self, EgressError> {
        let deadline = Instant::now() + caps.timeout;
        let mut target = client.target(text, trust).map_err(EgressError::Refused)?;
        let mut redirects = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let response = client
                .exchange(&target, request(&target, left, (trust, from)))
                .await?;
            let Some(location) = redirect(&response, caps.redirects) else {
                return Self::begin(response, caps.max_bytes);
            };
            if redirects == client.max_redirects {
                let max = client.max_redirects;
                return Err(EgressError::Refused(Refusal::TooManyRedirects { max }));
            }
            redirects += 1;
            let next = hop(&target.url, &location).map_err(EgressError::Refused)?;
            target = client
                .target(next.as_str(), trust)
                .map_err(EgressError::Refused)?;
        }
    }

    fn begin(response: reqwest::Response, max_bytes: u64) -> Result<Self, EgressError> {
        let status = response.status();
        if !status.is_success() {
            return Err(EgressError::Status { status });
        }
        let content_length = response.content_length();
        if content_length.is_some_and(|length| length > max_bytes) {
            return Err(EgressError::TooLarge { max_bytes });
        }
        let (head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        Ok(Self {
            content_type: text_of(&head.headers, CONTENT_TYPE),
            content_length,
            is_part: status == StatusCode::PARTIAL_CONTENT,
            body,
            bytes_left: max_bytes,
            max_bytes,
            state: State::Open,
        })
    }

    fn fail(&mut self, error: EgressError) -> Poll<Option<Result<Bytes, EgressError>>> {
        self.state = State::Ended;
        Poll::Ready(Some(Err(error)))
    }

    fn accept(&mut self, chunk: Bytes) -> Poll<Option<Result<Bytes, EgressError>>> {
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        match self.bytes_left.checked_sub(length) {
            Some(left) => {
                self.bytes_left = left;
                Poll::Ready(Some(Ok(chunk)))
            }
            None => {
                let max_bytes = self.max_bytes;
                self.fail(EgressError::TooLarge { max_bytes })
            }
        }
    }
}

impl Stream for Download {
    type Item = Result<Bytes, EgressError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.state == State::Ended {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => return this.accept(chunk),
                    // An empty chunk, or trailers: nothing for the reader.
                    Ok(_) | Err(_) => {}
                },
                Poll::Ready(Some(Err(error))) => return this.fail(EgressError::from(error)),
                Poll::Ready(None) => {
                    this.state = State::Ended;
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Download")
            .field("content_type", &self.content_type)
            .field("content_length", &self.content_length)
            .field("bytes_left", &self.bytes_left)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

fn request(target: &Target, left: Duration, (trust, from): (Trust<'_>, u64)) -> reqwest::Request {
    let mut request = reqwest::Request::new(Method::GET, target.url.clone());
    *request.timeout_mut() = Some(left);
    if let (Trust::Keyed(_, headers), true) = (trust, target.is_trusted()) {
        *request.headers_mut() = headers.clone();
    }
    let range = HeaderValue::from_str(&format!("bytes={from}-"));
    if let Some(range) = range.ok().filter(|_| from > 0) {
        request.headers_mut().insert(RANGE, range);
    }
    request
}

/// Where a redirect leads, if the answer is one and it is to be followed.
fn redirect(response: &reqwest::Response, redirects: Redirects) -> Option<String> {
    let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    match redirects {
        Redirects::Follow if moved => text_of(response.headers(), LOCATION),
        Redirects::Follow | Redirects::Refuse => None,
    }
}

/// The next URL, which the policy then judges like the first.
fn hop(from: &Url, location: &str) -> Result<Url, Refusal> {
    let next = from.join(location).map_err(|_| Refusal::Malformed)?;
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err(Refusal::Downgrade);
    }
    Ok(next)
}

fn text_of(headers: &HeaderMap, name: http::HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_never_leaves_tls() {
        let from = Url::parse("https://example.com/a/b?c").expect("a URL");
        let to = |location| hop(&from, location).map(String::from);
        assert_eq!(
            to("//other.example/x"),
            Ok("https://other.example/x".to_owned())
        );
        assert_eq!(to("../x"), Ok("https://example.com/x".to_owned()));
        assert_eq!(to("http://example.com/a"), Err(Refusal::Downgrade));
        assert_eq!(to("https://["), Err(Refusal::Malformed));
    }
}
