//! Limits of parts of the pages: sections below `limits.dashboard`.

use std::time::Duration;

use chassis::config::duration;
use serde::Deserialize;

use super::DAY;

/// The section `limits.dashboard.sessions`: how long browsers stay signed in.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// How long somebody stays signed in. Default `30d`.
    #[serde(with = "duration")]
    pub life: Duration,
    /// And without looking at anything. Default `7d`.
    #[serde(with = "duration")]
    pub idle: Duration,
    /// How exactly it is known when somebody last looked. Default `1m`.
    #[serde(with = "duration")]
    pub seen: Duration,
}

/// The section `limits.dashboard.passwords`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordLimits {
    /// Characters of a password at least. Default 12.
    pub characters: usize,
    /// Passwords that are hashed at the same moment, at most: each takes 19 MiB. Default 2.
    pub at_once: usize,
    /// How long somebody who signs in waits for a place among them. Default `10s`.
    #[serde(with = "duration")]
    pub patience: Duration,
}

/// The section `limits.dashboard.usage`: what home, usage and requests show.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// How long other services may take to answer a part of the home page, which stands without it. Default `2s`.
    #[serde(with = "duration")]
    pub home_patience: Duration,
    /// Days of usage that are shown at once, at most. Default 366.
    pub days: u32,
    /// Rows of usage that a page shows, at most; the file has all. Default 500.
    pub rows: usize,
    /// Requests on a page, at most 999. Default 50.
    pub page: u32,
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

/// The section `limits.dashboard.models`: the pages of models.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsLimits {
    /// Characters of a search that are looked at; what comes behind them is not. Default 100.
    pub search_characters: usize,
    /// Models that are compared with one another at most. Default 4.
    pub compared: usize,
}

/// The section `limits.dashboard.work`: the pages of tasks and webhooks.
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

impl Default for ModelsLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            search_characters: 100,
            compared: 4,
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

/// Limits of the operator's pages: the section `limits.dashboard.operator`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorLimits {
    /// Rows of a page of a list. Default 50.
    pub rows: u32,
    /// How long an audit of the ledger may take. Default `30m`.
    #[serde(with = "duration")]
    pub audit_patience: Duration,
}

impl Default for OperatorLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            rows: 50,
            audit_patience: Duration::from_secs(30 * 60),
        }
    }
}

impl Default for Sessions {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            life: Duration::from_secs(30 * DAY),
            idle: Duration::from_secs(7 * DAY),
            seen: Duration::from_secs(60),
        }
    }
}

impl Default for PasswordLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            characters: 12,
            at_once: 2,
            patience: Duration::from_secs(10),
        }
    }
}

impl Default for Usage {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            home_patience: Duration::from_secs(2),
            days: 366,
            rows: 500,
            page: 50,
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
