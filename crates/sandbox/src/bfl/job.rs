//! The id of a job, in a layout of its own, older than the one that other providers share (`job.rs` of the sandbox). Pure.

use crate::{
    directive::Outcome,
    job::{self, Course, Reading, State, byte, take},
    picture::Format,
};

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
        let mut bytes = Vec::with_capacity(BODY_BYTES + 4);
        bytes.push(VERSION);
        bytes.extend(self.nonce.to_be_bytes());
        bytes.extend(self.start.to_be_bytes());
        bytes.extend(self.delay_millis.to_be_bytes());
        bytes.extend(self.width.to_be_bytes());
        bytes.extend(self.height.to_be_bytes());
        bytes.extend(self.seed.to_be_bytes());
        bytes.extend([self.outcome.number(), format, self.directive.number()]);
        job::seal(bytes)
    }

    /// Reads an id; `None` for one that is not ours.
    pub(crate) fn decode(id: &str) -> Option<Self> {
        let bytes = job::unseal(id)?;
        let mut rest = bytes.as_slice();
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
            outcome: Outcome::numbered(byte(&mut rest)?)?,
            format: match byte(&mut rest)? {
                0 => Format::Png,
                1 => Format::Jpeg,
                _ => return None,
            },
            directive: Reading::numbered(byte(&mut rest)?)?,
        };
        rest.is_empty().then_some(job)
    }

    /// When it is done, in microseconds UTC.
    pub(crate) fn due(&self) -> i64 {
        self.course().due()
    }

    /// What a poll at `now` (microseconds UTC) finds.
    pub(crate) fn state(&self, now: i64) -> State {
        self.course().state(now)
    }

    fn course(&self) -> Course {
        Course {
            start: self.start,
            delay_millis: self.delay_millis,
            outcome: self.outcome,
        }
    }
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
