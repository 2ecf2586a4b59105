//! The id of a job, which is all there is of the job. Pure: bytes in, bytes out, and the state at a given moment.
//!
//! The layout is fixed: a version, the fields, big-endian, and a CRC-32 of it all, in base64url. The checksum is no
//! secret; it tells a made-up id from one of ours, as the real provider can.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{directive::Outcome, picture::Format};

/// A job as its id tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// Makes two jobs of one request two ids.
    pub(crate) nonce: u64,
    /// When it was accepted, in microseconds UTC.
    pub(crate) start: i64,
    /// How long it takes, in milliseconds.
    pub(crate) delay_millis: u32,
    /// In pixels, as the height.
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) seed: i64,
    pub(crate) outcome: Outcome,
    pub(crate) format: Format,
    pub(crate) directive: Reading,
}

/// Whether the directive in the prompt was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// All of it.
    Whole,
    /// Not every word.
    Partly,
}

/// What a poll finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not due yet, and how much of the time has passed, in percent.
    Pending(u8),
    /// There is a picture.
    Ready,
    /// The job failed.
    Failed,
    /// The prompt was refused before any work.
    RequestModerated,
    /// The picture was refused.
    ContentModerated,
    /// The job is gone.
    Unknown,
    /// The answer is not JSON.
    Malformed,
}

const VERSION: u8 = 1;
const BODY_BYTES: usize = 36;

// === impl Job ===

impl Job {
    /// The id.
    pub(crate) fn encode(&self) -> String {
        let format = match self.format {
            Format::Png => 0,
            Format::Jpeg => 1,
        };
        let reading = match self.directive {
            Reading::Whole => 0,
            Reading::Partly => 1,
        };
        let outcome = Outcome::ALL.iter().position(|row| row.0 == self.outcome);
        let outcome = outcome.and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
        let mut bytes = Vec::with_capacity(BODY_BYTES + 4);
        bytes.push(VERSION);
        bytes.extend(self.nonce.to_be_bytes());
        bytes.extend(self.start.to_be_bytes());
        bytes.extend(self.delay_millis.to_be_bytes());
        bytes.extend(self.width.to_be_bytes());
        bytes.extend(self.height.to_be_bytes());
        bytes.extend(self.seed.to_be_bytes());
        bytes.extend([outcome, format, reading]);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads an id; `None` for one that is not ours.
    pub(crate) fn decode(id: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let mut rest = body;
        if take(&mut rest)? != [VERSION] {
            return None;
        }
        let job = Self {
            nonce: u64::from_be_bytes(take(&mut rest)?),
            start: i64::from_be_bytes(take(&mut rest)?),
            delay_millis: u32::from_be_bytes(take(&mut rest)?),
            width: u16::from_be_bytes(take(&mut rest)?),
            height: u16::from_be_bytes(take(&mut rest)?),
            seed: i64::from_be_bytes(take(&mut rest)?),
            outcome: Outcome::ALL.get(usize::from(byte(&mut rest)?))?.0,
            format: match byte(&mut rest)? {
                0 => Format::Png,
                1 => Format::Jpeg,
                _ => return None,
            },
            directive: match byte(&mut rest)? {
                0 => Reading::Whole,
                1 => Reading::Partly,
                _ => return None,
            },
        };
        rest.is_empty().then_some(job)
    }

    /// When it is done, in microseconds UTC.
    pub(crate) fn due(&self) -> i64 {
        let delay = Duration::from_millis(self.delay_millis.into());
        self.start.saturating_add(chassis::clock::micros(delay))
    }

    /// What a poll at `now` (microseconds UTC) finds.
    ///
    /// A moderated job without any delay is refused for its prompt, before work; any other for its picture.
    pub(crate) fn state(&self, now: i64) -> State {
        if now < self.due() || self.outcome == Outcome::Hang {
            return State::Pending(self.percent(now));
        }
        match self.outcome {
            Outcome::Success
            | Outcome::DuplicateCallback
            | Outcome::LateCallback
            | Outcome::Overreport
            | Outcome::Cut => State::Ready,
            Outcome::Moderated if self.delay_millis == 0 => State::RequestModerated,
            Outcome::Moderated => State::ContentModerated,
            Outcome::Vanish => State::Unknown,
            Outcome::Malformed => State::Malformed,
            // The refusals never get an id; one that carries them is a failed job.
            Outcome::Fail
            | Outcome::Hang
            | Outcome::RateLimited
            | Outcome::Overloaded
            | Outcome::OutOfBalance => State::Failed,
        }
    }

    fn percent(&self, now: i64) -> u8 {
        let whole = self.due().saturating_sub(self.start).max(1);
        let passed = now.saturating_sub(self.start).clamp(0, whole);
        u8::try_from(passed.saturating_mul(100) / whole).map_or(99, |percent| percent.min(99))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    take(bytes).map(u8::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(outcome: Outcome, delay_millis: u32) -> Job {
        Job {
            nonce: 42,
            start: 1_000_000_000,
            delay_millis,
            width: 1_024,
            height: 768,
            seed: -7,
            outcome,
            format: Format::Jpeg,
            directive: Reading::Partly,
        }
    }

    #[test]
    fn every_outcome_survives_its_id() {
        for (outcome, _) in Outcome::ALL {
            let job = job(outcome, 1_500);
            assert_eq!(Job::decode(&job.encode()), Some(job));
        }
    }

    #[test]
    fn an_id_is_fixed_for_ever() {
        // A sandbox of tomorrow must know the jobs of today's.
        let id = "AQAAAAAAAAAqAAAAADuaygAAAAXcBAADAP_________5AQEBiNtSfQ";
        assert_eq!(job(Outcome::Fail, 1_500).encode(), id);
    }

    #[test]
    fn states_by_outcome() {
        let table = [
            (Outcome::Success, State::Ready),
            (Outcome::DuplicateCallback, State::Ready),
            (Outcome::LateCallback, State::Ready),
            (Outcome::Overreport, State::Ready),
            (Outcome::Cut, State::Ready),
            (Outcome::Fail, State::Failed),
            (Outcome::Moderated, State::ContentModerated),
            (Outcome::Vanish, State::Unknown),
            (Outcome::Malformed, State::Malformed),
            (Outcome::Hang, State::Pending(99)),
        ];
        for (outcome, expected) in table {
            let job = job(outcome, 2_000);
            assert_eq!(job.state(job.start), State::Pending(0));
            assert_eq!(job.state(job.start + 1_000_000), State::Pending(50));
            assert_eq!(job.state(job.due() - 1), State::Pending(99));
            assert_eq!(job.state(job.due()), expected, "{outcome:?}");
            assert_eq!(job.state(i64::MAX), expected, "{outcome:?}");
        }
        let refused = job(Outcome::Moderated, 0);
        assert_eq!(refused.state(refused.start), State::RequestModerated);
    }

    #[test]
    fn a_clock_that_went_back_does_not_break_a_job() {
        assert_eq!(job(Outcome::Success, 10).state(0), State::Pending(0));
    }

    proptest! {
        #[test]
        fn made_up_ids_are_not_ours(id in "[A-Za-z0-9_-]{0,80}") {
            prop_assert_eq!(Job::decode(&id), None);
        }

        #[test]
        fn a_changed_id_is_not_ours(at in 0usize..54, letter in "[A-Za-z0-9]") {
            let id = job(Outcome::Success, 5).encode();
            let mut changed = id.clone();
            changed.replace_range(at..=at, &letter);
            prop_assert!(changed == id || Job::decode(&changed).is_none());
        }
    }
}
