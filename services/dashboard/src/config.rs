//! The section `limits.dashboard`.

use std::time::Duration;

use chassis::config::{Error, Settings, duration};
use serde::Deserialize;

/// Seconds.
const DAY: u64 = 24 * 60 * 60;

/// Limits of the pages.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Characters of a search that are looked at; what comes behind them is not. Default 100.
    pub search_characters: usize,
    /// Models that are compared with one another at most. Default 4.
    pub compared_models: usize,
    /// How long a browser or a proxy may show a page without asking again. Default `1m`.
    #[serde(with = "duration")]
    pub page_life: Duration,
    /// How long other services may take to answer a page. Default `5s`.
    #[serde(with = "duration")]
    pub patience: Duration,
    /// How long somebody stays signed in. Default `30d`.
    #[serde(with = "duration")]
    pub session_life: Duration,
    /// And without looking at anything. Default `7d`.
    #[serde(with = "duration")]
    pub session_idle: Duration,
    /// How exactly it is known when somebody last looked. Default `1m`.
    #[serde(with = "duration")]
    pub session_seen: Duration,
    /// Characters of a password at least. Default 12.
    pub password_characters: usize,
    /// Passwords that are hashed at the same moment, at most: each takes 19 MiB. Default 2.
    pub password_hashes: usize,
    /// How long somebody who signs in waits for a place among them. Default `10s`.
    #[serde(with = "duration")]
    pub sign_in_patience: Duration,
    /// The playground.
    pub playground: PlaygroundLimits,
    /// The API on the pages' own origin.
    pub relay: RelayLimits,
}

/// Limits of the playground.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlaygroundLimits {
    /// How long the key lives that a page of it calls the API with; it gets another one while it is open. Default `15m`.
    #[serde(with = "duration")]
    pub key_life: Duration,
    /// Bytes of a request that is shown as code. Default 256 KiB.
    pub code_bytes: usize,
}

/// Limits of relaying the API to edges.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayLimits {
    /// Requests that are relayed at the same moment, streams included; more are refused. Default 1000.
    pub at_once: usize,
    /// How long connecting to an edge may take. Default `2s`.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long an edge may take until its answer begins: some wait for what is made. Default `30m`.
    #[serde(with = "duration")]
    pub patience: Duration,
    /// How long a connection is kept that nobody uses. Default `15s`.
    #[serde(with = "duration")]
    pub idle: Duration,
}

// === impl Config ===

impl Config {
    /// Reads the section.
    ///
    /// # Errors
    /// When a setting has a wrong value.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        settings.section("limits.dashboard")
    }
}

impl Default for Config {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            search_characters: 100,
            compared_models: 4,
            page_life: Duration::from_secs(60),
            patience: Duration::from_secs(5),
            session_life: Duration::from_secs(30 * DAY),
            session_idle: Duration::from_secs(7 * DAY),
            session_seen: Duration::from_secs(60),
            password_characters: 12,
            password_hashes: 2,
            sign_in_patience: Duration::from_secs(10),
            playground: PlaygroundLimits::default(),
            relay: RelayLimits::default(),
        }
    }
}

impl Default for PlaygroundLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            key_life: Duration::from_secs(15 * 60),
            code_bytes: 256 * 1024,
        }
    }
}

impl Default for RelayLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            at_once: 1000,
            connect_timeout: Duration::from_secs(2),
            patience: Duration::from_secs(30 * 60),
            idle: Duration::from_secs(15),
        }
    }
}
