//! The section `limits.media.submit`.

use std::time::Duration;

use chassis::config::{Error, duration};
use serde::Deserialize;

/// Of all steps, calls that last as long as the work are this part at most, in each mode.
const PART: usize = 4;

/// `limits.media.submit`: accepting tasks, and giving them to providers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Submit {
    /// A task whose price was not held after this long is dropped. Default 1 min.
    #[serde(with = "duration")]
    pub reserve: Duration,
    /// How long an Idempotency-Key is guarded. Default 24 h.
    #[serde(with = "duration")]
    pub idempotency: Duration,
    /// How long a repeat waits for a first request that is being accepted before it is told that that one is still running.
    /// Default 2 s.
    #[serde(with = "duration")]
    pub wait: Duration,
    /// How long billing may take to answer a hold, tries included. Default 2 s.
    #[serde(with = "duration")]
    pub hold_timeout: Duration,
    /// How long writing down that a task is accepted may take, its price being held, tries included. Default 2 s.
    #[serde(with = "duration")]
    pub accept_timeout: Duration,
    /// How long a provider may take that answers a submit with what it made, but no longer than its task. It keeps one of `max_steps`
    /// meanwhile. Default 600 s: as long as a song takes. Of a test task, `call_timeout` is the longest.
    #[serde(with = "duration")]
    pub result_timeout: Duration,
    /// Such calls that this process makes at once, in each mode, and at most a quarter of `max_steps`, so that they leave half of the steps
    /// to all else. What each answers is in memory until it is kept. Default 16.
    pub max_at_once: usize,
    /// Those among them that may be of one account, and at most half of them. Default 8.
    pub max_at_once_per_account: usize,
    /// Tasks that an account may have open at once, in each mode, whatever its keys may. Default 0: not limited.
    pub max_open_tasks: u32,
    /// Bytes of a message to media, which carries a customer's body. Default 4 MiB.
    pub max_message_bytes: usize,
}

// === impl Submit ===

impl Submit {
    /// Refuses what would let no such call be made.
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = if self.max_at_once == 0 {
            "max_at_once"
        } else if self.max_at_once_per_account == 0 {
            "max_at_once_per_account"
        } else {
            return Ok(());
        };
        Err(Error::Setting(format!(
            "limits.media.submit.{wrong} must be at least 1"
        )))
    }

    /// How many calls may last as long as the work in each mode, with so many steps, and how many of one account.
    pub(crate) fn at_once(&self, steps: usize) -> (usize, usize) {
        let part = steps.checked_div(PART).unwrap_or_default().max(1);
        let most = self.max_at_once.min(part);
        (most, self.max_at_once_per_account.min(most.div_ceil(2)))
    }
}

impl Default for Submit {
    fn default() -> Self {
        Self {
            reserve: Duration::from_secs(60),
            idempotency: Duration::from_secs(24 * 3600),
            wait: Duration::from_secs(2),
            hold_timeout: Duration::from_secs(2),
            accept_timeout: Duration::from_secs(2),
            result_timeout: Duration::from_secs(600),
            max_at_once: 16,
            max_at_once_per_account: 8,
            max_open_tasks: 0,
            max_message_bytes: 4 * 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_last_leave_half_of_the_steps_and_half_of_them_to_others() {
        let usual = Submit::default();
        for (steps, expected) in [
            (64, (16, 8)),
            (1_000, (16, 8)),
            (20, (5, 3)),
            (8, (2, 1)),
            (1, (1, 1)),
            (0, (1, 1)),
        ] {
            assert_eq!(usual.at_once(steps), expected, "{steps}");
        }
        let one_each = Submit {
            max_at_once: 3,
            max_at_once_per_account: 1,
            ..usual
        };
        assert_eq!(one_each.at_once(64), (3, 1));
    }

    #[test]
    fn no_such_call_at_all_cannot_be_meant() {
        let refusal = |most, each| {
            let submit = Submit {
                max_at_once: most,
                max_at_once_per_account: each,
                ..Submit::default()
            };
            submit.check().err().map(|error| error.to_string())
        };
        assert_eq!(refusal(1, 1), None);
        let first = refusal(0, 1).unwrap();
        assert!(first.contains("limits.media.submit.max_at_once must be at least 1"));
        let second = refusal(1, 0).unwrap();
        assert!(second.contains("max_at_once_per_account must be at least 1"));
    }
}
