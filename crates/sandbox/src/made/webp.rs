//! WebP (RFC 9649), lossless: a picture of any size, of one colour, which takes no bit of a pixel. It has no room to say whose it is.

use super::u32_len;

/// The bits of a side, which counts from 0.
const SIDE: u32 = 14;
/// How opaque it is, as any of its colours.
const OPAQUE: u8 = u8::MAX;

/// Bits, the lowest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// How many there are.
    count: usize,
}

/// A picture, in a colour by its seed.
pub(super) fn write((width, height): (u16, u16), seed: i64) -> Vec<u8> {
    let mut bits = Bits::default();
    for side in [width, height] {
        bits.push(side.max(1).saturating_sub(1).into(), SIDE);
    }
    // It has no alpha channel, is of version 0, and has no transform, no cache of colours, and one set of codes for all of it.
    bits.push(0, 1 + 3 + 1 + 1 + 1);
    let [red, green, blue, ..] = seed.to_le_bytes();
    let distance = 0;
    for symbol in [green, red, blue, OPAQUE, distance] {
        // A code of one symbol, of eight bits.
        bits.push(0b101, 3);
        bits.push(symbol.into(), 8);
    }
    let picture = [&[0x2F][..], &bits.bytes].concat();
    let padding = if picture.len().is_multiple_of(2) {
        &[][..]
    } else {
        &[0]
    };
    let length = u32_len(&picture).to_le_bytes();
    let chunk = [&b"WEBPVP8L"[..], &length, &picture, padding].concat();
    [&b"RIFF"[..], &u32_len(&chunk).to_le_bytes(), &chunk].concat()
}

// === impl Bits ===

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let at = self.count % 8;
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(value >> bit & 1 == 1) << at;
            }
            self.count += 1;
        }
    }
}
