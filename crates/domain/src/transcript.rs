//! What was said in a recording: the one file of a task that transcribes, whoever heard it. Its moments are seconds, as JSON has them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// All that was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Transcript {
    /// The whole of it.
    pub text: String,
    /// In which language, as who heard it calls that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// How long the recording lasts, as who heard it says; nothing where that is not told.
    #[serde(default, with = "moment", skip_serializing_if = "Duration::is_zero")]
    pub duration: Duration,
    /// Word by word, where who heard it tells their moments.
    #[serde(default)]
    pub words: Vec<Word>,
    /// Sentence by sentence, or so.
    #[serde(default)]
    pub segments: Vec<Segment>,
}

/// A word.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Word {
    /// As it is written.
    pub word: String,
    /// When it begins.
    #[serde(with = "moment")]
    pub start: Duration,
    /// When it ends.
    #[serde(with = "moment")]
    pub end: Duration,
    /// Who says it, where voices are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
}

/// A part of what was said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Segment {
    /// Its number, from 0.
    pub id: u64,
    /// When it begins.
    #[serde(with = "moment")]
    pub start: Duration,
    /// When it ends.
    #[serde(with = "moment")]
    pub end: Duration,
    /// What is said.
    pub text: String,
    /// Who says it, where voices are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// What else who heard it knows of it.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A moment, or a length, as a number of seconds.
pub mod moment {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes it.
    ///
    /// # Errors
    /// As the writer has some.
    pub fn serialize<S: Serializer>(moment: &Duration, writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_f64(moment.as_secs_f64())
    }

    /// Reads it. What lies before the beginning is the beginning: those who hear round their moments.
    ///
    /// # Errors
    /// When it is no number of seconds that there can be.
    pub fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(reader)?;
        Duration::try_from_secs_f64(seconds.max(0.0)).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({
            "text": "Hi there.", "language": "english", "duration": 2.5,
            "words": [{"word": "Hi", "start": 0.0, "end": 0.2}, {"word": "there.", "start": 0.25, "end": 1.1, "speaker": "a"}],
            "segments": [{"id": 0, "start": 0.0, "end": 1.1, "text": " Hi there.", "avg_logprob": -0.25, "tokens": [1, 2]}],
        });
        let read: Transcript = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(read.words[0].end, Duration::from_millis(200));
        assert_eq!(read.segments[0].more.len(), 2);
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
    }

    #[test]
    fn a_moment_is_a_number_of_seconds() {
        let read = |start: Value| {
            let word = json!({"word": "a", "start": start, "end": 1});
            let word: Result<Word, _> = serde_json::from_value(word);
            word.ok().map(|word| word.start)
        };
        assert_eq!(read(json!(0.5)), Some(Duration::from_millis(500)));
        assert_eq!(read(json!(7)), Some(Duration::from_secs(7)));
        assert_eq!(read(json!(-0.02)), Some(Duration::ZERO));
        for wrong in [json!("1"), json!(null), json!(1e300)] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }
}
