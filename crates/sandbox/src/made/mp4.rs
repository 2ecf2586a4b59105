//! MP4 (ISO 14496-12, 14496-15) and QuickTime, which are alike but for what they call themselves: one track of H.264, or of ProRes 4444 where
//! there is something to see through, one picture a second.

use super::{
    frames::{Clear, Coded, Frame},
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
/// The bits of a pixel: three colours, and how opaque they are.
const COLOURS: u8 = 24;
const COLOURS_AND_ALPHA: u8 = 32;

/// What a film shows.
pub(super) struct Shown {
    size: (u16, u16),
    /// How it is coded, as the box that says so.
    entry: Vec<u8>,
    /// The pictures, in turn.
    samples: Vec<Vec<u8>>,
}

/// What the boxes tell.
struct Film<'a> {
    shown: &'a Shown,
    seconds: u32,
}

/// What comes first in a file.
#[derive(Clone, Copy)]
enum First {
    /// Where its pictures are.
    Index,
    /// Those: as it is written by who does not know before how many they are.
    Pictures,
}

/// What a file calls itself: its brand, the brand's version, and the brands that it is as well; and what comes first in it.
pub(super) struct Brand([u8; 4], u32, &'static [u8], First);

pub(super) const MP4: Brand = Brand(*b"isom", 0x200, b"isomiso2avc1mp41", First::Index);
pub(super) const MOV: Brand = Brand(*b"qt  ", 0x200, b"qt  ", First::Pictures);

/// A film of so many seconds.
pub(super) fn write(brand: &Brand, (shown, seconds): (&Shown, u16), title: &str) -> Vec<u8> {
    let film = Film {
        shown,
        seconds: seconds.into(),
    };
    let Brand(own, version, others, first) = brand;
    let brands = [&own[..], &version.to_be_bytes(), others];
    let before = [
        boxed(*b"ftyp", &brands),
        boxed(*b"free", &[title.as_bytes()]),
    ]
    .concat();
    let pictures = boxed(*b"mdat", &[&shown.samples.concat()]);
    let index = |before: usize| film.index(u32::try_from(before + HEADER).unwrap_or(u32::MAX));
    match first {
        // So that a player can begin at once. How long it is does not depend on what is in it.
        First::Index => {
            let length = before.len() + index(0).len();
            [before, index(length), pictures].concat()
        }
        First::Pictures => {
            let index = index(before.len());
            [before, pictures, index].concat()
        }
    }
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

/// The boxes `avc1` and `ap4h`: what they say of any picture, with the bits of a pixel, and what of their own.
fn entry(name: [u8; 4], (width, height): (u16, u16), depth: u8, own: &[u8]) -> Vec<u8> {
    let size = [width, height].map(u16::to_be_bytes);
    let parts = [
        &[0, 0, 0, 0, 0, 0, 0, 1][..],
        &[0; 16],
        &size.concat(),
        // 72 dots an inch, and one picture a sample.
        &words([0x48_0000, 0x48_0000, 0]),
        &[0, 1],
        &[0; 32],
        &[0, depth, 0xFF, 0xFF],
        own,
    ];
    boxed(name, &parts)
}

/// The box `avcC`: lengths of four bytes, one set of each.
fn decoder(coded: &Coded) -> Vec<u8> {
    let (sequence, picture) = (coded.sequence, coded.picture);
    let profile = sequence.get(1..4).unwrap_or_default();
    let length = |set: &[u8]| u16::try_from(set.len()).unwrap_or(u16::MAX).to_be_bytes();
    let parts: [&[u8]; 8] = [
        &[1],
        profile,
        &[0xFF, 0xE1],
        &length(sequence),
        sequence,
        &[1],
        &length(picture),
        picture,
    ];
    boxed(*b"avcC", &parts)
}

// === impl Shown ===

impl Shown {
    /// Pictures of H.264.
    pub(super) fn opaque(frame: &Frame) -> Self {
        let (size, coded) = ((frame.width, frame.height), frame.h264());
        Self {
            size,
            entry: entry(*b"avc1", size, COLOURS, &decoder(&coded)),
            samples: coded.shown.iter().map(|unit| sample(unit)).collect(),
        }
    }

    /// A picture of ProRes 4444, which brings its length itself.
    pub(super) fn clear(frame: &Clear) -> Self {
        let size = (frame.width, frame.height);
        Self {
            size,
            entry: entry(*b"ap4h", size, COLOURS_AND_ALPHA, &[]),
            samples: vec![frame.prores.to_vec()],
        }
    }
}

// === impl Film ===

impl Film<'_> {
    fn duration(&self) -> u32 {
        self.seconds * SCALE
    }

    /// The box `moov`, for samples that lie one after the other from `start` on.
    fn index(&self, start: u32) -> Vec<u8> {
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
            self.table(start),
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
        let (width, height) = self.shown.size;
        let size = [width, height].map(|side| u32::from(side) << 16);
        let parts = [
            words([3, 0, 0, 1, 0, self.duration(), 0, 0, 0, 0]),
            words(MATRIX),
            words(size),
        ];
        boxed(*b"tkhd", &[&parts.concat()])
    }

    /// The box `stbl`: the same few samples again and again, each a chunk of its own, all of them whole pictures.
    fn table(&self, start: u32) -> Vec<u8> {
        let (count, samples) = (self.seconds, &self.shown.samples);
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
            boxed(*b"stsd", &[&words([0, 1]), &self.shown.entry]),
            boxed(*b"stts", &[&words([0, 1, count, SCALE])]),
            boxed(*b"stsc", &[&words([0, 1, 1, 1, 1])]),
            boxed(*b"stsz", &[&words([0, 0, count]), &lengths]),
            boxed(*b"stco", &[&words([0, count]), &offsets]),
        ];
        boxed(*b"stbl", &[&boxes.concat()])
    }
}
