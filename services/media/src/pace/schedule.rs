//! When to look at a job: pure. Each wait is longer than the one before, up to a limit; looks that fail wait twice as long each time.
//! No wait is exactly what another task's is: tasks that were looked at together are not again.

use std::time::Duration;

use chassis::config::{Error, Poll};
use domain::TaskId;

use crate::config;

/// What suits a provider that we know nothing of.
const USUAL: Schedule = Schedule {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(5),
    factor_percent: 125,
    jitter_percent: 20,
    failing: Duration::from_secs(30),
};
/// The bounds of the settings.
const FACTORS: std::ops::RangeInclusive<u32> = 100..=1_000;
const MOST_JITTER: u32 = 50;
/// Of a model's usual time: the first look comes no sooner than after half of it, and the waits from then on begin with a tenth.
const HALF: u32 = 2;
const TENTH: u32 = 10;
/// So often the waits grow; by then the longest is reached.
const MOST_GROWTHS: i64 = 64;

/// When jobs are looked at, at one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// From submit to the first look.
    first: Duration,
    /// The longest wait between two looks.
    longest: Duration,
    /// Each wait is this much of the one before.
    factor_percent: u32,
    /// Each wait is shorter or longer by up to this much of it.
    jitter_percent: u32,
    /// The longest wait between two looks that fail.
    failing: Duration,
}

/// What tells one wait from another: the task, and how often it was looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) task: TaskId,
    /// Looks at the job that were answered.
    pub(crate) looks: i64,
    /// Looks in a row that failed, this one included.
    pub(crate) failures: i64,
    /// What such a job usually takes, where that is known.
    pub(crate) usual: Option<Duration>,
}

// === impl Schedule ===

impl Schedule {
    /// The schedule of a provider: as its own section says, or that of all, or else as suits it.
    ///
    /// # Errors
    /// What is out of bounds, naming the setting.
    pub(crate) fn of(provider: &str, own: Poll, all: &config::Poll) -> Result<Self, Error> {
        let suits = suits(provider);
        let this = Self {
            first: own.first.or(all.first).unwrap_or(suits.first),
            longest: own.longest.or(all.longest).unwrap_or(suits.longest),
            factor_percent: own
                .factor_percent
                .or(all.factor_percent)
                .unwrap_or(suits.factor_percent),
            jitter_percent: own
                .jitter_percent
                .or(all.jitter_percent)
                .unwrap_or(suits.jitter_percent),
            failing: all.failing,
        };
        let wrong = |what: &str| {
            let setting = format!("providers.{provider}.poll (or limits.media.poll)");
            Err(Error::Setting(format!("{setting}: {what}")))
        };
        if !FACTORS.contains(&this.factor_percent) {
            return wrong("factor_percent must be from 100 to 1000");
        }
        if this.jitter_percent > MOST_JITTER {
            return wrong("jitter_percent must be at most 50");
        }
        Ok(this)
    }

    /// From submit to the first look.
    pub(crate) fn first(&self, turn: &Turn) -> Duration {
        let half = turn.usual.and_then(|usual| usual.checked_div(HALF));
        self.spread(self.first.max(half.unwrap_or_default()), turn)
    }

    /// From one look to the next.
    pub(crate) fn next(&self, turn: &Turn) -> Duration {
        let tenth = turn.usual.and_then(|usual| usual.checked_div(TENTH));
        let first = self.first.max(tenth.unwrap_or_default());
        let longer = |wait: Duration, _| {
            let grown = wait.saturating_mul(self.factor_percent).checked_div(100);
            grown.unwrap_or(wait).min(self.longest)
        };
        let looks = 0..turn.looks.clamp(0, MOST_GROWTHS);
        let wait = looks.fold(first.min(self.longest), longer);
        let doubled = |wait: Duration, _| wait.saturating_mul(2).min(self.failing);
        let wait = match turn.failures {
            ..=0 => wait,
            failures => (0..failures.min(MOST_GROWTHS))
                .fold(wait, doubled)
                .max(wait),
        };
        self.spread(wait, turn)
    }

    /// After a look at which the provider asked for patience: never sooner than it said.
    pub(crate) fn after(&self, asked: Duration, turn: &Turn) -> Duration {
        let extra = asked.saturating_mul(self.jitter_percent).checked_div(100);
        let part = part(extra.unwrap_or_default(), turn);
        asked.saturating_add(part).max(self.next(turn))
    }

    fn spread(&self, wait: Duration, turn: &Turn) -> Duration {
        let jitter = wait.saturating_mul(self.jitter_percent).checked_div(100);
        let jitter = jitter.unwrap_or_default();
        wait.saturating_sub(jitter)
            .saturating_add(part(jitter.saturating_mul(2), turn))
    }
}

