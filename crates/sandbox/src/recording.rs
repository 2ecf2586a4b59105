//! Recordings that come in to be transcribed: the form that they come in, how long they last, and what is said in them. Nobody listens: it is
//! a sentence or two about the recording itself, spread over the time that it lasts. Pure, but for what is fetched.

use std::{convert::Infallible, io::Cursor, time::Duration};

use axum::body::Bytes;
use chassis::config::duration;
use futures::stream;
use http::{HeaderMap, header};
use lofty::{file::AudioFile as _, probe::Probe};
use multer::Multipart;
use serde_json::{Map, Value};

/// The field that is the recording.
pub(crate) const FILE: &str = "file";
/// What begins a directive, and ends it. In the bytes of a recording there may be one as well, for models that take no words.
const OPENING: &[u8] = b"[sandbox";
const CLOSING: u8 = b']';
/// What begins a film whose length is not read here.
const MATROSKA: &[u8] = &[0x1A, 0x45, 0xDF, 0xA3];
/// The word of a directive that is about the recording itself: it lasts as long, whatever its head says. And the most that it may say.
const LASTS: &str = "lasts=";
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The name under which what a recording's bytes say stands among the fields.
const SAYS: &str = "(recording)";

/// A form with a recording.
pub(crate) struct Form {
    /// Its texts. A name that comes several times is a list.
    pub(crate) fields: Map<String, Value>,
    pub(crate) recording: Recording,
}

/// What is wrong with a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It is no form.
    Broken,
    /// It has no file.
    NoFile,
    /// Its file is no sound, or its name does not say which.
    NoSound,
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recording {
    pub(crate) lasts: Duration,
    /// A directive among its bytes, if there is one.
    says: String,
}

/// A word, and when it is said.
pub(crate) struct Said {
    pub(crate) word: String,
    pub(crate) start: Duration,
    pub(crate) end: Duration,
}

// === impl Form ===

impl Form {
    /// Reads a form whose file has one of these endings; all where there are none.
    pub(crate) async fn read(
        headers: &HeaderMap,
        body: Bytes,
        endings: &[&str],
    ) -> Result<Self, Wrong> {
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(kind).map_err(|_| Wrong::Broken)?;
        let parts = stream::iter([Ok::<_, Infallible>(body)]);
        let mut form = Multipart::new(parts, boundary);
        let (mut fields, mut recording): (Map<String, Value>, _) = (Map::new(), None);
        while let Some(field) = form.next_field().await.map_err(|_| Wrong::Broken)? {
            let name = field.name().unwrap_or_default().to_owned();
            let filename = field.file_name().map(str::to_owned);
            let bytes = field.bytes().await.map_err(|_| Wrong::Broken)?;
            match filename {
                Some(filename) if name == FILE => {
                    let ending = filename.rsplit('.').next().unwrap_or_default();
                    let fits = endings.is_empty() || endings.contains(&ending);
                    let heard = Recording::of(&bytes).filter(|_| fits);
                    recording = Some(heard.ok_or(Wrong::NoSound)?);
                }
                Some(_) | None => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    put(&mut fields, name, text);
                }
            }
        }
        let recording = recording.ok_or(Wrong::NoFile)?;
        Ok(Self { fields, recording })
    }

    /// All that it says, a directive of its recording among it.
    pub(crate) fn input(&self) -> Value {
        let mut input = self.fields.clone();
        self.recording.note(&mut input);
        Value::Object(input)
    }

    /// A text of it.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }
}

fn put(fields: &mut Map<String, Value>, name: String, text: String) {
    match fields.get_mut(&name) {
        Some(Value::Array(list)) => list.push(text.into()),
        Some(one) => *one = Value::Array(vec![one.take(), text.into()]),
        None => {
            fields.insert(name, text.into());
        }
    }
}

// === impl Recording ===

impl Recording {
    /// What these bytes are; `None`: no sound.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let lasts = if bytes.starts_with(MATROSKA) {
            Duration::from_secs(1)
        } else {
            let probe = Probe::new(Cursor::new(bytes)).guess_file_type().ok()?;
            probe.read().ok()?.properties().duration()
        };
        let (says, truly) = told(&directive(bytes));
        Some(Self {
            lasts: truly.unwrap_or(lasts),
            says,
        })
    }

    /// One of which nothing is known but how long it lasts.
    pub(crate) const fn lasting(seconds: u64) -> Self {
        Self {
            lasts: Duration::from_secs(seconds),
            says: String::new(),
        }
    }

    /// Puts its directive among what is asked.
    pub(crate) fn note(&self, input: &mut Map<String, Value>) {
        if !self.says.is_empty() {
            input.insert(SAYS.to_owned(), self.says.clone().into());
        }
    }

    /// The seconds that have begun, one at least.
    pub(crate) fn seconds(&self) -> u64 {
        let begun = u64::from(self.lasts.subsec_nanos() > 0);
        (self.lasts.as_secs() + begun).max(1)
    }

    /// What is said in it, in this language.
    pub(crate) fn said(&self, language: &str) -> Vec<Said> {
        let seconds = self.seconds();
        let text = format!("This is the sandbox. It heard {seconds} seconds in {language}.");
        let words: Vec<&str> = text.split(' ').collect();
        let count = u32::try_from(words.len()).unwrap_or(1);
        let each = self.lasts / count;
        let said = (0_u32..).zip(words).map(|(number, word)| Said {
            word: word.to_owned(),
            start: rounded(each * number),
            // A word is over a little before the next.
            end: rounded(each * number + each * 3 / 4),
        });
        said.collect()
    }
}

