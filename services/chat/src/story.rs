//! What traces and figures are told of one request: when what happened, who was asked, and what was used. Nobody decides anything by it.

use std::{future::Future, sync::OnceLock, time::Duration};

use chassis::telemetry::exports_traces;
use domain::{Micros, OperationId, Usage, charge::Ending, conventional_name};
use tokio::time::Instant;
use tracing::{Span, field, info_span};
use upstream::{CallSpan, Failure};

use crate::{
    figures::{CHAT, EMBEDDINGS, Figures, input_of, output_of},
    meter::Metered,
    plan::Plan,
    providers::{Chunk, Order},
    reply::model_of,
    request::{Request, Wanted},
    scan::Finish,
};

/// One call to a provider.
pub(crate) struct Call {
    /// Our name of the model.
    model: String,
    provider: String,
    since: Instant,
    /// Its place in the trace, which ends with its answer.
    span: Option<CallSpan>,
    /// How long it took, and why it failed.
    failed: Option<(Duration, &'static str)>,
}

/// One request.
pub(crate) struct Story {
    /// When it came.
    began: Instant,
    /// The call that answers.
    call: Option<Call>,
    heard: OnceLock<Heard>,
    /// What is charged for.
    used: OnceLock<(Usage, Micros)>,
}

/// What came of an answer.
struct Heard {
    /// When the first text of a stream came.
    first: Option<Instant>,
    /// When the last byte did.
    last: Instant,
}

/// What a request is called by the conventions.
fn operation(request: &Request) -> &'static str {
    if request.inputs > 0 { EMBEDDINGS } else { CHAT }
}

/// The span of a request for the log.
pub(crate) fn line(request: &str, id: OperationId) -> Span {
    info_span!("chat", request, operation = %id, otel.kind = "internal")
}

/// The span of a request that is run: what it is told at its end is left open.
pub(crate) fn span(plan: &Plan) -> Span {
    if !exports_traces() {
        return line(&plan.caller.request_id, plan.operation);
    }
    let (operation, model) = (operation(&plan.request), plan.answering.model.as_str());
    info_span!(
        "chat",
        request = plan.caller.request_id,
        operation = %plan.operation,
        otel.name = %format_args!("{operation} {model}"),
        otel.kind = "internal",
        otel.status_code = field::Empty,
        gen_ai.operation.name = operation,
        gen_ai.provider.name = field::Empty,
        gen_ai.request.model = model,
        gen_ai.request.max_tokens = plan.request.max_output,
        gen_ai.usage.input_tokens = field::Empty,
        gen_ai.usage.output_tokens = field::Empty,
        aio.cost.microcredits = field::Empty,
        aio.cache = field::Empty,
        error.type = field::Empty,
    )
}

// === impl Call ===

impl Call {
    /// A call that begins now.
    pub(crate) fn begin(slug: &str, (provider, model): (&str, &str), order: Order<'_>) -> Self {
        let operation = operation(order.request);
        let span = CallSpan::begin(operation, (conventional_name(provider), model));
        if order.max_output > 0 {
            span.note("gen_ai.request.max_tokens", order.max_output);
        }
        span.note(
            "gen_ai.request.stream",
            order.request.answer != Wanted::Whole,
        );
        Self {
            model: slug.to_owned(),
            provider: provider.to_owned(),
            since: Instant::now(),
            span: Some(span),
            failed: None,
        }
    }

    /// Makes it, until its answer begins.
    ///
    /// # Errors
    /// What the call says.
    pub(crate) async fn watch<T>(
        &mut self,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let answer = match &self.span {
            Some(span) => span.watch(call).await,
            None => call.await,
        };
        if let Err(failure) = &answer {
            self.failed = Some((self.since.elapsed(), failure.class().as_str()));
            self.span = None;
        }
        answer
    }

    fn note_answer(&self, json: &[u8], finish: Option<Finish>) {
        let Some(span) = self.span.as_ref().filter(|span| span.is_seen()) else {
            return;
        };
        if let Some(model) = model_of(json) {
            span.note("gen_ai.response.model", model.as_ref());
        }
        if let Some(finish) = finish {
            let reasons = format!("[\"{}\"]", finish.as_str());
            span.note("gen_ai.response.finish_reasons", reasons.as_str());
        }
    }

