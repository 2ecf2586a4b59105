//! Silence as codecs write it: Opus in Ogg (RFC 6716, RFC 7845), FLAC (RFC 9639), and AAC in ADTS frames (ISO 14496-3). Whole seconds, one channel,
//! under a title.

use super::u32_len;

/// The title's name among comments.
const TITLE: &str = "TITLE=";
/// Who wrote it.
const VENDOR: &str = "sandbox";

/// A packet of 20 ms in which nothing is heard, of one channel; and samples of 48 kHz that it has, which is what Opus counts.
const OPUS_PACKET: [u8; 3] = [0xF8, 0xFF, 0xFE];
const OPUS_SAMPLES: u64 = 960;
const OPUS_PACKETS: u32 = 50;
/// What is decoded before it begins.
const OPUS_SKIP: u16 = 312;
/// The most packets of a page, each of which is smaller than 255 bytes.
const PAGE_PACKETS: usize = 255;
const OGG_POLYNOMIAL: u32 = 0x04C1_1DB7;
/// What a page of Ogg is in its stream.
const FIRST: u8 = 2;
const MIDDLE: u8 = 0;
const LAST: u8 = 4;

/// Samples in a second of FLAC and of AAC.
const RATE: u32 = 24_000;
/// Samples in a frame of FLAC.
const FLAC_SAMPLES: u16 = 2_400;
/// A block of FLAC's head with comments, and the bit that says that it is the last one.
const COMMENTS: u8 = 4;
const LAST_BLOCK: u8 = 0x80;
/// What follows in a frame of FLAC behind its number: the fixed block size, a rate of 24 kHz, one channel, 16 bits.
const FLAC_HEAD: [u8; 4] = [0xFF, 0xF8, 0x77, 0x08];

/// Samples in a frame of AAC.
const AAC_SAMPLES: u32 = 1_024;
/// A channel in which nothing is heard, and the end of the frame.
const AAC_SILENCE: [u8; 6] = [0x00, 0xC8, 0x00, 0x80, 0x23, 0x80];
/// An element of AAC that holds anything, of which a decoder takes no notice; its length follows.
const AAC_ANYTHING: u8 = 0x80;
const ADTS_HEAD: usize = 7;

/// Opus in Ogg.
pub(super) fn opus(seconds: u16, title: &str) -> Vec<u8> {
    let head = [
        &b"OpusHead\x01\x01"[..],
        &OPUS_SKIP.to_le_bytes(),
        &48_000_u32.to_le_bytes(),
        &[0, 0, 0],
    ];
    let tags = [&b"OpusTags"[..], &comments(title)].concat();
    let mut pages = Pages {
        serial: crc32fast::hash(title.as_bytes()),
        ..Pages::default()
    };
    pages.put(FIRST, 0, &[&head.concat()]);
    pages.put(MIDDLE, 0, &[&tags]);
    // The first samples are not heard, so that there is one packet more.
    let all = u32::from(seconds) * OPUS_PACKETS + 1;
    let mut left = usize::try_from(all).unwrap_or(0);
    let mut said = 0_u64;
    while left > 0 {
        let count = left.min(PAGE_PACKETS);
        left -= count;
        let packets = vec![&OPUS_PACKET[..]; count];
        said += OPUS_SAMPLES * u64::try_from(count).unwrap_or(0);
        if left > 0 {
            pages.put(MIDDLE, said, &packets);
        } else {
            // It ends where the last second does, and not with the last packet.
            let end = u64::from(seconds) * 48_000 + u64::from(OPUS_SKIP);
            pages.put(LAST, end, &packets);
        }
    }
    pages.file
}

/// Comments as Vorbis has them.
fn comments(title: &str) -> Vec<u8> {
    let title = format!("{TITLE}{title}");
    [
        &u32_len(VENDOR.as_bytes()).to_le_bytes()[..],
        VENDOR.as_bytes(),
        &1_u32.to_le_bytes(),
        &u32_len(title.as_bytes()).to_le_bytes(),
        title.as_bytes(),
    ]
    .concat()
}

/// A stream of Ogg.
#[derive(Default)]
struct Pages {
    file: Vec<u8>,
    serial: u32,
    count: u32,
}

// === impl Pages ===

