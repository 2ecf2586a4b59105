//! The frames that videos show, encoded beforehand: of each size two H.264 pictures, each whole in itself, and one of VP8, under the
//! headers of raw streams (`.h264`: Annex B of H.264; `.ivf`). ffmpeg's x264 and libvpx made them from a plain colour with a mark.

/// The frames of one size.
#[derive(Debug)]
pub(super) struct Frame {
    /// In pixels, as the height.
    pub(super) width: u16,
    pub(super) height: u16,
    h264: &'static [u8],
    ivf: &'static [u8],
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

/// 16:9, 9:16 and 1:1, in three qualities each.
static WIDE: [Frame; 3] = [frame!(854, 480), frame!(1280, 720), frame!(1920, 1080)];
static TALL: [Frame; 3] = [frame!(480, 854), frame!(720, 1280), frame!(1080, 1920)];
static SQUARE: [Frame; 3] = [frame!(480, 480), frame!(720, 720), frame!(1080, 1080)];

/// The headers of an IVF file and of a frame in it.
const IVF_HEADERS: usize = 32 + 12;
/// The types of NAL units.
const SEQUENCE: u8 = 7;
const PICTURE: u8 = 8;
const SHOWN: u8 = 5;

/// The frames whose shape and then quality are nearest to a size.
pub(super) fn nearest(width: u16, height: u16) -> &'static Frame {
    let (w, h) = (u32::from(width), u32::from(height));
    // A shape is wide from halfway between 1:1 and 16:9 on, which is 4:3.
    let [first, others @ ..] = if w * 3 >= h * 4 && w > 0 {
        &WIDE
    } else if h * 3 >= w * 4 && h > 0 {
        &TALL
    } else {
        &SQUARE
    };
    let short = width.min(height);
    let off = |frame: &Frame| frame.width.min(frame.height).abs_diff(short);
    let nearer = |best, frame| if off(frame) < off(best) { frame } else { best };
    others.iter().fold(first, nearer)
}

// === impl Frame ===

impl Frame {
    /// The VP8 key frame.
    pub(super) fn vp8(&self) -> &'static [u8] {
        self.ivf.get(IVF_HEADERS..).unwrap_or_default()
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
