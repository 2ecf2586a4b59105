//! The sections `limits.chat`, `limits.inputs`, `limits.responses` and `limits.upstream`: every limit of the service with its default.

mod cache;
mod failover;

use std::time::Duration;

use chassis::config::{Error, Settings, duration};
use serde::Deserialize;
use upstream::{EgressConfig, UpstreamConfig};

use crate::files::room;

pub use cache::CacheLimits;
pub use failover::{BreakerLimits, ExtraCalls, FailoverLimits, InFlightLimits, SpeedLimits};

/// A lease shorter than this could run out while its holder is only waiting for its turn.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// The section `limits.chat`. Durations are written as `"5s"` or `"250ms"`; every field may be left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The largest `n`. Default 8.
    #[serde(default = "max_choices")]
    pub max_choices: u64,
    /// How long a provider may think before the head of an answer that is not streamed: the whole generation. Default `"600s"`.
    /// Streamed answers have `limits.upstream.first_byte_timeout`.
    #[serde(default = "whole_answer_timeout", with = "duration")]
    pub whole_answer_timeout: Duration,
    /// How many events wait for a slow reader before the provider has to wait too. Default 32.
    #[serde(default = "buffered_events")]
    pub buffered_events: usize,
    /// How long a reader may take nothing before the stream is stopped and charged. Default `"30s"`.
    #[serde(default = "slow_reader_timeout", with = "duration")]
    pub slow_reader_timeout: Duration,
    /// The largest request message, in bytes: the edge's body limit and its envelope. Default 9 MiB.
    #[serde(default = "max_message_bytes")]
    pub max_message_bytes: usize,
    /// How customers are told to wait when nobody said for how long. Default `"2s"`.
    #[serde(default = "retry_after", with = "duration")]
    pub retry_after: Duration,
    /// One provider after another.
    #[serde(default)]
    pub failover: FailoverLimits,
    /// When a provider's credential is left alone, and for how long.
    #[serde(default)]
    pub breaker: BreakerLimits,
    /// Bounds of what is generated.
    #[serde(default)]
    pub output: OutputLimits,
    /// Calls to billing.
    #[serde(default = "BillingLimits::default")]
    pub billing: BillingLimits,
    /// Requests with an Idempotency-Key.
    #[serde(default)]
    pub replay: ReplayLimits,
    /// Calls to others.
    #[serde(skip)]
    pub calls: CallLimits,
}

/// Calls to others than our own services: sections of their own.
#[derive(Clone, Debug, Default)]
pub struct CallLimits {
    /// Those to providers: the section `limits.upstream`, which everyone shares who calls providers.
    pub upstream: UpstreamConfig,
    /// Those to URLs that customers give: the section `limits.inputs`.
    pub inputs: InputLimits,
    /// Which of these may be called: the section `egress`.
    pub egress: EgressConfig,
}

/// The section `limits.inputs`: what is fetched for a request: what URLs lead to, for a provider that fetches none itself, and uploaded
/// files. Each of the two has these limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputLimits {
    /// The largest file, in bytes. Default 7 MiB.
    pub max_bytes: u64,
    /// All files of one request together, in bytes. Default 14 MiB: as much as fits into Google's 20 MB in base64.
    pub max_total_bytes: u64,
    /// How many files one request may have. Default 16.
    pub max_count: usize,
    /// How many hosts the URLs of one request may have, each of which is resolved before anything is held. Default 16.
    pub max_hosts: usize,
    /// How long all of it may take, redirects included; never longer than `limits.chat.failover.window`, which a hold outlives. Default
    /// `"20s"`.
    #[serde(with = "duration::positive")]
    pub timeout: Duration,
    /// For how many requests of this process URLs are fetched, and what they lead to is kept, at once; and for how many uploaded files are read.
    /// With `max_total_bytes`, about a third of what the former may take of its memory: a file is kept as text, and stands in the request as well.
    /// Default 32.
    pub at_once: usize,
    /// Bytes of uploaded files, in base64, that stand in requests under way in this process; more are refused with `overloaded`. An account may
    /// have a quarter of them in each mode. Default 1 GiB.
    pub max_kept_bytes: u64,
    /// How long media may take to say what an uploaded file is, before a request that names it is refused. Default `"2s"`.
    #[serde(with = "duration::positive")]
    pub lookup: Duration,
    /// The media types that URLs may lead to. Default PNG, JPEG, WebP, HEIC and HEIF.
    pub content_types: Vec<String>,
}

/// The section `limits.chat.output`: how many tokens of one choice.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputLimits {
    /// Below this a request is refused for want of credit instead of being shortened. Default 256.
    pub least: u64,
    /// What a quote expects where more is allowed. Default 512.
    pub expected: u64,
    /// The most bytes of text that one token may have. A stream whose text is more than its limit of tokens can have is stopped. Default
    /// 128: the longest token of the tokenizers in use.
    pub most_token_bytes: u64,
    /// How much is counted where a provider does not tell what was used.
    pub estimate: EstimateLimits,
}

