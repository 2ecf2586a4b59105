//! The tokenizer `o200k_base`, for texts whose tokens nobody else has counted. Pure, and in no hurry: it counts a little at a time.
//!
//! | file | what |
//! |---|---|
//! | `split.rs` | a text into the pieces that tokens never cross |
//! | `vocabulary.rs`, `hash.rs` | which bytes are a token; written by `build.rs`, read in place |
//!
//! Within a piece, the two neighbours become one token that make the token of the lowest rank, again and again: byte pair encoding. A word of
//! more than [`LONGEST_PIECE`] bytes is counted in pieces, so that no text is worth more work than its length.

mod hash;
mod split;
mod vocabulary;

use vocabulary::rank;

/// Bytes of a piece at most. No word of any language is longer; what is, may have a token more for each so many bytes.
const LONGEST_PIECE: usize = 256;

/// Counts the tokens of texts, each handed over in one part or in many.
#[derive(Default)]
pub(crate) struct Counter {
    /// What was handed over of a text and is not counted yet.
    pending: String,
    /// The tokens so far.
    tokens: u64,
    /// Room for a piece's parts.
    parts: Parts,
}

/// The parts of a piece.
#[derive(Default)]
struct Parts {
    /// Where each begins, and where the last one ends.
    starts: Vec<usize>,
    /// The rank of what each becomes together with the one behind it.
    ranks: Vec<u32>,
}

/// The rank of what is no token.
const NEVER: u32 = u32::MAX;

// === impl Counter ===

impl Counter {
    /// Takes the next part of a text.
    pub(crate) fn push(&mut self, part: &str) {
        self.pending.push_str(part);
        // Where a piece ends is known for sure when the longest one would.
        self.run(LONGEST_PIECE);
    }

    /// The text ends here: what comes next is another one.
    pub(crate) fn end_text(&mut self) {
        self.run(0);
    }

    /// How many tokens the texts had that have ended.
    pub(crate) const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Counts pieces as long as more than so many bytes are there.
    fn run(&mut self, left: usize) {
        let mut at = 0;
        while let Some(rest) = self.pending.get(at..).filter(|rest| rest.len() > left) {
            let window = rest.get(..rest.floor_char_boundary(LONGEST_PIECE));
            let length = split::first_piece(window.unwrap_or(rest));
            let piece = rest.as_bytes().get(..length).unwrap_or_default();
            self.tokens = self.tokens.saturating_add(self.parts.count(piece));
            at = at.saturating_add(length);
        }
        self.pending.drain(..at);
    }
}

// === impl Parts ===

impl Parts {
    /// The tokens of one piece.
    fn count(&mut self, piece: &[u8]) -> u64 {
        if rank(piece).is_some() {
            return 1;
        }
        self.starts.clear();
        // The last one stands for the end.
        self.starts.extend(0..=piece.len());
        self.ranks.clear();
        self.ranks.resize(piece.len(), NEVER);
        for place in 0..piece.len() {
            self.rank(place, piece);
        }
        // The first of those with the lowest rank.
        while let Some(lowest) = self.ranks.iter().min().filter(|lowest| **lowest != NEVER)
            && let Some(place) = self.ranks.iter().position(|rank| rank == lowest)
        {
            // The part takes in the one behind it. What it becomes with its next neighbour, and the one before with it, is another token now.
            self.starts.remove(place.saturating_add(1));
            self.ranks.remove(place.saturating_add(1));
            self.rank(place, piece);
            if let Some(before) = place.checked_sub(1) {
                self.rank(before, piece);
            }
        }
        u64::try_from(self.ranks.len()).unwrap_or(u64::MAX)
    }

    /// Finds out anew what a part becomes with the one behind it.
    fn rank(&mut self, place: usize, piece: &[u8]) {
        let start = self.starts.get(place).copied();
        let end = self.starts.get(place.saturating_add(2)).copied();
        let both = start
            .zip(end)
            .and_then(|(start, end)| piece.get(start..end));
        if let Some(slot) = self.ranks.get_mut(place) {
            *slot = both.and_then(rank).unwrap_or(NEVER);
        }
    }
}

#[cfg(test)]
mod tests;
