//! How long an Ogg file is (RFC 3533): as long as all that were put one behind the other in it. Packets of Opus say how long each is (RFC 6716)
//! and are counted; of other codings the pages say how far they go.

use std::{
    io::{Read, Result},
    sync::LazyLock,
};

use super::ahead::Ahead;

/// What begins a page, the bytes of its head up to its table, and the most that a page can have.
const PAGE: &[u8] = b"OggS";
const HEAD: usize = 27;
const LONGEST: usize = 27 + 255 + 255 * 255;
/// Flags of a page: its first packet began in the page before; a stream begins with it.
const CONTINUED: u8 = 1;
const BEGINS: u8 = 2;
/// Where the checksum of a page stands in its head, and what divides what it is of.
const SUM: std::ops::Range<usize> = 22..26;
const DIVISOR: u32 = 0x04C1_1DB7;
/// A packet that goes on has pieces of so many bytes.
const FULL: u8 = 255;
const NANOS: u128 = 1_000_000_000;
const NANOS_PER_MILLI: u128 = 1_000_000;
/// Samples in a second that Opus counts by, and of the longest packet.
const OPUS_RATE: u32 = 48_000;
const OPUS_PACKET: u64 = 5_760;

/// What was found.
#[derive(Default)]
struct Chains {
    /// The streams that are side by side now, by their numbers, and whether more than their heads has come.
    streams: Vec<(u32, Stream)>,
    has_begun: bool,
    /// Nanoseconds of those before.
    before: u128,
}

/// A stream.
struct Stream {
    coding: Coding,
    /// Samples in a second.
    rate: u32,
    /// How many samples its pages say that there are, and how many its packets have.
    told: u64,
    counted: u64,
}

/// What is known of a coding.
enum Coding {
    /// Opus, and how many samples of it are not heard.
    Opus { skipped: u64 },
    /// Another one.
    Other,
}

/// A page, as far as it matters.
struct Page<'f> {
    flags: u8,
    serial: u32,
    told: Option<u64>,
    table: &'f [u8],
    body: &'f [u8],
}

/// Milliseconds of all that is in it; `None`: nothing that is known, or the file cannot be read to its end.
pub(super) fn millis<F: Read>(file: F) -> Option<u64> {
    let found = chains(&mut Ahead::new(file)).ok()?;
    let nanos = found.before.saturating_add(found.longest());
    u64::try_from(nanos.checked_div(NANOS_PER_MILLI)?).ok()
}

fn chains<F: Read>(file: &mut Ahead<F>) -> Result<Chains> {
    let mut chains = Chains::default();
    loop {
        let bytes = file.see(LONGEST)?;
        if bytes.is_empty() {
            return Ok(chains);
        }
        let length = match Page::whole(bytes) {
            Some(page) => {
                chains.take(&page);
                page.length()
            }
            None => 1,
        };
        file.pass(length)?;
    }
}

/// The checksum of a page.
fn sum(parts: [&[u8]; 3]) -> u32 {
    static TABLE: LazyLock<[u32; 256]> = LazyLock::new(|| {
        std::array::from_fn(|byte| {
            let byte = u32::try_from(byte).unwrap_or_default();
            (0..8).fold(byte << 24, |rest, _| {
                let divided = if rest >> 31 == 1 { DIVISOR } else { 0 };
                rest << 1 ^ divided
            })
        })
    });
    let table = &*TABLE;
    let bytes = parts.into_iter().flatten();
    bytes.fold(0, |sum, byte| {
        let at = usize::try_from(sum >> 24).unwrap_or_default() ^ usize::from(*byte);
        sum << 8 ^ table.get(at).copied().unwrap_or_default()
    })
}

/// A number of four bytes in this place.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

// === impl Page ===

impl<'f> Page<'f> {
    fn read(bytes: &'f [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        if !head.starts_with(PAGE) {
            return None;
        }
        let (table, rest) = rest.split_at_checked(usize::from(*head.get(26)?))?;
        let length: usize = table.iter().map(|piece| usize::from(*piece)).sum();
        let told = head.get(6..14)?.try_into().ok().map(i64::from_le_bytes)?;
        Some(Self {
            flags: *head.get(5)?,
            serial: number(head, 14)?,
            told: u64::try_from(told).ok(),
            table,
            body: rest.get(..length).unwrap_or(rest),
        })
    }

    /// The page that stands here; `None`: whoever plays it takes it for none.
    fn whole(bytes: &'f [u8]) -> Option<Self> {
        let page = Self::read(bytes)?;
        let length = usize::try_from(page.length()).ok()?;
        let bytes = bytes.get(..length)?;
        let (before, rest) = bytes.split_at_checked(SUM.start)?;
        let (told, behind) = rest.split_at_checked(SUM.len())?;
        (number(told, 0)? == sum([before, &[0; 4], behind])).then_some(page)
    }

    fn length(&self) -> u64 {
        let length = HEAD.saturating_add(self.table.len());
        u64::try_from(length.saturating_add(self.body.len())).unwrap_or(u64::MAX)
    }

    /// The beginnings of the packets that begin in it.
    fn packets(&self) -> impl Iterator<Item = &'f [u8]> {
        let (mut at, mut goes_on) = (0_usize, self.flags & CONTINUED != 0);
        let body = self.body;
        self.table.iter().filter_map(move |piece| {
            let begins = !goes_on;
            goes_on = *piece == FULL;
            let packet = body.get(at..).unwrap_or_default();
            at = at.saturating_add(usize::from(*piece));
            packet.get(..usize::from(*piece)).filter(|_| begins)
        })
    }
}

// === impl Chains ===

