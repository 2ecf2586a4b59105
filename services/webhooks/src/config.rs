//! The sections `webhooks` and `limits.webhooks`: every limit with its default. Durations are written as `"15s"` or `"2h"`.

use std::time::Duration;

use chassis::config::{Error, Settings, duration};
use domain::Secret;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::store::lane;

/// Limits of deliveries.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long to wait before each attempt, the first included: as many attempts as entries. Default: the table of Standard
    /// Webhooks 1.0.0, `["0s", "5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"]`, 75 h 35 min in all.
    #[serde(default = "default_schedule", deserialize_with = "durations")]
    pub schedule: Vec<Duration>,
    /// How far a wait is moved at random, up or down, so that failures do not come back as a wave. Default 20.
    #[serde(default = "default_jitter")]
    pub jitter_percent: u16,
    /// The shortest wait after 429, 502, 504 or a timeout: the other side is overloaded. Default `"60s"`.
    #[serde(default = "default_penalty", with = "duration")]
    pub penalty: Duration,
    /// One attempt, from the look-up of the name to the end of the answer. Default `"15s"`.
    #[serde(default = "default_timeout", with = "duration")]
    pub timeout: Duration,
    /// How much of an answer's body is read, in bytes. Default 64 KiB.
    #[serde(default = "default_response")]
    pub max_response_bytes: u64,
    /// How many attempts are in flight, and whose; in the same section.
    #[serde(flatten)]
    pub places: Places,
    /// Deliveries claimed at once, in one transaction. Default 256.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// How often to look for due deliveries without being rung. Default `"500ms"`.
    #[serde(default = "default_poll", with = "duration")]
    pub poll: Duration,
    /// How long an attempt may stay in flight before its process is taken for dead. Default `"60s"`.
    #[serde(default = "default_lease", with = "duration")]
    pub lease: Duration,
    /// How often to look for leases that ran out, and the longest wait between two tries while the database is away, but at most a
    /// quarter of the lease. Default `"5s"`.
    #[serde(default = "default_sweep", with = "duration")]
    pub sweep: Duration,
    /// Where the operator is told, by a signed `POST`, of deliveries that were given up and of endpoints that are disabled. Nowhere
    /// unless set.
    #[serde(default)]
    pub alert_url: Option<Secret>,
    /// Bytes of a message to webhooks, which carries an event's payload. Default 1 MiB.
    #[serde(default = "default_message")]
    pub max_message_bytes: usize,
}

/// How many attempts are in flight, and whose.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// Attempts of each process in flight, but for those that are slow. Default 256.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// An attempt that takes longer gives its place back, and is one of the slow from then on. Default `"1s"`.
    #[serde(default = "default_slow_after", with = "duration")]
    pub slow_after: Duration,
    /// Slow attempts of each process in flight; while there are as many, others keep their places however long they take. Half of them
    /// at most are to endpoints and origins known to be slow. Each is an open connection. Default 4 096.
    #[serde(default = "default_slow_concurrency")]
    pub slow_concurrency: usize,
    /// After so many attempts in a row without an answer in time, an endpoint or an origin is slow until it answers: it has one attempt
    /// in flight, and never in a place of the others. Default 2.
    #[serde(default = "default_slow_timeouts")]
    pub slow_timeouts: u32,
    /// Attempts in flight to one endpoint, or to the URLs that an account's requests in one mode name at one origin, of all processes
    /// together. Default 4.
    #[serde(default = "default_lane_concurrency")]
    pub lane_concurrency: u32,
    /// Attempts in flight to one origin (scheme, host and port), of all processes together. Default 8.
    #[serde(default = "default_origin_concurrency")]
    pub origin_concurrency: u32,
    /// How often to look whether somebody who has something waiting would be forgotten, as after a crash of the database's disk or
    /// while processes of an earlier version write. It is also done at the start. Default `"30s"`.
    #[serde(default = "default_repair", with = "duration")]
    pub repair: Duration,
}

