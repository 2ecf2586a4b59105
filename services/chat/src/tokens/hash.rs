//! Where a token stands in the table of the vocabulary: the one rule that the build script, which fills the table, and the program, which looks
//! things up in it, must share.

/// The table has two to the power of this many slots: a third more than there are tokens.
pub(crate) const SLOT_BITS: u32 = 18;
/// In a slot, the low bits are the token's rank, and the rest is a tag that tells most other texts from it.
pub(crate) const RANK_BITS: u32 = 18;
/// What no token's slot holds.
pub(crate) const EMPTY: u32 = u32::MAX;

/// The slot where looking for `bytes` begins, and their tag.
pub(crate) fn place(bytes: &[u8]) -> (u32, u32) {
    // FNV-1a, and one more mixing, as the upper bits are what is used.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [a, b, c, d, e, f, g, h] = (hash ^ (hash >> 29))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .to_be_bytes();
    let slot = u32::from_be_bytes([a, b, c, d]) >> (32 - SLOT_BITS);
    let tag = u32::from_be_bytes([e, f, g, h]) >> RANK_BITS;
    (slot, tag)
}
