//! Logs, metrics and traces of a process.
//!
//! A span that names its `otel.kind` goes to the collector, if one is configured; all other spans are for the log alone. So a span
//! that only a trace needs is a `debug_span!`: without a collector nobody looks at it, and it costs nothing. What is handed to a
//! task of its own on a request's path must be a span of the first sort, or the trace ends there.

mod context;
mod export;
mod log;
mod sampling;

pub use context::{adopt, adopt_customers, adopt_text, inject, traceparent};

use std::{
    error::Error as StdError,
    fmt::Display,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde::Deserialize;
use tokio::runtime::Handle;
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, Filter, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::config::duration;

/// The field that says that a span goes to the collector.
const KIND: &str = "otel.kind";

/// What is logged unless somebody says otherwise. lapin logs as an error what it has told us and we have said ourselves.
const DEFAULT_LOG: &str = "info,lapin=off";

/// Whether this process exports traces.
static TRACES: AtomicBool = AtomicBool::new(false);

/// The section `telemetry`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to log, in the syntax of tracing's `EnvFilter`. Default `info`. It does not choose what is traced.
    pub log: String,
    /// How to write logs.
    pub log_format: LogFormat,
    /// Where traces go: the OTLP collector's `http://host:port`, by HTTP. Default none: nothing is traced.
    pub otlp_endpoint: Option<String>,
    /// What the process is called in traces. Default `aio` for `aio up`, `aio-<role>` for a role.
    pub service_name: Option<String>,
    /// The part of traces that is kept, from 0 to 1, decided where a request comes in, by its trace's id; whatever a customer's
    /// `traceparent` says. Default 1.
    pub sample_ratio: f64,
    /// How long an export may take, and at the end of the process the last one. Default `5s`.
    #[serde(with = "duration")]
    pub export_timeout: Duration,
    /// How often what has gathered is exported. Default `5s`.
    #[serde(with = "duration")]
    pub export_interval: Duration,
    /// Spans of one export. Default 512.
    pub export_batch: usize,
    /// Spans that may wait to be exported; more are dropped. Default 4096.
    pub export_queue: usize,
}

/// How to write logs.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line, with the `trace_id` when there is one.
    Json,
}

/// Logging or tracing could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not one.
    #[error("telemetry.log is not a log filter, such as info or billing=debug,info")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The collector's address is not of the form that is taken. It is not repeated here: it may hold a password.
    #[error(
        "telemetry.otlp_endpoint must be http://host:port of an OTLP collector, without a password"
    )]
    Endpoint,
    /// No part of a whole.
    #[error("telemetry.sample_ratio must lie between 0 and 1")]
    Ratio,
    /// An export could hold nothing.
    #[error(
        "telemetry.export_batch must be at least 1 and at most telemetry.export_queue; export_interval and export_timeout must not be 0"
    )]
    Batch,
    /// The exporter does not start.
    #[error("traces cannot be exported")]
    Exporter(#[source] ExporterBuildError),
    /// Somebody was here before.
    #[error("logging was started twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// The spans that name their kind.
struct Traced;

/// Exports the last spans when it is dropped, for at most `export_timeout`. Drop it outside the runtime and before it.
#[derive(Debug)]
#[must_use = "the last spans are exported when it is dropped"]
pub struct Telemetry {
    exporting: Option<(SdkTracerProvider, Duration)>,
}

/// Starts logging to standard error, and tracing if a collector is configured. `service` is what the process is called unless
/// that is configured; `runtime` drives the connections to the collector.
///
/// # Errors
/// When a setting is wrong.
pub fn start(config: &Config, service: &str, runtime: &Handle) -> Result<Telemetry, Error> {
    let filter = EnvFilter::try_new(&config.log).map_err(Error::Filter)?;
    let Some(provider) = export::provider(config, service, runtime)? else {
        tracing_subscriber::registry()
            .with(filter)
            .with(log::layer(config.log_format))
            .try_init()
            .map_err(Error::Twice)?;
        return Ok(Telemetry { exporting: None });
    };
    tracing_subscriber::registry()
        .with(traces(&provider))
        .with(log::layer(config.log_format).with_filter(filter))
        .try_init()
        .map_err(Error::Twice)?;
    TRACES.store(true, Ordering::Relaxed);
    Ok(Telemetry {
        exporting: Some((provider, config.export_timeout)),
    })
}

/// Whether this process exports traces. Where it does not, what only a trace wants to know need not be told to a span that the log
/// has as well: the log writes down all that a span is told, whether a line of it is ever written or not.
pub fn exports_traces() -> bool {
    TRACES.load(Ordering::Relaxed)
}

/// Hands the spans that name their kind to OpenTelemetry.
fn traces<S>(provider: &SdkTracerProvider) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("aio"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Traced)
}

/// The metrics in Prometheus' text format.
pub fn metrics_text(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, registry);
    text
}

/// An error with its causes, in one line, for a log: `media database failed: disk full`.
pub fn causes(error: &dyn StdError) -> impl Display + use<> {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(": ");
        line.push_str(&inner.to_string());
        cause = inner.source();
    }
    line
}

// === impl Config ===

impl Default for Config {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            log: DEFAULT_LOG.to_owned(),
            log_format: LogFormat::Auto,
            otlp_endpoint: None,
            service_name: None,
            sample_ratio: 1.0,
            export_timeout: Duration::from_secs(5),
            export_interval: Duration::from_secs(5),
            export_batch: 512,
            export_queue: 4096,
        }
    }
}

// === impl Traced ===

impl<S> Filter<S> for Traced {
    fn enabled(&self, data: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        data.is_span() && data.fields().field(KIND).is_some()
    }

    /// Never "always": then nobody is asked about a span, and what a mere `enabled!` before it left in the thread, as after every
    /// statement to PostgreSQL, would be taken for its answer.
    fn callsite_enabled(&self, data: &'static Metadata<'static>) -> Interest {
        if data.is_span() && data.fields().field(KIND).is_some() {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}

// === impl Telemetry ===

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some((provider, timeout)) = self.exporting.take()
            && let Err(error) = provider.shutdown_with_timeout(timeout)
        {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

#[cfg(test)]
mod tests;
