//! What the edge counts. Labels come from small sets: routes of the table, classes of status, a few words.

use std::{collections::HashMap, time::Duration};

use http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::router;

/// Upper bounds of the buckets, in seconds.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];
/// The label of requests that no route of the table took.
const OTHER: &str = "other";
/// The labels of classes of status, from 1xx on.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What the edge counts.
#[derive(Clone)]
pub(crate) struct Metrics {
    routes: HashMap<&'static str, RouteMetrics>,
    other: RouteMetrics,
    /// Keys known without asking billing.
    pub(crate) key_hits: Counter,
    /// Keys that billing was asked about.
    pub(crate) key_misses: Counter,
    /// Keys believed because billing could not be asked.
    pub(crate) key_graces: Counter,
    /// Keys refused without asking billing.
    pub(crate) key_refusals: Counter,
    /// Requests let through because the shared state could not count them.
    pub(crate) uncounted: Counter,
    /// Requests refused because there was more to do than could be done in time.
    pub(crate) overloaded: Counter,
    /// Heartbeats sent on open streams.
    pub(crate) heartbeats: Counter,
    /// Responses that were to be kept, and could not be.
    pub(crate) unkept: Counter,
}

/// What is counted of one route: looked up once, so that counting is two atomic additions.
#[derive(Clone)]
pub(crate) struct RouteMetrics {
    classes: [Counter; 5],
    duration: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    route: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

type Durations = Family<RouteLabel, Histogram, fn() -> Histogram>;

// === impl Metrics ===

impl Metrics {
    /// Makes the edge's metrics known to the registry.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let requests = Family::<ClassLabel, Counter>::default();
        let durations = Durations::new_with_constructor(|| Histogram::new(BUCKETS));
        let keys = Family::<ResultLabel, Counter>::default();
        let (uncounted, heartbeats) = (Counter::default(), Counter::default());
        let (unkept, overloaded) = (Counter::default(), Counter::default());
        registry.register(
            "aio_edge_overloaded",
            "Requests refused because there was more to do than could be done in time",
            overloaded.clone(),
        );
        registry.register(
            "aio_edge_requests",
            "Requests answered, by route and class of status",
            requests.clone(),
        );
        registry.register(
            "aio_edge_request_duration_seconds",
            "From the end of a request's head to the beginning of its answer",
            durations.clone(),
        );
        registry.register(
            "aio_edge_key_checks",
            "API keys checked, by where the answer came from",
            keys.clone(),
        );
        registry.register(
            "aio_edge_uncounted_requests",
            "Requests let through because the shared state could not count them",
            uncounted.clone(),
        );
        registry.register(
            "aio_edge_heartbeats",
            "Heartbeats sent on open streams",
            heartbeats.clone(),
        );
        registry.register(
            "aio_edge_unkept_responses",
            "Responses that were to be kept and could not be: too long, or chat's database is away",
            unkept.clone(),
        );
        let of = |route| RouteMetrics::of(route, &requests, &durations);
        let key = |result| keys.get_or_create(&ResultLabel { result }).clone();
        Self {
            routes: router::paths().map(|path| (path, of(path))).collect(),
            other: of(OTHER),
            key_hits: key("hit"),
            key_misses: key("miss"),
            key_graces: key("grace"),
            key_refusals: key("refused"),
            uncounted,
            overloaded,
            heartbeats,
            unkept,
        }
    }

    /// The counters of a route, by its path in the table.
    pub(crate) fn route(&self, path: Option<&str>) -> &RouteMetrics {
        path.and_then(|path| self.routes.get(path))
            .unwrap_or(&self.other)
    }
}

// === impl RouteMetrics ===

impl RouteMetrics {
    fn of(
        route: &'static str,
        requests: &Family<ClassLabel, Counter>,
        durations: &Durations,
    ) -> Self {
        Self {
            classes: CLASSES.map(|status| {
                requests
                    .get_or_create(&ClassLabel { route, status })
                    .clone()
            }),
            duration: durations.get_or_create(&RouteLabel { route }).clone(),
        }
    }

    /// Counts one answer.
    pub(crate) fn count(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.classes.get(class) {
            counter.inc();
        }
        self.duration.observe(took.as_secs_f64());
    }
}
