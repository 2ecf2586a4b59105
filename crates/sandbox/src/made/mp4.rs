//! MP4 (ISO 14496-12, 14496-15) and QuickTime, which are alike but for what they call themselves: one track of H.264, one picture a second.

use super::{
    frames::{Coded, Frame},
    u32_len,
};

/// Units of time in a second.
const SCALE: u32 = 1_000;
/// No turn and no stretch.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
/// A language nobody has named.
const UNDETERMINED: u16 = 0x55C4;
/// A box's length and name.
const HEADER: usize = 8;

/// What the boxes tell.
struct Film<'a> {
    frame: &'a Frame,
    coded: &'a Coded,
    seconds: u32,
}

/// What a file calls itself: its brand, the brand's version, and the brands that it is as well.
pub(super) struct Brand([u8; 4], u32, &'static [u8]);

pub(super) const MP4: Brand = Brand(*b"isom", 0x200, b"isomiso2avc1mp41");
pub(super) const MOV: Brand = Brand(*b"qt  ", 0x200, b"qt  ");

/// A film of so many seconds.
pub(super) fn write(brand: &Brand, (frame, seconds): (&Frame, u16), title: &str) -> Vec<u8> {
    let coded = frame.h264();
    let film = Film {
        frame,
        coded: &coded,
        seconds: seconds.into(),
    };
    let Brand(own, version, others) = brand;
    let brands = [&own[..], &version.to_be_bytes(), others];
    let before = [
        boxed(*b"ftyp", &brands),
        boxed(*b"free", &[title.as_bytes()]),
    ]
    .concat();
    let samples: Vec<Vec<u8>> = coded.shown.iter().map(|unit| sample(unit)).collect();
    // The index comes first, so that a player can begin at once; how long it is does not depend on what is in it.
    let length = before.len() + film.index(&samples, 0).len() + HEADER;
    let start = u32::try_from(length).unwrap_or(u32::MAX);
    let index = film.index(&samples, start);
    [before, index, boxed(*b"mdat", &[&samples.concat()])].concat()
}

/// A picture with its length in front.
fn sample(unit: &[u8]) -> Vec<u8> {
    [&u32_len(unit).to_be_bytes(), unit].concat()
}

fn boxed(name: [u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length + HEADER).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), &name[..], &parts.concat()].concat()
}

/// Numbers, one after the other.
fn words(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_be_bytes).collect()
}

// === impl Film ===

impl Film<'_> {
    fn duration(&self) -> u32 {
        self.seconds * SCALE
    }

    /// The box `moov`, for samples that lie one after the other from `start` on.
    fn index(&self, samples: &[Vec<u8>], start: u32) -> Vec<u8> {
        let movie = [
            words([0, 0, 0, SCALE, self.duration(), 0x1_0000, 0x0100_0000, 0, 0]),
            words(MATRIX),
            words([0, 0, 0, 0, 0, 0, 2]),
        ];
        let media = words([0, 0, 0, SCALE, self.duration()]);
        let language = [UNDETERMINED.to_be_bytes(), [0, 0]].concat();
        let handler = [&words([0, 0])[..], b"vide", &[0; 12], b"sandbox\0"];
        let source = boxed(
            *b"dref",
            &[&words([0, 1]), &boxed(*b"url ", &[&words([1])])],
        );
        let information = [
            boxed(*b"vmhd", &[&words([1, 0, 0])]),
            boxed(*b"dinf", &[&source]),
            self.table(samples, start),
        ];
        let media = [
            boxed(*b"mdhd", &[&media, &language]),
            boxed(*b"hdlr", &handler),
            boxed(*b"minf", &[&information.concat()]),
        ];
        let track = [self.track(), boxed(*b"mdia", &[&media.concat()])];
        let movie = boxed(*b"mvhd", &[&movie.concat()]);
        boxed(*b"moov", &[&movie, &boxed(*b"trak", &[&track.concat()])])
    }

    /// The box `tkhd`: enabled, and a part of the film.
    fn track(&self) -> Vec<u8> {
        let size = [self.frame.width, self.frame.height].map(|side| u32::from(side) << 16);
        let parts = [
            words([3, 0, 0, 1, 0, self.duration(), 0, 0, 0, 0]),
            words(MATRIX),
            words(size),
        ];
        boxed(*b"tkhd", &[&parts.concat()])
    }

    /// The box `stbl`: the same few samples again and again, each a chunk of its own, all of them whole pictures.
    fn table(&self, samples: &[Vec<u8>], start: u32) -> Vec<u8> {
        let count = self.seconds;
        let lengths = samples.iter().map(|sample| u32_len(sample));
        let offsets = samples.iter().scan(start, |next, sample| {
            let offset = *next;
            *next += u32_len(sample);
            Some(offset)
        });
        let shown = usize::try_from(count).unwrap_or(0);
        let lengths = words(lengths.cycle().take(shown));
        let offsets: Vec<u32> = offsets.collect();
        let offsets = words(offsets.into_iter().cycle().take(shown));
        let boxes = [
            boxed(*b"stsd", &[&words([0, 1]), &self.entry()]),
            boxed(*b"stts", &[&words([0, 1, count, SCALE])]),
            boxed(*b"stsc", &[&words([0, 1, 1, 1, 1])]),
            boxed(*b"stsz", &[&words([0, 0, count]), &lengths]),
            boxed(*b"stco", &[&words([0, count]), &offsets]),
        ];
        boxed(*b"stbl", &[&boxes.concat()])
    }

    /// The box `avc1`.
    fn entry(&self) -> Vec<u8> {
        let (sequence, picture) = (self.coded.sequence, self.coded.picture);
        let profile = sequence.get(1..4).unwrap_or_default();
        let length = |set: &[u8]| u16::try_from(set.len()).unwrap_or(u16::MAX).to_be_bytes();
        // Lengths of four bytes, one set of each.
        let decoder: [&[u8]; 8] = [
            &[1],
            profile,
            &[0xFF, 0xE1],
            &length(sequence),
            sequence,
            &[1],
            &length(picture),
            picture,
        ];
        let size = [self.frame.width, self.frame.height].map(u16::to_be_bytes);
        let parts = [
            &[0, 0, 0, 0, 0, 0, 0, 1][..],
            &[0; 16],
            &size.concat(),
            // 72 dots an inch, and one picture a sample.
            &words([0x48_0000, 0x48_0000, 0]),
            &[0, 1],
            &[0; 32],
            &[0, 24, 0xFF, 0xFF],
            &boxed(*b"avcC", &decoder),
        ];
        boxed(*b"avc1", &parts)
    }
}
