//! WebM (RFC 8794, RFC 9559): one track of VP8, or of VP9 where there is something to see through, one picture a second. How opaque a picture is
//! stands beside it, as a picture of its own.

use super::frames::{Clear, Frame};

/// Names of elements.
mod name {
    pub(super) const EBML: &[u8] = &[0x1A, 0x45, 0xDF, 0xA3];
    pub(super) const READ_VERSION: &[u8] = &[0x42, 0xF7];
    pub(super) const VERSION: &[u8] = &[0x42, 0x86];
    pub(super) const MAX_ID_LENGTH: &[u8] = &[0x42, 0xF2];
    pub(super) const MAX_SIZE_LENGTH: &[u8] = &[0x42, 0xF3];
    pub(super) const DOC_TYPE: &[u8] = &[0x42, 0x82];
    pub(super) const DOC_TYPE_VERSION: &[u8] = &[0x42, 0x87];
    pub(super) const DOC_TYPE_READ_VERSION: &[u8] = &[0x42, 0x85];
    pub(super) const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
    pub(super) const INFO: &[u8] = &[0x15, 0x49, 0xA9, 0x66];
    pub(super) const TIMESTAMP_SCALE: &[u8] = &[0x2A, 0xD7, 0xB1];
    pub(super) const DURATION: &[u8] = &[0x44, 0x89];
    pub(super) const TITLE: &[u8] = &[0x7B, 0xA9];
    pub(super) const MUXING_APP: &[u8] = &[0x4D, 0x80];
    pub(super) const WRITING_APP: &[u8] = &[0x57, 0x41];
    pub(super) const TRACKS: &[u8] = &[0x16, 0x54, 0xAE, 0x6B];
    pub(super) const TRACK: &[u8] = &[0xAE];
    pub(super) const TRACK_NUMBER: &[u8] = &[0xD7];
    pub(super) const TRACK_UID: &[u8] = &[0x73, 0xC5];
    pub(super) const TRACK_TYPE: &[u8] = &[0x83];
    pub(super) const CODEC: &[u8] = &[0x86];
    pub(super) const DEFAULT_DURATION: &[u8] = &[0x23, 0xE3, 0x83];
    pub(super) const MAX_ADDITION: &[u8] = &[0x55, 0xEE];
    pub(super) const VIDEO: &[u8] = &[0xE0];
    pub(super) const WIDTH: &[u8] = &[0xB0];
    pub(super) const HEIGHT: &[u8] = &[0xBA];
    pub(super) const ALPHA_MODE: &[u8] = &[0x53, 0xC0];
    pub(super) const CLUSTER: &[u8] = &[0x1F, 0x43, 0xB6, 0x75];
    pub(super) const TIMESTAMP: &[u8] = &[0xE7];
    pub(super) const SIMPLE_BLOCK: &[u8] = &[0xA3];
    pub(super) const BLOCK_GROUP: &[u8] = &[0xA0];
    pub(super) const BLOCK: &[u8] = &[0xA1];
    pub(super) const ADDITIONS: &[u8] = &[0x75, 0xA1];
    pub(super) const MORE: &[u8] = &[0xA6];
    pub(super) const ADDITION_ID: &[u8] = &[0xEE];
    pub(super) const ADDITIONAL: &[u8] = &[0xA5];
}

/// Nanoseconds in a unit of time.
const SCALE: u32 = 1_000_000;
/// Units of time in a second.
const SECOND: u32 = 1_000;
const VIDEO_TRACK: u32 = 1;
/// The addition that says how opaque a picture is.
const OPACITY: u32 = 1;
/// Track 1, no time after the cluster's, a key frame. In a group, what is one shows by what is not there.
const SIMPLE_HEAD: [u8; 4] = [0x81, 0, 0, 0x80];
const HEAD: [u8; 4] = [0x81, 0, 0, 0];