/// The section `limits.chat.output.estimate`: how much text is counted by our own tokenizer. What is longer is counted up to there, and the rest is
/// taken to have as many tokens for its length.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EstimateLimits {
    /// Of what was generated, in bytes: so much of an open stream is kept until its provider has told its usage. Default 32 KiB.
    pub output_bytes: usize,
    /// Of what was asked, in bytes. Default 1 MiB.
    pub input_bytes: usize,
}

/// The section `limits.chat.billing`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BillingLimits {
    /// How long a hold lives when this process dies. More than the longest request and its settlement. Default `"15m"`.
    #[serde(default = "hold_ttl", with = "duration")]
    pub hold_ttl: Duration,
    /// How long one try of a hold may take. Default `"500ms"`.
    #[serde(default = "hold_try", with = "duration")]
    pub hold_try: Duration,
    /// How long a hold is tried before the request is refused. Default `"2s"`.
    #[serde(default = "hold_window", with = "duration")]
    pub hold_window: Duration,
    /// How long one try of a capture or release may take. Default `"2s"`.
    #[serde(default = "settle_try", with = "duration")]
    pub settle_try: Duration,
    /// How long a capture or release is tried. Default `"30s"`.
    #[serde(default = "settle_window", with = "duration")]
    pub settle_window: Duration,
    /// The first pause between two tries; it doubles up to `settle_try`. Default `"50ms"`.
    #[serde(default = "first_pause", with = "duration")]
    pub first_pause: Duration,
}

/// The section `limits.chat.replay`: requests with an Idempotency-Key.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayLimits {
    /// How long a key stands for its first request. Default `"24h"`.
    #[serde(with = "duration")]
    pub kept: Duration,
    /// The longest answer that is kept, in bytes. Default 1 MiB.
    pub max_bytes: usize,
    /// How long after the last sign of life of the process that runs a request another one takes its key. Default `"15s"`.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// How long a repeat waits for the first request before it is told that that one is still running. Default `"2s"`.
    #[serde(with = "duration")]
    pub wait: Duration,
    /// How long writing an answer down is tried. Default `"10s"`.
    #[serde(with = "duration")]
    pub store_window: Duration,
    /// How often old answers, and what dead processes left, are looked for. Default `"5s"`.
    #[serde(with = "duration")]
    pub sweep: Duration,
}

/// The section `limits.responses`: answers of `POST /responses` that are kept, so that they can be continued.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseLimits {
    /// How long one is kept. Default `"30d"`.
    #[serde(with = "duration::positive")]
    pub kept: Duration,
    /// The longest that is kept, in bytes: the conversation up to its end and what the customer read. Default 4 MiB.
    pub max_bytes: usize,
    /// What an account keeps at most in a mode, all its responses together, in bytes. Default 1 GiB.
    pub max_total_bytes: u64,
}

// === impl Config ===

impl Config {
    /// Reads the section and checks what no field says alone.
    ///
    /// # Errors
    /// When a field has a wrong value or a name nobody knows, or a hold could end before its request.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        let mut config = Self {
            calls: CallLimits {
                upstream: settings.section("limits.upstream")?,
                inputs: settings.section("limits.inputs")?,
                egress: settings.section("egress")?,
            },
            ..settings.section("limits.chat")?
        };
        let counts = [
            config.buffered_events,
            config.failover.max_candidates,
            usize::try_from(config.breaker.failures).unwrap_or(usize::MAX),
            usize::try_from(config.output.least).unwrap_or(usize::MAX),
            config.failover.max_models,
        ];
        if counts.contains(&0) {
            return Err(Error::Setting(
                "limits.chat: buffered_events, failover.max_candidates, failover.max_models, breaker.failures and output.least must be \
                 at least 1"
                    .to_owned(),
            ));
        }
        let rooms = &config.failover.in_flight;
        let general = [rooms.per_provider, rooms.per_credential];
        if general.contains(&0) || rooms.providers.values().any(|room| *room == 0) {
            return Err(Error::Setting(
                "limits.chat.failover.in_flight: every limit must be at least 1".to_owned(),
            ));
        }
        let inputs = &mut config.calls.inputs;
        inputs.timeout = inputs.timeout.min(config.failover.window);
        if inputs.at_once == 0 {
            return Err(Error::Setting(
                "limits.inputs.at_once must be at least 1".to_owned(),
            ));
        }
        if inputs.max_kept_bytes / room::PARTS / 2 < inputs.max_total_bytes {
            return Err(Error::Setting(
                "limits.inputs.max_kept_bytes must be at least 8 times max_total_bytes: an account has a quarter, and base64 is longer"
                    .to_owned(),
            ));
        }
        if config.billing.hold_ttl < config.longest_request() {
            return Err(Error::Setting(
                "limits.chat.billing.hold_ttl must be at least limits.chat.failover.window, slow_reader_timeout, \
                 replay.store_window and billing.settle_window, limits.upstream.total_timeout and twice limits.inputs.timeout together"
                    .to_owned(),
            ));
        }
        if config.replay.lease < SHORTEST_LEASE {
            // Its holder could not renew it in time.
            return Err(Error::Setting(
                "limits.chat.replay.lease must be at least 1s".to_owned(),
            ));
        }
        Ok(config)
    }

    /// From the hold to the end of the capture, at worst.
    fn longest_request(&self) -> Duration {
        [
            // Room for the files that it names, and their bytes.
            self.calls.inputs.timeout.saturating_mul(2),
            self.calls.upstream.total_timeout,
            self.slow_reader_timeout,
            self.replay.store_window,
            self.billing.settle_window,
        ]
        .into_iter()
        .fold(self.failover.window, Duration::saturating_add)
    }
}

