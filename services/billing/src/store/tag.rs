//! How customers' own labels of operations are kept.

use domain::Tag;
use sha2::{Digest as _, Sha256};

/// A label as it is kept: the first 16 bytes of the SHA-256 of its name, a zero byte and its value. Neither holds a zero byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagId([u8; 16]);

// === impl TagId ===

impl From<&Tag> for TagId {
    fn from(tag: &Tag) -> Self {
        let mut hash = Sha256::new();
        hash.update(&tag.name);
        hash.update([0]);
        hash.update(&tag.value);
        let hash: [u8; 32] = hash.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(hash.split_at(16).0);
        Self(id)
    }
}

impl TagId {
    /// As it stands in SQL.
    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, to keep.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }
}
