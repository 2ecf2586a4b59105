//! The way back to whoever asked: a bounded channel, and how patient we are with a slow reader.

use std::time::Duration;

use chassis::rpc::Line;
use domain::charge::Ending;
use proto::{
    Fault,
    chat::v1::{CompleteEvent, complete_event::Event},
};
use tokio::sync::mpsc::{
    Receiver, Sender, channel,
    error::{SendTimeoutError, TrySendError},
};
use tokio::time::Instant;
use tonic::Status;

/// What travels: events, or the failure before the first of them.
pub(crate) type Item = Result<CompleteEvent, Status>;

/// The sending half.
pub(crate) struct Listener {
    sender: Sender<Item>,
    patience: Duration,
    since: Instant,
    /// The line to whoever tells the reader, if there is one between.
    line: Option<Line>,
}

/// Why nothing more can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The reader is gone.
    Left,
    /// The reader is there and takes nothing.
    Slow,
}

// === impl Listener ===

impl Listener {
    /// A client and where its events come out; `buffered` of them may wait.
    pub(crate) fn new(
        buffered: usize,
        patience: Duration,
        line: Option<Line>,
    ) -> (Self, Receiver<Item>) {
        let (sender, receiver) = channel(buffered);
        let listener = Self {
            sender,
            patience,
            since: Instant::now(),
            line,
        };
        (listener, receiver)
    }

    /// Since when it waits.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Completes when the reader is gone.
    pub(crate) async fn left(&self) {
        self.sender.closed().await;
    }

    /// What it was that took the reader away: if the line was cut, a death of ours, or a failure on our side of the house.
    pub(crate) fn why_left(&self) -> Ending {
        match &self.line {
            Some(line) if line.is_cut() => Ending::ProcessDied,
            Some(_) | None => Ending::ClientLeft,
        }
    }

    /// Whether the reader is gone.
    pub(crate) fn has_left(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends one event; waits for a slow reader, for a while.
    ///
    /// # Errors
    /// When it cannot be delivered.
    pub(crate) async fn send(&self, event: Event) -> Result<(), Lost> {
        self.deliver(Ok(CompleteEvent { event: Some(event) })).await
    }

    /// Says that it failed: as a status if nothing was sent yet, else as the last event.
    pub(crate) async fn fail(&self, fault: Fault, begun: Begun) {
        let item = match begun {
            Begun::No => Err(fault.into()),
            Begun::Yes => Ok(CompleteEvent {
                event: Some(Event::Failed(fault.to_wire())),
            }),
        };
        // Whoever is not there any more does not need to know.
        let _ = self.deliver(item).await;
    }

    async fn deliver(&self, item: Item) -> Result<(), Lost> {
        match self.sender.try_send(item) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Lost::Left),
            Err(TrySendError::Full(item)) => self
                .sender
                .send_timeout(item, self.patience)
                .await
                .map_err(|error| match error {
                    SendTimeoutError::Timeout(_) => Lost::Slow,
                    SendTimeoutError::Closed(_) => Lost::Left,
                }),
        }
    }
}

/// Whether anything was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// A failure is still a status.
    No,
    /// A failure is an event.
    Yes,
}
