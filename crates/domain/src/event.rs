//! What customers are told of by webhooks.

/// The type of an event: the word in its body and in an endpoint's filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// A task that is made piece by piece has got further.
    TaskProcessing,
    /// A task has ended and was delivered.
    TaskCompleted,
    /// A task has ended without a result.
    TaskFailed,
    /// A balance has fallen below the amount its customer named.
    BalanceLow,
    /// An order was paid, and its credit given.
    OrderPaid,
    /// Money that was paid for an order was given back.
    RefundIssued,
    /// A key has spent what it may in a day, in a month or in all.
    KeyCapReached,
}

// === impl EventType ===

impl EventType {
    /// Those that are told to registered endpoints: all. How a task goes on and ended is told to the URL that its request names as well.
    pub const OF_ENDPOINTS: &[Self] = &[
        Self::TaskProcessing,
        Self::TaskCompleted,
        Self::TaskFailed,
        Self::BalanceLow,
        Self::OrderPaid,
        Self::RefundIssued,
        Self::KeyCapReached,
    ];

    /// Finds one that endpoints are told by its word.
    pub fn of_endpoints(word: &str) -> Option<Self> {
        let mut known = Self::OF_ENDPOINTS.iter().copied();
        known.find(|known| known.as_str() == word)
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskProcessing => "task.processing",
            Self::TaskCompleted => "task.completed",
            Self::TaskFailed => "task.failed",
            Self::BalanceLow => "balance.low",
            Self::OrderPaid => "order.paid",
            Self::RefundIssued => "refund.issued",
            Self::KeyCapReached => "key.cap_reached",
        }
    }
}