impl Pages {
    /// Adds a page of whole packets, each shorter than 255 bytes.
    fn put(&mut self, kind: u8, samples: u64, packets: &[&[u8]]) {
        let lengths = packets
            .iter()
            .map(|packet| u8::try_from(packet.len()).unwrap_or(0));
        let lengths: Vec<u8> = lengths.collect();
        let before = [
            &b"OggS\0"[..],
            &[kind],
            &samples.to_le_bytes(),
            &self.serial.to_le_bytes(),
            &self.count.to_le_bytes(),
        ]
        .concat();
        let count = u8::try_from(lengths.len()).unwrap_or(0);
        let behind = [&[count][..], &lengths, &packets.concat()].concat();
        let page = [&before[..], &[0; 4], &behind].concat();
        let sum = crc32(&page).to_le_bytes();
        self.file.extend([&before[..], &sum, &behind].concat());
        self.count += 1;
    }
}

/// The checksum of Ogg: the common polynomial, but read the other way round than usual.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum: u32, byte| {
        let sum = sum ^ u32::from(*byte) << 24;
        (0..8).fold(sum, |sum, _| {
            let over = sum >> 31 == 1;
            sum << 1 ^ if over { OGG_POLYNOMIAL } else { 0 }
        })
    })
}

/// FLAC.
pub(super) fn flac(seconds: u16, title: &str) -> Vec<u8> {
    let samples = u64::from(seconds) * u64::from(RATE);
    // 20 bits of the rate, 3 of the channels and 5 of the bits of a sample, less one each, and 36 of how many there are.
    let shape = u64::from(RATE) << 44 | 15 << 36 | samples;
    let comments = comments(title);
    let [_, length @ ..] = u32_len(&comments).to_be_bytes();
    let mut file = [
        &b"fLaC\0\0\0\x22"[..],
        &FLAC_SAMPLES.to_be_bytes(),
        &FLAC_SAMPLES.to_be_bytes(),
        // How large frames are, and what their samples' sum is: nobody says.
        &[0; 6],
        &shape.to_be_bytes(),
        &[0; 16],
        &[LAST_BLOCK | COMMENTS],
        &length,
        &comments,
    ]
    .concat();
    let frames = samples / u64::from(FLAC_SAMPLES);
    for number in 0..u32::try_from(frames).unwrap_or(0) {
        file.extend(flac_frame(number));
    }
    file
}

fn flac_frame(number: u32) -> Vec<u8> {
    let number = char::from_u32(number).map(String::from).unwrap_or_default();
    let size = FLAC_SAMPLES - 1;
    let mut frame = [&FLAC_HEAD[..], number.as_bytes(), &size.to_be_bytes()].concat();
    let sum = crc(&frame, 8, 0x07);
    frame.extend(sum.to_be_bytes().last());
    // One value, 0, in the place of all samples.
    frame.extend([0; 3]);
    let sum = crc(&frame, 16, 0x8005);
    frame.extend(sum.to_be_bytes());
    frame
}

/// A checksum of 8 or of 16 bits.
fn crc(bytes: &[u8], bits: u32, polynomial: u16) -> u16 {
    let top = 1_u16 << (bits - 1);
    let all = top | (top - 1);
    bytes.iter().fold(0, |sum: u16, byte| {
        let sum = sum ^ u16::from(*byte) << (bits - 8);
        (0..8).fold(sum, |sum, _| {
            let over = sum & top != 0;
            (sum << 1 ^ if over { polynomial } else { 0 }) & all
        })
    })
}

/// AAC: as many whole frames as so many seconds have room for. What else the frames hold is the title's sum.
pub(super) fn aac(seconds: u16, title: &str) -> Vec<u8> {
    let title = crc32fast::hash(title.as_bytes()).to_be_bytes();
    let held = [&[AAC_ANYTHING, 4][..], &title, &AAC_SILENCE].concat();
    let length = u16::try_from(ADTS_HEAD + held.len()).unwrap_or(0);
    let [high, low] = (length << 5 | 0x1F).to_be_bytes();
    // The length has 13 bits: two in the fourth byte, which begins with the second bit of one channel.
    let fourth = 0x40 | u8::try_from(length >> 11).unwrap_or(0);
    let head = [0xFF, 0xF1, 0x58, fourth, high, low, 0xFC];
    let frame = [&head[..], &held].concat();
    let frames = u32::from(seconds) * RATE / AAC_SAMPLES;
    frame.repeat(usize::try_from(frames).unwrap_or(0))
}