impl Chains {
    fn take(&mut self, page: &Page<'_>) {
        let head = Stream::of(page.body);
        if head.is_some() || page.flags & BEGINS != 0 {
            if self.has_begun {
                self.before = self.before.saturating_add(self.longest());
                self.streams.clear();
                self.has_begun = false;
            }
            self.streams.retain(|(serial, _)| *serial != page.serial);
            self.streams.extend(head.map(|head| (page.serial, head)));
            return;
        }
        self.has_begun = true;
        let mut streams = self.streams.iter_mut();
        if let Some((_, stream)) = streams.find(|(serial, _)| *serial == page.serial) {
            stream.take(page);
        }
    }

    /// Nanoseconds of the longest of those that are side by side.
    fn longest(&self) -> u128 {
        let lasts = self.streams.iter().map(|(_, stream)| stream.nanos());
        lasts.max().unwrap_or_default()
    }
}

// === impl Stream ===

impl Stream {
    /// What begins with this packet, if it is known.
    fn of(head: &[u8]) -> Option<Self> {
        let (coding, rate) = if head.starts_with(b"OpusHead") {
            let skipped = head.get(10..12)?.try_into().ok().map(u16::from_le_bytes)?;
            let skipped = skipped.into();
            (Coding::Opus { skipped }, OPUS_RATE)
        } else if head.starts_with(b"\x01vorbis") {
            (Coding::Other, number(head, 12)?)
        } else if head.starts_with(b"Speex   ") {
            (Coding::Other, number(head, 36)?)
        } else if head.starts_with(b"\x7FFLAC") {
            let &[a, b, c] = head.get(27..30)? else {
                return None;
            };
            let rate = u32::from(a) << 12 | u32::from(b) << 4 | u32::from(c >> 4);
            (Coding::Other, rate)
        } else {
            return None;
        };
        Some(Self {
            coding,
            rate,
            told: 0,
            counted: 0,
        })
    }

    fn take(&mut self, page: &Page<'_>) {
        self.told = self.told.max(page.told.unwrap_or_default());
        if matches!(self.coding, Coding::Opus { .. }) {
            let packets = page.packets().filter_map(opus);
            self.counted = packets.fold(self.counted, u64::saturating_add);
        }
    }

    fn nanos(&self) -> u128 {
        let samples = match self.coding {
            Coding::Other => self.told,
            Coding::Opus { skipped } => {
                // The end of the last packet may be more than there is.
                let spare = self.counted.saturating_sub(self.told);
                let counted = if spare <= OPUS_PACKET {
                    self.told.min(self.counted)
                } else {
                    self.counted
                };
                counted.saturating_sub(skipped)
            }
        };
        let nanos = u128::from(samples).saturating_mul(NANOS);
        nanos.checked_div(self.rate.into()).unwrap_or_default()
    }
}

/// How many samples a packet of Opus has; `None`: it is none of sound.
fn opus(packet: &[u8]) -> Option<u64> {
    let (first, rest) = packet.split_first()?;
    if packet.starts_with(b"OpusTags") {
        return None;
    }
    let each = match first >> 3 {
        kind @ 0..12 => *[480, 960, 1_920, 2_880].get(usize::from(kind & 3))?,
        kind @ 12..16 => *[480, 960].get(usize::from(kind & 1))?,
        kind => *[120, 240, 480, 960].get(usize::from(kind & 3))?,
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(rest.first()? & 0x3F),
    };
    Some(frames.saturating_mul(each).min(OPUS_PACKET))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPUS: &[u8] = include_bytes!("../../tests/files/opus.ogg");
    const VORBIS: &[u8] = include_bytes!("../../tests/files/vorbis.ogg");

    #[test]
    fn what_is_put_one_behind_the_other_is_summed_up() {
        for (name, file, expected) in [
            ("opus", OPUS.to_vec(), Some(1_500)),
            ("vorbis", VORBIS.to_vec(), Some(1_500)),
            ("chained", [OPUS, VORBIS, OPUS].concat(), Some(4_500)),
            ("junk", [OPUS, b"OggS and more", OPUS].concat(), Some(3_000)),
            ("none", vec![0; 400], Some(0)),
            ("nothing", Vec::new(), Some(0)),
        ] {
            assert_eq!(millis(file.as_slice()), expected, "{name}");
        }
    }

    #[test]
    fn pages_that_lie_are_not_believed() {
        // Each page says that it ends with the second sample.
        let mut file = OPUS.to_vec();
        let places: Vec<usize> = (0..file.len() - 4)
            .filter(|at| file[*at..].starts_with(PAGE))
            .collect();
        assert!(places.len() > 2);
        for at in places {
            file[at + 6..at + 14].copy_from_slice(&2_u64.to_le_bytes());
            let length = usize::try_from(Page::read(&file[at..]).unwrap().length()).unwrap();
            let page = &file[at..at + length];
            let sum = sum([&page[..22], &[0; 4], &page[26..]]);
            file[at + 22..at + 26].copy_from_slice(&sum.to_le_bytes());
        }
        let lasts = millis(file.as_slice()).unwrap();
        assert!((1_500..1_600).contains(&lasts), "{lasts}");
    }

    #[test]
    fn packets_say_how_long_they_are() {
        for (packet, samples) in [
            (&[0x00][..], Some(480)),
            (&[0x18], Some(2_880)),
            (&[0x61], Some(960)),
            (&[0x83, 0x05], Some(600)),
            (&[0xFB, 0x3F], Some(5_760)),
            (&[0xFB], None),
            (&[], None),
            (b"OpusTags", None),
        ] {
            assert_eq!(opus(packet), samples, "{packet:?}");
        }
    }
}
