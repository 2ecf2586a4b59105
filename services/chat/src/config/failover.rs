//! The sections `limits.chat.failover` and `limits.chat.breaker`: who is asked, how often, and who is left alone.

use std::{collections::HashMap, time::Duration};

use chassis::config::duration;
use serde::Deserialize;

/// The section `limits.chat.failover`: when another provider, or another credential, is asked for the same request.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailoverLimits {
    /// How many are asked for one request, one after another; one for each of its models, if those are more. Default 3.
    pub max_candidates: usize,
    /// How many models a request may name in `models`. Default 4.
    pub max_models: usize,
    /// Whether requests may choose among the providers of a model (`provider`). Default true.
    pub customers_choose: bool,
    /// How many calls after failures all requests for a model may make together.
    pub extra: ExtraCalls,
    /// Which of several equals is asked first.
    pub speed: SpeedLimits,
    /// How many requests may be open at a provider.
    pub in_flight: InFlightLimits,
    /// After this long no further one is asked. Default `"120s"`.
    #[serde(with = "duration")]
    pub window: Duration,
    /// How long the first event of a stream may take while somebody else could be asked: then the call is given up, and the other one
    /// asked. The customer is charged once, but the provider that was given up may bill its work. `"0s"`: calls are not given up.
    /// More than a model thinks before it begins. Default `"30s"`.
    #[serde(with = "duration")]
    pub first_byte_patience: Duration,
    /// The same of an answer that is not streamed: it comes after the whole generation. Default `"0s"`: such a call is
    /// not given up.
    #[serde(with = "duration")]
    pub whole_answer_patience: Duration,
}

/// The section `limits.chat.failover.extra`: how many calls an outage may add to those that requests for a model make anyway. Each process
/// counts for itself.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtraCalls {
    /// For a hundred requests, so many calls. Default 50.
    pub percent: u64,
    /// So many calls may be made at once, beside those, before there must be requests again that need one call. Default 500.
    pub reserve: u64,
}

/// The section `limits.chat.failover.speed`: which of several equals is asked first.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpeedLimits {
    /// Models whose equals are asked in the order of their recent times to the first byte, instead of being shared by weight. `"*"` is all. Default
    /// none.
    pub fastest: Vec<String>,
    /// What is known of a provider's speed counts half as much after so long without news. Default `"30s"`.
    #[serde(with = "duration::positive")]
    pub half_life: Duration,
    /// So slow at least is a call that failed. Default `"10s"`.
    #[serde(with = "duration")]
    pub failed_as: Duration,
}

/// The section `limits.chat.failover.in_flight`: how many requests may be open at a provider at once, in each process. Over it, it is passed over.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InFlightLimits {
    /// At one provider, all its credentials together. Default 16 384.
    pub per_provider: u64,
    /// With one credential. Default 16 384.
    pub per_credential: u64,
    /// Providers that have a limit of their own instead of `per_provider`, by name. `sandbox` is the one of test keys. Default none.
    pub providers: HashMap<String, u64>,
}

/// The section `limits.chat.breaker`. A provider's credential is left alone after failures; then one request at a time tries it, until
/// one goes well. Pauses double from failed try to failed try.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerLimits {
    /// How many failures in a row (overloaded, not reached, silent, not understood) are too many. Default 5.
    pub failures: u32,
    /// How long it is left alone after those. Default `"1s"`.
    #[serde(with = "duration")]
    pub pause: Duration,
    /// How long it is asked last after a "too fast" that names no time. Default `"1s"`.
    #[serde(with = "duration::positive")]
    pub rate_limited: Duration,
    /// How long when our credential is refused or our account there is empty, which somebody must mend. Default `"60s"`.
    #[serde(with = "duration::positive")]
    pub refused: Duration,
    /// The longest pause, whatever a provider asks for. Default `"5m"`.
    #[serde(with = "duration::positive")]
    pub longest: Duration,
    /// How long a try may take before another request tries too. Default `"10s"`.
    #[serde(with = "duration::positive")]
    pub probe: Duration,
}

// === impl FailoverLimits ===

impl Default for FailoverLimits {
    fn default() -> Self {
        Self {
            max_candidates: 3,
            max_models: 4,
            customers_choose: true,
            extra: ExtraCalls::default(),
            speed: SpeedLimits::default(),
            in_flight: InFlightLimits::default(),
            window: Duration::from_secs(120),
            first_byte_patience: Duration::from_secs(30),
            whole_answer_patience: Duration::ZERO,
        }
    }
}

// === impl ExtraCalls ===

impl Default for ExtraCalls {
    fn default() -> Self {
        Self {
            percent: 50,
            reserve: 500,
        }
    }
}

// === impl SpeedLimits ===

impl Default for SpeedLimits {
    fn default() -> Self {
        Self {
            fastest: Vec::new(),
            half_life: Duration::from_secs(30),
            failed_as: Duration::from_secs(10),
        }
    }
}

// === impl InFlightLimits ===

impl Default for InFlightLimits {
    fn default() -> Self {
        Self {
            per_provider: 16_384,
            per_credential: 16_384,
            providers: HashMap::new(),
        }
    }
}

// === impl BreakerLimits ===

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(1),
            rate_limited: Duration::from_secs(1),
            refused: Duration::from_secs(60),
            longest: Duration::from_secs(300),
            probe: Duration::from_secs(10),
        }
    }
}
