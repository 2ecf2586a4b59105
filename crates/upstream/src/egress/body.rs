//! The body of a guarded answer as it comes: in so many seconds at most, and not too slowly.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::error::{Cause, EgressError};
use super::pace::{Pace, Wait};

/// A body. It ends after the first error.
pub(super) struct Body {
    incoming: Incoming,
    pace: Pace,
    deadline: Instant,
    /// Fires when a limit may have passed; moved only when it fires, not with every chunk.
    timer: Pin<Box<Sleep>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

// === impl Body ===

impl Body {
    pub(super) fn new(incoming: Incoming, pace: Pace, deadline: Instant) -> Self {
        Self {
            incoming,
            pace,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
            state: State::Open,
        }
    }

    /// Its length, if it was announced, in bytes.
    pub(super) fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// Ends it: nothing more comes.
    pub(super) fn end(&mut self) {
        self.state = State::Ended;
    }

    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, EgressError>>> {
        if self.state == State::Ended {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => {
                        let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                        self.pace.came(Instant::now(), bytes);
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    // An empty chunk, or trailers: nothing for the reader.
                    Ok(_) | Err(_) => {}
                },
                Poll::Ready(Some(Err(error))) => {
                    return self.fail(EgressError::Interrupted(Cause::of(error)));
                }
                Poll::Ready(None) => {
                    self.end();
                    return Poll::Ready(None);
                }
                Poll::Pending => return self.wait(cx),
            }
        }
    }

    fn fail(&mut self, error: EgressError) -> Poll<Option<Result<Bytes, EgressError>>> {
        self.end();
        Poll::Ready(Some(Err(error)))
    }

    /// Nothing has come: how long may that last?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, EgressError>>> {
        loop {
            let now = Instant::now();
            let due = match self.pace.waits(now) {
                Wait::Until(due) if now < self.deadline => due.min(self.deadline),
                Wait::Until(_) | Wait::Over => return self.fail(EgressError::TimedOut),
            };
            if self.timer.deadline() > due || self.timer.is_elapsed() {
                self.timer.as_mut().reset(due);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Body")
            .field("pace", &self.pace)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
