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
    /// Of the pages of tasks and webhooks; in the same section.
    #[serde(flatten)]
    pub work: Work,
}

/// Limits of the pages of tasks and webhooks.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Work {
    /// Tasks of a page. Default 24.
    pub tasks_per_page: u32,
    /// Deliveries of a page. Default 50.
    pub deliveries_per_page: u32,
    /// How long a page that follows a task waits for a change before it asks again. Default `10s`.
    #[serde(with = "duration")]
    pub follow: Duration,
    /// Bytes of a text that a task has made, or that was posted, which its page shows. Default 64 KiB.
    pub shown_text: u32,
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
            work: Work::default(),
        }
    }
}

impl Default for Work {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            tasks_per_page: 24,
            deliveries_per_page: 50,
            follow: Duration::from_secs(10),
            shown_text: 64 * 1024,
        }
    }
}
