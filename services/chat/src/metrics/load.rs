//! The figures of what providers carry: how many requests are open there, and what failures add.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Credential, Reason};

/// Those figures. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    in_flight: Family<Credential, Gauge>,
    full: Family<Credential, Counter>,
    failovers: Family<Reason, Counter>,
    /// Calls that were not made because their model's budget of extra calls was spent.
    pub(crate) over_budget: Counter,
}

// === impl Load ===

impl Load {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "aio_chat_in_flight",
            "Requests that are open at a provider now, by credential; those of test keys are the provider sandbox's",
            self.in_flight.clone(),
        );
        registry.register(
            "aio_chat_full",
            "Times a request found no room at a provider's credential",
            self.full.clone(),
        );
        registry.register(
            "aio_chat_failovers",
            "Times another candidate was asked for the same request, by why; unknown: no first byte came in time, which may be \
             billed to us",
            self.failovers.clone(),
        );
        registry.register(
            "aio_chat_over_budget",
            "Times no other candidate was asked because too many requests for the model needed one",
            self.over_budget.clone(),
        );
    }

    /// The figure of how many requests are open with a credential.
    pub(crate) fn in_flight(&self, credential: &Credential) -> Gauge {
        self.in_flight.get_or_create(credential).clone()
    }

    /// A request found no room at a credential.
    pub(crate) fn was_full(&self, credential: &Credential) {
        self.full.get_or_create(credential).inc();
    }

    /// Another candidate is asked.
    pub(crate) fn failed_over(&self, reason: &'static str) {
        self.failovers.get_or_create(&Reason { reason }).inc();
    }
}
