//! Sounds: a quiet tone as WAV (RIFF, PCM) or as its samples alone, and silence as MP3 (ISO 13818-3, layer III).

use super::u32_len;

/// Samples in a second of a WAV file, and of samples alone: one channel of 16 bits.
const WAV_RATE: u32 = 8_000;
const SAMPLES_RATE: u32 = 24_000;
/// The lowest tone, in hertz, and how many there are above it.
const LOWEST: u32 = 220;
const TONES: u32 = 660;

/// Samples in a second of an MP3 file, and in a frame of it.
const MP3_RATE: u32 = 24_000;
const MP3_FRAME_SAMPLES: u32 = 576;
/// MPEG-2, layer III, no checksum; 8 kbit a second, 24 kHz; one channel. The sizes and tables that follow in a frame are all 0: silence.
const MP3_HEAD: [u8; 4] = [0xFF, 0xF3, 0x14, 0xC0];
const MP3_FRAME_BYTES: usize = 24;

/// A tone that the seed chooses, for so many seconds.
pub(super) fn wav(seconds: u16, seed: i64) -> Vec<u8> {
    let samples = tone((seconds, WAV_RATE), seed);
    let form: Vec<u8> = [
        [1, 0, 1, 0],
        WAV_RATE.to_le_bytes(),
        (WAV_RATE * 2).to_le_bytes(),
        [2, 0, 16, 0],
    ]
    .concat();
    let chunks = [
        &b"WAVE"[..],
        &chunk(*b"fmt ", &form),
        &chunk(
            *b"LIST",
            &[&b"INFO"[..], &chunk(*b"ISFT", b"sandbox\0")].concat(),
        ),
        &chunk(*b"data", &samples),
    ];
    chunk(*b"RIFF", &chunks.concat())
}

/// The samples of such a tone alone.
pub(super) fn samples(seconds: u16, seed: i64) -> Vec<u8> {
    tone((seconds, SAMPLES_RATE), seed)
}

fn tone((seconds, rate): (u16, u32), seed: i64) -> Vec<u8> {
    let hertz = LOWEST + crc32fast::hash(&seed.to_be_bytes()) % TONES;
    let count = u32::from(seconds) * rate;
    (0..count)
        .flat_map(|n| triangle(n % rate * hertz % rate, rate).to_le_bytes())
        .collect()
}

/// The wave at a part (0 to the rate) of its way: up and down again, between -2000 and 2000.
fn triangle(part: u32, rate: u32) -> i16 {
    let up = part.min(rate - part) * WAV_RATE / rate;
    i16::try_from(up).map_or(0, |up| up - 2_000)
}

fn chunk(name: [u8; 4], content: &[u8]) -> Vec<u8> {
    [&name[..], &u32_len(content).to_le_bytes(), content].concat()
}

/// Silence of as many whole frames (of 24 ms) as so many seconds have room for, under a title.
pub(super) fn mp3(seconds: u16, title: &str) -> Vec<u8> {
    let mut file = tag(title);
    let mut frame = MP3_HEAD.to_vec();
    frame.resize(MP3_FRAME_BYTES, 0);
    for _ in 0..u32::from(seconds) * MP3_RATE / MP3_FRAME_SAMPLES {
        file.extend(&frame);
    }
    file
}

/// ID3v2.3 with a title of at most some hundred letters of ASCII. Its lengths have seven bits a byte.
fn tag(title: &str) -> Vec<u8> {
    let text = [&[0], title.as_bytes()].concat();
    let frame = [&b"TIT2"[..], &u32_len(&text).to_be_bytes(), &[0, 0], &text].concat();
    let length = u32_len(&frame);
    let length = [0, 0, length >> 7 & 0x7F, length & 0x7F];
    let length = length.map(|part| u8::try_from(part).unwrap_or(0));
    [&b"ID3"[..], &[3, 0, 0], &length, &frame].concat()
}
