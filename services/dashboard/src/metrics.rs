//! What the dashboard counts. Labels come from small sets: routes of the table, classes of status.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

/// Upper bounds of the buckets, in seconds.
const BUCKETS: [f64; 9] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0];
/// The label of requests that no route of the table took.
const OTHER: &str = "other";

/// What the dashboard counts.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Family<Label, Counter>,
    duration: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    route: String,
    status: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Makes them known to the registry.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            duration: Histogram::new(BUCKETS),
        };
        registry.register(
            "aio_dashboard_requests",
            "Pages asked for, by route and class of status",
            metrics.requests.clone(),
        );
        registry.register(
            "aio_dashboard_request_seconds",
            "Seconds until a page was made",
            metrics.duration.clone(),
        );
        metrics
    }

    /// A request was answered. `route` is a path of the table; `None`: it was none of them.
    pub(crate) fn answered(&self, route: Option<&str>, status: StatusCode, took: Duration) {
        let status = match status.as_u16() {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        let route = route.unwrap_or(OTHER).to_owned();
        self.requests.get_or_create(&Label { route, status }).inc();
        self.duration.observe(took.as_secs_f64());
    }
}
