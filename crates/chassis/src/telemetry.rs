//! Logs and metrics of a process.

use std::{error::Error as StdError, fmt::Display, io::IsTerminal as _};

use prometheus_client::{encoding::text::encode, registry::Registry};
use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// The section `telemetry`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What to log, in the syntax of tracing's `EnvFilter`.
    #[serde(default = "default_filter")]
    pub log: String,
    /// How to write logs.
    #[serde(default)]
    pub log_format: LogFormat,
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
    /// One JSON object a line.
    Json,
}

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not one.
    #[error("telemetry.log is not a log filter, such as info or billing=debug,info")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Somebody was here before.
    #[error("logging was started twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Starts logging to standard error.
///
/// # Errors
/// When the filter is not one.
pub fn start(config: &Config) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&config.log).map_err(Error::Filter)?;
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let (json, text) = if json {
        (
            Some(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            ),
            None,
        )
    } else {
        (
            None,
            Some(fmt::layer().with_target(false).with_writer(std::io::stderr)),
        )
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(json)
        .with(text)
        .try_init()
        .map_err(Error::Twice)
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

fn default_filter() -> String {
    "info".to_owned()
}
