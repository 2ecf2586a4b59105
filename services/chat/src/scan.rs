//! One pass over the JSON of a stream's event: what it holds, without parsing it. Pure; this runs for every event.
//!
//! The pass walks from string to string; a string that a colon follows is a name. Quotation marks inside strings are
//! escaped, so that nothing a model writes can look like a name. Depth is not tracked: what is found here is looked at again by a
//! real parser where it decides about money.

use memchr::{memchr, memchr2};

/// What an event holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// A `usage` that is not `null`.
    pub(crate) usage: bool,
    /// An `error` that is not `null`.
    pub(crate) error: bool,
    /// How far the choices are.
    pub(crate) choices: Choices,
    /// Why a choice ended, if one did.
    pub(crate) finish: Option<Finish>,
    /// Bytes of generated text: contents, reasoning, refusals and the arguments of tool calls.
    pub(crate) content_bytes: u64,
}

/// How far the choices of an event are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choices {
    /// More of them may come.
    #[default]
    Open,
    /// One of them has a `finish_reason`.
    Finished,
    /// The list is empty: an event that holds usage only.
    Empty,
}

/// Why a choice ended: the words of `finish_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The model was done.
    Stop,
    /// The limit of output was reached.
    Length,
    /// It calls tools.
    ToolCalls,
    /// The content policy ended it.
    ContentFilter,
    /// Another word.
    Other,
}

/// Names whose text value a model has generated.
const CONTENT: [&[u8]; 5] = [
    b"content",
    b"reasoning_content",
    b"reasoning",
    b"refusal",
    b"arguments",
];

/// Looks at one event, or at a whole answer; each generated text in it is handed to `take` as it is written there, escaped.
pub(crate) fn scan<'a>(json: &'a [u8], mut take: impl FnMut(&'a [u8])) -> Signs {
    let mut signs = Signs::default();
    let mut rest = json;
    while let Some((text, after)) = next_string(rest) {
        rest = after;
        if let Some(value) = value_behind(after)
            && let Some(generated) = signs.see(text, value)
        {
            take(generated);
        }
    }
    signs
}

// === impl Signs ===

impl Signs {
    /// Notes a member; what a model has generated there, if it is a text.
    fn see<'a>(&mut self, name: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
        let given = !value.starts_with(b"null");
        match name {
            b"usage" => self.usage |= given,
            b"error" => self.error |= given,
            b"finish_reason" if given => {
                self.choices = Choices::Finished;
                // Of several choices, one that reached its limit counts.
                if self.finish != Some(Finish::Length) {
                    self.finish = Some(Finish::read(value));
                }
            }
            b"choices" if is_empty_list(value) => self.choices = Choices::Empty,
            _ if CONTENT.contains(&name) => {
                let (text, _) = value
                    .first()
                    .filter(|byte| **byte == b'"')
                    .and_then(|_| next_string(value))?;
                self.content_bytes = self.content_bytes.saturating_add(length(text));
                return Some(text);
            }
            _ => {}
        }
        None
    }
}

// === impl Finish ===

impl Finish {
    const WORDS: [(Self, &'static str); 5] = [
        (Self::Stop, "stop"),
        (Self::Length, "length"),
        (Self::ToolCalls, "tool_calls"),
        (Self::ContentFilter, "content_filter"),
        (Self::Other, "other"),
    ];

    /// The word.
    pub(crate) fn as_str(self) -> &'static str {
        let row = Self::WORDS.iter().find(|(finish, _)| *finish == self);
        row.map_or("other", |(_, word)| word)
    }

    /// Reads a value that begins with the word.
    fn read(value: &[u8]) -> Self {
        let word = next_string(value).map(|(word, _)| word);
        let row = Self::WORDS
            .iter()
            .find(|(_, known)| word == Some(known.as_bytes()));
        row.map_or(Self::Other, |(finish, _)| *finish)
    }
}

/// The inside of the next string, and what follows its closing quotation mark.
fn next_string(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = json.get(memchr(b'"', json)?.checked_add(1)?..)?;
    let mut at = 0_usize;
    loop {
        let stop = at.checked_add(memchr2(b'"', b'\\', inside.get(at..)?)?)?;
        if inside.get(stop) == Some(&b'"') {
            return Some((inside.get(..stop)?, inside.get(stop.checked_add(1)?..)?));
        }
        at = stop.checked_add(2)?;
    }
}

/// The value, if a colon follows: then the string before was a name.
fn value_behind(json: &[u8]) -> Option<&[u8]> {
    json.trim_ascii_start()
        .strip_prefix(b":")
        .map(<[u8]>::trim_ascii_start)
}

fn is_empty_list(value: &[u8]) -> bool {
    value
        .strip_prefix(b"[")
        .is_some_and(|inside| inside.trim_ascii_start().starts_with(b"]"))
}

