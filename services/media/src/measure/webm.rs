//! How large and how long a film or a sound in Matroska's boxes is, WebM among them (RFC 9559): what stands in its head, and how far its blocks
//! go, of which only the first bytes are looked at. What is recorded as it goes on has no length in its head.

use std::{
    io::{ErrorKind, Read, Result, Seek, SeekFrom},
    time::Duration,
};

use super::By;

/// The most parts that are looked at: a file that is made of nothing else takes no time.
const MAX_PARTS: u32 = 10_000_000;
/// What a part without a length has in its place, by its bytes: all ones.
const OPEN: u64 = u64::MAX;
/// Nanoseconds in a second times nanoseconds in a millisecond.
const NANOS_SQUARED: u128 = 1_000_000_000 * 1_000_000;
const NANOS_PER_MILLI: u128 = 1_000_000;
/// How many nanoseconds a unit has, unless it is said.
const USUAL_SCALE: u64 = 1_000_000;

/// The names of parts.
mod id {
    pub(super) const SEGMENT: u32 = 0x1853_8067;
    pub(super) const INFO: u32 = 0x1549_A966;
    pub(super) const SCALE: u32 = 0x2A_D7B1;
    pub(super) const DURATION: u32 = 0x4489;
    pub(super) const TRACKS: u32 = 0x1654_AE6B;
    pub(super) const TRACK: u32 = 0xAE;
    pub(super) const VIDEO: u32 = 0xE0;
    pub(super) const WIDTH: u32 = 0xB0;
    pub(super) const HEIGHT: u32 = 0xBA;
    pub(super) const CLUSTER: u32 = 0x1F43_B675;
    pub(super) const MOMENT: u32 = 0xE7;
    pub(super) const GROUP: u32 = 0xA0;
    pub(super) const BLOCKS: [u32; 2] = [0xA3, 0xA1];
}

/// Those that have what is wanted in them.
const WITHIN: [u32; 7] = [
    id::SEGMENT,
    id::INFO,
    id::TRACKS,
    id::TRACK,
    id::VIDEO,
    id::CLUSTER,
    id::GROUP,
];

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Film {
    /// Nanoseconds of a unit.
    scale: Option<u64>,
    /// Units, as the head has them.
    told: Option<f64>,
    width: Option<u64>,
    height: Option<u64>,
    /// When the cluster begins that is looked at, when the first and the latest block do, and how long after the one before it that is.
    cluster: u64,
    first: Option<u64>,
    latest: u64,
    step: u64,
}

// === impl Film ===

impl Film {
    /// What the head says, and how far the blocks go if that says no length, or if they are to be counted; `None`: it has no part at all.
    pub(super) fn read<F: Read + Seek>(file: &mut F, by: By) -> Option<Self> {
        let mut film = Self::default();
        let whole = film.go(file, by);
        let is_film = whole.as_ref().is_ok_and(|parts| *parts > 0) || film.scale.is_some();
        if whole.is_err() {
            // Where it could not be read to its end, only the head tells.
            (film.first, film.latest, film.step) = (None, 0, 0);
        }
        is_film.then_some(film)
    }

    /// Goes from part to part, and into those that have what is wanted, as if what is in them lay beside them. It tells how many there were.
    fn go<F: Read + Seek>(&mut self, file: &mut F, by: By) -> Result<u32> {
        for parts in 0..MAX_PARTS {
            let (name, length) = match part(file) {
                Ok(part) => part,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(parts),
                Err(error) => return Err(error),
            };
            if name == id::CLUSTER && self.told.is_some() && by == By::Head {
                return Ok(parts);
            }
            if WITHIN.contains(&name) {
                continue;
            }
            if length == OPEN {
                return Err(ErrorKind::InvalidData.into());
            }
            let next = file.stream_position()?.checked_add(length);
            match self.take(file, (name, length)) {
                Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error),
                Ok(()) | Err(_) => {}
            }
            file.seek(SeekFrom::Start(next.ok_or(ErrorKind::InvalidData)?))?;
        }
        Err(ErrorKind::InvalidData.into())
    }

    fn take<F: Read>(&mut self, file: &mut F, (name, length): (u32, u64)) -> Result<()> {
        match name {
            id::SCALE => self.scale = Some(number(file, length)?),
            id::DURATION => self.told = float(file, length)?,
            id::WIDTH => self.width = self.width.or(Some(number(file, length)?)),
            id::HEIGHT => self.height = self.height.or(Some(number(file, length)?)),
            id::MOMENT => self.cluster = number(file, length)?,
            _ if id::BLOCKS.contains(&name) => {
                bare(file)?;
                let mut within = [0; 2];
                file.read_exact(&mut within)?;
                self.block(i16::from_be_bytes(within));
            }
            _ => {}
        }
        Ok(())
    }

    /// A block begins, so long behind its cluster.
    fn block(&mut self, within: i16) {
        let at = self.cluster.saturating_add_signed(within.into());
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        if at > self.latest {
            self.step = at.saturating_sub(self.latest.max(self.first.unwrap_or_default()));
            self.latest = at;
        }
    }

    /// Width and height in pixels.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        let side = |side: Option<u64>| u32::try_from(side?).ok();
        Some((side(self.width)?, side(self.height)?))
    }

    /// How long its head says that it lasts.
    pub(super) fn told(&self) -> Option<u64> {
        let units = Duration::try_from_secs_f64(self.told?).ok()?;
        let nanos = units.as_nanos().checked_mul(self.scale().into())?;
        u64::try_from(nanos.checked_div(NANOS_SQUARED)?).ok()
    }

    /// How long its blocks last: the last one as long as the one before.
    pub(super) fn counted(&self) -> Option<u64> {
        let units = self.latest.saturating_sub(self.first?);
        let units = units.saturating_add(self.step);
        let nanos = u128::from(units).checked_mul(self.scale().into())?;
        u64::try_from(nanos.checked_div(NANOS_PER_MILLI)?).ok()
    }

    fn scale(&self) -> u64 {
        self.scale.filter(|scale| *scale > 0).unwrap_or(USUAL_SCALE)
    }
}

