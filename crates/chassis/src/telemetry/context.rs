//! The trace context where it leaves and where it arrives, as W3C says it: the header `traceparent`, or its text in a row.
//! `tracestate` is not carried: we add nothing to it, and what customers put there is not for our collector.

use http::{HeaderMap, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::sampling::Customers;

/// The header.
const TRACEPARENT: &str = "traceparent";

/// One `traceparent` on its way in or out.
struct Text<'a>(Option<&'a str>);
/// As [`Text`], to be written.
#[derive(Default)]
struct Written(String);

/// Writes the current span's context into the headers of a call that leaves. Nothing, when nothing is traced.
pub fn inject(headers: &mut HeaderMap) {
    let text = traceparent();
    if let Ok(value) = HeaderValue::try_from(text)
        && !value.is_empty()
    {
        headers.insert(TRACEPARENT, value);
    }
}

/// The current span's context, to be kept with what goes on later; empty when nothing is traced.
pub fn traceparent() -> String {
    Context::map_current(|context| {
        let mut written = Written::default();
        if context.has_active_span() {
            TraceContextPropagator::new().inject_context(context, &mut written);
        }
        written.0
    })
}

/// Makes `span` a child of the one that another service of the house named in these headers. Call it before the span is entered.
pub fn adopt(headers: &HeaderMap, span: &Span) {
    adopt_text(span, text(headers));
}

/// Makes `span` a child of the one that a customer named. Whether it is kept, the house decides and not the customer.
pub fn adopt_customers(headers: &HeaderMap, span: &Span) {
    set_parent(span, text(headers), |parent| parent.with_value(Customers));
}

/// Makes `span` a child of the one that [`traceparent`] named; of none when the text is empty. Call it before the span is
/// entered.
pub fn adopt_text(span: &Span, traceparent: &str) {
    set_parent(span, traceparent, |parent| parent);
}

/// Nothing, when the span is not traced or the text names no span.
fn set_parent(span: &Span, traceparent: &str, mark: impl FnOnce(Context) -> Context) {
    if span.is_disabled() || traceparent.is_empty() {
        return;
    }
    let parent = TraceContextPropagator::new()
        .extract_with_context(&Context::new(), &Text(Some(traceparent)));
    if parent.has_active_span() {
        // It fails when the span is for the log alone: then there is nothing to do.
        let _ = span.set_parent(mark(parent));
    }
}

fn text(headers: &HeaderMap) -> &str {
    let header = headers.get(TRACEPARENT);
    header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The current trace's id, for a line of the log.
pub(super) fn trace_id() -> Option<String> {
    Context::map_current(|context| {
        context
            .has_active_span()
            .then(|| context.span().span_context().trace_id().to_string())
    })
}

// === impl Text ===

impl Extractor for Text<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.filter(|_| key == TRACEPARENT)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

// === impl Written ===

impl Injector for Written {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT {
            self.0 = value;
        }
    }
}
