//! The figures of the service. Labels come from small sets: models and providers of the catalogue, words of ours.

mod kept;
mod load;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use self::{kept::GivenAgain, load::Load};

/// Every figure. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<Outcome, Counter>,
    attempts: Family<Attempt, Counter>,
    estimated: Family<Reason, Counter>,
    breakers: Family<Credential, Gauge>,
    trips: Family<Trip, Counter>,
    passed_over: Family<Credential, Counter>,
    /// What providers carry, and what failures add to it.
    pub(crate) load: Load,
    /// Charges cut to the hold because a provider reported more.
    pub(crate) overreported: Counter,
    /// Answers that could not be charged because billing was away.
    pub(crate) unbilled: Counter,
    /// Answers that are given again.
    pub(crate) kept: GivenAgain,
    /// Holds that nobody settled before they were dropped: a mistake of ours, or a process that stops.
    pub(crate) dropped: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    model: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Attempt {
    provider: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// One of our credentials at a provider, by its place in the settings: never the credential itself.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Credential {
    /// The provider's name.
    pub(crate) provider: String,
    /// Its place, from 1.
    pub(crate) credential: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Trip {
    provider: String,
    credential: u32,
    reason: &'static str,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.register_routing(registry);
        registry.register(
            "aio_chat_requests",
            "Requests that reached billing, by model and how they ended",
            metrics.requests.clone(),
        );
        registry.register(
            "aio_chat_attempts",
            "Calls to providers, by provider and how they began",
            metrics.attempts.clone(),
        );
        registry.register(
            "aio_chat_estimated",
            "Charges by estimated usage, by why the provider's was not there",
            metrics.estimated.clone(),
        );
        registry.register(
            "aio_chat_overreported",
            "Charges cut to the hold because a provider reported more",
            metrics.overreported.clone(),
        );
        registry.register(
            "aio_chat_unbilled",
            "Answers that could not be charged because billing was away",
            metrics.unbilled.clone(),
        );
        registry.register(
            "aio_chat_dropped_charges",
            "Holds released because nobody settled them",
            metrics.dropped.clone(),
        );
        metrics.kept.register(registry);
        metrics
    }

    fn register_routing(&self, registry: &mut Registry) {
        registry.register(
            "aio_chat_breaker_state",
            "Whether a provider's credential is asked: 0 yes, 1 one request tries it, 2 it is left alone",
            self.breakers.clone(),
        );
        registry.register(
            "aio_chat_breaker_trips",
            "How often a provider's credential began to be left alone, by why",
            self.trips.clone(),
        );
        registry.register(
            "aio_chat_passed_over",
            "Times a request passed over a provider's credential that is left alone",
            self.passed_over.clone(),
        );
        self.load.register(registry);
    }

    /// The figure of how a credential stands.
    pub(crate) fn breaker(&self, credential: &Credential) -> Gauge {
        self.breakers.get_or_create(credential).clone()
    }

    /// A credential is left alone from now on.
    pub(crate) fn tripped(&self, credential: &Credential, reason: &'static str) {
        let labels = Trip {
            provider: credential.provider.clone(),
            credential: credential.credential,
            reason,
        };
        self.trips.get_or_create(&labels).inc();
    }

    /// A request passed over a credential.
    pub(crate) fn passed_over(&self, credential: &Credential) {
        self.passed_over.get_or_create(credential).inc();
    }

    /// A request ended.
    pub(crate) fn ended(&self, model: &str, outcome: &'static str) {
        let labels = Outcome {
            model: model.to_owned(),
            outcome,
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// A provider was asked.
    pub(crate) fn asked(&self, provider: &str, outcome: &'static str) {
        let labels = Attempt {
            provider: provider.to_owned(),
            outcome,
        };
        self.attempts.get_or_create(&labels).inc();
    }

    /// A charge rests on an estimate.
    pub(crate) fn estimate(&self, reason: &'static str) {
        self.estimated.get_or_create(&Reason { reason }).inc();
    }
}
