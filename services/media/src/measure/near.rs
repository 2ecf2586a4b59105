//! A file that is gone about in, a little here and a little there, and what was read ahead of one place is still there at the next.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// It knows where it is, so that to ask for that costs nothing.
pub(super) struct Near<F> {
    file: BufReader<F>,
    at: u64,
}

// === impl Near ===

impl<F: Read + Seek> Near<F> {
    /// A file at its beginning.
    pub(super) fn new(file: F) -> Self {
        Self {
            file: BufReader::new(file),
            at: 0,
        }
    }
}

impl<F: Read> Read for Near<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let bytes = u64::try_from(read).unwrap_or(u64::MAX);
        self.at = self.at.saturating_add(bytes);
        Ok(read)
    }
}

impl<F: Seek> Seek for Near<F> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        let to = match place {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(_) => {
                self.at = self.file.seek(place)?;
                return Ok(self.at);
            }
        };
        let to = to.ok_or(io::ErrorKind::InvalidInput)?;
        let by = to.checked_signed_diff(self.at);
        self.file
            .seek_relative(by.ok_or(io::ErrorKind::InvalidInput)?)?;
        self.at = to;
        Ok(to)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        Ok(self.at)
    }
}
