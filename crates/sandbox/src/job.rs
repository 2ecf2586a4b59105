//! Jobs of simulated media providers: a job is whole in its id, so that the sandbox keeps none. Pure: bytes in, bytes out, and the
//! state at a given moment.
//!
//! An id is a version, the fields, big-endian, and a CRC-32 of it all, in base64url. The checksum is no secret; it tells a made-up id
//! from one of ours, as the real providers can. A layout is fixed for ever: a sandbox of tomorrow must know the jobs of today's.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::clock::{micros, now_micros};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::{
    answer,
    directive::{self, Bounds, Directive, Outcome},
    made::{Kind, Made},
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
    pub(crate) seed: i64,
    pub(crate) outcome: Outcome,
    pub(crate) directive: Reading,
    pub(crate) made: Made,
}

/// Whether the directive was understood.
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
    /// There is a result.
    Ready,
    /// The job failed.
    Failed,
    /// The request was refused before any work.
    RequestModerated,
    /// The result was refused.
    ContentModerated,
    /// The job is gone.
    Unknown,
    /// The answer is not JSON.
    Malformed,
}

/// How a job goes, whatever it makes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    /// When it was accepted, in microseconds UTC.
    pub(crate) start: i64,
    /// How long it takes, in milliseconds.
    pub(crate) delay_millis: u32,
    pub(crate) outcome: Outcome,
}

/// One more than the version of Black Forest Labs' own ids, so that neither is taken for the other.
const VERSION: u8 = 2;
const BODY_BYTES: usize = 39;
/// What begins a text that is a file.
const DATA: &str = "data:";

/// Reads the directive out of whatever text of `input` holds one: a prompt, lyrics, a text to be spoken, or the file name or the query
/// of an input's address.
pub(crate) fn directive_of(input: &Value, bounds: &Bounds) -> Directive {
    let mut texts = Vec::new();
    gather(input, &mut texts);
    directive::parse(&texts.join("\n"), bounds)
}

