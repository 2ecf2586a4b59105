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
    /// The age of the oldest of them in seconds, as the database said when it was last asked; 0: none is open.
    pub(crate) oldest_hold: Gauge,
    /// What the last audit found.
    pub(crate) audited: Audited,
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

/// What the last audit in this process found. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audited {
    broken: Gauge,
    at: Gauge,
}

// === impl Metrics ===

impl Metrics {
    /// Makes the metrics known.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            open_holds: Gauge::default(),
            oldest_hold: Gauge::default(),
            audited: Audited::default(),
            refused_holds: Counter::default(),
            over_reports: Counter::default(),
            unknown_captures: Counter::default(),
            written_off: Counter::default(),
            expired_holds: Counter::default(),
            batch_operations: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
        };
        metrics.register_standing(registry);
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

    /// How the books stand.
    fn register_standing(&self, registry: &mut Registry) {
        registry.register(
            "aio_billing_holds_open",
            "Holds that are open in the database; every billing process tells the same",
            self.open_holds.clone(),
        );
        registry.register(
            "aio_billing_hold_oldest_seconds",
            "The age of the oldest open hold in the database, 0 if none is open; every billing process tells the same",
            self.oldest_hold.clone(),
        );
        registry.register(
            "aio_billing_audit_broken",
            "Promises that the last audit in this process found broken",
            self.audited.broken.clone(),
        );
        registry.register(
            "aio_billing_audit_timestamp_seconds",
            "When the last audit in this process ended, in seconds since 1970; 0: there was none",
            self.audited.at.clone(),
        );
    }
}

// === impl Audited ===

impl Audited {
    /// An audit ended at `now`, in microseconds since 1970, and found so many promises broken.
    pub(crate) fn ended(&self, broken: usize, now: i64) {
        self.broken.set(i64::try_from(broken).unwrap_or(i64::MAX));
        self.at.set(now / 1_000_000);
    }
}
