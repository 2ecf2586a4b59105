//! What calls to other services cost and how they end.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

/// Counts the calls this process makes over the network. Clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<Labels, Counter>,
    seconds: Family<PeerLabels, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    peer: &'static str,
    result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    peer: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Counts in `registry`: `rpc_calls_total` by peer and result, `rpc_call_seconds` by peer. A call ends when its
    /// answer begins.
    pub fn register(registry: &mut Registry) -> Self {
        let calls = Family::default();
        let make: fn() -> Histogram = histogram;
        let seconds = Family::new_with_constructor(make);
        registry.register(
            "rpc_calls",
            "Calls to other services, by how their answer began",
            calls.clone(),
        );
        registry.register(
            "rpc_call_seconds",
            "From a call to another service until its answer begins",
            seconds.clone(),
        );
        Self { calls, seconds }
    }

    pub(super) fn record(&self, peer: &'static str, result: String, took: Duration) {
        self.calls.get_or_create(&Labels { peer, result }).inc();
        self.seconds
            .get_or_create(&PeerLabels { peer })
            .observe(took.as_secs_f64());
    }
}

fn histogram() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}
