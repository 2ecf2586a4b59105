//! The frames that videos show, encoded beforehand: of each size two H.264 pictures, each whole in itself, and one of VP8, under the
//! headers of raw streams (`.h264`: Annex B of H.264; `.ivf`). ffmpeg's x264 and libvpx made them from a plain colour with a mark.
//!
//! Of the small sizes there are transparent ones as well, in which nothing is seen but a plate in the middle: a picture of VP9 with another of it
//! behind, whose brightness says how opaque the first is (`.vp9.ivf`), and one of ProRes 4444 (`.prores`), which holds both.

/// The frames of one size.
#[derive(Debug)]
pub(super) struct Frame {
    /// In pixels, as the height.
    pub(super) width: u16,
    pub(super) height: u16,
    h264: &'static [u8],
    ivf: &'static [u8],
}

/// The transparent frames of one size.
#[derive(Debug)]
pub(super) struct Clear {
    /// In pixels, as the height.
    pub(super) width: u16,
    pub(super) height: u16,
    vp9: &'static [u8],
    /// The ProRes picture.
    pub(super) prores: &'static [u8],
}

/// What an H.264 stream is made of.
#[derive(Debug)]
pub(super) struct Coded {
    /// The sequence parameter set.
    pub(super) sequence: &'static [u8],
    /// The picture parameter set.
    pub(super) picture: &'static [u8],
    /// The pictures, to be shown in turn: two that follow each other must not have one number.
    pub(super) shown: Vec<&'static [u8]>,
}

macro_rules! frame {
    ($width:literal, $height:literal) => {
        Frame {
            width: $width,
            height: $height,
            h264: include_bytes!(concat!("../../files/", $width, "x", $height, ".h264")),
            ivf: include_bytes!(concat!("../../files/", $width, "x", $height, ".ivf")),
        }
    };
}

macro_rules! clear {
    ($width:literal, $height:literal) => {
        Clear {
            width: $width,
            height: $height,
            vp9: include_bytes!(concat!("../../files/", $width, "x", $height, ".vp9.ivf")),
            prores: include_bytes!(concat!("../../files/", $width, "x", $height, ".prores")),
        }
    };
}

/// The shape of a frame.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Wide,
    Tall,
    Square,
}

/// 16:9, 9:16 and 1:1, in three qualities each.
static WIDE: [Frame; 3] = [frame!(854, 480), frame!(1280, 720), frame!(1920, 1080)];
static TALL: [Frame; 3] = [frame!(480, 854), frame!(720, 1280), frame!(1080, 1920)];
static SQUARE: [Frame; 3] = [frame!(480, 480), frame!(720, 720), frame!(1080, 1080)];

/// The same shapes, transparent.
static CLEAR: [Clear; 3] = [clear!(854, 480), clear!(480, 854), clear!(480, 480)];

/// The header of an IVF file, and that of a frame in it, which begins with the frame's length.
const IVF_HEADER: usize = 32;
const IVF_FRAME_HEADER: usize = 12;
/// The types of NAL units.
const SEQUENCE: u8 = 7;
const PICTURE: u8 = 8;
const SHOWN: u8 = 5;

/// The frames whose shape and then quality are nearest to a size.
pub(super) fn nearest(width: u16, height: u16) -> &'static Frame {
    let [first, others @ ..] = match Shape::of(width, height) {
        Shape::Wide => &WIDE,
        Shape::Tall => &TALL,
        Shape::Square => &SQUARE,
    };
    let short = width.min(height);
    let off = |frame: &Frame| frame.width.min(frame.height).abs_diff(short);
    let nearer = |best, frame| if off(frame) < off(best) { frame } else { best };
    others.iter().fold(first, nearer)
}

/// The transparent frames whose shape is nearest to that of a size.
pub(super) fn nearest_clear(width: u16, height: u16) -> &'static Clear {
    let [wide, tall, square] = &CLEAR;
    match Shape::of(width, height) {
        Shape::Wide => wide,
        Shape::Tall => tall,
        Shape::Square => square,
    }
}

// === impl Shape ===

impl Shape {
    fn of(width: u16, height: u16) -> Self {
        let (w, h) = (u32::from(width), u32::from(height));
        // A shape is wide from halfway between 1:1 and 16:9 on, which is 4:3.
        if w * 3 >= h * 4 && w > 0 {
            Self::Wide
        } else if h * 3 >= w * 4 && h > 0 {
            Self::Tall
        } else {
            Self::Square
        }
    }
}

// === impl Clear ===

impl Clear {
    /// The VP9 key frame, and that of its alpha channel.
    pub(super) fn vp9(&self) -> (&'static [u8], &'static [u8]) {
        let (colour, rest) = first_of_ivf(self.vp9.get(IVF_HEADER..).unwrap_or_default());
        (colour, first_of_ivf(rest).0)
    }
}

// === impl Frame ===

impl Frame {
    /// The VP8 key frame.
    pub(super) fn vp8(&self) -> &'static [u8] {
        first_of_ivf(self.ivf.get(IVF_HEADER..).unwrap_or_default()).0
    }

    /// The parts of the H.264 stream.
    pub(super) fn h264(&self) -> Coded {
        let mut coded = Coded {
            sequence: &[],
            picture: &[],
            shown: Vec::new(),
        };
        for unit in units(self.h264) {
            match unit.first().map(|head| head & 0x1F) {
                Some(SEQUENCE) => coded.sequence = unit,
                Some(PICTURE) => coded.picture = unit,
                Some(SHOWN) => coded.shown.push(unit),
                _ => {}
            }
        }
        coded
    }
}

/// The first of the frames of an IVF file, and the others behind it.
fn first_of_ivf(frames: &'static [u8]) -> (&'static [u8], &'static [u8]) {
    let length = frames
        .first_chunk()
        .map(|length| u32::from_le_bytes(*length));
    let length = usize::try_from(length.unwrap_or(0)).unwrap_or(0);
    let frames = frames.get(IVF_FRAME_HEADER..).unwrap_or_default();
    frames.split_at(length.min(frames.len()))
}

/// The NAL units between the start codes (0, 0, 1) of a stream; none of them ends in a zero.
fn units(stream: &'static [u8]) -> impl Iterator<Item = &'static [u8]> {
    let mut rest = stream;
    let pieces = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let code = rest.windows(3).position(|three| three == [0, 0, 1]);
        let (unit, behind) = rest.split_at(code.unwrap_or(rest.len()));
        rest = behind.get(3..).unwrap_or_default();
        Some(unit)
    });
    pieces.map(without_zeros).filter(|unit| !unit.is_empty())
}

fn without_zeros(mut unit: &[u8]) -> &[u8] {
    while let [head @ .., 0] = unit {
        unit = head;
    }
    unit
}
