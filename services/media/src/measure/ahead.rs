//! A file that is read once, from its beginning to its end, with some of what comes next to be seen before it is gone by.

use std::io::{self, Read};

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// What comes next.
pub(super) struct Ahead<F> {
    file: F,
    bytes: Vec<u8>,
    /// How many of them are gone by.
    at: usize,
    has_ended: bool,
}

// === impl Ahead ===

impl<F: Read> Ahead<F> {
    pub(super) const fn new(file: F) -> Self {
        Self {
            file,
            bytes: Vec::new(),
            at: 0,
            has_ended: false,
        }
    }

    /// So many bytes, or as many as there still are.
    pub(super) fn see(&mut self, count: usize) -> io::Result<&[u8]> {
        while !self.has_ended && self.seen().len() < count {
            self.bytes.drain(..self.at.min(self.bytes.len()));
            self.at = 0;
            let most = u64::try_from(PIECE.max(count)).unwrap_or(u64::MAX);
            let read = (&mut self.file).take(most).read_to_end(&mut self.bytes)?;
            self.has_ended = read == 0;
        }
        let seen = self.seen();
        Ok(seen.get(..count).unwrap_or(seen))
    }

    /// Goes by so many bytes.
    pub(super) fn pass(&mut self, count: u64) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            self.see(1)?;
            let seen = self.seen().len();
            if seen == 0 {
                break;
            }
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(seen);
            self.at = self.at.saturating_add(step);
            left = left.saturating_sub(u64::try_from(step).unwrap_or(left));
        }
        Ok(())
    }

    /// What is there without reading more.
    fn seen(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}