/// What a customer may have: the section `limits.webhooks`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Registered endpoints of an account in one mode. Default 20.
    #[serde(default = "default_endpoints")]
    pub max_endpoints: u32,
    /// Deliveries that an operator is told of a task. Default 200.
    #[serde(default = "default_told")]
    pub max_told: u32,
    /// Fixed headers of an endpoint. Default 10.
    #[serde(default = "default_headers")]
    pub max_headers: u32,
    /// Bytes of the value of such a header. Default 1 024.
    #[serde(default = "default_header_bytes")]
    pub max_header_bytes: u32,
    /// Requests a second that an endpoint may ask for at most, of the limit that it sets itself. Default 1 000.
    #[serde(default = "default_per_second")]
    pub max_per_second: u32,
    /// For how long at most what signed before a rotation signs as well. Default `"7d"`.
    #[serde(default = "default_overlap", with = "duration")]
    pub max_overlap: Duration,
    /// After how long of failures alone, and more than one, an endpoint is disabled. Default `"5d"`.
    #[serde(default = "default_failing", with = "duration")]
    pub disable_after: Duration,
    /// How much of an answer's body is kept with its attempt, in bytes. Default 1 024.
    #[serde(default = "default_kept_response")]
    pub kept_response_bytes: usize,
    /// For how long deliveries that have ended are kept, with their attempts. Default `"30d"`.
    #[serde(default = "default_retention", with = "duration")]
    pub retention: Duration,
    /// Deliveries that one call of recovery sends again, and that one look of the sweep parks or removes in a transaction.
    /// Default 1 000.
    #[serde(default = "default_at_once")]
    pub at_once: u32,
}

/// Waits that double.
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

// === impl Backoff ===

impl Backoff {
    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.next.min(self.longest);
        self.next = now.saturating_mul(2);
        now
    }
}

// === impl Config ===

impl Config {
    /// Reads the section.
    ///
    /// # Errors
    /// When a setting is wrong: which, and what is allowed.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        let config: Self = settings.section("webhooks")?;
        config.check()?;
        Ok(config)
    }

    /// The waits between tries while the database is away.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            next: Duration::from_millis(100),
            // Often enough that what waits to be recorded is, before the sweep goes by the leases again.
            longest: self.sweep.min(self.lease / 4),
        }
    }

    /// What makes a lane slow, and whom an end wakes.
    pub(crate) fn lane_rules(&self) -> lane::Rules {
        lane::Rules {
            slow_timeouts: i64::from(self.places.slow_timeouts),
            woken: i64::from(self.places.origin_concurrency),
        }
    }

    /// Whether the settings can work together.
    fn check(&self) -> Result<(), Error> {
        let problem = if self.schedule.is_empty() {
            "webhooks.schedule must have at least one entry"
        } else if self.jitter_percent > 100 {
            "webhooks.jitter_percent must be at most 100"
        } else if let Some(problem) = self.places.problem() {
            problem
        } else if self.batch == 0 {
            "webhooks.batch must be at least 1"
        } else if self.lease <= self.timeout {
            // Else attempts that are merely slow would be made twice.
            "webhooks.lease must be longer than webhooks.timeout"
        } else {
            return Ok(());
        };
        Err(Error::Setting(problem.to_owned()))
    }
}

// === impl Places ===

impl Places {
    /// How many attempts each process may have in flight to those known to be slow.
    pub(crate) fn known_slow(&self) -> usize {
        (self.slow_concurrency / 2).max(1)
    }

    fn problem(&self) -> Option<&'static str> {
        let nothing = [
            (
                self.concurrency == 0,
                "webhooks.concurrency must be at least 1",
            ),
            (
                self.slow_concurrency == 0,
                "webhooks.slow_concurrency must be at least 1",
            ),
            (
                self.slow_timeouts == 0,
                "webhooks.slow_timeouts must be at least 1",
            ),
            (
                self.lane_concurrency == 0,
                "webhooks.lane_concurrency must be at least 1",
            ),
            (
                self.origin_concurrency == 0,
                "webhooks.origin_concurrency must be at least 1",
            ),
        ];
        let wrong = nothing.into_iter().find(|(wrong, _)| *wrong);
        wrong.map(|(_, problem)| problem)
    }
}

