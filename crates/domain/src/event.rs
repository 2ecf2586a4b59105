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
    /// An event could not be delivered: its last attempt failed.
    WebhookExhausted,
    /// An endpoint is sent nothing any more, because of how it answered.
    WebhookDisabled,
}

// === impl EventType ===

impl EventType {
    /// All of them. Registered endpoints may be told each; how a task goes on and ended is told to the URL that its request names as well.
    pub const ALL: &[Self] = &[
        Self::TaskProcessing,
        Self::TaskCompleted,
        Self::TaskFailed,
        Self::BalanceLow,
        Self::OrderPaid,
        Self::RefundIssued,
        Self::KeyCapReached,
        Self::WebhookExhausted,
        Self::WebhookDisabled,
    ];

    /// Finds one by its word.
    pub fn parse(word: &str) -> Option<Self> {
        let mut known = Self::ALL.iter().copied();
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
            Self::WebhookExhausted => "webhook.exhausted",
            Self::WebhookDisabled => "webhook.disabled",
        }
    }
}
