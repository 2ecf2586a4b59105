//! Cuts a text into the pieces that `o200k_base` never joins: words with the blank before them, up to three digits, punctuation, blanks. Pure.
//!
//! It is what this pattern finds, piece after piece, written by hand so that each character is looked at a few times only:
//!
//! ```text
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! \p{N}{1,3}
//!  ?[^\s\p{L}\p{N}]+[\r\n/]*
//! \s*[\r\n]+
//! \s+(?!\S)
//! \s+
//! ```

/// Where characters begin to be of another kind, as `build.rs` wrote it.
static KINDS: &[[u8; 4]] = include_bytes!(concat!(env!("OUT_DIR"), "/kinds.bin"))
    .as_chunks()
    .0;

/// What a character is to the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Large letters, and those of titles.
    Upper,
    /// Small letters.
    Lower,
    /// Letters that are neither.
    Letter,
    /// What is put onto the character before.
    Mark,
    /// Digits and other numbers.
    Number,
    /// White space.
    Blank,
    /// Everything else: punctuation, signs, what is not assigned.
    Other,
}

/// How many bytes of the text, which is not empty, are its first piece.
pub(crate) fn first_piece(text: &str) -> usize {
    let Some(first) = text.chars().next() else {
        return 0;
    };
    let piece = word(text, first).or_else(|| match Kind::of(first) {
        Kind::Number => Some(run(text, 3, |character| {
            Kind::of(character) == Kind::Number
        })),
        Kind::Blank => punctuation(text).or_else(|| Some(blanks(text))),
        Kind::Other | Kind::Mark => punctuation(text),
        Kind::Upper | Kind::Lower | Kind::Letter => None,
    });
    // Every letter is a word; never to end up with nothing is what keeps counting going.
    piece.unwrap_or_else(|| first.len_utf8())
}

/// A word, with one character before it that is no letter, number or end of a line.
fn word(text: &str, first: char) -> Option<usize> {
    let lead = match Kind::of(first) {
        Kind::Upper | Kind::Lower | Kind::Letter => None,
        Kind::Number => return None,
        Kind::Mark | Kind::Blank | Kind::Other => Some(first.len_utf8()),
    };
    let lead = lead.filter(|_| !is_end_of_line(first));
    let shapes: [fn(&str) -> Option<usize>; 2] = [ending_small, ending_large];
    shapes.into_iter().find_map(|shape| {
        let behind = |start: usize| {
            let length = shape(text.get(start..)?)?;
            let end = start.checked_add(length)?;
            end.checked_add(contraction(text.get(end..)?))
        };
        lead.and_then(behind).or_else(|| behind(0))
    })
}

/// Large letters, if there are any, and then at least one that is not: the longest the pattern finds.
fn ending_small(text: &str) -> Option<usize> {
    let head = run(text, usize::MAX, Kind::may_be_large);
    let tail = run(text.get(head..)?, usize::MAX, Kind::may_be_small);
    if tail > 0 {
        return head.checked_add(tail);
    }
    // The head gives back what may be both, as little as will do.
    let (place, last) = text
        .get(..head)?
        .char_indices()
        .rfind(|(_, character)| Kind::may_be_small(*character))?;
    place.checked_add(last.len_utf8())
}

/// At least one large letter.
fn ending_large(text: &str) -> Option<usize> {
    let head = run(text, usize::MAX, Kind::may_be_large);
    let tail = run(text.get(head..)?, usize::MAX, Kind::may_be_small);
    head.checked_add(tail).filter(|_| head > 0)
}

/// The length of a contraction that begins here, such as the end of `it's`.
fn contraction(text: &str) -> usize {
    let mut characters = text.chars();
    if characters.next() != Some('\'') {
        return 0;
    }
    let mut next = || {
        characters
            .next()
            .map(|character| character.to_ascii_lowercase())
    };
    match (next(), next()) {
        // The long s is a small form of the same letter.
        (Some('ſ'), _) => 3,
        (Some('s' | 't' | 'm' | 'd'), _) => 2,
        (Some('r' | 'v'), Some('e')) | (Some('l'), Some('l')) => 3,
        _ => 0,
    }
}

