//! A doorbell: publish an id, receive it, settle it. A message is an id and nothing else; the row of that id in SQL says
//! what to do, so a queue that loses everything costs time and no work (the sweepers ring again).
//!
//! What a queue promises, and `conformance` checks:
//! - at least once: what was published is delivered until it is acknowledged, and a delivery that is dropped unsettled
//!   comes back, whoever dropped it and why;
//! - one receiver at a time: while a delivery is unsettled, nobody else gets that message;
//! - topics know nothing of each other.
//!
//! What it does not promise: order, and once only. The same id published twice may be delivered twice, so a receiver
//! claims its row before it works. Delays do not exist here: "look again at ten" is a column in SQL.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod memory;
pub mod rabbit;

/// A failure of the queue itself, never of the work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The topic holds as many unsettled messages as it may. The publisher keeps its outbox row and tries again later.
    #[error("queue topic is full")]
    Full,
    /// The queue has been closed: this process stops. A receiver ends.
    #[error("queue is closed")]
    Closed,
    /// The broker is away, or did not say that it holds the message: whether it does is not known. The publisher keeps its
    /// outbox row and tries again later.
    #[error("queue is not available")]
    Unavailable,
    /// The broker is there and cannot be used as it is, for the reason given. Only at the start.
    #[error("the message broker cannot be used: {0}")]
    Refused(String),
    /// A setting or a topic's name is wrong.
    #[error("{0}")]
    Setting(String),
}

/// A queue with at-least-once delivery.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Returns once the queue holds the message. After an error, or when the call is cancelled, the message may or may not
    /// be there: the publisher keeps its row and publishes again.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`] and [`Error::Closed`].
    async fn publish(&self, topic: &str, id: [u8; 16]) -> Result<(), Error>;

    /// Waits for the next message of a topic, also while the broker is away. Any number of receivers may share one.
    /// Cancelling the wait loses nothing.
    ///
    /// # Errors
    /// [`Error::Closed`], also to those who already wait; [`Error::Unavailable`], after a while, when the broker is there and
    /// cannot be used.
    async fn receive(&self, topic: &str) -> Result<Delivery, Error>;

    /// Whether messages can be published at this moment, as far as is known here. While they cannot, work is found in SQL.
    fn is_available(&self) -> bool;
}

/// The queue as services hold it.
pub type SharedQueue = Arc<dyn Queue>;

/// One message, and the duty to settle it: [`ack`](Self::ack) it once the work is claimed in SQL, or drop it and it is
/// delivered again. Dropping is not a way to wait: it may come back at once.
#[must_use = "a delivery that is dropped is delivered again"]
pub struct Delivery {
    /// What was published.
    pub id: [u8; 16],
    settlement: Box<dyn Settle>,
}

/// The other half of a [`Delivery`], made by an implementation: being dropped without an `ack` puts the message back.
#[async_trait]
pub trait Settle: Send + Sync {
    /// Ends the message.
    ///
    /// # Errors
    /// [`Error::Closed`] or [`Error::Unavailable`] when the queue cannot be told any more.
    async fn ack(self: Box<Self>) -> Result<(), Error>;
}

// === impl Delivery ===

impl Delivery {
    /// For implementations of [`Queue`].
    pub fn new(id: [u8; 16], settlement: Box<dyn Settle>) -> Self {
        Self { id, settlement }
    }

    /// The work has been taken over: the message does not return.
    ///
    /// # Errors
    /// [`Error::Closed`] or [`Error::Unavailable`] when the queue cannot be told any more; the message is then delivered again.
    pub async fn ack(self) -> Result<(), Error> {
        self.settlement.ack().await
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