/// What a film shows.
pub(super) struct Shown {
    size: (u16, u16),
    codec: &'static [u8],
    picture: &'static [u8],
    /// How opaque it is, where it is not wholly.
    alpha: Option<&'static [u8]>,
}

/// A film of so many seconds.
pub(super) fn write(shown: &Shown, seconds: u16, title: &str) -> Vec<u8> {
    let head = [
        number(name::VERSION, 1),
        number(name::READ_VERSION, 1),
        number(name::MAX_ID_LENGTH, 4),
        number(name::MAX_SIZE_LENGTH, 8),
        element(name::DOC_TYPE, b"webm"),
        number(name::DOC_TYPE_VERSION, 4),
        number(name::DOC_TYPE_READ_VERSION, 2),
    ];
    let duration = f64::from(u32::from(seconds) * SECOND);
    let information = [
        number(name::TIMESTAMP_SCALE, SCALE),
        element(name::DURATION, &duration.to_be_bytes()),
        element(name::TITLE, title.as_bytes()),
        element(name::MUXING_APP, b"sandbox"),
        element(name::WRITING_APP, b"sandbox"),
    ];
    let mut segment = element(name::INFO, &information.concat());
    segment.extend(element(name::TRACKS, &shown.track()));
    let block = shown.block();
    for second in 0..u32::from(seconds) {
        let at = number(name::TIMESTAMP, second * SECOND);
        segment.extend(element(name::CLUSTER, &[&at[..], &block].concat()));
    }
    let head = element(name::EBML, &head.concat());
    [head, element(name::SEGMENT, &segment)].concat()
}

fn number(name: &[u8], value: u32) -> Vec<u8> {
    element(name, &value.to_be_bytes())
}

/// A name, a length of four bytes (whose first bits say that it has four), and what there is.
fn element(name: &[u8], content: &[u8]) -> Vec<u8> {
    let length = super::u32_len(content) | 0x1000_0000;
    [name, &length.to_be_bytes(), content].concat()
}

// === impl Shown ===

impl Shown {
    /// A picture of VP8.
    pub(super) fn opaque(frame: &Frame) -> Self {
        Self {
            size: (frame.width, frame.height),
            codec: b"V_VP8",
            picture: frame.vp8(),
            alpha: None,
        }
    }

    /// One of VP9 that can be seen through.
    pub(super) fn clear(frame: &Clear) -> Self {
        let (picture, alpha) = frame.vp9();
        Self {
            size: (frame.width, frame.height),
            codec: b"V_VP9",
            picture,
            alpha: Some(alpha),
        }
    }

    fn track(&self) -> Vec<u8> {
        let (width, height) = self.size;
        let mut video = [
            number(name::WIDTH, width.into()),
            number(name::HEIGHT, height.into()),
        ]
        .concat();
        let mut parts = [
            number(name::TRACK_NUMBER, 1),
            number(name::TRACK_UID, 1),
            number(name::TRACK_TYPE, VIDEO_TRACK),
            element(name::CODEC, self.codec),
            number(name::DEFAULT_DURATION, SECOND * SCALE),
        ]
        .concat();
        if self.alpha.is_some() {
            video.extend(number(name::ALPHA_MODE, 1));
            parts.extend(number(name::MAX_ADDITION, OPACITY));
        }
        parts.extend(element(name::VIDEO, &video));
        element(name::TRACK, &parts)
    }

    fn block(&self) -> Vec<u8> {
        let Some(alpha) = self.alpha else {
            return element(name::SIMPLE_BLOCK, &[&SIMPLE_HEAD, self.picture].concat());
        };
        let more = [
            number(name::ADDITION_ID, OPACITY),
            element(name::ADDITIONAL, alpha),
        ];
        let additions = element(name::MORE, &more.concat());
        let parts = [
            element(name::BLOCK, &[&HEAD, self.picture].concat()),
            element(name::ADDITIONS, &additions),
        ];
        element(name::BLOCK_GROUP, &parts.concat())
    }
}
