//! An object of a bucket as a file that can be gone about in: it is fetched in blocks, the last few of which are kept, and not more than so
//! many.

use std::{
    io::{Error, ErrorKind, Read, Result, Seek, SeekFrom},
    sync::Arc,
};

use object_store::{ObjectStoreExt as _, aws::AmazonS3, path::Path as Key};
use prost::bytes::Bytes;
use tokio::runtime::Handle;

/// Bytes of a block.
const BLOCK: u64 = 256 * 1024;
/// Blocks that are kept.
const KEPT: usize = 4;

/// The object.
pub(super) struct Remote {
    store: Arc<AmazonS3>,
    key: Key,
    bytes: u64,
    at: u64,
    left: u32,
    /// Where each begins; the last used is the last.
    blocks: Vec<(u64, Bytes)>,
    waiter: Handle,
}

impl Remote {
    /// `most`: bytes that are fetched. Of a file that leads a reader further, the rest is left open.
    pub(super) fn new(
        (store, key, bytes): (Arc<AmazonS3>, Key, u64),
        most: u64,
        waiter: Handle,
    ) -> Self {
        Self {
            store,
            key,
            bytes,
            at: 0,
            left: u32::try_from(most.div_ceil(BLOCK)).unwrap_or(u32::MAX),
            blocks: Vec::new(),
            waiter,
        }
    }

    /// The block that has the current place in it.
    fn block(&mut self) -> Result<(u64, Bytes)> {
        let begin = self
            .at
            .saturating_sub(self.at.checked_rem(BLOCK).unwrap_or(0));
        let place = self.blocks.iter().position(|(at, _)| *at == begin);
        let block = match place {
            Some(place) => self.blocks.remove(place),
            None => (begin, self.fetch(begin)?),
        };
        if self.blocks.len() >= KEPT {
            self.blocks.remove(0);
        }
        self.blocks.push(block.clone());
        Ok(block)
    }

    fn fetch(&mut self, begin: u64) -> Result<Bytes> {
        // As with a place that no file has: the object is fine, and what it says leads too far.
        self.left = self.left.checked_sub(1).ok_or(ErrorKind::InvalidInput)?;
        let end = begin.saturating_add(BLOCK).min(self.bytes);
        let fetched = self.store.get_range(&self.key, begin..end);
        self.waiter.block_on(fetched).map_err(Error::other)
    }
}

impl Read for Remote {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.at >= self.bytes || buffer.is_empty() {
            return Ok(0);
        }
        let (begin, block) = self.block()?;
        let within = usize::try_from(self.at.saturating_sub(begin)).unwrap_or(usize::MAX);
        let rest = block.get(within..).unwrap_or_default();
        let most = rest.len().min(buffer.len());
        let (Some(from), Some(to)) = (rest.get(..most), buffer.get_mut(..most)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.at = self.at.saturating_add(u64::try_from(most).unwrap_or(0));
        Ok(most)
    }
}

impl Seek for Remote {
    fn seek(&mut self, place: SeekFrom) -> Result<u64> {
        let at = match place {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
