//! A download through the guard: redirects checked hop by hop, and a body bounded in bytes and time.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use http::header::{CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;
use url::Url;

use super::body::Body;
use super::error::EgressError;
use super::guarded::{Caps, GuardedClient, Redirects, Target, Trust};
use super::refusal::Refusal;

/// The answer to a download: its head, and its body as a stream of chunks that ends after the first error.
pub struct Download {
    content_type: Option<String>,
    content_length: Option<u64>,
    is_part: bool,
    body: Body,
    bytes_left: u64,
    max_bytes: u64,
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
            let headers = headers(&target, trust, from);
            let request = (Method::GET, headers, Bytes::new());
            let response = client.exchange(&target, request, deadline).await?;
            let Some(location) = redirect(&response, caps.redirects) else {
                return Self::begin(client, response, (caps.max_bytes, deadline));
            };
            let max = client.max_redirects();
            if redirects == max {
                return Err(EgressError::Refused(Refusal::TooManyRedirects { max }));
            }
            redirects += 1;
            let next = hop(&target.url, &location).map_err(EgressError::Refused)?;
            target = client
                .target(next.as_str(), trust)
                .map_err(EgressError::Refused)?;
        }
    }

    fn begin(
        client: &GuardedClient,
        response: Response<Incoming>,
        (max_bytes, deadline): (u64, Instant),
    ) -> Result<Self, EgressError> {
        let status = response.status();
        if !status.is_success() {
            return Err(EgressError::Status { status });
        }
        let (head, body) = response.into_parts();
        let body = client.body(body, deadline);
        let content_length = body.length();
        if content_length.is_some_and(|length| length > max_bytes) {
            return Err(EgressError::TooLarge { max_bytes });
        }
        Ok(Self {
            content_type: text_of(&head.headers, CONTENT_TYPE),
            content_length,
            is_part: status == StatusCode::PARTIAL_CONTENT,
            body,
            bytes_left: max_bytes,
            max_bytes,
        })
    }

    fn accept(&mut self, chunk: Bytes) -> Result<Bytes, EgressError> {
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if let Some(left) = self.bytes_left.checked_sub(length) {
            self.bytes_left = left;
            return Ok(chunk);
        }
        self.body.end();
        Err(EgressError::TooLarge {
            max_bytes: self.max_bytes,
        })
    }
}

impl Stream for Download {
    type Item = Result<Bytes, EgressError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.body.poll_chunk(cx));
        Poll::Ready(next.map(|chunk| self.accept(chunk?)))
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Download")
            .field("content_type", &self.content_type)
            .field("content_length", &self.content_length)
            .field("bytes_left", &self.bytes_left)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// What is sent: where only a part is wanted, from which byte on.
fn headers(target: &Target, trust: Trust<'_>, from: u64) -> HeaderMap {
    let mut headers = match trust {
        Trust::Keyed(_, headers) if target.is_trusted() => headers.clone(),
        Trust::Public | Trust::Origin(_) | Trust::Keyed(..) => HeaderMap::new(),
    };
    let range = HeaderValue::from_str(&format!("bytes={from}-"));
    if let Some(range) = range.ok().filter(|_| from > 0) {
        headers.insert(RANGE, range);
    }
    headers
}

/// Where a redirect leads, if the answer is one and it is to be followed.
fn redirect(response: &Response<Incoming>, redirects: Redirects) -> Option<String> {
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
