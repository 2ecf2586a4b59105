//! What follows an attempt: delivered, tried again, or given up. Pure: no clock, no chance of its own.

use std::time::Duration;

use crate::Config;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The other side answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The pause it asked for.
        retry_after: Option<Duration>,
    },
    /// No complete answer in time.
    TimedOut,
    /// Refused by the guard, no connection, a connection that broke, or nothing to send.
    Failed,
    /// Nothing was sent: whoever was to be told does not wish it any more.
    Removed,
}

/// What an attempt says of who was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// They answered, whatever it was.
    Answered,
    /// No complete answer in time.
    TimedOut,
    /// Nobody was reached, or nobody was called.
    Nothing,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It has arrived.
    Delivered,
    /// Another attempt, after this wait.
    Retry(Duration),
    /// The other side said that it is gone for good, or its endpoint was removed.
    Gone,
    /// That was the last attempt.
    Exhausted,
}

/// How far a wait is moved, in thousandths of it: -200 is a fifth less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jitter(pub(crate) i32);

// === impl Outcome ===

impl Outcome {
    /// What it says of who was called, whatever follows for this event.
    pub(crate) fn heard(self) -> Heard {
        match self {
            Self::Answered { .. } => Heard::Answered,
            Self::TimedOut => Heard::TimedOut,
            Self::Failed | Self::Removed => Heard::Nothing,
        }
    }
}

// === impl Next ===

impl Next {
    /// A stable word for metrics and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry(_) => "retry",
            Self::Gone => "gone",
            Self::Exhausted => "exhausted",
        }
    }
}

/// What follows attempt number `attempt` (counted from 1).
pub(crate) fn next(config: &Config, attempt: usize, outcome: Outcome, jitter: Jitter) -> Next {
    match outcome {
        // A redirect is a failure like any other: a callback is never followed anywhere.
        Outcome::Answered {
            status: 200..=299, ..
        } => return Next::Delivered,
        Outcome::Answered { status: 410, .. } | Outcome::Removed => return Next::Gone,
        Outcome::Answered { .. } | Outcome::TimedOut | Outcome::Failed => {}
    }
    // Attempt 1 used entry 0, so the entry at `attempt` is the next one's.
    match config.schedule.get(attempt) {
        Some(step) => Next::Retry(wait(*step, config.penalty, outcome, jitter)),
        None => Next::Exhausted,
    }
}

/// The wait before the next attempt: the schedule's step, longer for somebody overloaded, and longer again if they ask for it,
/// up to twice the step, so that nobody can park us.
fn wait(step: Duration, penalty: Duration, outcome: Outcome, jitter: Jitter) -> Duration {
    let (floor, asked) = match outcome {
        Outcome::TimedOut => (penalty, None),
        Outcome::Answered {
            status: 429 | 502 | 504,
            retry_after,
        } => (penalty, retry_after),
        Outcome::Answered { retry_after, .. } => (Duration::ZERO, retry_after),
        Outcome::Failed | Outcome::Removed => (Duration::ZERO, None),
    };
    let base = step.max(floor);
    match asked {
        // Asked for exactly; chance would only bring us too early.
        Some(asked) => asked.clamp(base, base.saturating_mul(2)),
        None => moved(step, jitter).max(floor),
    }
}

fn moved(step: Duration, Jitter(thousandths): Jitter) -> Duration {
    let part = step.saturating_mul(thousandths.unsigned_abs()) / 1_000;
    if thousandths < 0 {
        step.saturating_sub(part)
    } else {
        step.saturating_add(part)
    }
}

#[cfg(test)]
mod tests {
    use chassis::config::Settings;

    use super::*;

    const NONE: Jitter = Jitter(0);

    fn config() -> Config {
        Settings::from_toml("").section("webhooks").unwrap()
    }

    fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered {
            status,
            retry_after: None,
        }
    }

    fn asking(status: u16, seconds: u64) -> Outcome {
        Outcome::Answered {
            status,
            retry_after: Some(secs(seconds)),
        }
    }

    #[test]
    fn the_answer_decides() {
        let config = config();
        for (outcome, expected) in [
            (answered(200), Next::Delivered),
            (answered(201), Next::Delivered),
            (answered(204), Next::Delivered),
            (answered(299), Next::Delivered),
            (answered(199), Next::Retry(secs(5))),
            (answered(301), Next::Retry(secs(5))),
            (answered(308), Next::Retry(secs(5))),
            (answered(400), Next::Retry(secs(5))),
            (answered(404), Next::Retry(secs(5))),
            (answered(410), Next::Gone),
            (answered(429), Next::Retry(secs(60))),
            (answered(500), Next::Retry(secs(5))),
            (answered(502), Next::Retry(secs(60))),
            (answered(503), Next::Retry(secs(5))),
            (answered(504), Next::Retry(secs(60))),
            (Outcome::TimedOut, Next::Retry(secs(60))),
            (Outcome::Failed, Next::Retry(secs(5))),
        ] {
            assert_eq!(next(&config, 1, outcome, NONE), expected, "{outcome:?}");
        }
    }

    #[test]
    fn ten_attempts_follow_the_published_table() {
        let config = config();
        let hours = |count: u64| secs(count * 3_600);
        let waits = [
            secs(5),
            secs(300),
            secs(1_800),
            hours(2),
            hours(5),
            hours(10),
            hours(14),
            hours(20),
            hours(24),
        ];
        for (index, wait) in waits.into_iter().enumerate() {
            let follows = next(&config, index + 1, answered(500), NONE);
            assert_eq!(follows, Next::Retry(wait), "{index}");
        }
        assert_eq!(next(&config, 10, answered(500), NONE), Next::Exhausted);
        assert_eq!(next(&config, 11, Outcome::TimedOut, NONE), Next::Exhausted);
        assert_eq!(next(&config, 10, answered(204), NONE), Next::Delivered);
    }

    #[test]
    fn a_pause_asked_for_is_kept_within_one_and_two_steps() {
        let config = config();
        for (attempt, outcome, expected) in [
            (1, asking(503, 1), 5),
            (1, asking(503, 7), 7),
            (1, asking(503, 99_999_999), 10),
            (1, asking(429, 7), 60),
            (1, asking(429, 90), 90),
            (1, asking(429, 99_999_999), 120),
            (2, asking(429, 400), 400),
            (2, asking(500, 0), 300),
        ] {
            let follows = next(&config, attempt, outcome, Jitter(-200));
            assert_eq!(
                follows,
                Next::Retry(secs(expected)),
                "{attempt} {outcome:?}"
            );
        }
    }

    #[test]
    fn chance_moves_a_wait_by_its_part_and_never_below_the_penalty() {
        let config = config();
        let wait =
            |attempt, outcome, thousandths| next(&config, attempt, outcome, Jitter(thousandths));
        assert_eq!(wait(1, answered(500), -200), Next::Retry(secs(4)));
        assert_eq!(wait(1, answered(500), 200), Next::Retry(secs(6)));
        assert_eq!(wait(2, Outcome::TimedOut, -200), Next::Retry(secs(240)));
        assert_eq!(wait(1, Outcome::TimedOut, -200), Next::Retry(secs(60)));
    }
}
