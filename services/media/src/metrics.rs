//! What media counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// How a task ended, in a small set of words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Ending {
    /// The model's slug.
    pub(crate) model: String,
    /// `completed`, or the published code of the failure.
    pub(crate) outcome: String,
}

/// Whose it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByProvider {
    /// As the configuration calls it.
    pub(crate) provider: String,
}

/// What came of a callback, in a small set of words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CallbackEnd {
    /// `hastened`, `no_effect` or `forged`.
    pub(crate) outcome: &'static str,
}

/// The metrics of media.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Tasks accepted.
    pub(crate) accepted: Counter,
    /// Tasks ended.
    pub(crate) ended: Family<Ending, Counter>,
    /// Steps under way.
    pub(crate) steps: Gauge,
    /// Submits whose outcome stayed unknown: each may have cost us something.
    pub(crate) unknown_submits: Counter,
    /// Completed tasks for which a provider says it billed more than their customers pay: our loss.
    pub(crate) overbilled: Family<ByProvider, Counter>,
    /// Jobs that ended well when nobody waited for them any more: nobody is charged.
    pub(crate) late_successes: Family<ByProvider, Counter>,
    /// Jobs that their providers billed and did not finish: our loss.
    pub(crate) wasted: Family<ByProvider, Counter>,
    /// Tasks that went on at another provider after the one that had them failed.
    pub(crate) passed_on: Family<ByProvider, Counter>,
    /// Callbacks of providers, by what came of them.
    pub(crate) callbacks: Family<CallbackEnd, Counter>,
    /// Files that customers uploaded.
    pub(crate) uploads: Counter,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "aio_media_tasks_accepted",
            "Tasks accepted",
            metrics.accepted.clone(),
        );
        registry.register(
            "aio_media_tasks_ended",
            "Tasks ended, by outcome",
            metrics.ended.clone(),
        );
        registry.register(
            "aio_media_steps",
            "Steps of tasks under way",
            metrics.steps.clone(),
        );
        registry.register(
            "aio_media_unknown_submits",
            "Paid submits whose outcome stayed unknown",
            metrics.unknown_submits.clone(),
        );
        registry.register(
            "aio_media_overbilled",
            "Completed tasks for which a provider says it billed more than the customer pays",
            metrics.overbilled.clone(),
        );
        registry.register(
            "aio_media_late_successes",
            "Jobs that ended well when nobody waited for them any more; nobody is charged",
            metrics.late_successes.clone(),
        );
        registry.register(
            "aio_media_wasted",
            "Jobs that their providers billed and did not finish",
            metrics.wasted.clone(),
        );
        registry.register(
            "aio_media_passed_on",
            "Tasks that went on elsewhere after this provider had failed them",
            metrics.passed_on.clone(),
        );
        registry.register(
            "aio_media_callbacks",
            "Callbacks of providers, by what came of them",
            metrics.callbacks.clone(),
        );
        registry.register(
            "aio_media_uploads",
            "Files that customers uploaded",
            metrics.uploads.clone(),
        );
        metrics
    }
}
