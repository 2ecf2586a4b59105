//! The section `sandbox`: how long simulated work takes when no directive says so, and the limits of the simulation.

use std::{net::SocketAddr, time::Duration};

use chassis::config::duration;
use serde::Deserialize;

use crate::{directive::Bounds, stripe::StripeConfig};

/// The section `sandbox`, a wire type: it is as the file has it. Durations are written as `"5s"` or `"250ms"`; every field may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where `aio up` serves it. Default: a free port of the loopback address, another at every start. (The role `aio sandbox`
    /// listens where `server.listen` says.)
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// How customers reach the installation, without a slash at the end: what is below, a job's inputs, is fetched. Default:
    /// `server.public_url`, or where `aio up` listens.
    #[serde(default)]
    pub public_url: Option<String>,
    /// The simulated Stripe.
    #[serde(default)]
    pub stripe: StripeConfig,
    /// How long a job (an image) takes. Default `"1s"`.
    #[serde(default = "one_second", with = "duration")]
    pub default_delay: Duration,
    /// From a chat request to the first byte of its answer. Default `"0s"`.
    #[serde(default = "none", with = "duration")]
    pub chat_delay: Duration,
    /// The pause between two pieces of a streamed answer. Default `"10ms"`.
    #[serde(default = "ten_millis", with = "duration")]
    pub chunk_delay: Duration,
    /// The longest delay a directive may ask for. Default `"1h"`.
    #[serde(default = "one_hour", with = "duration")]
    pub max_delay: Duration,
    /// The most tokens of a chat answer a directive may ask for. Default 65 536.
    #[serde(default = "answer_tokens")]
    pub max_tokens: u32,
    /// The largest request body, in bytes. Default 32 MiB: images travel inside.
    #[serde(default = "body_bytes")]
    pub max_body_bytes: usize,
    /// How many pictures and other files are made at once; further ones wait. Default 2.
    #[serde(default = "renders")]
    pub max_renders: usize,
    /// How many callbacks wait for their jobs to be done; further ones are not made. Default 1 000.
    #[serde(default = "callbacks")]
    pub max_callbacks: usize,
    /// How long a result's link works, as the real provider's expire. Default `"10m"`.
    #[serde(default = "ten_minutes", with = "duration")]
    pub link_life: Duration,
    /// The most jobs that one `GET /bill/jobs` lists. Default 10 000.
    #[serde(default = "listed")]
    pub max_listed: u32,
}

// === impl Config ===

impl Config {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            max_delay: self.max_delay,
            max_tokens: self.max_tokens,
        }
    }
}

const fn one_second() -> Duration {
    Duration::from_secs(1)
}

const fn none() -> Duration {
    Duration::ZERO
}

const fn ten_millis() -> Duration {
    Duration::from_millis(10)
}

const fn one_hour() -> Duration {
    Duration::from_secs(3_600)
}

const fn answer_tokens() -> u32 {
    65_536
}

const fn body_bytes() -> usize {
    32 * 1_024 * 1_024
}

const fn renders() -> usize {
    2
}

const fn callbacks() -> usize {
    1_000
}

const fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

const fn listed() -> u32 {
    10_000
}
