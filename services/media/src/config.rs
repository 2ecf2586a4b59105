//! What an operator can set about media tasks.

use std::time::Duration;

use chassis::config::duration;
use serde::Deserialize;

/// The section `limits.media`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Steps (a submit, a look, a download) at once in this process.
    #[serde(default = "steps")]
    pub max_steps: usize,
    /// How long a step may take before another worker takes the task over. Longer than any provider call.
    #[serde(default = "lease", with = "duration")]
    pub lease: Duration,
    /// From submit to the first look at a job; each later look waits a quarter longer.
    #[serde(default = "first_poll", with = "duration")]
    pub first_poll: Duration,
    /// The longest wait between two looks.
    #[serde(default = "max_poll", with = "duration")]
    pub max_poll: Duration,
    /// How often due tasks are looked for.
    #[serde(default = "tick", with = "duration")]
    pub tick: Duration,
    /// Tasks taken at once when they are due.
    #[serde(default = "batch")]
    pub batch: u32,
    /// Submits of one task that a provider may certainly refuse, as busy, before it fails.
    #[serde(default = "max_attempts")]
    pub max_attempts: i64,
    /// Looks in a row that may fail before a job counts as lost.
    #[serde(default = "max_poll_failures")]
    pub max_poll_failures: i64,
    /// A provider may not know a job for this long after taking it.
    #[serde(default = "settle_in", with = "duration")]
    pub settle_in: Duration,
    /// A queued task is rung for again after this long.
    #[serde(default = "ring_again", with = "duration")]
    pub ring_again: Duration,
    /// A task whose price was not held after this long is dropped.
    #[serde(default = "reserve", with = "duration")]
    pub reserve: Duration,
    /// How long an Idempotency-Key is guarded.
    #[serde(default = "idempotency", with = "duration")]
    pub idempotency: Duration,
    /// How long outputs are kept.
    #[serde(default = "retention", with = "duration")]
    pub retention: Duration,
    /// Bytes of one output.
    #[serde(default = "max_output_bytes")]
    pub max_output_bytes: u64,
    /// How long one output may take to arrive.
    #[serde(default = "download_timeout", with = "duration")]
    pub download_timeout: Duration,
    /// How long billing may take to answer a hold, tries included.
    #[serde(default = "hold_timeout", with = "duration")]
    pub hold_timeout: Duration,
}

const fn steps() -> usize {
    64
}
const fn lease() -> Duration {
    Duration::from_secs(180)
}
const fn first_poll() -> Duration {
    Duration::from_millis(500)
}
const fn max_poll() -> Duration {
    Duration::from_secs(5)
}
const fn tick() -> Duration {
    Duration::from_millis(100)
}
const fn batch() -> u32 {
    100
}
const fn max_attempts() -> i64 {
    5
}
const fn max_poll_failures() -> i64 {
    10
}
const fn settle_in() -> Duration {
    Duration::from_secs(10)
}
const fn ring_again() -> Duration {
    Duration::from_secs(60)
}
const fn reserve() -> Duration {
    Duration::from_secs(60)
}
const fn idempotency() -> Duration {
    Duration::from_secs(24 * 3600)
}
const fn retention() -> Duration {
    Duration::from_secs(14 * 24 * 3600)
}
const fn max_output_bytes() -> u64 {
    64 * 1024 * 1024
}
const fn download_timeout() -> Duration {
    Duration::from_secs(60)
}
const fn hold_timeout() -> Duration {
    Duration::from_secs(2)
}
