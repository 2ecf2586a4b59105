//! The id of a film, which is a number there, of all that is to be known of its job. Pure, but for a count that makes two films of one moment
//! two numbers.
//!
//! From the highest: milliseconds since 2026, the count, how long it takes, the outcome, seconds, quality, shape; each but the first a digit of
//! its own base. A number whose moment is not within a day is none of ours.

use std::sync::atomic::{AtomicI64, Ordering};

use chassis::clock::now_micros;

use crate::{
    directive::Outcome,
    job::{Job, Reading},
    work,
};

/// What a film can be.
pub(super) const RATIOS: [&str; 5] = ["16:9", "4:3", "1:1", "3:4", "9:16"];
pub(super) const SECONDS: [u16; 3] = [5, 8, 10];
const QUALITIES: [&str; 4] = ["360p", "540p", "720p", "1080p"];
/// Milliseconds since 1970 at the beginning of 2026.
const BEGIN: i64 = 1_767_225_600_000;
const MILLI: i64 = 1_000;
/// Milliseconds that a number is good for.
const LIFE: i64 = 24 * 3_600 * 1_000;
/// How many values each field has, from the lowest.
const COUNTS: [i64; 6] = [5, 4, 3, 16, 64, 128];

static NEXT: AtomicI64 = AtomicI64::new(0);

/// A film as its id tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Film {
    /// When it was accepted, in milliseconds UTC.
    start: i64,
    count: i64,
    /// How long it takes, as [`delay`] reads it.
    takes: i64,
    outcome: Outcome,
    seconds: i64,
    quality: i64,
    ratio: i64,
}

// === impl Film ===

impl Film {
    /// A film that is asked for now: of this job, in this shape and quality.
    pub(super) fn of(job: &Job, (ratio, quality): (Option<&str>, Option<&str>)) -> Self {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            start: job.start / MILLI,
            count: count.rem_euclid(128),
            takes: steps(job.delay_millis),
            outcome: job.outcome,
            seconds: place(&SECONDS, &job.made.seconds),
            quality: place(&QUALITIES, &quality.unwrap_or("720p")),
            ratio: place(&RATIOS, &ratio.unwrap_or("16:9")),
        }
    }

    /// Its number.
    pub(super) fn id(self) -> i64 {
        let fields = [
            self.count,
            self.takes,
            i64::from(self.outcome.number()),
            self.seconds,
            self.quality,
            self.ratio,
        ];
        let counts = COUNTS.iter().rev();
        let first = self.start - BEGIN;
        let fields = fields.iter().zip(counts);
        fields.fold(first, |id, (field, count)| id * count + field)
    }

    /// The film of a number; `None` for one that is not ours.
    pub(super) fn read(id: i64) -> Option<Self> {
        let mut rest = id;
        let mut fields = COUNTS.map(|count| {
            let field = rest.rem_euclid(count);
            rest = rest.div_euclid(count);
            field
        });
        fields.reverse();
        let [count, takes, outcome, seconds, quality, ratio] = fields;
        let film = Self {
            start: rest + BEGIN,
            count,
            takes,
            outcome: Outcome::numbered(u8::try_from(outcome).ok()?)?,
            seconds,
            quality,
            ratio,
        };
        let age = now_micros() / MILLI - film.start;
        (-LIFE..LIFE).contains(&age).then_some(film)
    }

    /// The job that it is: the same whenever it is asked for.
    pub(super) fn job(self) -> Job {
        let at = |words: &[&'static str], place: i64| {
            let place = usize::try_from(place).unwrap_or_default();
            words.get(place).copied()
        };
        let seconds = usize::try_from(self.seconds).ok();
        let seconds = seconds.and_then(|place| SECONDS.get(place)).copied();
        Job {
            nonce: self.id().unsigned_abs(),
            start: self.start * MILLI,
            delay_millis: delay(self.takes),
            seed: self.id(),
            outcome: self.outcome,
            directive: Reading::Whole,
            made: work::film(
                at(&RATIOS, self.ratio),
                at(&QUALITIES, self.quality),
                seconds.unwrap_or(5),
            ),
        }
    }
}

/// Where something stands in a list; else at its beginning.
fn place<T: PartialEq>(all: &[T], one: &T) -> i64 {
    let place = all.iter().position(|other| other == one);
    place
        .and_then(|place| i64::try_from(place).ok())
        .unwrap_or(0)
}

/// How long something takes, roughly: an eighth of a step more each, and eight times as much every eight.
fn delay(takes: i64) -> u32 {
    let (power, eighths) = (takes.div_euclid(8), takes.rem_euclid(8));
    let power = u32::try_from(power).unwrap_or_default();
    let eighths = u32::try_from(eighths).unwrap_or_default();
    eighths.saturating_mul(8_u32.saturating_pow(power))
}

/// The shortest of those that is no shorter than so many milliseconds.
fn steps(millis: u32) -> i64 {
    let mut all: Vec<i64> = (0..64).collect();
    all.sort_by_key(|takes| delay(*takes));
    let found = all.into_iter().find(|takes| delay(*takes) >= millis);
    found.unwrap_or(63)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::directive::{self, Bounds};

    fn job(words: &str) -> Job {
        let bounds = Bounds {
            max_delay: Duration::from_secs(3_600),
            max_tokens: 1,
        };
        let directive = directive::parse(words, &bounds);
        let made = work::film(Some("9:16"), Some("1080p"), 8);
        Job::new(&directive, Duration::from_secs(1), None, made)
    }

    #[test]
    fn a_number_is_a_film() {
        for (outcome, word) in Outcome::ALL {
            let asked = job(&format!("[sandbox outcome={word} delay=5ms]"));
            let film = Film::of(&asked, (Some("9:16"), Some("1080p")));
            let id = film.id();
            assert!(id > 0, "{word}");
            assert_eq!(Film::read(id), Some(film));
            let job = film.job();
            assert_eq!((job.outcome, job.delay_millis), (outcome, 5));
            assert_eq!(job.made, asked.made);
            assert_eq!(job.start, asked.start / MILLI * MILLI);
            assert_eq!(film.job(), job, "the same whenever it is asked for");
        }
    }

    #[test]
    fn two_films_of_one_moment_have_two_numbers() {
        let asked = job("");
        let ids: Vec<i64> = (0..100)
            .map(|_| Film::of(&asked, (None, None)).id())
            .collect();
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ids.len());
    }

    #[test]
    fn a_number_of_another_time_is_none_of_ours() {
        for id in [0, 7, -1, i64::MAX, i64::MIN, 332_000_000_000_000] {
            assert_eq!(Film::read(id), None, "{id}");
        }
    }

    #[test]
    fn a_film_takes_about_as_long_as_it_shall() {
        for (millis, takes) in [(0, 0), (5, 5), (7, 7), (8, 8), (10, 16), (1_000, 1_024)] {
            assert_eq!(delay(steps(millis)), takes, "{millis}");
        }
        assert!(delay(steps(3_600_000)) >= 3_600_000);
    }
}
