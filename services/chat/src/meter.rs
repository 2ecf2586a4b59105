//! Hands a stream on, event by event, and counts. Keeps back what may leave only after the charge is booked.
//!
//! What is kept for an Idempotency-Key is heard to its end, whether anybody reads it or not; what is kept for equal requests alone is not.
//!
//! The usage event is always kept back; so is an event that carries usage and a finish reason together (Google's do). If more
//! follows, it was not the last one, and is sent. A provider that goes on far beyond its limit of output is stopped: the answer ends there, for
//! its length. `[DONE]` is never sent from here: the edge writes it behind the tail.

use std::pin::pin;

use bytes::Bytes;
use chassis::failpoint::{Point, reach};
use futures::StreamExt as _;
use proto::chat::v1::complete_event::Event;
use tokio::time::Instant;
use upstream::Failure;

use crate::{
    bill::Tally,
    kept::Keeping,
    limit::Limit,
    listener::{Listener, Lost},
    providers::{Chunk, Piece, Pieces},
    request::Wanted,
    scan::{Choices, Finish},
};

/// Usage events of one stream that are kept back at most; a provider that sends more of them sends running totals.
const MAX_KEPT_BACK: usize = 4;

/// What came of a stream.
pub(crate) struct Metered {
    /// What was counted.
    pub(crate) tally: Tally,
    /// The last events, not yet sent.
    pub(crate) kept_back: Vec<Bytes>,
    /// The first event: what all of them have in common.
    pub(crate) first: Bytes,
    /// What was sent, where it is kept.
    pub(crate) keeping: Option<Keeping>,
    /// When the first text came.
    pub(crate) first_text: Option<Instant>,
    /// The reason of its end, if one came.
    pub(crate) finish: Option<Finish>,
    /// Why the reader got no more, although the provider was heard to its end.
    pub(crate) lost: Option<Lost>,
    /// Why it ended.
    pub(crate) end: End,
}

/// Why a stream ended.
pub(crate) enum End {
    /// The provider said so.
    Done,
    /// The provider failed, or fell silent, or broke off.
    Broken(Failure),
    /// It was stopped: the provider went on beyond its limit.
    Passed,
    /// Nobody reads any more, or not fast enough.
    Lost(Lost),
}

/// The state of one stream.
struct Meter<'a> {
    listener: &'a Listener,
    wanted: Wanted,
    limit: Limit,
    metered: Metered,
    /// Whether a finish reason came.
    finished: bool,
}

/// Sends everything but the end of a stream to the listener. Stops the provider by dropping it when the listener is lost, unless
/// all of the answer is kept.
pub(crate) async fn metered(
    (first, mut rest): (Chunk, Pieces),
    listener: &Listener,
    (wanted, limit): (Wanted, Limit),
    (tally, keeping): (Tally, Option<Keeping>),
) -> Metered {
    let mut meter = Meter {
        listener,
        wanted,
        limit,
        finished: false,
        metered: Metered {
            tally,
            kept_back: Vec::new(),
            first: first.data.clone(),
            keeping,
            first_text: None,
            finish: None,
            lost: None,
            end: End::Done,
        },
    };
    let mut left = pin!(listener.left());
    let mut sent = meter.take(first).await;
    loop {
        if let Err(lost) = sent {
            return meter.end(End::Lost(lost));
        }
        if limit.is_passed(meter.metered.tally.content_bytes) {
            // Dropping it stops the provider.
            drop(rest);
            return meter.pass().await;
        }
        let piece = tokio::select! {
            biased;
            () = &mut left, if !meter.keeps() => return meter.end(End::Lost(Lost::Left)),
            piece = rest.next() => piece,
        };
        sent = match piece {
            Some(Ok(Piece::Chunk(chunk))) => meter.take(chunk).await,
            Some(Ok(Piece::Done)) => return meter.end(End::Done),
            Some(Err(failure)) => return meter.end(End::Broken(failure)),
            // Some servers leave [DONE] out; what is finished and accounted for is whole.
            None if meter.finished && meter.metered.tally.is_reported() => {
                return meter.end(End::Done);
            }
            None => return meter.end(End::Broken(Failure::malformed("the stream broke off"))),
        };
    }
}

// === impl Meter ===

impl Meter<'_> {
    /// Counts an event, and sends it or keeps it back.
    async fn take(&mut self, chunk: Chunk) -> Result<(), Lost> {
        reach(Point::ChatMidStream);
        let Chunk { data, signs, text } = self.limit.told(chunk);
        let tally = &mut self.metered.tally;
        if signs.content_bytes > 0 && self.metered.first_text.is_none() {
            self.metered.first_text = Some(Instant::now());
        }
        self.metered.finish = signs.finish.or(self.metered.finish);
        self.finished |= signs.choices == Choices::Finished;
        if signs.usage {
            tally.report(&data);
        }
        tally.hear(&text, signs.content_bytes);
        let usage_only = signs.usage && signs.choices == Choices::Empty;
        if usage_only && self.wanted != Wanted::StreamWithUsage {
            return Ok(());
        }
        if usage_only && self.metered.kept_back.len() < MAX_KEPT_BACK {
            self.metered.kept_back.push(data);
            return Ok(());
        }
        for kept_back in std::mem::take(&mut self.metered.kept_back) {
            self.send(kept_back).await?;
        }
        if signs.usage && signs.choices != Choices::Open {
            self.metered.kept_back.push(data);
            return Ok(());
        }
        self.send(data).await
    }

    /// Ends the answer that its provider did not end.
    async fn pass(mut self) -> Metered {
        self.metered.finish = Some(Finish::Length);
        let last = self.limit.end(&self.metered.first);
        // What is kept back tells of usage, and comes behind the charge.
        match self.send(last).await {
            Ok(()) => self.end(End::Passed),
            Err(lost) => self.end(End::Lost(lost)),
        }
    }

    /// Sends an event, and keeps it.
    async fn send(&mut self, data: Bytes) -> Result<(), Lost> {
        if let Some(keeping) = &mut self.metered.keeping {
            keeping.add(&data);
        }
        // What follows a gap is sent to nobody.
        if self.metered.lost.is_none() {
            self.metered.lost = self.listener.send(Event::Data(data)).await.err();
        }
        match self.metered.lost {
            Some(lost) if !self.keeps() => Err(lost),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the answer is worth hearing without a reader.
    fn keeps(&self) -> bool {
        let keeping = self.metered.keeping.as_ref();
        keeping.is_some_and(Keeping::outlives_reader)
    }

    fn end(self, end: End) -> Metered {
        Metered {
            end,
            ..self.metered
        }
    }
}
