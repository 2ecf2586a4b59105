//! How soon a candidate has begun to answer lately, and whom that puts first: an average in which each answer counts for a quarter.
//! Pure: moments come in, and no clock is read.
//!
//! Whoever is not asked is not measured. So what is known fades: after each half-life without news it counts half as much, until the
//! candidate is first again, and is asked. While that one call is out it stands where it stood before, so that the others do not follow it
//! into what may still be slow. A candidate that is `k` times as slow as the best is tried about every `log2(k)` half-lives.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::SpeedLimits;

/// What is known of one candidate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Speed {
    known: Option<Known>,
    /// Calls that have not begun to answer.
    out: u32,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
struct Known {
    micros: u64,
    at: Instant,
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It began to answer after so long.
    Began(Duration),
    /// It failed after so long.
    Failed(Duration),
    /// Nobody waited for it longer than that.
    Left(Duration),
    /// It says nothing of its speed: the request was at fault.
    Nothing,
}

// === impl Speed ===

impl Speed {
    /// The lower, the sooner it is asked.
    pub(crate) fn rank(&self, now: Instant, limits: &SpeedLimits) -> u64 {
        match (self.known, self.out) {
            (None, 0) => 0,
            // Somebody is finding out.
            (None, _) => u64::MAX,
            (Some(known), 0) => {
                let halves = known.half_lives(now, limits);
                known.micros.checked_shr(halves).unwrap_or(0)
            }
            (Some(known), _) => known.micros,
        }
    }

    /// It is asked: how that went must be [`Speed::hear`]d.
    pub(crate) fn begin(&mut self) {
        self.out = self.out.saturating_add(1);
    }

    /// Learns how a call went.
    pub(crate) fn hear(&mut self, heard: Heard, now: Instant, limits: &SpeedLimits) {
        self.out = self.out.saturating_sub(1);
        let took = match heard {
            Heard::Began(took) => micros(took),
            // Who fails at once is not fast.
            Heard::Failed(took) => micros(took.max(limits.failed_as)),
            // It would have taken longer: that is news only of what was thought to be faster.
            Heard::Left(waited) => match self.known {
                Some(known) if known.micros < micros(waited) => micros(waited),
                Some(_) | None => return,
            },
            Heard::Nothing => return,
        };
        let micros = match self.known {
            None => took,
            Some(known) => {
                // What is old counts no more than what is new.
                let weight: u64 = if known.half_lives(now, limits) == 0 {
                    3
                } else {
                    1
                };
                let sum = known.micros.saturating_mul(weight).saturating_add(took);
                sum.checked_div(weight.saturating_add(1)).unwrap_or(took)
            }
        };
        self.known = Some(Known { micros, at: now });
    }
}

// === impl Known ===

impl Known {
    /// How many half-lives ago it was measured.
    fn half_lives(&self, now: Instant, limits: &SpeedLimits) -> u32 {
        let age = now.saturating_duration_since(self.at).as_millis();
        let halves = age.checked_div(limits.half_life.as_millis()).unwrap_or(0);
        u32::try_from(halves).unwrap_or(u32::MAX)
    }
}

/// At least one: who is known is not unknown.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HALF_LIFE: Duration = Duration::from_secs(30);

    fn limits() -> SpeedLimits {
        SpeedLimits {
            half_life: HALF_LIFE,
            failed_as: Duration::from_secs(10),
            ..SpeedLimits::default()
        }
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// What is known after these, one after another at one moment.
    fn after(news: &[Heard], now: Instant) -> Speed {
        let mut speed = Speed::default();
        for heard in news {
            speed.begin();
            speed.hear(*heard, now, &limits());
        }
        speed
    }

    #[test]
    fn what_is_heard_moves_the_average() {
        let now = Instant::now();
        for (news, rank) in [
            (vec![], 0),
            (vec![Heard::Nothing], 0),
            (vec![Heard::Left(ms(90_000))], 0),
            (vec![Heard::Began(ms(400))], 400_000),
            (vec![Heard::Began(ms(400)), Heard::Began(ms(800))], 500_000),
            (vec![Heard::Failed(ms(1))], 10_000_000),
            (vec![Heard::Failed(ms(30_000))], 30_000_000),
            (vec![Heard::Began(ms(400)), Heard::Left(ms(300))], 400_000),
            (vec![Heard::Began(ms(400)), Heard::Left(ms(800))], 500_000),
            (vec![Heard::Began(ms(400)), Heard::Nothing], 400_000),
        ] {
            assert_eq!(after(&news, now).rank(now, &limits()), rank, "{news:?}");
        }
    }

    #[test]
    fn one_call_finds_out_while_the_others_go_elsewhere() {
        let now = Instant::now();
        let mut unknown = Speed::default();
        unknown.begin();
        assert_eq!(unknown.rank(now, &limits()), u64::MAX);
        unknown.hear(Heard::Nothing, now, &limits());
        assert_eq!(unknown.rank(now, &limits()), 0);

        let mut slow = after(&[Heard::Began(ms(8_000))], now);
        let later = now + HALF_LIFE * 4;
        assert_eq!(slow.rank(later, &limits()), 500_000);
        slow.begin();
        assert_eq!(slow.rank(later, &limits()), 8_000_000);
        // What is old counts as much as the one answer that is new.
        slow.hear(Heard::Began(ms(200)), later, &limits());
        assert_eq!(slow.rank(later, &limits()), 4_100_000);
    }

    proptest! {
        /// Whoever answers fastest gets nearly all requests, and everybody is asked again before long.
        #[test]
        fn the_fastest_is_asked_most_and_nobody_is_forgotten(times in prop::collection::vec(50_u64..5_000, 2..6), pace in 1_u64..2_000) {
            let (limits, begun) = (limits(), Instant::now());
            let mut speeds = vec![Speed::default(); times.len()];
            let mut asked = vec![Vec::new(); times.len()];
            for request in 0..4_000 {
                let now = begun + ms(request * pace);
                let ranks: Vec<u64> = speeds.iter().map(|speed| speed.rank(now, &limits)).collect();
                let first = (0..ranks.len()).min_by_key(|place| ranks[*place]).unwrap();
                speeds[first].begin();
                speeds[first].hear(Heard::Began(ms(times[first])), now, &limits);
                asked[first].push(now);
            }
            let best = *times.iter().min().unwrap();
            let end = begun + ms(4_000 * pace);
            for (place, time) in times.iter().enumerate() {
                let doublings = (time / best).ilog2();
                let longest = HALF_LIFE * (doublings + 2) + ms(pace * 8);
                let moments = asked[place].iter().copied().chain([end]);
                let gaps: Vec<Duration> = moments.clone().skip(1).zip(moments).map(|(next, before)| next - before).collect();
                prop_assert!(gaps.iter().all(|gap| *gap <= longest), "{place}: {gaps:?} of {times:?}");
                // Tries are rare: about one in each half-life.
                if *time >= best * 2 {
                    let most = 4 + u64::try_from((end - begun).as_millis() / HALF_LIFE.as_millis()).unwrap();
                    prop_assert!(u64::try_from(asked[place].len()).unwrap() <= most, "{place}: {} of {times:?}", asked[place].len());
                }
            }
        }
    }
}