fn durations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = |text: &String| {
        duration::parse(text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is not a duration: write 1500ms, 5s, 2m, 1h or 14d"
            ))
        })
    };
    texts.iter().map(read).collect()
}

const fn default_told() -> u32 {
    200
}

const fn default_headers() -> u32 {
    10
}

const fn default_header_bytes() -> u32 {
    1_024
}

const fn default_per_second() -> u32 {
    1_000
}

const fn default_overlap() -> Duration {
    Duration::from_secs(7 * 86_400)
}

const fn default_failing() -> Duration {
    Duration::from_secs(5 * 86_400)
}

const fn default_kept_response() -> usize {
    1_024
}

const fn default_retention() -> Duration {
    Duration::from_secs(30 * 86_400)
}

const fn default_at_once() -> u32 {
    1_000
}

fn default_schedule() -> Vec<Duration> {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    [
        0,
        5,
        5 * MINUTE,
        30 * MINUTE,
        2 * HOUR,
        5 * HOUR,
        10 * HOUR,
        14 * HOUR,
        20 * HOUR,
        24 * HOUR,
    ]
    .map(Duration::from_secs)
    .to_vec()
}

const fn default_jitter() -> u16 {
    20
}

const fn default_penalty() -> Duration {
    Duration::from_secs(60)
}

const fn default_timeout() -> Duration {
    Duration::from_secs(15)
}

const fn default_response() -> u64 {
    64 * 1024
}

const fn default_concurrency() -> usize {
    256
}

const fn default_slow_after() -> Duration {
    Duration::from_secs(1)
}

const fn default_slow_concurrency() -> usize {
    4_096
}

const fn default_slow_timeouts() -> u32 {
    2
}

const fn default_lane_concurrency() -> u32 {
    4
}

const fn default_origin_concurrency() -> u32 {
    8
}

const fn default_repair() -> Duration {
    Duration::from_secs(30)
}

const fn default_batch() -> usize {
    256
}

const fn default_poll() -> Duration {
    Duration::from_millis(500)
}

const fn default_lease() -> Duration {
    Duration::from_secs(60)
}

const fn default_endpoints() -> u32 {
    20
}

const fn default_message() -> usize {
    1024 * 1024
}

const fn default_sweep() -> Duration {
    Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use chassis::config::Settings;

    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let settings = Settings::from_toml(&format!("[webhooks]\n{text}"));
        Config::read(&settings).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_the_published_schedule() {
        let config = read("").unwrap();
        let total: Duration = config.schedule.iter().sum();
        assert_eq!(config.schedule.len(), 10);
        assert_eq!(total, Duration::from_secs(75 * 3_600 + 35 * 60 + 5));
        assert_eq!(config.jitter_percent, 20);
        assert_eq!(config.timeout, Duration::from_secs(15));
        let places = config.places;
        assert_eq!((places.concurrency, places.slow_concurrency), (256, 4_096));
        assert_eq!((places.lane_concurrency, places.origin_concurrency), (4, 8));
        assert_eq!(
            (places.slow_after, places.slow_timeouts),
            (Duration::from_secs(1), 2)
        );
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        for (text, named) in [
            ("schedule = []", "schedule"),
            ("schedule = ['soon']", "soon"),
            ("jitter_percent = 101", "jitter_percent"),
            ("concurrency = 0", "webhooks.concurrency"),
            ("slow_concurrency = 0", "webhooks.slow_concurrency"),
            ("slow_timeouts = 0", "webhooks.slow_timeouts"),
            ("slow_after = 'soon'", "soon"),
            ("lane_concurrency = 0", "webhooks.lane_concurrency"),
            ("origin_concurrency = 0", "webhooks.origin_concurrency"),
            ("batch = 0", "batch"),
            ("lease = '15s'", "lease"),
            ("retries = 3", "retries"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(named), "{text}: {problem}");
        }
        let config = read("schedule = ['0s', '20ms']").unwrap();
        assert_eq!(config.schedule, [Duration::ZERO, Duration::from_millis(20)]);
    }
}
