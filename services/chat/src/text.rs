//! A text that stands in JSON, read part by part, so that a long one is neither copied nor unescaped as a whole. Pure.

use memchr::memchr;

/// What is left of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text<'a> {
    /// The inside of a JSON string, escaped.
    Quoted(&'a str),
    /// What counts as it is written: JSON itself.
    Plain(&'a str),
}

// === impl Text ===

impl Text<'_> {
    /// Bytes that are left, as they are written.
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Quoted(rest) | Self::Plain(rest) => rest.len(),
        }
    }

    /// Moves the next part into `part`, of at most so many bytes, or a few more; none at the end, or where the next character does not fit.
    pub(crate) fn read(&mut self, part: &mut String, most: usize) {
        part.clear();
        match self {
            Self::Plain(rest) => *rest = moved(part, rest, most),
            Self::Quoted(rest) => {
                while part.len() < most && !rest.is_empty() {
                    // No further than there is room for: else the whole of a long text would be gone through for each part of it.
                    let room = rest.len().min(most.saturating_sub(part.len()));
                    let beginning = rest.as_bytes().get(..room).unwrap_or_default();
                    let plain = memchr(b'\\', beginning).unwrap_or(room);
                    let behind = if plain > 0 {
                        moved(part, rest, plain)
                    } else {
                        let (character, written) = unescaped(rest);
                        part.push(character);
                        rest.get(written..).unwrap_or_default()
                    };
                    if behind.len() == rest.len() {
                        return;
                    }
                    *rest = behind;
                }
            }
        }
    }
}

/// Moves whole characters of so many bytes, and hands back the others.
fn moved<'a>(part: &mut String, text: &'a str, bytes: usize) -> &'a str {
    let (now, later) = text.split_at(text.floor_char_boundary(bytes));
    part.push_str(now);
    later
}

/// The character that an escape at the beginning stands for, and how many bytes it is written in. What stands for none is one that says so.
fn unescaped(text: &str) -> (char, usize) {
    let mut characters = text.chars();
    // The backslash.
    characters.next();
    let character = match characters.next() {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('u') => return unescaped_unicode(text),
        Some(other) => other,
        None => return (char::REPLACEMENT_CHARACTER, text.len()),
    };
    (character, 1_usize.saturating_add(character_length(text)))
}

/// The bytes of the character behind the backslash.
fn character_length(text: &str) -> usize {
    text.chars().nth(1).map_or(0, char::len_utf8)
}

/// `\u` and four hex digits, or two of those for one character.
fn unescaped_unicode(text: &str) -> (char, usize) {
    const WRITTEN: usize = 6;
    let Some(first) = unit(text, 0) else {
        // Cut, or no number: the two bytes that are known.
        return (char::REPLACEMENT_CHARACTER, 2);
    };
    let second = unit(text, WRITTEN).unwrap_or_default();
    let mut both = char::decode_utf16([first, second]);
    match both.next() {
        Some(Ok(character)) if character.len_utf16() == 2 => (character, 2 * WRITTEN),
        Some(Ok(character)) => (character, WRITTEN),
        Some(Err(_)) | None => (char::REPLACEMENT_CHARACTER, WRITTEN),
    }
}

/// The number that is escaped at this place.
fn unit(text: &str, place: usize) -> Option<u16> {
    let digits = text.get(place..)?.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(mut text: Text<'_>, most: usize) -> String {
        let (mut all, mut part) = (String::new(), String::new());
        loop {
            text.read(&mut part, most);
            if part.is_empty() {
                assert_eq!(text.len(), 0, "{text:?}");
                return all;
            }
            all.push_str(&part);
        }
    }

    #[test]
    fn escapes_are_what_they_stand_for_and_what_is_broken_is_one_character() {
        for (written, meant) in [
            (r#"a\"b\\c\/\n\t\r\b\f"#, "a\"b\\c/\n\t\r\u{8}\u{c}"),
            (r"\u00e4\u4E2D\ud83c\uDF88x", "ä中🎈x"),
            (r"\ud83cx\udf88", "\u{fffd}x\u{fffd}"),
            (r"\ud83c\ud83c\udf88", "\u{fffd}🎈"),
            (r"\u00", "\u{fffd}00"),
            (r"\u+123", "\u{123}"),
            ("\\", "\u{fffd}"),
            (r"\é", "é"),
        ] {
            assert_eq!(whole(Text::Quoted(written), 4), meant, "{written}");
        }
        assert_eq!(whole(Text::Plain(r"\n中"), 4), r"\n中");
        let mut part = String::new();
        let mut text = Text::Quoted("中");
        text.read(&mut part, 2);
        assert_eq!((part.as_str(), text), ("", Text::Quoted("中")));
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back_in_parts_of_any_size(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}", most in 4_usize..30) {
            let json = serde_json::to_string(&text).unwrap();
            let inside = json.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
            prop_assert_eq!(whole(Text::Quoted(inside), most), text);
        }
    }
}
