//! How a trace tells of a call to a provider, in the words of OpenTelemetry's conventions for generative models: who was asked, for which
//! model, how it went and what was used. Never what was said.

use std::future::Future;

use tracing::{Instrument as _, Span, Value, debug_span, field};

use crate::Failure;

/// A call's span. It ends when it is dropped.
#[derive(Debug)]
pub struct CallSpan(Span);

/// Makes one call to a provider in a span of its own. `operation` is what is asked for, such as `chat`.
///
/// # Errors
/// What the call says.
pub async fn traced<T>(
    operation: &'static str,
    whom: (&str, &str),
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    CallSpan::begin(operation, whom).watch(call).await
}

// === impl CallSpan ===

impl CallSpan {
    /// Begins one. `operation` is what is asked for, such as `chat`.
    pub fn begin(operation: &'static str, (provider, model): (&str, &str)) -> Self {
        Self(debug_span!(
            "provider",
            otel.name = %format_args!("{operation} {model}"),
            otel.kind = "client",
            otel.status_code = field::Empty,
            gen_ai.operation.name = operation,
            gen_ai.provider.name = provider,
            gen_ai.request.model = model,
            gen_ai.request.max_tokens = field::Empty,
            gen_ai.request.stream = field::Empty,
            gen_ai.response.model = field::Empty,
            gen_ai.response.finish_reasons = field::Empty,
            gen_ai.usage.input_tokens = field::Empty,
            gen_ai.usage.cache_read.input_tokens = field::Empty,
            gen_ai.usage.output_tokens = field::Empty,
            gen_ai.usage.reasoning.output_tokens = field::Empty,
            http.response.status_code = field::Empty,
            error.type = field::Empty,
        ))
    }

    /// Makes the call within the span, and notes if it fails.
    ///
    /// # Errors
    /// What the call says.
    pub async fn watch<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let answer = call.instrument(self.0.clone()).await;
        if let Err(failure) = &answer {
            self.fail(failure.class().as_str());
            if let Some(status) = failure.status() {
                self.note("http.response.status_code", status.as_u16());
            }
        }
        answer
    }

    /// Notes one of the attributes that [`CallSpan::begin`] leaves open.
    pub fn note(&self, attribute: &'static str, value: impl Value) {
        self.0.record(attribute, value);
    }

    /// Notes why it failed: a word from a small set.
    pub fn fail(&self, why: &'static str) {
        self.note("otel.status_code", "error");
        self.note("error.type", why);
    }

    /// Whether anybody looks at it.
    pub fn is_seen(&self) -> bool {
        !self.0.is_disabled()
    }
}