    fn note_usage(&self, usage: Usage) {
        let Some(span) = &self.span else {
            return;
        };
        span.note("gen_ai.usage.input_tokens", input_of(usage));
        span.note("gen_ai.usage.output_tokens", output_of(usage));
        if usage.cached > 0 {
            span.note("gen_ai.usage.cache_read.input_tokens", usage.cached);
        }
        if usage.reasoning > 0 {
            span.note("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
        }
    }
}

// === impl Story ===

impl Story {
    /// That of a request that came then.
    pub(crate) const fn new(began: Instant) -> Self {
        Self {
            began,
            call: None,
            heard: OnceLock::new(),
            used: OnceLock::new(),
        }
    }

    /// Providers are asked from now on.
    pub(crate) fn asks(&self, figures: &Figures) {
        figures.asks(self.began.elapsed());
    }

    /// These calls were made; the last one answers, if any does.
    pub(crate) fn asked(&mut self, calls: Vec<Call>, figures: &Figures) {
        for call in calls {
            match call.failed {
                None => self.call = Some(call),
                Some((took, why)) => {
                    if let Some(series) = figures.of(&call.model, &call.provider) {
                        series.called(took, Some(why));
                    }
                }
            }
        }
    }

    /// The whole answer has come.
    pub(crate) fn heard_whole(&self, body: &Chunk) {
        self.hear(&body.data, body.signs.finish, None);
    }

    /// The stream has ended.
    pub(crate) fn heard_stream(&self, metered: &Metered) {
        self.hear(&metered.first, metered.finish, metered.first_text);
    }

    fn hear(&self, json: &[u8], finish: Option<Finish>, first: Option<Instant>) {
        let last = Instant::now();
        // It is heard once.
        let _ = self.heard.set(Heard { first, last });
        if let Some(call) = &self.call {
            call.note_answer(json, finish);
        }
    }

    /// So much is charged, for this.
    pub(crate) fn charged(&self, usage: Usage, amount: Micros) {
        // It is charged once.
        let _ = self.used.set((usage, amount));
        if let Some(call) = &self.call {
            call.note_usage(usage);
        }
    }

    /// The request has ended, as the metrics' word says.
    pub(crate) fn ended(mut self, outcome: &'static str, figures: &Figures) {
        let error = (outcome != Ending::Completed.as_str()).then_some(outcome);
        self.note_end(error);
        let Some(call) = self.call.take() else {
            return;
        };
        // That a charge could not be booked, or a customer left, has nothing to do with the provider.
        let ours = [
            Ending::BillingUnavailable,
            Ending::ClientLeft,
            Ending::SlowReader,
            Ending::ProcessDied,
        ];
        let theirs = error.filter(|error| ours.iter().all(|ending| ending.as_str() != *error));
        if let (Some(why), Some(span)) = (theirs, &call.span) {
            span.fail(why);
        }
        let Some(series) = figures.of(&call.model, &call.provider) else {
            return;
        };
        let now = Instant::now();
        let last = self.heard.get().map_or(now, |heard| heard.last);
        series.called(last.saturating_duration_since(call.since), theirs);
        series.served(now.saturating_duration_since(self.began), error);
        let used = self.used.get().map(|(usage, _)| *usage);
        if let Some(usage) = used {
            series.used(usage);
        }
        if error.is_some() {
            return;
        }
        figures.has_left(now.saturating_duration_since(last));
        if let Some(first) = self.heard.get().and_then(|heard| heard.first) {
            let tokens = used.map_or(0, output_of);
            let rest = last.saturating_duration_since(first);
            let first = first.saturating_duration_since(self.began);
            series.streamed(first, (rest, tokens));
        }
    }

    /// What the request's span is told at its end.
    fn note_end(&self, error: Option<&'static str>) {
        if !exports_traces() {
            return;
        }
        let span = Span::current();
        if let Some(call) = &self.call {
            span.record("gen_ai.provider.name", conventional_name(&call.provider));
        }
        if let Some((usage, amount)) = self.used.get() {
            span.record("gen_ai.usage.input_tokens", input_of(*usage));
            span.record("gen_ai.usage.output_tokens", output_of(*usage));
            span.record("aio.cost.microcredits", amount.get());
        }
        if let Some(error) = error {
            span.record("otel.status_code", "error");
            span.record("error.type", error);
        }
    }
}
