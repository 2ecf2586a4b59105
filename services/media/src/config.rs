//! What an operator can set about media tasks.

use std::time::Duration;

use chassis::config::duration;
use serde::Deserialize;

/// The section `limits.media`. What a field is when it is left out, its `Default` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Steps (a submit, a look, a download) at once in this process. Default 64.
    pub max_steps: usize,
    /// How long a step may take before another worker takes the task over. A provider's answer may take half of it, a file's
    /// download a third at most. Default 3 min.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// How often due tasks are looked for. Default 100 ms.
    #[serde(with = "duration")]
    pub tick: Duration,
    /// Tasks taken at once when they are due. Default 100.
    pub batch: u32,
    /// Submits of one task that providers may certainly refuse, because they are down, before it fails. Default 5.
    pub max_attempts: i64,
    /// A queued task is rung for again after this long. Default 1 min.
    #[serde(with = "duration")]
    pub ring_again: Duration,
    /// A task whose price was not held after this long is dropped. Default 1 min.
    #[serde(with = "duration")]
    pub reserve: Duration,
    /// How long an Idempotency-Key is guarded. Default 24 h.
    #[serde(with = "duration")]
    pub idempotency: Duration,
    /// How long billing may take to answer a hold, tries included. Default 2 s.
    #[serde(with = "duration")]
    pub hold_timeout: Duration,
    /// Looking how jobs stand.
    pub poll: Poll,
    /// Keeping what tasks made.
    pub outputs: Outputs,
}

/// `limits.media.poll`: looking how jobs stand at their providers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Poll {
    /// From submit to the first look at a job; each later look waits a quarter longer. Default 500 ms.
    #[serde(with = "duration")]
    pub first: Duration,
    /// The longest wait between two looks. Default 5 s.
    #[serde(with = "duration")]
    pub longest: Duration,
    /// A provider may not know a job for this long after taking it. Default 10 s.
    #[serde(with = "duration")]
    pub settle_in: Duration,
}

/// `limits.media.outputs`: keeping what tasks made.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outputs {
    /// How long outputs are kept. Default 14 days.
    #[serde(with = "duration")]
    pub retention: Duration,
    /// Bytes of one output. Default 64 MiB.
    pub max_bytes: u64,
    /// How long one output may take to arrive. Default 1 min.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

// === impl Config ===

impl Config {
    /// Whether the settings hold together.
    ///
    /// # Errors
    /// What is wrong, naming the settings.
    pub fn check(&self) -> Result<(), String> {
        let third = self.lease.checked_div(3).unwrap_or_default();
        if self.outputs.timeout > third {
            return Err(
                "limits.media.outputs.timeout must be at most a third of limits.media.lease"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

// === impl Default ===

impl Default for Config {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            max_steps: 64,
            lease: Duration::from_secs(180),
            tick: Duration::from_millis(100),
            batch: 100,
            max_attempts: 5,
            ring_again: minute,
            reserve: minute,
            idempotency: Duration::from_secs(24 * 3600),
            hold_timeout: Duration::from_secs(2),
            poll: Poll::default(),
            outputs: Outputs::default(),
        }
    }
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(5),
            settle_in: Duration::from_secs(10),
        }
    }
}

impl Default for Outputs {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(14 * 24 * 3600),
            max_bytes: 64 * 1024 * 1024,
            timeout: Duration::from_secs(60),
        }
    }
}
