//! The timed lyrics of a song: from their words, each with its moment, to lines and the names of sections.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use upstream::{Class, Failure, Verdict};

/// What an order says of the song: the job that made it, and its own id.
pub(super) const TASK: &str = "taskId";
pub(super) const CLIP: &str = "audioId";

/// The wire shape of their answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timed {
    aligned_words: Option<Vec<Word>>,
    waveform_data: Option<Vec<Value>>,
}

/// The wire shape of a word. It may hold the end of a line, and the name of the section that it begins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Word {
    word: String,
    start_s: Option<Value>,
    end_s: Option<Value>,
}

/// The wire shape of what is kept: what customers are answered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lyrics {
    text: String,
    lyric_params: Vec<Value>,
    waveform: Vec<Value>,
}

/// Lines that are being put together.
#[derive(Default)]
struct Lines {
    told: Vec<Value>,
    text: String,
    start: Option<Value>,
    end: Option<Value>,
}

/// What an order says by a name.
pub(super) fn named(order: &Map<String, Value>, name: &str) -> String {
    let text = order.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// What customers are answered, as JSON.
///
/// # Errors
/// When a song has no words, as instrumentals have none.
pub(super) fn read(data: Value) -> Result<String, Failure> {
    let unreadable = |_| Failure::malformed("the answer has no lyrics");
    let timed: Timed = serde_json::from_value(data).map_err(unreadable)?;
    let words = timed.aligned_words.unwrap_or_default();
    if words.is_empty() {
        let why = "the song has no lyrics that could be timed";
        return Err(Failure::reported(Verdict::with_detail(Class::Invalid, why)));
    }
    let mut lines = Lines::default();
    words.iter().for_each(|word| lines.take(word));
    lines.end();
    let lyrics = Lyrics {
        text: words.iter().map(|word| word.word.as_str()).collect(),
        lyric_params: lines.told,
        waveform: timed.waveform_data.unwrap_or_default(),
    };
    serde_json::to_string(&lyrics).map_err(unreadable)
}

/// The name of a section that a line is: `[Verse 1]`.
fn section(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[')?.strip_suffix(']')
}

// === impl Lines ===

impl Lines {
    fn take(&mut self, word: &Word) {
        for piece in word.word.split_inclusive('\n') {
            if let Some(style) = section(piece) {
                self.end();
                self.told.push(
                    json!({ "text": piece, "metadata": { "style": style }, "type": "segment_break" }),
                );
                continue;
            }
            if self.text.trim().is_empty() {
                self.start.clone_from(&word.start_s);
            }
            self.end.clone_from(&word.end_s);
            self.text.push_str(piece);
            if piece.ends_with('\n') {
                self.end();
            }
        }
    }

    /// The end of a line. One without words is none.
    fn end(&mut self) {
        let text = std::mem::take(&mut self.text);
        let (start, end) = (self.start.take(), self.end.take());
        if !text.trim().is_empty() {
            self.told
                .push(json!({ "text": text, "start": start, "end": end, "type": "lyric" }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_lines_and_sections() {
        let word = |text: &str, start: f64, end: f64| json!({"word": text, "success": true, "startS": start, "endS": end, "palign": 0});
        let data = json!({
            "alignedWords": [
                word("[Verse 1]\nA ", 1.5, 1.75), word("fox\n", 2.0, 2.25), word("\n", 2.5, 2.5), word("ran ", 3.0, 3.25),
                word("off\n[Chorus]\nla", 4.0, 4.5),
            ],
            "waveformData": [0.25, 0.5], "hootCer": 0.1, "isStreamed": false,
        });
        let lyrics: Value = serde_json::from_str(&read(data).unwrap()).unwrap();
        assert_eq!(
            lyrics,
            json!({
                "text": "[Verse 1]\nA fox\n\nran off\n[Chorus]\nla",
                "lyricParams": [
                    {"text": "[Verse 1]\n", "metadata": {"style": "Verse 1"}, "type": "segment_break"},
                    {"text": "A fox\n", "start": 1.5, "end": 2.25, "type": "lyric"},
                    {"text": "ran off\n", "start": 3.0, "end": 4.5, "type": "lyric"},
                    {"text": "[Chorus]\n", "metadata": {"style": "Chorus"}, "type": "segment_break"},
                    {"text": "la", "start": 4.0, "end": 4.5, "type": "lyric"},
                ],
                "waveform": [0.25, 0.5],
            })
        );
    }

    #[test]
    fn a_song_without_words_has_none() {
        for data in [json!({"alignedWords": []}), json!({"alignedWords": null})] {
            let failure = read(data).unwrap_err();
            assert_eq!(failure.class(), Class::Invalid);
            assert_eq!(
                failure.detail(),
                Some("the song has no lyrics that could be timed")
            );
        }
        assert_eq!(read(json!(null)).unwrap_err().class(), Class::Malformed);
    }
}
