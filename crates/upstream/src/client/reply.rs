//! The answer of a provider: its head, and a body that is bounded in bytes, in silence and in time, however it is read.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::UpstreamConfig;
use crate::failure::{Failure, Wait};
use crate::sse::Events;

/// A 2xx answer.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: ReplyBody,
    max_event_bytes: usize,
}

/// The body of a reply as a stream of chunks. It ends after the first failure.
pub struct ReplyBody {
    body: Incoming,
    /// Fires at the earliest moment at which a limit may have passed; moved only when it fires, not with every chunk.
    timer: Pin<Box<Sleep>>,
    /// Since when the provider has been silent while somebody wants more. A slow reader is not the provider's silence.
    waiting_since: Option<Instant>,
    idle_timeout: Duration,
    deadline: Instant,
    bytes_left: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

// === impl Reply ===

impl Reply {
    pub(super) fn new(
        response: Response<Incoming>,
        limits: &UpstreamConfig,
        (deadline, max_bytes): (Instant, u64),
    ) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: ReplyBody::new(body, limits, (deadline, max_bytes)),
            max_event_bytes: limits.max_event_bytes,
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Class::Unknown`](crate::Class::Unknown) when it breaks off or a limit of time passes,
    /// [`Class::Malformed`](crate::Class::Malformed) when it is larger than it may be.
    pub async fn bytes(mut self) -> Result<Bytes, Failure> {
        let Some(first) = self.body.next().await else {
            return Ok(Bytes::new());
        };
        let first = first?;
        // Most answers are one chunk, which then needs no copy.
        let Some(second) = self.body.next().await else {
            return Ok(first);
        };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second?);
        while let Some(chunk) = self.body.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole.freeze())
    }

    /// The body chunk by chunk.
    #[must_use]
    pub fn into_body(self) -> ReplyBody {
        self.body
    }

    /// The body as server-sent events, each of at most `max_event_bytes`.
    #[must_use]
    pub fn into_events(self) -> Events<ReplyBody> {
        Events::new(self.body, self.max_event_bytes)
    }

    /// As much of the body as comes within the limits, at most `max_bytes`.
    pub(super) async fn beginning(mut self, max_bytes: u64) -> Bytes {
        let max = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let mut start = BytesMut::new();
        while start.len() < max {
            let Some(Ok(chunk)) = self.body.next().await else {
                break;
            };
            start.extend_from_slice(&chunk);
        }
        start.truncate(max);
        start.freeze()
    }
}

// === impl ReplyBody ===

impl ReplyBody {
    fn new(body: Incoming, limits: &UpstreamConfig, (deadline, max_bytes): (Instant, u64)) -> Self {
        let idle_at = Instant::now() + limits.idle_timeout;
        Self {
            body,
            timer: Box::pin(sleep_until(idle_at.min(deadline))),
            waiting_since: None,
            idle_timeout: limits.idle_timeout,
            deadline,
            bytes_left: max_bytes,
            state: State::Open,
        }
    }

    fn fail(&mut self, failure: Failure) -> Poll<Option<Result<Bytes, Failure>>> {
        self.state = State::Ended;
        Poll::Ready(Some(Err(failure)))
    }

    fn accept(&mut self, chunk: Bytes) -> Poll<Option<Result<Bytes, Failure>>> {
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let Some(left) = self.bytes_left.checked_sub(length) else {
            return self.fail(Failure::malformed("the answer is too large"));
        };
        self.bytes_left = left;
        self.waiting_since = None;
        Poll::Ready(Some(Ok(chunk)))
    }

    /// Nothing has come: how long may that last?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let idle_at = since + self.idle_timeout;
        let due = idle_at.min(self.deadline);
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() < due {
                self.timer.as_mut().reset(due);
                continue;
            }
            let wait = if due == self.deadline {
                Wait::End
            } else {
                Wait::NextByte
            };
            return self.fail(Failure::timed_out(wait));
        }
        Poll::Pending
    }
}

impl Stream for ReplyBody {
    type Item = Result<Bytes, Failure>;

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
                Poll::Ready(Some(Err(error))) => return this.fail(Failure::receiving(error)),
                Poll::Ready(None) => {
                    this.state = State::Ended;
                    return Poll::Ready(None);
                }
                Poll::Pending => return this.wait(cx),
            }
        }
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ReplyBody")
            .field("bytes_left", &self.bytes_left)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
