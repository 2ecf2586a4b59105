//! Scribe's transcript: words, what is between them, and what else is heard, each with its moment. Sentences are put together of them. Pure.

use std::time::Duration;

use domain::transcript::{Segment, Transcript, Word};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::super::{transcript, wire};

/// The types of what is heard: what is between words is no word.
const SPACING: &str = "spacing";
/// What ends a sentence.
const ENDS: [char; 7] = ['.', '!', '?', '…', '。', '！', '？'];
/// A segment has no more characters than two lines of a film's titles, and no silence that is longer than this.
const LONGEST: usize = 84;
const SILENCE: Duration = Duration::from_millis(1_500);

/// The wire shape of a transcript.
#[derive(Deserialize)]
pub(super) struct Scribed {
    text: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    language_code: Option<String>,
    #[serde(default)]
    audio_duration_secs: Value,
    #[serde(default, deserialize_with = "wire::lenient")]
    words: Vec<Heard>,
}

/// The wire shape of something that is heard.
#[derive(Deserialize)]
struct Heard {
    text: String,
    #[serde(default)]
    start: Value,
    #[serde(default)]
    end: Value,
    #[serde(rename = "type", default, deserialize_with = "wire::lenient")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient")]
    speaker_id: Option<String>,
}

/// A segment that is being put together.
struct Open {
    start: Duration,
    end: Duration,
    text: String,
    speaker: Option<String>,
}

/// Whether a result is a transcript.
pub(super) fn is_one(result: &Map<String, Value>) -> bool {
    let has = |name: &str, is: fn(&Value) -> bool| result.get(name).is_some_and(is);
    has("text", Value::is_string) && has("words", Value::is_array)
}

// === impl Scribed ===

impl Scribed {
    pub(super) fn transcript(self) -> Transcript {
        let segments = segments(&self.words);
        let words = self.words.into_iter().filter(|heard| !heard.is_between());
        Transcript {
            text: self.text,
            language: transcript::some(self.language_code),
            duration: transcript::lasts(&self.audio_duration_secs),
            words: words.map(Heard::word).collect(),
            segments,
        }
    }
}

/// Sentences, as far as silence, another voice or their length does not part them before.
fn segments(heard: &[Heard]) -> Vec<Segment> {
    let (mut done, mut open): (Vec<Segment>, Option<Open>) = (Vec::new(), None);
    for next in heard {
        if let Some(parted) = open.take_if(|open| !next.is_between() && open.is_parted_from(next)) {
            done.push(parted.numbered(done.len()));
        }
        match &mut open {
            Some(open) => open.take(next),
            None if next.is_between() => {}
            None => open = Some(Open::of(next)),
        }
    }
    if let Some(last) = open {
        done.push(last.numbered(done.len()));
    }
    done
}

// === impl Heard ===

impl Heard {
    fn is_between(&self) -> bool {
        self.kind.as_deref() == Some(SPACING)
    }

    fn span(&self) -> (Duration, Duration) {
        let (start, end) = (transcript::lasts(&self.start), transcript::lasts(&self.end));
        (start, end.max(start))
    }

    fn word(self) -> Word {
        let (start, end) = self.span();
        Word {
            word: self.text,
            start,
            end,
            speaker: self.speaker_id,
        }
    }
}

// === impl Open ===

impl Open {
    fn of(heard: &Heard) -> Self {
        let (start, end) = heard.span();
        Self {
            start,
            end,
            text: heard.text.clone(),
            speaker: heard.speaker_id.clone(),
        }
    }

    fn is_parted_from(&self, next: &Heard) -> bool {
        let (start, _) = next.span();
        let length = |text: &str| text.chars().count();
        self.text.trim_end().ends_with(ENDS)
            || self.speaker != next.speaker_id
            || start.saturating_sub(self.end) > SILENCE
            || length(&self.text).saturating_add(length(&next.text)) > LONGEST
    }

    fn take(&mut self, next: &Heard) {
        self.text.push_str(&next.text);
        if !next.is_between() {
            self.end = self.end.max(next.span().1);
        }
    }

    fn numbered(self, before: usize) -> Segment {
        Segment {
            id: u64::try_from(before).unwrap_or(u64::MAX),
            start: self.start,
            end: self.end,
            text: self.text.trim().to_owned(),
            speaker: self.speaker,
            more: Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Words with their moments, and who says them.
    fn heard(words: &[(&str, f64, f64, &str)]) -> Vec<Heard> {
        let words = words.iter().map(|(text, start, end, speaker)| {
            let kind = if text.trim().is_empty() {
                "spacing"
            } else {
                "word"
            };
            json!({"text": text, "start": start, "end": end, "type": kind, "speaker_id": speaker})
        });
        serde_json::from_value(words.collect()).unwrap()
    }

    fn told(words: &[(&str, f64, f64, &str)]) -> Vec<String> {
        let segments = segments(&heard(words)).into_iter();
        segments
            .map(|one| {
                let (start, end) = (one.start.as_millis(), one.end.as_millis());
                let speaker = one.speaker.unwrap_or_default();
                format!("{} {start}-{end} {speaker}: {}", one.id, one.text)
            })
            .collect()
    }

    #[test]
    fn words_become_sentences() {
        assert_eq!(
            told(&[
                ("Hi", 0.0, 0.5, "a"),
                (" ", 0.5, 0.6, "a"),
                ("there.", 0.6, 1.0, "a"),
                (" ", 1.0, 1.1, "a"),
                ("You", 1.1, 1.5, "a"),
                (" ", 1.5, 1.6, "a"),
                ("Me", 1.6, 2.0, "b"),
                (" ", 2.0, 2.1, "b"),
                ("late", 4.0, 4.5, "b"),
            ]),
            [
                "0 0-1000 a: Hi there.",
                "1 1100-1500 a: You",
                "2 1600-2000 b: Me",
                "3 4000-4500 b: late",
            ]
        );
        assert!(told(&[]).is_empty());
        assert!(told(&[(" ", 0.0, 1.0, "a")]).is_empty());
    }

    #[test]
    fn a_long_sentence_is_parted_between_its_words() {
        let words: Vec<(&str, f64, f64, &str)> = (0..40_u8)
            .flat_map(|n| {
                let at = f64::from(n);
                [("word", at, at + 0.5, "a"), (" ", at + 0.5, at + 1.0, "a")]
            })
            .collect();
        let told = told(&words);
        assert_eq!(told.len(), 3);
        assert!(told.iter().all(|one| one.len() <= LONGEST + 20), "{told:?}");
        assert!(told[0].starts_with("0 0-16500 a: word"), "{}", told[0]);
    }

    #[test]
    fn moments_that_are_not_told_are_the_beginning() {
        let scribed = json!({
            "text": "Hi (laughs)", "language_code": "eng", "words": [
                {"text": "Hi"}, {"text": " ", "type": "spacing", "start": null}, {"text": "(laughs)", "type": "audio_event", "start": 1, "end": 0.5},
            ],
        });
        let scribed: Scribed = serde_json::from_value(scribed).unwrap();
        let heard = serde_json::to_value(scribed.transcript()).unwrap();
        let words = json!([{"word": "Hi", "start": 0.0, "end": 0.0}, {"word": "(laughs)", "start": 1.0, "end": 1.0}]);
        assert_eq!(heard["words"], words);
        assert_eq!(heard["segments"][0]["text"], "Hi (laughs)");
        assert_eq!(heard["language"], "eng");
        let result = |value: Value| is_one(value.as_object().unwrap());
        assert!(result(json!({"text": "", "words": []})));
        assert!(!result(json!({"text": "a"})) && !result(json!({"words": []})));
    }
}
