//! WebM (RFC 8794, RFC 9559): one track of VP8, one picture a second.

use super::frames::Frame;

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
    pub(super) const VIDEO: &[u8] = &[0xE0];
    pub(super) const WIDTH: &[u8] = &[0xB0];
    pub(super) const HEIGHT: &[u8] = &[0xBA];
    pub(super) const CLUSTER: &[u8] = &[0x1F, 0x43, 0xB6, 0x75];
    pub(super) const TIMESTAMP: &[u8] = &[0xE7];
    pub(super) const BLOCK: &[u8] = &[0xA3];
}

/// Nanoseconds in a unit of time.
const SCALE: u32 = 1_000_000;
/// Units of time in a second.
const SECOND: u32 = 1_000;
const VIDEO_TRACK: u32 = 1;
/// Track 1, no time after the cluster's, a key frame.
const BLOCK_HEAD: [u8; 4] = [0x81, 0, 0, 0x80];

/// A film of so many seconds.
pub(super) fn write(frame: &Frame, seconds: u16, title: &str) -> Vec<u8> {
    let head = [
        number(name::VERSION, 1),
        number(name::READ_VERSION, 1),
        number(name::MAX_ID_LENGTH, 4),
        number(name::MAX_SIZE_LENGTH, 8),
        element(name::DOC_TYPE, b"webm"),
        number(name::DOC_TYPE_VERSION, 2),
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
    segment.extend(element(name::TRACKS, &track(frame)));
    let block = element(name::BLOCK, &[&BLOCK_HEAD, frame.vp8()].concat());
    for second in 0..u32::from(seconds) {
        let at = number(name::TIMESTAMP, second * SECOND);
        segment.extend(element(name::CLUSTER, &[&at[..], &block].concat()));
    }
    let head = element(name::EBML, &head.concat());
    [head, element(name::SEGMENT, &segment)].concat()
}

fn track(frame: &Frame) -> Vec<u8> {
    let size = [
        number(name::WIDTH, frame.width.into()),
        number(name::HEIGHT, frame.height.into()),
    ];
    let parts = [
        number(name::TRACK_NUMBER, 1),
        number(name::TRACK_UID, 1),
        number(name::TRACK_TYPE, VIDEO_TRACK),
        element(name::CODEC, b"V_VP8"),
        number(name::DEFAULT_DURATION, SECOND * SCALE),
        element(name::VIDEO, &size.concat()),
    ];
    element(name::TRACK, &parts.concat())
}

fn number(name: &[u8], value: u32) -> Vec<u8> {
    element(name, &value.to_be_bytes())
}

/// A name, a length of four bytes (whose first bits say that it has four), and what there is.
fn element(name: &[u8], content: &[u8]) -> Vec<u8> {
    let length = super::u32_len(content) | 0x1000_0000;
    [name, &length.to_be_bytes(), content].concat()
}