// === impl InputLimits ===

impl Default for InputLimits {
    fn default() -> Self {
        let types = [
            "image/png",
            "image/jpeg",
            "image/webp",
            "image/heic",
            "image/heif",
        ];
        Self {
            max_bytes: 7 * 1024 * 1024,
            max_total_bytes: 14 * 1024 * 1024,
            max_count: 16,
            max_hosts: 16,
            timeout: Duration::from_secs(20),
            at_once: 32,
            max_kept_bytes: 1024 * 1024 * 1024,
            lookup: Duration::from_secs(2),
            content_types: types.map(str::to_owned).to_vec(),
        }
    }
}

// === impl OutputLimits ===

impl Default for OutputLimits {
    fn default() -> Self {
        Self {
            least: 256,
            expected: 512,
            most_token_bytes: 128,
            estimate: EstimateLimits::default(),
        }
    }
}

// === impl EstimateLimits ===

impl Default for EstimateLimits {
    fn default() -> Self {
        Self {
            output_bytes: 32 * 1024,
            input_bytes: 1024 * 1024,
        }
    }
}

// === impl BillingLimits ===

impl Default for BillingLimits {
    fn default() -> Self {
        Self {
            hold_ttl: hold_ttl(),
            hold_try: hold_try(),
            hold_window: hold_window(),
            settle_try: settle_try(),
            settle_window: settle_window(),
            first_pause: first_pause(),
        }
    }
}

// === impl ReplayLimits ===

impl Default for ReplayLimits {
    fn default() -> Self {
        Self {
            kept: Duration::from_secs(24 * 3600),
            max_bytes: 1024 * 1024,
            lease: Duration::from_secs(15),
            wait: Duration::from_secs(2),
            store_window: Duration::from_secs(10),
            sweep: Duration::from_secs(5),
        }
    }
}

// === impl ResponseLimits ===

impl ResponseLimits {
    /// Reads the section.
    ///
    /// # Errors
    /// When a field has a wrong value or a name nobody knows.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        settings.section("limits.responses")
    }
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            kept: Duration::from_secs(30 * 24 * 3600),
            max_bytes: 4 * 1024 * 1024,
            max_total_bytes: 1024 * 1024 * 1024,
        }
    }
}

const fn max_choices() -> u64 {
    8
}

const fn whole_answer_timeout() -> Duration {
    Duration::from_secs(600)
}

const fn buffered_events() -> usize {
    32
}

const fn slow_reader_timeout() -> Duration {
    Duration::from_secs(30)
}

const fn max_message_bytes() -> usize {
    9 * 1_024 * 1_024
}

const fn retry_after() -> Duration {
    Duration::from_secs(2)
}

const fn hold_ttl() -> Duration {
    Duration::from_secs(15 * 60)
}

const fn hold_try() -> Duration {
    Duration::from_millis(500)
}

const fn hold_window() -> Duration {
    Duration::from_secs(2)
}

const fn settle_try() -> Duration {
    Duration::from_secs(2)
}

const fn settle_window() -> Duration {
    Duration::from_secs(30)
}

const fn first_pause() -> Duration {
    Duration::from_millis(50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_default() {
        let config = Config::read(&Settings::from_toml("")).unwrap();
        assert_eq!(config.billing.hold_ttl, Duration::from_secs(900));
        assert_eq!(config.output.least, 256);
        let config = Config::read(&Settings::from_toml(
            "[limits.chat.billing]\nhold_try = '10ms'",
        ));
        assert_eq!(config.unwrap().billing.settle_window, settle_window());
    }

    #[test]
    fn a_provider_without_any_room_is_refused() {
        for text in ["per_provider = 0", "per_credential = 0", "providers.x = 0"] {
            let text = format!("[limits.chat.failover.in_flight]\n{text}");
            let error = Config::read(&Settings::from_toml(&text)).unwrap_err();
            assert!(error.to_string().contains("in_flight"), "{error}");
        }
    }

    #[test]
    fn a_lease_must_be_renewable() {
        let text = "[limits.chat.replay]\nlease = '900ms'";
        let error = Config::read(&Settings::from_toml(text)).unwrap_err();
        assert!(error.to_string().contains("replay.lease"), "{error}");
    }

    #[test]
    fn a_hold_must_outlive_its_request() {
        let text = "[limits.chat.billing]\nhold_ttl = '5m'";
        let error = Config::read(&Settings::from_toml(text)).unwrap_err();
        assert!(error.to_string().contains("hold_ttl"), "{error}");
    }
}
