//! The section `limits.cache`: answers that are given again to equal requests.

use std::time::Duration;

use chassis::config::{Error, Settings, duration};
use serde::Deserialize;
use tokio::sync::Semaphore;

/// Ages are told in whole seconds.
const SHORTEST_AGE: Duration = Duration::from_secs(1);

/// The section `limits.cache`. Every field may be left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheLimits {
    /// The longest age that a request may ask for, and so the longest that an answer is kept. Default `"24h"`.
    #[serde(with = "duration")]
    pub max_age: Duration,
    /// What a request asks for that names no age. Default `"1h"`.
    #[serde(with = "duration")]
    pub usual_age: Duration,
    /// The longest answer that is kept, in bytes; with an Idempotency-Key `limits.chat.replay.max_bytes` counts as well. Default 1 MiB.
    pub max_bytes: usize,
    /// What an account keeps at most in a mode, all its answers together, in bytes; 0 keeps nothing. Default 256 MiB.
    pub max_total_bytes: u64,
    /// Answers that are being kept at once; further ones are not kept. Default 32.
    pub keeping_at_once: usize,
    /// How long an answer is looked for before the request goes on without. Default `"1s"`.
    #[serde(with = "duration::positive")]
    pub look_timeout: Duration,
}

// === impl CacheLimits ===

impl CacheLimits {
    /// Reads the section and checks what no field says alone.
    ///
    /// # Errors
    /// When a field has a wrong value or a name nobody knows, or the usual age is none that a request could name.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        let limits: Self = settings.section("limits.cache")?;
        if limits.usual_age < SHORTEST_AGE || limits.usual_age > limits.max_age {
            return Err(Error::Setting(
                "limits.cache: usual_age must be at least 1s, and at most max_age".to_owned(),
            ));
        }
        if !(1..=Semaphore::MAX_PERMITS).contains(&limits.keeping_at_once) {
            return Err(Error::Setting(
                "limits.cache: keeping_at_once must be at least 1".to_owned(),
            ));
        }
        Ok(limits)
    }
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(24 * 3600),
            usual_age: Duration::from_secs(3600),
            max_bytes: 1024 * 1024,
            max_total_bytes: 256 * 1024 * 1024,
            keeping_at_once: 32,
            look_timeout: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_age_is_one_that_a_request_may_name() {
        let read = |text: &str| {
            let text = format!("[limits.cache]\n{text}");
            CacheLimits::read(&Settings::from_toml(&text))
        };
        assert_eq!(read("").unwrap().usual_age, Duration::from_secs(3600));
        let same = read("max_age = '5m'\nusual_age = '5m'").unwrap();
        assert_eq!(same.usual_age, same.max_age);
        assert!(read("keeping_at_once = 0").is_err());
        for wrong in [
            "max_age = '59m'",
            "usual_age = '25h'",
            "usual_age = '999ms'",
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.to_string().contains("usual_age"), "{error}");
        }
    }
}
