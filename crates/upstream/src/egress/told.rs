//! Refusals, told to the operator: counted by what the URL was for and why it was refused, and one line of the log for each. Neither has
//! anything of the URL: its path may hold secrets, and its host is the customer's affair.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tracing::info;

use super::refusal::Refusal;

/// What a URL is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To tell a customer what happened.
    Callback,
    /// To read what a request names.
    Input,
    /// To fetch what a provider made.
    Output,
}

/// The counters. All clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(Family<Why, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    purpose: &'static str,
    reason: &'static str,
}

// === impl Purpose ===

impl Purpose {
    /// A stable word for metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Callback => "callback",
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

// === impl Told ===

impl Told {
    pub(super) fn register(&self, registry: &mut Registry, name: &'static str) {
        registry.register(
            name,
            "URLs that the egress guard refused, by what they were for and why",
            self.0.clone(),
        );
    }

    pub(super) fn refused(&self, purpose: Purpose, refusal: &Refusal) {
        let (purpose, reason) = (purpose.as_str(), refusal.reason());
        self.0.get_or_create(&Why { purpose, reason }).inc();
        info!(
            purpose,
            reason,
            host = refusal.host(),
            "the egress guard refused a URL"
        );
    }
}
