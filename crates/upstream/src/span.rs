//! How a trace tells of a call to a provider: who was asked, for which model, and how it went. Never what was said.

use std::future::Future;

use tracing::{Instrument as _, Span, debug_span, field};

use crate::Failure;

/// Makes one call to a provider in a span of its own. `operation` is what is asked for, such as `chat`.
///
/// # Errors
/// What the call says.
pub async fn traced<T>(
    operation: &'static str,
    (provider, model): (&str, &str),
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let span = debug_span!(
        "provider",
        otel.name = %format_args!("{operation} {model}"),
        otel.kind = "client",
        otel.status_code = field::Empty,
        gen_ai.operation.name = operation,
        gen_ai.provider.name = provider,
        gen_ai.request.model = model,
        http.response.status_code = field::Empty,
        error.type = field::Empty,
    );
    let answer = call.instrument(span.clone()).await;
    if let Err(failure) = &answer {
        note(&span, failure);
    }
    answer
}

fn note(span: &Span, failure: &Failure) {
    span.record("otel.status_code", "error");
    span.record("error.type", failure.class().as_str());
    if let Some(status) = failure.status() {
        span.record("http.response.status_code", status.as_u16());
    }
}