/// The length of a string's text, unescaped, in bytes of UTF-8.
fn length(text: &[u8]) -> u64 {
    let mut length = 0_usize;
    let mut rest = text;
    while let Some(plain) = memchr(b'\\', rest) {
        let escape = rest.get(plain.saturating_add(1)..).unwrap_or_default();
        let (written, means) = match escape {
            [b'u', hex @ ..] => (5, utf8_length(hex)),
            _ => (1, 1),
        };
        length = length.saturating_add(plain).saturating_add(means);
        rest = escape.get(written..).unwrap_or_default();
    }
    u64::try_from(length.saturating_add(rest.len())).unwrap_or(u64::MAX)
}

/// The bytes of UTF-8 that `\uXXXX` stands for; a character outside the basic plane is written as two of these, and has four.
fn utf8_length(hex: &[u8]) -> usize {
    match hex {
        [b'0', b'0', b'0'..=b'7', ..] => 1,
        [b'0', b'0'..=b'7', ..] => 2,
        [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn scan(json: &[u8]) -> Signs {
        super::scan(json, |_| {})
    }

    #[test]
    fn an_ordinary_event_holds_text_only() {
        let event = br#"{"id":"a","choices":[{"index":0,"delta":{"content":"Hi \"you\"\n\u00e4"},"finish_reason":null}],"usage":null}"#;
        let expected = Signs {
            content_bytes: 11,
            ..Signs::default()
        };
        assert_eq!(scan(event), expected);
    }

    #[test]
    fn a_usage_event_is_seen_however_it_is_written() {
        for event in [
            r#"{"choices":[],"usage":{"total_tokens":1}}"#,
            r#"{ "usage" : { } , "choices" : [ ] }"#,
        ] {
            let signs = scan(event.as_bytes());
            assert!(
                signs.usage && signs.choices == Choices::Empty && !signs.error,
                "{event}"
            );
        }
        assert!(scan(br#"{"error":{"message":"x"}}"#).error);
        assert!(!scan(br#"{"error":null}"#).error);
        let finished = |reasons: &str| {
            let signs = scan(format!(r#"{{"choices":[{reasons}]}}"#).as_bytes());
            (signs.choices, signs.finish)
        };
        for (reasons, finish) in [
            (r#"{"finish_reason":"stop"}"#, Finish::Stop),
            (r#"{"finish_reason" : "tool_calls"}"#, Finish::ToolCalls),
            (r#"{"finish_reason":"something_new"}"#, Finish::Other),
            (r#"{"finish_reason":7}"#, Finish::Other),
            (
                r#"{"finish_reason":"length"},{"finish_reason":"stop"}"#,
                Finish::Length,
            ),
        ] {
            assert_eq!(finished(reasons), (Choices::Finished, Some(finish)));
        }
        assert_eq!(finished(r#"{"finish_reason":null}"#), (Choices::Open, None));
    }

    #[test]
    fn what_is_generated_counts() {
        let event = br#"{"choices":[{"delta":{"reasoning_content":"ab","tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#;
        let mut texts = Vec::new();
        let signs = super::scan(event, |text| texts.push(text));
        assert_eq!(signs.content_bytes, 2 + 7);
        assert_eq!(texts, [&b"ab"[..], br#"{\"a\":1}"#]);
    }

    #[test]
    fn escapes_count_as_what_they_stand_for() {
        let count =
            |text: &str| scan(format!(r#"{{"content":"{text}"}}"#).as_bytes()).content_bytes;
        for (text, bytes) in [
            (r"a\u0041", 2),
            (r"\u00e4\u07FF", 4),
            (r"\u4e2d", 3),
            (r"\ud83c\uDF88", 4),
            (r"\\u", 2),
            (r"\n", 1),
        ] {
            assert_eq!(count(text), bytes, "{text}");
        }
    }

    #[test]
    fn broken_json_ends_the_pass() {
        for event in [
            "",
            "\"",
            "\"usage",
            "{\"usage\"",
            "{\"content\":\"ab",
            "{\"content\":\"ab\\",
        ] {
            assert_eq!(scan(event.as_bytes()), Signs::default(), "{event}");
        }
        // What may be a usage is looked at again by a real parser.
        assert!(scan(b"{\"usage\":").usage);
    }

    proptest! {
        #[test]
        fn nothing_a_model_writes_looks_like_a_name(text in ".{0,40}|(\"usage\":|\"error\":1|\\\\|\"|usage){0,6}") {
            let event = json!({"choices": [{"delta": {"content": text}, "finish_reason": null}], "usage": null});
            let signs = scan(event.to_string().as_bytes());
            prop_assert!(!signs.usage && !signs.error && signs.choices == Choices::Open);
            prop_assert_eq!(signs.content_bytes, u64::try_from(text.len()).unwrap());
        }
    }
}
