//! How long a FLAC file is (RFC 9639). Its head says it, and anybody can write there what he likes; each frame says how many samples it has, but
//! not how many bytes, so that the heads of frames are looked for: each ends with a checksum of itself.

use std::io::{Read, Result};

use super::ahead::Ahead;

/// What begins a file, and the bytes of the head of what is said before its frames.
const FILE: &[u8] = b"fLaC";
const BEFORE: usize = 4;
/// The most bytes of the head of a frame; and so many are looked at at once.
const HEAD: usize = 16;
const PIECE: usize = 4_096;
/// What divides what a checksum is of.
const DIVISOR: u8 = 0x07;
const NANOS_PER_MILLI: u128 = 1_000_000;
const NANOS: u128 = 1_000_000_000;
/// Samples in a second, by the number that a head has for them from 1 on.
const RATES: [u32; 11] = [
    88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
];

/// What the head of a frame says.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    /// Bytes of the head.
    length: usize,
    samples: u32,
    /// Samples in a second; `None`: as many as the file says.
    rate: Option<u32>,
}

/// Milliseconds of all frames; `None`: it is none, or cannot be read to its end.
pub(super) fn millis<F: Read>(file: F) -> Option<u64> {
    let mut file = Ahead::new(file);
    let usual = before(&mut file).ok()??;
    let nanos = counted(&mut file, usual).ok()?;
    let millis = u64::try_from(nanos.checked_div(NANOS_PER_MILLI)?).ok();
    millis.filter(|millis| *millis > 0)
}

/// Goes by what stands before the frames. It says how many samples are a second.
fn before<F: Read>(file: &mut Ahead<F>) -> Result<Option<u32>> {
    let begin = file.see(FILE.len().saturating_add(BEFORE).saturating_add(18))?;
    let rate = match begin.get(18..21) {
        Some(&[a, b, c]) if begin.starts_with(FILE) => {
            u32::from(a) << 12 | u32::from(b) << 4 | u32::from(c >> 4)
        }
        _ => return Ok(None),
    };
    file.pass(u64::try_from(FILE.len()).unwrap_or_default())?;
    loop {
        let &[kind, a, b, c] = file.see(BEFORE)? else {
            return Ok(None);
        };
        let length = u64::from(a) << 16 | u64::from(b) << 8 | u64::from(c);
        let head = u64::try_from(BEFORE).unwrap_or_default();
        file.pass(length.saturating_add(head))?;
        if kind >> 7 == 1 {
            return Ok(Some(rate));
        }
    }
}

/// Nanoseconds of all frames.
fn counted<F: Read>(file: &mut Ahead<F>, usual: u32) -> Result<u128> {
    let mut nanos = 0_u128;
    loop {
        let seen = file.see(PIECE)?;
        if seen.is_empty() {
            return Ok(nanos);
        }
        let begin = seen.iter().position(|byte| *byte == 0xFF);
        let Some(begin) = begin else {
            let all = u64::try_from(seen.len()).unwrap_or(u64::MAX);
            file.pass(all)?;
            continue;
        };
        file.pass(u64::try_from(begin).unwrap_or_default())?;
        let length = match Frame::read(file.see(HEAD)?) {
            Some(frame) => {
                let samples = u128::from(frame.samples).saturating_mul(NANOS);
                let rate = frame.rate.unwrap_or(usual);
                let lasts = samples.checked_div(rate.into()).unwrap_or_default();
                nanos = nanos.saturating_add(lasts);
                u64::try_from(frame.length).unwrap_or(1)
            }
            None => 1,
        };
        file.pass(length)?;
    }
}

// === impl Frame ===