/// A part of a time, from nothing to all of it, that nobody can foretell and that is the same whenever it is asked for.
fn part(whole: Duration, turn: &Turn) -> Duration {
    // The end of a task's id is random.
    let end = turn.task.to_bytes().into_iter().rev().take(8);
    let number = end.fold(0_u64, |number, byte| number << 8 | u64::from(byte));
    let turns = turn.looks.wrapping_add(turn.failures).unsigned_abs();
    // Every bit of either counts in the upper ones (splitmix64).
    let mixed = number.wrapping_add(turns.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let share = u32::try_from(mixed >> 48).unwrap_or_default();
    let of_all = whole.saturating_mul(share).checked_div(1 << 16);
    of_all.unwrap_or_default()
}

/// What suits a provider: pictures are there in seconds at their makers, whatever an aggregator relays takes longer.
fn suits(provider: &str) -> Schedule {
    let (first, longest) = match provider {
        "bfl" => (500, 2_000),
        "bria" | "fal" | "replicate" => (1_000, 5_000),
        "ideogram" => (1_000, 3_000),
        "piapi" | "topaz" => (2_000, 5_000),
        // Who is looked at there makes films.
        "ark" | "dashscope" | "gemini" | "kling" | "minimax" | "pixverse" | "vidu" | "xai" => {
            (3_000, 10_000)
        }
        "kie" => (2_000, 10_000),
        // Its maker asks for looks half a minute apart.
        "suno" => (10_000, 30_000),
        _ => return USUAL,
    };
    Schedule {
        first: Duration::from_millis(first),
        longest: Duration::from_millis(longest),
        ..USUAL
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use chassis::clock::mint;

    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn turn(looks: i64, failures: i64) -> Turn {
        Turn {
            task: mint::<domain::ids::Task>(),
            looks,
            failures,
            usual: None,
        }
    }

    /// Without jitter, so that waits can be told.
    fn steady(first: u64, longest: u64, failing: u64) -> Schedule {
        Schedule {
            first: millis(first),
            longest: millis(longest),
            jitter_percent: 0,
            failing: millis(failing),
            ..USUAL
        }
    }

    #[test]
    fn waits_grow_up_to_the_longest() {
        let schedule = steady(400, 1_000, 30_000);
        let waits: Vec<Duration> = (0..6).map(|looks| schedule.next(&turn(looks, 0))).collect();
        let wanted = [400_000, 500_000, 625_000, 781_250, 976_562, 1_000_000];
        assert_eq!(
            waits.iter().map(Duration::as_micros).collect::<Vec<_>>(),
            wanted
        );
        assert_eq!(schedule.first(&turn(0, 0)), millis(400));
        assert_eq!(schedule.next(&turn(i64::MAX, 0)), millis(1_000));
    }

    #[test]
    fn looks_that_fail_wait_twice_as_long_each_time() {
        let schedule = steady(400, 1_000, 5_000);
        for (failures, wait) in [
            (1, 800),
            (2, 1_600),
            (3, 3_200),
            (4, 5_000),
            (i64::MAX, 5_000),
        ] {
            assert_eq!(schedule.next(&turn(0, failures)), millis(wait));
        }
        // A limit below the usual waits shortens none.
        let impatient = steady(400, 1_000, 100);
        assert_eq!(impatient.next(&turn(9, 3)), millis(1_000));
    }

    #[test]
    fn a_film_is_not_looked_at_every_half_second() {
        let schedule = steady(500, 5_000, 30_000);
        let film = |looks| Turn {
            usual: Some(Duration::from_secs(30)),
            ..turn(looks, 0)
        };
        assert_eq!(schedule.first(&film(0)), millis(15_000));
        assert_eq!(schedule.next(&film(0)), millis(3_000));
        assert_eq!(schedule.next(&film(9)), millis(5_000));
    }

    #[test]
    fn tasks_that_were_looked_at_together_are_not_again() {
        for wait in [
            |schedule: &Schedule, turn: &Turn| schedule.first(turn),
            |schedule: &Schedule, turn: &Turn| schedule.next(turn),
        ] {
            let waits: Vec<Duration> = (0..1_000).map(|_| wait(&USUAL, &turn(0, 0))).collect();
            assert!(
                waits
                    .iter()
                    .all(|wait| (400..=600).contains(&wait.as_millis()))
            );
            // In each of ten parts of that time there are about as many.
            for tenth in 0..10 {
                let part = 400 + tenth * 20..400 + (tenth + 1) * 20;
                let there = waits.iter().filter(|wait| part.contains(&wait.as_millis()));
                assert!((50..=150).contains(&there.count()), "{part:?}");
            }
        }
        // Nor is a task's next wait what its last one was; two of so many may be alike by chance.
        let one = turn(0, 0);
        let waits = (0..50).map(|looks| Turn { looks, ..one });
        let waits: HashSet<Duration> = waits.map(|turn| USUAL.first(&turn)).collect();
        assert!(waits.len() > 45, "{waits:?}");
    }

    #[test]
    fn whoever_is_asked_for_patience_has_it_and_comes_back_one_by_one() {
        let asked = Duration::from_secs(10);
        let waits: HashSet<Duration> = (0..100).map(|_| USUAL.after(asked, &turn(0, 1))).collect();
        assert!(waits.len() > 90);
        assert!(
            waits
                .iter()
                .all(|wait| *wait >= asked && *wait <= asked * 6 / 5)
        );
        // What we would wait anyway is not cut short.
        assert!(USUAL.after(millis(1), &turn(20, 3)) > Duration::from_secs(3));
    }

    #[test]
    fn the_nearest_setting_counts() {
        let all = config::Poll {
            first: Some(millis(70)),
            ..config::Poll::default()
        };
        let own = Poll {
            longest: Some(millis(900)),
            jitter_percent: Some(0),
            ..Poll::default()
        };
        let kie = Schedule::of("kie", own, &all).unwrap();
        assert_eq!(kie, steady(70, 900, 30_000));
        let kie = Schedule::of("kie", Poll::default(), &config::Poll::default()).unwrap();
        assert_eq!((kie.first, kie.longest), (millis(2_000), millis(10_000)));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let wrong = |factor, jitter| {
            let own = Poll {
                factor_percent: Some(factor),
                jitter_percent: Some(jitter),
                ..Poll::default()
            };
            let refusal = Schedule::of("fal", own, &config::Poll::default());
            refusal.unwrap_err().to_string()
        };
        assert!(wrong(99, 0).contains("providers.fal.poll"));
        assert!(wrong(99, 0).contains("factor_percent must be from 100 to 1000"));
        assert!(wrong(100, 51).contains("jitter_percent must be at most 50"));
    }
}