/// In whole milliseconds, as moments are told.
fn rounded(moment: Duration) -> Duration {
    Duration::from_millis(u64::try_from(moment.as_millis()).unwrap_or(u64::MAX))
}

fn directive(bytes: &[u8]) -> String {
    let mut windows = bytes.windows(OPENING.len());
    let said = windows.position(|window| window == OPENING);
    let said = said.and_then(|at| bytes.get(at..)).unwrap_or_default();
    let end = said.iter().position(|byte| *byte == CLOSING);
    let said = end.and_then(|end| said.get(..=end)).unwrap_or_default();
    String::from_utf8_lossy(said).into_owned()
}

/// A directive without its word about the recording itself, and what that says. Nothing is left of one that says nothing else.
fn told(directive: &str) -> (String, Option<Duration>) {
    let words = directive.trim_end_matches(char::from(CLOSING));
    let (mut rest, mut lasts): (Vec<&str>, _) = (Vec::new(), None);
    for word in words.split_whitespace() {
        let told = word.strip_prefix(LASTS).and_then(duration::parse);
        match told.filter(|told| *told <= LONGEST) {
            Some(told) => lasts = Some(told),
            None => rest.push(word),
        }
    }
    match (lasts, rest.as_slice()) {
        (None, _) => (directive.to_owned(), None),
        (Some(_), [_] | []) => (String::new(), lasts),
        (Some(_), words) => (format!("{}]", words.join(" ")), lasts),
    }
}

/// What is said, as a text.
pub(crate) fn text(said: &[Said]) -> String {
    let words: Vec<&str> = said.iter().map(|said| said.word.as_str()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sound of so many samples, a hundred of which are a second, with these bytes in a chunk that nobody plays.
    pub(crate) fn wav(samples: usize, aside: &[u8]) -> Vec<u8> {
        let chunk = |name: &[u8; 4], content: &[u8]| {
            let length = u32::try_from(content.len()).unwrap();
            [&name[..], &length.to_le_bytes(), content].concat()
        };
        let form = [
            &[1_u8, 0, 1, 0][..],
            &100_u32.to_le_bytes(),
            &100_u32.to_le_bytes(),
            &[1, 0, 8, 0],
        ];
        let parts = [
            b"WAVE".to_vec(),
            chunk(b"fmt ", &form.concat()),
            chunk(b"note", aside),
            chunk(b"data", &vec![0x80; samples]),
        ];
        chunk(b"RIFF", &parts.concat())
    }

    #[test]
    fn a_recording_says_how_long_it_is_and_what_shall_happen() {
        let recording = Recording::of(&wav(250, b"")).unwrap();
        assert_eq!(recording.lasts, Duration::from_millis(2_500));
        assert_eq!((recording.seconds(), recording.says.as_str()), (3, ""));
        let told = Recording::of(&wav(100, b"x [sandbox outcome=fail] y ")).unwrap();
        assert_eq!(told.says, "[sandbox outcome=fail]");
        let mut input = Map::new();
        told.note(&mut input);
        assert_eq!(input[SAYS], "[sandbox outcome=fail]");
        for (says, lasts, rest) in [
            ("[sandbox lasts=20m]", 1_200, ""),
            (
                "[sandbox outcome=fail lasts=1s delay=1s]",
                1,
                "[sandbox outcome=fail delay=1s]",
            ),
            ("[sandbox lasts=25d]", 2, "[sandbox lasts=25d]"),
        ] {
            let told = Recording::of(&wav(200, says.as_bytes())).unwrap();
            assert_eq!((told.seconds(), told.says.as_str()), (lasts, rest));
        }
        assert_eq!(Recording::of(b"no sound"), None);
        assert_eq!(Recording::of(b""), None);
    }

    #[test]
    fn what_is_said_fills_its_time() {
        let said = Recording::of(&wav(250, b"")).unwrap().said("de");
        assert_eq!(
            text(&said),
            "This is the sandbox. It heard 3 seconds in de."
        );
        let last = said.last().unwrap();
        assert!(said.iter().all(|said| said.start < said.end));
        assert!(last.end <= Duration::from_millis(2_500));
        assert_eq!(said[1].start, Duration::from_millis(250));
    }
}
