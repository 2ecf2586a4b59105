//! The limiter's arithmetic: GCRA, the generic cell rate algorithm. Pure: no clock, no storage.
//!
//! Calls are thought to follow each other at an even interval. All a key needs to keep is the time at which its next call
//! would be due; how far that lies ahead of now is `ahead`. A call moves it by one interval, and is admitted as long as it
//! then lies at most `burst` intervals ahead.

use std::time::Duration;

use crate::{Admission, Rate};

const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_NANOS: u64 = 60_000_000_000;
const MINUTE_MICROS: u64 = 60_000_000;

/// Judges one call of a key that is `ahead`. Returns how far it is ahead afterwards, and what to say.
pub(crate) fn admit(ahead: Duration, rate: Rate) -> (Duration, Admission) {
    if admits_nothing(rate) {
        return (ahead, never());
    }
    let interval = interval(rate);
    let reach = interval.saturating_mul(rate.burst);
    let after = ahead.saturating_add(interval);
    match reach.checked_sub(after) {
        Some(left) => {
            let remaining = left.as_nanos() / interval.as_nanos();
            let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
            (after, Admission::Allowed { remaining })
        }
        None => {
            let retry_after = after.saturating_sub(reach);
            (ahead, Admission::Refused { retry_after })
        }
    }
}

/// How far a key that is `ahead` is so without one call that was counted.
pub(crate) fn uncount(ahead: Duration, rate: Rate) -> Duration {
    if admits_nothing(rate) {
        return ahead;
    }
    ahead.saturating_sub(interval(rate))
}

/// The interval between calls and how far ahead a key may be, in whole microseconds; `None` for a rate that admits nothing.
/// The reach is cut at `longest`, or at one interval where that is longer.
pub(crate) fn micros(rate: Rate, longest: Duration) -> Option<(u64, u64)> {
    if admits_nothing(rate) {
        return None;
    }
    // Rounded up, so that rounding never admits a call too many.
    let interval = MINUTE_MICROS.div_ceil(u64::from(rate.per_minute));
    let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    let reach = interval.saturating_mul(u64::from(rate.burst));
    Some((interval, reach.min(longest).max(interval)))
}

/// Rounded up, so that rounding never admits a call too many.
fn interval(rate: Rate) -> Duration {
    Duration::from_nanos(MINUTE_NANOS.div_ceil(u64::from(rate.per_minute.max(1))))
}

/// What a rate says that admits nothing. There is no wait that helps; a minute is what a rate is counted by.
pub(crate) const fn never() -> Admission {
    Admission::Refused {
        retry_after: MINUTE,
    }
}