impl Frame {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (&[first, second, third, fourth], rest) = bytes.split_first_chunk::<4>()?;
        let kind = (fourth >> 4, fourth >> 1 & 7, fourth & 1);
        let is_one = first == 0xFF && second & 0xFE == 0xF8;
        if !is_one || kind.0 > 10 || kind.1 == 3 || kind.2 != 0 {
            return None;
        }
        // Its number, as UTF-8 has characters, only longer.
        let number = match rest.first()?.leading_ones() {
            0 => 1,
            ones @ 2..=7 => usize::try_from(ones).ok()?,
            _ => return None,
        };
        let mut at = number.checked_add(4)?;
        let mut next = |count: usize| {
            let bytes = bytes.get(at..at.checked_add(count)?)?;
            at = at.checked_add(count)?;
            Some(
                bytes
                    .iter()
                    .fold(0_u32, |number, byte| number << 8 | u32::from(*byte)),
            )
        };
        let samples = match third >> 4 {
            0 => return None,
            1 => 192,
            6 => next(1)?.checked_add(1)?,
            7 => next(2)?.checked_add(1)?,
            size @ 2..6 => 576_u32.checked_shl(u32::from(size).checked_sub(2)?)?,
            size => 256_u32.checked_shl(u32::from(size).checked_sub(8)?)?,
        };
        let rate = match third & 0xF {
            0 => None,
            12 => Some(next(1)?.checked_mul(1_000)?),
            13 => Some(next(2)?),
            14 => Some(next(2)?.checked_mul(10)?),
            rate => Some(*RATES.get(usize::from(rate).checked_sub(1)?)?),
        };
        let told = bytes.get(at)?;
        (sum(bytes.get(..at)?) == *told).then_some(Self {
            length: at.checked_add(1)?,
            samples,
            rate,
        })
    }
}

/// The checksum of a head.
fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ byte, |rest, _| {
            let divided = if rest >> 7 == 1 { DIVISOR } else { 0 };
            rest << 1 ^ divided
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAC: &[u8] = include_bytes!("../../tests/files/sound.flac");

    #[test]
    fn frames_are_counted_whatever_the_head_says() {
        assert_eq!(millis(FLAC), Some(1_500));
        // The number of samples, of which the last four bits of a byte are the first.
        let mut lying = FLAC.to_vec();
        lying[21] &= 0xF0;
        lying[22..26].copy_from_slice(&1_u32.to_be_bytes());
        assert_eq!(millis(lying.as_slice()), Some(1_500));
        // Junk between two frames is none.
        let half = FLAC.len() / 2;
        let junk = [&FLAC[..half], &[0xFF; 99], b"junk", &FLAC[half..]].concat();
        assert_eq!(millis(junk.as_slice()), Some(1_500));
        for none in [
            b"".as_slice(),
            b"fLaC",
            b"OggS and more than a few bytes",
            &FLAC[..30],
        ] {
            assert_eq!(millis(none), None);
        }
    }

    #[test]
    fn a_head_says_what_a_frame_has() {
        let with = |head: &[u8]| [head, &[sum(head)]].concat();
        for (head, samples, rate) in [
            (&[0xFF, 0xF8, 0xC9, 0x08, 0x00][..], 4_096, Some(44_100)),
            (&[0xFF, 0xF9, 0x20, 0x18, 0xC2, 0x80], 576, None),
            (
                &[0xFF, 0xF8, 0x6C, 0x08, 0x05, 0x0F, 0x10],
                16,
                Some(16_000),
            ),
            (
                &[0xFF, 0xF8, 0x7D, 0x08, 0x05, 0x01, 0x00, 0x1F, 0x40],
                257,
                Some(8_000),
            ),
            (
                &[0xFF, 0xF8, 0x1E, 0x08, 0x05, 0x12, 0xC0],
                192,
                Some(48_000),
            ),
        ] {
            let length = head.len() + 1;
            let frame = Frame {
                length,
                samples,
                rate,
            };
            assert_eq!(Frame::read(&with(head)), Some(frame), "{head:x?}");
        }
        let mut broken = with(&[0xFF, 0xF8, 0xC9, 0x08, 0x00]);
        broken[5] ^= 1;
        for wrong in [
            broken,
            with(&[0xFF, 0xF8, 0x09, 0x08, 0x00]),
            with(&[0xFF, 0xF8, 0xC9, 0xB8, 0x00]),
            with(&[0xFF, 0xF8, 0xC9, 0x08, 0x80]),
            with(&[0xFF, 0xF8, 0xCF, 0x08, 0x00]),
            vec![0xFF, 0xF8],
        ] {
            assert_eq!(Frame::read(&wrong), None, "{wrong:x?}");
        }
    }
}
