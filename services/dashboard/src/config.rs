//! The section `limits.dashboard`.

use std::time::Duration;

use chassis::config::{Error, Settings, duration};
use serde::Deserialize;

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
        }
    }
}
