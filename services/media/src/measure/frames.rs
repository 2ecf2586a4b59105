//! How long a sound is that is nothing but frames: of MPEG's three layers, or of AAC in ADTS. What such a file says of its own length, if
//! anything, anybody can write there; each frame says how many bytes it has, so that they are counted. As whoever plays them does it, what
//! is no frame is gone by, up to where there is one again.

use std::io::{Read, Result};

use super::ahead::Ahead;

/// Parts of a second, of which a frame is a whole number at any rate.
const PARTS: u64 = 28_224_000;
const PARTS_PER_MILLI: u64 = 28_224;
/// Bytes of a frame's head, as far as it is read here; and so many that whatever stands at the beginning of a frame is among them.
const HEAD: usize = 7;
const BEGIN: usize = 64;
/// Bytes of the head of a tag that stands before all frames, and of a foot that it may have.
const TAG: usize = 10;
/// What a frame is that only tells of the others.
const TABLES: [&[u8]; 3] = [b"Xing", b"Info", b"VBRI"];
/// Samples of a block of AAC, of which a frame has one or some.
const AAC_BLOCK: u64 = 1_024;
/// Samples in a second, by the number that a head of ADTS has for them.
const AAC_RATES: [u64; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];
/// The same of MPEG's first version; the second has half of them, and what was added to it a quarter.
const RATES: [u64; 3] = [44_100, 48_000, 32_000];
/// Thousands of bits in a second: of the layers one, two and three of the first version, then of layer one and of both others of the second.
const BITS: [[u64; 14]; 5] = [
    [
        32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
    ],
    [
        32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    ],
    [
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ],
    [
        32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
    ],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// What the head of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    kind: Kind,
    /// Bytes, with the head.
    length: u64,
    samples: u64,
}

/// What the frames of a sound have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    /// Which coding, as its head has it.
    coding: u8,
    rate: u64,
}

/// Milliseconds of all frames; `None`: there is none, or the file cannot be read to its end.
pub(super) fn millis<F: Read>(file: F) -> Option<u64> {
    let parts = counted(&mut Ahead::new(file)).ok()?;
    parts.checked_div(PARTS_PER_MILLI).filter(|_| parts > 0)
}

fn counted<F: Read>(file: &mut Ahead<F>) -> Result<u64> {
    while let Some(length) = tag(file.see(TAG)?) {
        file.pass(length)?;
    }
    // Whether the frame before ends here, and what was taken for one last.
    let (mut parts, mut in_step, mut last) = (0_u64, false, None);
    loop {
        let head = file.see(HEAD)?;
        if head.is_empty() {
            return Ok(parts);
        }
        let found = Frame::read(head);
        let Some(frame) = found else {
            let junk = head
                .iter()
                .skip(1)
                .take_while(|byte| **byte != 0xFF)
                .count();
            file.pass(u64::try_from(junk).unwrap_or_default().saturating_add(1))?;
            in_step = false;
            continue;
        };
        // What comes out of the blue is one where it is as the last was, or where another follows it.
        let is_one = in_step || last == Some(frame.kind) || is_followed(file, &frame)?;
        let is_first = last.is_none();
        last = Some(frame.kind);
        if !is_one {
            file.pass(1)?;
            continue;
        }
        if !(is_first && is_table(file.see(BEGIN)?)) {
            parts = parts.saturating_add(frame.parts());
        }
        file.pass(frame.length)?;
        in_step = true;
    }
}

/// How many bytes a tag has, where one begins.
fn tag(head: &[u8]) -> Option<u64> {
    let &[b'I', b'D', b'3', _, _, flags, a, b, c, d] = head else {
        return None;
    };
    let size = [a, b, c, d]
        .iter()
        .fold(0_u64, |size, byte| size << 7 | u64::from(byte & 0x7F));
    let foot = u64::from(flags >> 4 & 1).saturating_add(1);
    let ends = u64::try_from(TAG).ok()?.checked_mul(foot)?;
    size.checked_add(ends)
}

/// Whether what follows a frame is one of its kind, or nothing.
fn is_followed<F: Read>(file: &mut Ahead<F>, frame: &Frame) -> Result<bool> {
    let length = usize::try_from(frame.length).unwrap_or(usize::MAX);
    let seen = file.see(length.saturating_add(HEAD))?;
    Ok(match seen.get(length..) {
        Some([]) => true,
        Some(next) => Frame::read(next).is_some_and(|next| next.kind == frame.kind),
        None => false,
    })
}

/// Whether a frame only tells of the others.
fn is_table(begin: &[u8]) -> bool {
    let mut words = begin.windows(4);
    words.any(|word| TABLES.contains(&word))
}

// === impl Frame ===

impl Frame {
    /// Reads the head of a frame of any kind.
    fn read(head: &[u8]) -> Option<Self> {
        let &[0xFF, second, third, fourth, fifth, sixth, seventh] = head else {
            return None;
        };
        // Which version of MPEG has AAC, and whether there is a checksum, does not matter.
        if second & 0xF6 == 0xF0 {
            return Self::aac((third, fourth, fifth, sixth, seventh));
        }
        (second & 0xE0 == 0xE0).then(|| Self::mpeg(second, third))?
    }

    fn aac((third, fourth, fifth, sixth, seventh): (u8, u8, u8, u8, u8)) -> Option<Self> {
        let rate = AAC_RATES.get(usize::from(third >> 2 & 0xF))?;
        let length = [
            u64::from(fourth & 3) << 11,
            u64::from(fifth) << 3,
            u64::from(sixth >> 5),
        ];
        let length = length.iter().fold(0, |length, part| length | part);
        let blocks = u64::from(seventh & 3).saturating_add(1);
        Some(Self {
            kind: Kind {
                coding: 0,
                rate: *rate,
            },
            length: (length >= u64::try_from(HEAD).ok()?).then_some(length)?,
            samples: AAC_BLOCK.saturating_mul(blocks),
        })
    }

