//! What is counted. Labels come from small sets: never an account, a URL or an id.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::schedule::Next;

/// Seconds; the last bound is above the default timeout.
const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
];

/// The metrics of this room.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    attempts: Family<OutcomeLabel, Counter>,
    seconds: Histogram,
    in_flight: Gauge,
    slow: Gauge,
    refusals: Family<ReasonLabel, Counter>,
    swept: Counter,
    exhausted: Counter,
    disabled: Family<ReasonLabel, Counter>,
    repaired: Counter,
}

/// Counted as in flight, or as slow, until it is dropped.
pub(crate) struct InFlight(Gauge);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            seconds: Histogram::new(BUCKETS),
            in_flight: Gauge::default(),
            slow: Gauge::default(),
            refusals: Family::default(),
            swept: Counter::default(),
            exhausted: Counter::default(),
            disabled: Family::default(),
            repaired: Counter::default(),
        };
        registry.register(
            "aio_webhooks_exhausted",
            "Deliveries that were given up after their last attempt",
            metrics.exhausted.clone(),
        );
        registry.register(
            "aio_webhooks_endpoints_disabled",
            "Endpoints that were disabled for how they answer, by reason",
            metrics.disabled.clone(),
        );
        registry.register(
            "aio_webhooks_attempts",
            "Attempts that ended, by what follows",
            metrics.attempts.clone(),
        );
        registry.register(
            "aio_webhooks_attempt_seconds",
            "How long the other side took",
            metrics.seconds.clone(),
        );
        registry.register(
            "aio_webhooks_attempts_in_flight",
            "Attempts in flight",
            metrics.in_flight.clone(),
        );
        registry.register(
            "aio_webhooks_attempts_slow",
            "Attempts in flight that take long, or are to somebody known for that",
            metrics.slow.clone(),
        );
        registry.register(
            "aio_webhooks_egress_refusals",
            "Attempts that the egress guard refused, by reason",
            metrics.refusals.clone(),
        );
        registry.register(
            "aio_webhooks_leases_expired",
            "Attempts that a dead process left in flight",
            metrics.swept.clone(),
        );
        registry.register(
            "aio_webhooks_lanes_repaired",
            "Endpoints with something waiting that would have been forgotten, or looked at late",
            metrics.repaired.clone(),
        );
        metrics
    }

    pub(crate) fn ended(&self, next: Next) {
        let outcome = next.as_str();
        self.attempts.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    pub(crate) fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(crate) fn slow(&self) -> InFlight {
        self.slow.inc();
        InFlight(self.slow.clone())
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn exhausted(&self) {
        self.exhausted.inc();
    }

    pub(crate) fn disabled(&self, reason: &'static str) {
        self.disabled.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn swept(&self, count: u64) {
        self.swept.inc_by(count);
    }

    pub(crate) fn repaired(&self, count: u64) {
        self.repaired.inc_by(count);
    }
}

// === impl InFlight ===

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
