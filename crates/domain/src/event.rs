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
    /// An event could not be delivered: its last attempt failed, or the other side said that it is gone.
    WebhookExhausted,
    /// An endpoint is sent nothing any more, because of how it answered.
    WebhookDisabled,
}

// === impl EventType ===

impl EventType {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::TaskProcessing,
        Self::TaskCompleted,
        Self::TaskFailed,
        Self::BalanceLow,
        Self::WebhookExhausted,
        Self::WebhookDisabled,
    ];
    /// Those that are told to registered endpoints. How a task goes on and ended is told to the URL that its request names.
    pub const OF_ENDPOINTS: &[Self] = &[
        Self::BalanceLow,
        Self::WebhookExhausted,
        Self::WebhookDisabled,
    ];

    /// Finds one by its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == word)
    }

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
            Self::WebhookExhausted => "webhook.exhausted",
            Self::WebhookDisabled => "webhook.disabled",
        }
    }
}
