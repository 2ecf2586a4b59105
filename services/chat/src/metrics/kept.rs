//! The figures of answers that are given again: for an Idempotency-Key, and to equal requests.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::Outcome;

/// Those figures. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenAgain {
    /// Kept answers given to whoever asked again with the same Idempotency-Key.
    pub(crate) replayed: Counter,
    /// Requests whose Idempotency-Key was taken over from a process that died, or stood still.
    pub(crate) taken_over: Counter,
    looked: Family<Outcome, Counter>,
    cached: Family<Cached, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cached {
    outcome: &'static str,
}

// === impl GivenAgain ===

impl GivenAgain {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "aio_chat_replayed",
            "Kept answers given again for an Idempotency-Key",
            self.replayed.clone(),
        );
        registry.register(
            "aio_chat_taken_over",
            "Requests whose Idempotency-Key was taken over from a process that was gone",
            self.taken_over.clone(),
        );
        registry.register(
            "aio_chat_cache_lookups",
            "Requests that asked the cache, by model and whether it had an answer",
            self.looked.clone(),
        );
        registry.register(
            "aio_chat_cache_answers",
            "Answers for the cache, by what became of them",
            self.cached.clone(),
        );
    }

    /// The cache was asked.
    pub(crate) fn looked(&self, model: &str, outcome: &'static str) {
        let labels = Outcome {
            model: model.to_owned(),
            outcome,
        };
        self.looked.get_or_create(&labels).inc();
    }

    /// An answer was to be kept for the cache.
    pub(crate) fn cached(&self, outcome: &'static str) {
        self.cached.get_or_create(&Cached { outcome }).inc();
    }
}