/// Punctuation and signs, with a space before them, and the ends of lines and slashes behind.
fn punctuation(text: &str) -> Option<usize> {
    let space = usize::from(text.starts_with(' '));
    let signs = run(text.get(space..)?, usize::MAX, |character| {
        matches!(Kind::of(character), Kind::Other | Kind::Mark)
    });
    let end = space.checked_add(signs).filter(|_| signs > 0)?;
    let behind = run(text.get(end..)?, usize::MAX, |character| {
        is_end_of_line(character) || character == '/'
    });
    end.checked_add(behind)
}

/// White space: up to its last end of a line; or without its last character, which belongs to what follows, if something does.
fn blanks(text: &str) -> usize {
    let whole = run(text, usize::MAX, |character| {
        Kind::of(character) == Kind::Blank
    });
    let blanks = text.get(..whole).unwrap_or_default();
    if let Some(last) = blanks.rfind(is_end_of_line) {
        return last.saturating_add(1);
    }
    let last = blanks.char_indices().next_back();
    match last {
        Some((place, _)) if place > 0 && whole < text.len() => place,
        Some(_) | None => whole,
    }
}

/// How many bytes the first characters have that are such, at most so many characters.
fn run(text: &str, most: usize, is_such: impl Fn(char) -> bool) -> usize {
    let mut others = text.char_indices().enumerate();
    let end = others.find(|(count, (_, character))| *count >= most || !is_such(*character));
    end.map_or(text.len(), |(_, (place, _))| place)
}

const fn is_end_of_line(character: char) -> bool {
    matches!(character, '\r' | '\n')
}

// === impl Kind ===

impl Kind {
    fn of(character: char) -> Self {
        match character {
            'a'..='z' => Self::Lower,
            'A'..='Z' => Self::Upper,
            '0'..='9' => Self::Number,
            ' ' | '\t'..='\r' => Self::Blank,
            '\0'..='\x7f' => Self::Other,
            _ => Self::looked_up(character),
        }
    }

    fn looked_up(character: char) -> Self {
        let number = u32::from(character);
        let entry = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
        let behind = KINDS.partition_point(|change| entry(change) >> 8 <= number);
        let change = behind.checked_sub(1).and_then(|place| KINDS.get(place));
        match change.map(|[letter, ..]| letter) {
            Some(b'U') => Self::Upper,
            Some(b'l') => Self::Lower,
            Some(b'L') => Self::Letter,
            Some(b'M') => Self::Mark,
            Some(b'N') => Self::Number,
            Some(b' ') => Self::Blank,
            _ => Self::Other,
        }
    }

    fn may_be_large(character: char) -> bool {
        matches!(Self::of(character), Self::Upper | Self::Letter | Self::Mark)
    }

    fn may_be_small(character: char) -> bool {
        matches!(Self::of(character), Self::Lower | Self::Letter | Self::Mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        let mut rest = text;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(first_piece(rest));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }

    #[test]
    fn texts_are_cut_as_the_pattern_says() {
        for (text, expected) in [
            ("", &[][..]),
            ("Hello world!", &["Hello", " world", "!"]),
            ("it's WE'LL o'clock", &["it's", " WE'LL", " o", "'clock"]),
            ("HTTPServer getURL", &["HTTPServer", " get", "URL"]),
            ("1234567 89", &["123", "456", "7", " ", "89"]),
            ("a  b\t\tc", &["a", " ", " b", "\t", "\tc"]),
            ("a  \n\n  b ", &["a", "  \n\n", " ", " b", " "]),
            (
                "x = {\n  y\n}/",
                &["x", " =", " {\n", " ", " y", "\n", "}/"],
            ),
            ("(a) ...\n/b", &["(a", ")", " ...\n/", "b"]),
            ("日本語abc", &["日本語abc"]),
            ("中AB", &["中", "AB"]),
            ("e\u{301}A", &["e\u{301}", "A"]),
            ("\u{301}\u{301}1", &["\u{301}\u{301}", "1"]),
            ("a'ſb", &["a'ſ", "b"]),
            ("\r\n\u{3000}x", &["\r\n", "\u{3000}x"]),
        ] {
            assert_eq!(pieces(text), expected, "{text:?}");
        }
    }
}
