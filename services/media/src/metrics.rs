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
            "aio_media_uploads",
            "Files that customers uploaded",
            metrics.uploads.clone(),
        );
        metrics
    }
}
