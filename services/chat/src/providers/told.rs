//! A provider's stream as OpenAI's, for adapters that translate event by event.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Stream, StreamExt as _};
use upstream::{Events, Failure, Reply, ReplyBody};

use super::{Answer, Piece};

/// What an adapter makes of events.
pub(super) trait Telling: Send + Unpin + 'static {
    /// What the data of an event becomes.
    ///
    /// # Errors
    /// When it reports an error, or is no event.
    fn take(&mut self, data: &[u8]) -> Result<Vec<Piece>, Failure>;

    /// What is told when the provider ends its stream. Nothing, where it should have said so before.
    fn end(&mut self) -> Vec<Piece> {
        Vec::new()
    }
}

/// Events of the wire as pieces.
struct Told<T> {
    events: Events<ReplyBody>,
    telling: T,
    /// Pieces that were not taken yet.
    ready: VecDeque<Piece>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

/// A stream that has begun well, or its failure.
pub(super) async fn begun<T: Telling>(reply: Reply, telling: T) -> Result<Answer, Failure> {
    let mut told = Told {
        events: reply.into_events(),
        telling,
        ready: VecDeque::new(),
        state: State::Open,
    };
    match told.next().await {
        Some(Ok(Piece::Chunk(first))) => Ok(Answer::Stream(first, told.boxed())),
        Some(Ok(Piece::Done)) | None => Err(Failure::malformed("the stream was empty")),
        Some(Err(failure)) => Err(failure),
    }
}

impl<T: Telling> Stream for Told<T> {
    type Item = Result<Piece, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            if self.state == State::Ended {
                return Poll::Ready(None);
            }
            let data = match ready!(self.events.poll_next_unpin(cx)) {
                Some(Ok(event)) => event.data.unwrap_or_default(),
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                None => {
                    self.state = State::Ended;
                    let last = self.telling.end();
                    self.ready.extend(last);
                    continue;
                }
            };
            // Comments keep the line alive.
            if data.trim_ascii().is_empty() {
                continue;
            }
            match self.telling.take(&data) {
                Ok(pieces) => self.ready.extend(pieces),
                Err(failure) => return Poll::Ready(Some(Err(failure))),
            }
        }
    }
}