    fn mpeg(second: u8, third: u8) -> Option<Self> {
        let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
        let (is_first, part) = match version {
            3 => (true, 0),
            2 => (false, 1),
            0 => (false, 2),
            _ => return None,
        };
        let rate = RATES.get(usize::from(third >> 2 & 3))?.checked_shr(part)?;
        // How many samples a frame has, of how many bytes its parts are, and which rates of bits there are.
        let (samples, part, bits) = match (layer, is_first) {
            (3, true) => (384, 4, 0),
            (3, false) => (384, 4, 3),
            (2, true) => (1_152, 1, 1),
            (2, false) => (1_152, 1, 4),
            (1, true) => (1_152, 1, 2),
            (1, false) => (576, 1, 4),
            _ => return None,
        };
        let bits = BITS
            .get(bits)?
            .get(usize::from(third >> 4).checked_sub(1)?)?;
        let bytes = bits.checked_mul(125)?.checked_mul(samples)?;
        let parts = bytes.checked_div(rate.checked_mul(part)?)?;
        let filled = parts.checked_add(u64::from(third >> 1 & 1))?;
        Some(Self {
            kind: Kind {
                coding: second & 0x1E,
                rate,
            },
            length: filled.checked_mul(part)?,
            samples,
        })
    }

    fn parts(&self) -> u64 {
        let each = PARTS.checked_div(self.kind.rate).unwrap_or_default();
        self.samples.saturating_mul(each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of AAC of 10 bytes, 24 kHz, and as many blocks.
    const fn aac(blocks: u8) -> [u8; 10] {
        [
            0xFF,
            0xF1,
            0x58,
            0x40,
            0x01,
            0x5F,
            0xFC | (blocks - 1),
            1,
            2,
            3,
        ]
    }

    /// A frame of layer III, 16 kHz, with so many thousands of bits in a second.
    fn mp3(number: u8) -> Vec<u8> {
        let head = [0xFF, 0xF3, number << 4 | 0x08, 0xC4, 0, 0, 0];
        let frame = Frame::read(&head).unwrap();
        let mut bytes = head.to_vec();
        bytes.resize(usize::try_from(frame.length).unwrap(), 0);
        bytes
    }

    #[test]
    fn frames_are_counted_as_far_as_they_go() {
        let frames = |count: usize| aac(1).repeat(count);
        for (file, expected) in [
            (frames(0), None),
            (frames(3), Some(128)),
            // The last one is cut.
            (frames(3)[..28].to_vec(), Some(128)),
            ([frames(3), vec![0; 50]].concat(), Some(128)),
            ([frames(1), aac(2).to_vec()].concat(), Some(128)),
            (vec![0xFF; 50], None),
            // It says that it is shorter than its head.
            ([&aac(1)[..4], &[0, 0x1F, 0xFC]].concat(), None),
            // What is between them ends nothing; out of the blue the first one may be none.
            ([frames(2), vec![7], frames(1)].concat(), Some(128)),
            (
                [frames(1), vec![0xFF; 9]].concat().repeat(4)[10..].to_vec(),
                Some(85),
            ),
        ] {
            assert_eq!(millis(file.as_slice()), expected, "{file:?}");
        }
    }

    #[test]
    fn a_head_that_lies_is_not_believed() {
        let bare = include_bytes!("../../tests/files/bare.mp3").as_slice();
        let tagged = include_bytes!("../../tests/files/sound.mp3").as_slice();
        // It says in its table that there are 44 frames.
        let longer = [tagged, bare, bare].concat();
        assert_eq!(millis(longer.as_slice()), Some(3 * 1_584));
        let joined = [tagged, tagged].concat();
        // The second one's table is a frame like others, to whoever plays it.
        assert_eq!(millis(joined.as_slice()), Some(2 * 1_584 + 36));
        let parted = bare.chunks(72).collect::<Vec<_>>().join(&b"junk"[..]);
        let parted = [bare, parted.as_slice()].concat();
        assert_eq!(millis(parted.as_slice()), Some(2 * 1_584));
        let nonsense = [b"ID3\x04\0\0\0\0\0\x10".as_slice(), &[0xFF; 16], &[0; 64]].concat();
        assert_eq!(millis(nonsense.as_slice()), None);
    }

    #[test]
    fn each_frame_lasts_as_long_however_many_bits_it_has() {
        let file: Vec<u8> = (0..500_u16)
            .flat_map(|at| mp3(u8::try_from(at % 14 + 1).unwrap()))
            .collect();
        assert_eq!(millis(file.as_slice()), Some(500 * 36));
    }

    #[test]
    fn lengths_are_those_of_the_format() {
        for (second, third, length, samples, rate) in [
            (0xFB, 0x90, 417, 1_152, 44_100),
            (0xFB, 0x92, 418, 1_152, 44_100),
            (0xFD, 0xA4, 576, 1_152, 48_000),
            (0xFF, 0x18, 48, 384, 32_000),
            (0xF3, 0x80, 208, 576, 22_050),
            (0xE3, 0x18, 72, 576, 8_000),
        ] {
            let expected = Frame {
                kind: Kind {
                    coding: second & 0x1E,
                    rate,
                },
                length,
                samples,
            };
            assert_eq!(Frame::mpeg(second, third), Some(expected), "{second:x}");
        }
        for (second, third) in [
            (0xFB, 0x00),
            (0xFB, 0xF0),
            (0xFB, 0x9C),
            (0xEB, 0x90),
            (0xF9, 0x90),
        ] {
            assert_eq!(Frame::mpeg(second, third), None, "{second:x} {third:x}");
        }
    }
}
