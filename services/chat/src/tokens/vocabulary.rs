//! The vocabulary `o200k_base`: which bytes are a token, and of which rank. Read in place, as `build.rs` wrote it. Pure.

use super::hash::{EMPTY, RANK_BITS, SLOT_BITS, place};

/// The bytes of all tokens, by rank.
static TOKENS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tokens.bin"));
/// Where each token begins in them, and where the last one ends.
static STARTS: &[[u8; 4]] = include_bytes!(concat!(env!("OUT_DIR"), "/starts.bin"))
    .as_chunks()
    .0;
/// Where the ranks are found.
static SLOTS: &[[u8; 4]] = include_bytes!(concat!(env!("OUT_DIR"), "/slots.bin"))
    .as_chunks()
    .0;

/// No token is longer.
pub(crate) const LONGEST: usize = 128;

/// The rank of the token that these bytes are; the lower, the sooner two neighbours become it.
pub(crate) fn rank(bytes: &[u8]) -> Option<u32> {
    if bytes.len() > LONGEST {
        return None;
    }
    let (first, tag) = place(bytes);
    let mut at = first;
    loop {
        let slot = number(SLOTS, at)?;
        if slot == EMPTY {
            return None;
        }
        let rank = slot & ((1 << RANK_BITS) - 1);
        if slot >> RANK_BITS == tag && token(rank) == Some(bytes) {
            return Some(rank);
        }
        at = at.wrapping_add(1) & ((1 << SLOT_BITS) - 1);
    }
}

/// The bytes of a token.
pub(crate) fn token(rank: u32) -> Option<&'static [u8]> {
    let start = number(STARTS, rank)?;
    let end = number(STARTS, rank.checked_add(1)?)?;
    TOKENS.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

fn number(numbers: &[[u8; 4]], place: u32) -> Option<u32> {
    let bytes = numbers.get(usize::try_from(place).ok()?)?;
    Some(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_found_and_nothing_else() {
        let count = u32::try_from(STARTS.len()).unwrap() - 1;
        assert_eq!(count, 199_998);
        for wanted in 0..count {
            let bytes = token(wanted).unwrap();
            assert!((1..=LONGEST).contains(&bytes.len()), "{wanted}");
            assert_eq!(rank(bytes), Some(wanted));
        }
        assert_eq!(token(count), None);
        assert_eq!(token(u32::MAX), None);
        for no_token in [
            &b""[..],
            b"tiktoken is",
            &[b'-'; LONGEST + 1],
            b"\xff\xfe\xfd",
        ] {
            assert_eq!(rank(no_token), None, "{no_token:?}");
        }
    }

    /// Ranks are OpenAI's numbers of the tokens.
    #[test]
    fn ranks_are_the_published_ones() {
        for (bytes, published) in [
            ("!", 0),
            ("hello", 24_912),
            (" world", 2_375),
            (" great", 2_212),
        ] {
            assert_eq!(rank(bytes.as_bytes()), Some(published), "{bytes}");
        }
    }
}