fn gather(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with(DATA) => {}
        Value::String(text) => match Url::parse(text) {
            Ok(url) if url.has_host() => texts.push(told_by(&url)),
            Ok(_) | Err(_) => texts.push(text.clone()),
        },
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| gather(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The file name and the query of an address, decoded.
fn told_by(url: &Url) -> String {
    let name = url.path_segments().and_then(|mut parts| parts.next_back());
    let parts = [name.unwrap_or_default(), url.query().unwrap_or_default()];
    let words = parts.iter().flat_map(|part| {
        form_urlencoded::parse(part.as_bytes()).map(|(name, value)| {
            if value.is_empty() {
                name.into_owned()
            } else {
                format!("{name}={value}")
            }
        })
    });
    words.collect::<Vec<_>>().join(" ")
}

/// How many seconds an input lasts, by its address, since it is not fetched: `https://example.com/fox.mp4?seconds=40`.
pub(crate) fn length_of(address: Option<&Value>) -> Option<u16> {
    let url = Url::parse(address?.as_str()?).ok()?;
    let told = url.query_pairs().find(|(name, _)| name == "seconds");
    told.and_then(|(_, seconds)| seconds.parse().ok())
        .filter(|seconds| *seconds > 0)
}

/// The id that is these bytes.
pub(crate) fn seal(mut bytes: Vec<u8>) -> String {
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of an id; `None` for one that is not ours.
pub(crate) fn unseal(id: &str) -> Option<Vec<u8>> {
    let mut bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    let ours = crc32fast::hash(body) == u32::from_be_bytes(*checksum);
    bytes.truncate(bytes.len() - 4);
    ours.then_some(bytes)
}

/// The next field of an id.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

/// The next field of an id, one byte.
pub(crate) fn byte(bytes: &mut &[u8]) -> Option<u8> {
    take(bytes).map(u8::from_be_bytes)
}

// === impl Job ===

impl Job {
    /// A job that is accepted now. Without a seed it has one of its own.
    pub(crate) fn new(
        directive: &Directive,
        default_delay: Duration,
        seed: Option<i64>,
        made: Made,
    ) -> Self {
        let delay = directive.delay.unwrap_or(default_delay);
        Self {
            nonce: rand::random(),
            start: now_micros(),
            delay_millis: u32::try_from(delay.as_millis()).unwrap_or(u32::MAX),
            seed: seed.unwrap_or_else(|| i64::from(rand::random::<u32>())),
            outcome: directive.outcome,
            directive: Reading::of(directive),
            made: made.fitted(),
        }
    }

    /// The id.
    pub(crate) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(BODY_BYTES + 4);
        bytes.push(VERSION);
        bytes.extend(self.nonce.to_be_bytes());
        bytes.extend(self.start.to_be_bytes());
        bytes.extend(self.delay_millis.to_be_bytes());
        bytes.extend(self.seed.to_be_bytes());
        bytes.extend([self.outcome.number(), self.directive.number()]);
        bytes.extend([self.made.kind.number(), self.made.count]);
        bytes.extend(self.made.width.to_be_bytes());
        bytes.extend(self.made.height.to_be_bytes());
        bytes.extend(self.made.seconds.to_be_bytes());
        seal(bytes)
    }

    /// Reads an id; `None` for one that is not ours.
    pub(crate) fn decode(id: &str) -> Option<Self> {
        let bytes = unseal(id)?;
        let mut rest = bytes.as_slice();
        if take(&mut rest)? != [VERSION] {
            return None;
        }
        let job = Self {
            nonce: u64::from_be_bytes(take(&mut rest)?),
            start: i64::from_be_bytes(take(&mut rest)?),
            delay_millis: u32::from_be_bytes(take(&mut rest)?),
            seed: i64::from_be_bytes(take(&mut rest)?),
            outcome: Outcome::numbered(byte(&mut rest)?)?,
            directive: Reading::numbered(byte(&mut rest)?)?,
            made: Made {
                kind: Kind::numbered(byte(&mut rest)?)?,
                count: byte(&mut rest)?,
                width: u16::from_be_bytes(take(&mut rest)?),
                height: u16::from_be_bytes(take(&mut rest)?),
                seconds: u16::from_be_bytes(take(&mut rest)?),
            },
        };
        // Anybody can write a checksum: nothing is made that is larger than what a job may ask for.
        (rest.is_empty() && job.made == job.made.fitted()).then_some(job)
    }

    /// When it is done, in microseconds UTC.
    pub(crate) fn due(&self) -> i64 {
        self.course().due()
    }

    /// What a poll at `now` (microseconds UTC) finds.
    pub(crate) fn state(&self, now: i64) -> State {
        self.course().state(now)
    }

    /// What is told of it: also that its directive was not understood, if that is so.
    pub(crate) fn with_word(&self, told: Value) -> Value {
        match self.directive {
            Reading::Whole => told,
            Reading::Partly => {
                let words = "the directive in the input was not fully understood";
                answer::with(told, "sandbox", json!(words))
            }
        }
    }

    fn course(&self) -> Course {
        Course {
            start: self.start,
            delay_millis: self.delay_millis,
            outcome: self.outcome,
        }
    }
}

// === impl Course ===

impl Course {
    /// When the job is done, in microseconds UTC.
    pub(crate) fn due(&self) -> i64 {
        let delay = Duration::from_millis(self.delay_millis.into());
        self.start.saturating_add(micros(delay))
    }

    /// What a poll at `now` (microseconds UTC) finds.
    ///
    /// A moderated job without any delay is refused for its request, before work; any other for its result.
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

// === impl Reading ===

impl Reading {
    /// Whether this one was.
    pub(crate) fn of(directive: &Directive) -> Self {
        match directive.misread.as_slice() {
            [] => Self::Whole,
            _ => Self::Partly,
        }
    }

    /// Its number inside an id.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Partly => 1,
        }
    }

    pub(crate) const fn numbered(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Whole),
            1 => Some(Self::Partly),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
