//! How slowly a body may come. Pure: moments are handed in.
//!
//! Only the time counts that somebody waits for the other side; a slow reader is not its fault. A silence that is too long ends it, and so
//! does every stretch of waiting as long as that in which too little came: a byte a second would hold a place for hours.

use std::time::Duration;

use tokio::time::Instant;

/// The bound of one body.
#[derive(Debug)]
pub(super) struct Pace {
    /// The longest silence, and the length of a stretch.
    idle: Duration,
    /// The fewest bytes of a stretch; 0: any.
    fewest: u64,
    waiting: Option<Waiting>,
    /// What was waited in this stretch until the last byte.
    waited: Duration,
    /// What came in this stretch.
    came: u64,
}

/// A silence that somebody waits through.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: Instant,
    /// From here on it belongs to this stretch.
    counts_from: Instant,
}

/// How a wait stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// It may go on until then.
    Until(Instant),
    /// It is over.
    Over,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(idle: Duration, min_bytes_per_second: u64) -> Self {
        let millis = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let fewest = min_bytes_per_second.saturating_mul(millis) / 1_000;
        Self {
            idle,
            fewest,
            waiting: None,
            waited: Duration::ZERO,
            came: 0,
        }
    }

    /// So many bytes have come.
    pub(super) fn came(&mut self, now: Instant, bytes: u64) {
        if let Some(waiting) = self.waiting.take() {
            let waited = now.saturating_duration_since(waiting.counts_from);
            self.waited = self.waited.saturating_add(waited);
        }
        self.came = self.came.saturating_add(bytes);
    }

    /// Nothing has come, and somebody waits.
    pub(super) fn waits(&mut self, now: Instant) -> Wait {
        let begun = Waiting {
            since: now,
            counts_from: now,
        };
        let mut waiting = *self.waiting.get_or_insert(begun);
        let silent = now.saturating_duration_since(waiting.since);
        let waited = now.saturating_duration_since(waiting.counts_from);
        let waited = self.waited.saturating_add(waited);
        let is_stretch_over = waited >= self.idle;
        if silent >= self.idle || (is_stretch_over && self.came < self.fewest) {
            return Wait::Over;
        }
        let mut stretch = self.idle.saturating_sub(waited);
        if is_stretch_over {
            waiting.counts_from = now;
            self.waiting = Some(waiting);
            (self.waited, self.came) = (Duration::ZERO, 0);
            stretch = self.idle;
        }
        Wait::Until(now + stretch.min(self.idle.saturating_sub(silent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Hears `bytes` after every `pause`, for so many seconds at most; how many passed before it was over, if it was.
    fn hear(pace: &mut Pace, (bytes, pause): (u64, Duration), seconds: u64) -> Option<u64> {
        let begun = Instant::now();
        let end = begun + SECOND * u32::try_from(seconds).unwrap();
        let mut now = begun;
        let mut comes = now + pause;
        while now < end {
            match pace.waits(now) {
                Wait::Over => return Some((now - begun).as_secs()),
                Wait::Until(due) if due < comes => now = due,
                Wait::Until(_) => {
                    now = comes;
                    pace.came(now, bytes);
                    comes = now + pause;
                }
            }
        }
        None
    }

    #[test]
    fn a_drip_is_over_after_one_stretch_and_what_is_fast_enough_goes_on() {
        let pace = |least| Pace::new(30 * SECOND, least);
        let drip = (1, SECOND);
        assert_eq!(hear(&mut pace(1_024), drip, 3_600), Some(30));
        assert_eq!(hear(&mut pace(0), drip, 3_600), None);
        assert_eq!(hear(&mut pace(1_024), (1_024, SECOND), 3_600), None);
        assert_eq!(hear(&mut pace(1_024), (1_023, SECOND), 3_600), Some(30));
        // It comes in bursts, none of them too late.
        assert_eq!(hear(&mut pace(1_024), (40_000, 29 * SECOND), 3_600), None);
    }

    #[test]
    fn a_silence_is_over_however_much_came_before() {
        let mut pace = Pace::new(30 * SECOND, 1);
        pace.came(Instant::now(), 1_000_000);
        assert_eq!(hear(&mut pace, (1, 3_600 * SECOND), 3_600), Some(30));
        let mut pace = Pace::new(30 * SECOND, 0);
        assert_eq!(hear(&mut pace, (1_000, 31 * SECOND), 3_600), Some(30));
    }

    #[test]
    fn what_a_reader_takes_for_himself_is_not_waited() {
        let mut pace = Pace::new(30 * SECOND, 1_024);
        let mut now = Instant::now();
        for _ in 0..100 {
            assert!(matches!(pace.waits(now), Wait::Until(_)));
            pace.came(now + SECOND / 10, 200);
            now += 3_600 * SECOND;
        }
    }
}
