//! Which traces are kept. The house decides where a request comes in; everybody behind follows, by the flag in `traceparent`.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// Marks a parent that a customer named: its flag says what the customer keeps, not what the house does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Customers;

/// The house's rule.
#[derive(Clone, Debug)]
pub(super) struct Sampling {
    /// Where a trace begins for us.
    first: Sampler,
    /// Behind that.
    later: Sampler,
}

// === impl Sampling ===

impl Sampling {
    /// Keeps this part of all traces, by their ids.
    pub(super) fn new(ratio: f64) -> Self {
        let first = Sampler::TraceIdRatioBased(ratio);
        Self {
            later: Sampler::ParentBased(Box::new(first.clone())),
            first,
        }
    }
}

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let customers = parent.is_some_and(|parent| parent.get::<Customers>().is_some());
        let sampler = if customers { &self.first } else { &self.later };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}