/// The name of the next part, and how many bytes it has.
fn part<F: Read>(file: &mut F) -> Result<(u32, u64)> {
    let (name, _) = marked(file)?;
    let name = u32::try_from(name).map_err(|_| ErrorKind::InvalidData)?;
    Ok((name, bare(file)?))
}

/// A number whose first byte says by its first one how many bytes it has: with that, and what is to be taken from it.
fn marked<F: Read>(file: &mut F) -> Result<(u64, u64)> {
    let mut first = [0];
    file.read_exact(&mut first)?;
    let [first] = first;
    let more = first.leading_zeros();
    if more > 7 {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut value = u64::from(first);
    for _ in 0..more {
        let mut next = [0];
        file.read_exact(&mut next)?;
        let [next] = next;
        value = value << 8 | u64::from(next);
    }
    // Seven bits of each byte are the number's.
    let bits = more.saturating_add(1).saturating_mul(7);
    Ok((value, 1_u64.checked_shl(bits).unwrap_or_default()))
}

/// The same without its mark; all ones are [`OPEN`].
fn bare<F: Read>(file: &mut F) -> Result<u64> {
    let (value, mark) = marked(file)?;
    let value = value ^ mark;
    Ok(if value.saturating_add(1) == mark {
        OPEN
    } else {
        value
    })
}

fn number<F: Read>(file: &mut F, length: u64) -> Result<u64> {
    if length > 8 {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut value = 0;
    for _ in 0..length {
        let mut next = [0];
        file.read_exact(&mut next)?;
        let [next] = next;
        value = value << 8 | u64::from(next);
    }
    Ok(value)
}

fn float<F: Read>(file: &mut F, length: u64) -> Result<Option<f64>> {
    let bits = number(file, length)?;
    let value = match length {
        4 => u32::try_from(bits)
            .ok()
            .map(|bits| f64::from(f32::from_bits(bits))),
        8 => Some(f64::from_bits(bits)),
        _ => None,
    };
    Ok(value.filter(|value: &f64| value.is_finite() && *value > 0.0))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{
        super::{WEBM, measure},
        *,
    };

    /// A part with its length.
    fn of(name: u32, body: &[u8]) -> Vec<u8> {
        let name = name.to_be_bytes();
        let name = name.iter().skip_while(|byte| **byte == 0);
        let length = u32::try_from(body.len()).unwrap() | 0x1000_0000;
        name.copied()
            .chain(length.to_be_bytes())
            .chain(body.iter().copied())
            .collect()
    }

    /// So many frames, 20 ms each, of 300 bytes, from this moment on, in clusters of a second, as a browser records them.
    fn recorded(frames: u64, from: u64, head: &[u8]) -> Vec<u8> {
        let mut file = of(0x1A45_DFA3, b"");
        file.extend(id::SEGMENT.to_be_bytes());
        file.extend([0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        file.extend(of(
            id::INFO,
            &[of(id::SCALE, &[0x0F, 0x42, 0x40]), head.to_vec()].concat(),
        ));
        for frame in 0..frames {
            if frame % 50 == 0 {
                file.extend(id::CLUSTER.to_be_bytes());
                file.extend([0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
                file.extend(of(id::MOMENT, &(from + frame * 20).to_be_bytes()));
            }
            let within = u16::try_from(frame % 50 * 20).unwrap().to_be_bytes();
            let block = [&[0x81], &within[..], &[0x80], &[7; 300]].concat();
            file.extend(of(id::BLOCKS[0], &block));
        }
        file
    }

    fn read(file: Vec<u8>, by: By) -> Film {
        Film::read(&mut Cursor::new(file), by).unwrap()
    }

    #[test]
    fn what_was_recorded_as_it_went_on_is_counted() {
        for from in [0, 7_200_000] {
            let film = read(recorded(5_000, from, b""), By::Head);
            assert_eq!((film.told(), film.counted()), (None, Some(100_000)));
        }
        let one = read(recorded(1, 40, b""), By::Head);
        assert_eq!(one.counted(), Some(0));
        // Twenty minutes, within the bounds that a file is read in.
        let file = Cursor::new(recorded(60_000, 0, b""));
        let found = measure(WEBM, file, By::Head).unwrap();
        assert_eq!(found.millis, Some(1_200_000));
    }

    #[test]
    fn what_the_head_says_is_counted_where_that_is_wanted() {
        let head = of(id::DURATION, &1_000_f64.to_be_bytes());
        let film = read(recorded(5_000, 0, &head), By::Head);
        assert_eq!((film.told(), film.counted()), (Some(1_000), None));
        let film = read(recorded(5_000, 0, &head), By::Count);
        assert_eq!((film.told(), film.counted()), (Some(1_000), Some(100_000)));
        let head = of(id::DURATION, &2_500_f32.to_be_bytes());
        assert_eq!(read(recorded(1, 0, &head), By::Count).told(), Some(2_500));
    }

    #[test]
    fn what_is_none_is_none() {
        for file in [b"".as_slice(), &[0; 40], &[0xFF; 40]] {
            assert!(Film::read(&mut Cursor::new(file), By::Count).is_none());
        }
        // A part that is longer than the file is its end.
        let mut cut = recorded(100, 0, b"");
        cut.truncate(cut.len() - 100);
        assert_eq!(read(cut, By::Count).counted(), Some(2_000));
    }
}