const fn admits_nothing(rate: Rate) -> bool {
    rate.per_minute == 0 || rate.burst == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn nanos(nanos: u64) -> Duration {
        Duration::from_nanos(nanos)
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn rate(per_minute: u32, burst: u32) -> Rate {
        Rate { per_minute, burst }
    }

    const fn allowed(remaining: u32) -> Admission {
        Admission::Allowed { remaining }
    }

    const fn refused(retry_after: Duration) -> Admission {
        Admission::Refused { retry_after }
    }

    #[test]
    fn judges_by_how_far_the_key_is_ahead() {
        let table = [
            // 60 a minute: one a second.
            (rate(60, 3), millis(0), millis(1_000), allowed(2)),
            (rate(60, 3), millis(1_000), millis(2_000), allowed(1)),
            (rate(60, 3), millis(2_000), millis(3_000), allowed(0)),
            (
                rate(60, 3),
                millis(3_000),
                millis(3_000),
                refused(millis(1_000)),
            ),
            (
                rate(60, 3),
                millis(2_500),
                millis(2_500),
                refused(millis(500)),
            ),
            (
                rate(60, 3),
                nanos(2_000_000_001),
                nanos(2_000_000_001),
                refused(nanos(1)),
            ),
            // Half an interval past a whole number of calls: half a call does not remain.
            (rate(60, 3), millis(500), millis(1_500), allowed(1)),
            // No burst: the calls are strictly spaced.
            (rate(60, 1), millis(0), millis(1_000), allowed(0)),
            (rate(60, 1), nanos(1), nanos(1), refused(nanos(1))),
            // Slow, and fast.
            (rate(1, 1), millis(0), millis(60_000), allowed(0)),
            (
                rate(1, 2),
                millis(120_000),
                millis(120_000),
                refused(millis(60_000)),
            ),
            (rate(60_000, 100), millis(99), millis(100), allowed(0)),
            // An interval that is no whole number of nanoseconds is rounded up.
            (rate(7, 1), nanos(0), nanos(8_571_428_572), allowed(0)),
            // The limit was lowered while the key was far ahead: it waits for the new one.
            (
                rate(60, 1),
                millis(9_000),
                millis(9_000),
                refused(millis(9_000)),
            ),
            // Nothing at all.
            (rate(0, 5), millis(0), millis(0), refused(MINUTE)),
            (rate(5, 0), millis(0), millis(0), refused(MINUTE)),
            // The extremes do not overflow.
            (
                rate(1, u32::MAX),
                millis(0),
                millis(60_000),
                allowed(u32::MAX - 1),
            ),
            (
                rate(u32::MAX, u32::MAX),
                nanos(0),
                nanos(14),
                allowed(u32::MAX - 1),
            ),
            (
                rate(60, 1),
                Duration::MAX,
                Duration::MAX,
                refused(Duration::MAX - millis(1_000)),
            ),
        ];
        for (rate, ahead, after, said) in table {
            assert_eq!(
                admit(ahead, rate),
                (after, said),
                "{rate:?}, ahead {ahead:?}"
            );
        }
    }

    #[test]
    fn whole_microseconds_are_never_too_few() {
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let table = [
            (rate(60, 3), Some((1_000_000, 3_000_000))),
            (rate(7, 1), Some((8_571_429, 8_571_429))),
            (rate(u32::MAX, 2), Some((1, 2))),
            (rate(1, u32::MAX), Some((60_000_000, 31_536_000_000_000))),
            (rate(0, 5), None),
            (rate(5, 0), None),
        ];
        for (rate, expected) in table {
            assert_eq!(micros(rate, year), expected, "{rate:?}");
        }
    }

    /// A key and its clock, as a store keeps them.
    struct Key {
        ahead: Duration,
        rate: Rate,
    }

    impl Key {
        fn wait(&mut self, pause: Duration) {
            self.ahead = self.ahead.saturating_sub(pause);
        }

        fn call(&mut self) -> Admission {
            let (ahead, said) = admit(self.ahead, self.rate);
            self.ahead = ahead;
            said
        }
    }

    proptest! {
        #[test]
        fn never_admits_more_than_the_burst_and_what_time_brought(
            per_minute in 1_u32..100_000,
            burst in 1_u32..50,
            pauses in prop::collection::vec(0_u64..3_000_000_000, 1..300),
        ) {
            let mut key = Key { ahead: Duration::ZERO, rate: rate(per_minute, burst) };
            let (mut elapsed, mut admitted) = (0_u128, 0_u128);
            for pause in pauses {
                key.wait(nanos(pause));
                elapsed += u128::from(pause);
                if matches!(key.call(), Admission::Allowed { .. }) {
                    admitted += 1;
                }
                let brought = elapsed * u128::from(per_minute) / u128::from(MINUTE_NANOS);
                prop_assert!(admitted <= u128::from(burst) + brought);
            }
        }

        #[test]
        fn remaining_and_retry_after_are_exact(
            per_minute in 1_u32..100_000,
            burst in 1_u32..50,
            pauses in prop::collection::vec(0_u64..3_000_000_000, 0..50),
        ) {
            let mut key = Key { ahead: Duration::ZERO, rate: rate(per_minute, burst) };
            for pause in pauses {
                key.wait(nanos(pause));
                key.call();
            }
            let mut said = key.call();
            if let Admission::Allowed { remaining } = said {
                for left in (0..remaining).rev() {
                    prop_assert_eq!(key.call(), allowed(left));
                }
                said = key.call();
            }
            let Admission::Refused { retry_after } = said else {
                return Err(TestCaseError::fail("more were admitted than remained"));
            };
            key.wait(retry_after - nanos(1));
            prop_assert_eq!(key.call(), refused(nanos(1)));
            key.wait(nanos(1));
            prop_assert_eq!(key.call(), allowed(0));
        }
    }
}
