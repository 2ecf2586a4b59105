//! What billing counts.

use prometheus_client::{
    metrics::{
        counter::Counter,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// What billing counts. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Holds that are open, whoever opened them: as the database said when it was last asked.
    pub(crate) open_holds: Gauge,
    /// Holds refused because the balance does not cover them.
    pub(crate) refused_holds: Counter,
    /// Captures that asked for more than their hold: our loss.
    pub(crate) over_reports: Counter,
    /// Captures of holds nobody knows: our loss.
    pub(crate) unknown_captures: Counter,
    /// Micro-credits charged too late to be covered, or for holds nobody knows: our loss, on the books.
    pub(crate) written_off: Counter,
    /// Chat holds that ended by time.
    pub(crate) expired_holds: Counter,
    /// Operations in one batch.
    pub(crate) batch_operations: Histogram,
    /// From taking a batch until it is on disk.
    pub(crate) commit_seconds: Histogram,
}

// === impl Metrics ===

impl Metrics {
    /// Makes the metrics known.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            open_holds: Gauge::default(),
            refused_holds: Counter::default(),
            over_reports: Counter::default(),
            unknown_captures: Counter::default(),
            written_off: Counter::default(),
            expired_holds: Counter::default(),
            batch_operations: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
        };
        registry.register(
            "aio_billing_holds_open",
            "Holds that are open in the database; every billing process tells the same",
            metrics.open_holds.clone(),
        );
        registry.register(
            "aio_billing_holds_refused",
            "Holds refused for want of credit",
            metrics.refused_holds.clone(),
        );
        registry.register(
            "aio_billing_holds_expired",
            "Chat holds that ended by time",
            metrics.expired_holds.clone(),
        );
        registry.register(
            "aio_billing_captures_over_reported",
            "Captures cut down to their hold",
            metrics.over_reports.clone(),
        );
        registry.register(
            "aio_billing_captures_unknown",
            "Captures of holds nobody knows",
            metrics.unknown_captures.clone(),
        );
        registry.register(
            "aio_billing_written_off_microcredits",
            "Micro-credits of work that could not be charged",
            metrics.written_off.clone(),
        );
        registry.register(
            "aio_billing_batch_operations",
            "Ledger operations in one batch",
            metrics.batch_operations.clone(),
        );
        registry.register(
            "aio_billing_commit_seconds",
            "From taking a batch until it is on disk",
            metrics.commit_seconds.clone(),
        );
        metrics
    }
}
