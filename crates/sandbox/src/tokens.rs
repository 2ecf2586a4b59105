//! The sandbox's tokens. The rule is deterministic and simple: a token is a piece of at most four bytes of UTF-8, cut
//! between characters. Every character is a piece or part of one, so counting and streaming agree.

/// The longest token, in bytes. No character is longer.
const TOKEN_BYTES: usize = 4;

/// The tokens of `text`, in order; together they are the text.
pub(crate) fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let cut = text.floor_char_boundary(TOKEN_BYTES);
        let (piece, rest) = text.split_at_checked(cut)?;
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// How many tokens `text` has.
pub(crate) fn count(text: &str) -> u32 {
    u32::try_from(pieces(text).count()).unwrap_or(u32::MAX)
}

/// The first `limit` tokens of `text`.
pub(crate) fn first(text: &str, limit: u32) -> &str {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let end = pieces(text).take(limit).map(str::len).sum();
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn four_bytes_are_a_token() {
        for (text, tokens) in [
            ("", 0),
            ("a", 1),
            ("abcd", 1),
            ("abcde", 2),
            ("äöü", 2),
            ("🎈🎈", 2),
        ] {
            assert_eq!(count(text), tokens, "{text}");
        }
        assert_eq!(first("abcdefghij", 2), "abcdefgh");
        assert_eq!(first("ab", 5), "ab");
        assert_eq!(first("ab", 0), "");
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_text(text in ".{0,60}", limit in 0u32..20) {
            prop_assert_eq!(pieces(&text).collect::<String>(), text.clone());
            prop_assert!(pieces(&text).all(|piece| (1..=4).contains(&piece.len())));
            prop_assert_eq!(count(first(&text, limit)), count(&text).min(limit));
        }
    }
}
