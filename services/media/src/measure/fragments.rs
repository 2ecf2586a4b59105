//! How long the tracks of a film or a sound last (ISO 14496-12). One of fragments (8.8), recorded as it goes on, does not say it in its head, but
//! each of its fragments says when it begins and how long its samples are; of others each track says it for itself (8.4.2), and of its samples (8.6.1).

use std::{
    collections::HashMap,
    io::{Read, Seek},
};

use re_mp4::{BoxType, MdhdBox, ReadBox as _, Result, TfdtBox, TfhdBox, TrexBox};

/// Flags of a run of samples: what stands before them, and what stands there for each.
const BEFORE: [u32; 2] = [0x01, 0x04];
const DURATION: u32 = 0x100;
const EACH: [u32; 4] = [DURATION, 0x200, 0x400, 0x800];
const MILLIS_PER_SECOND: u64 = 1_000;

/// What was found of them.
#[derive(Default)]
pub(super) struct Fragments {
    tracks: HashMap<u32, Track>,
    /// The track that is spoken of, where its next samples begin, and how long each is that does not say so itself.
    now: u32,
    at: u64,
    each: u32,
}

/// What was found of a track.
#[derive(Clone, Copy, Default)]
struct Track {
    /// Units in a second.
    scale: u32,
    /// How long a sample usually is.
    each: u32,
    /// When its first fragment begins, when its last one ends, and how long all of them are.
    first: Option<u64>,
    end: u64,
    sum: u64,
    /// How long it says that it is, or that its samples are.
    whole: u64,
}

// === impl Fragments ===

impl Fragments {
    /// From here on this track is spoken of.
    pub(super) fn of(&mut self, track: u32) {
        self.now = track;
    }

    /// Takes a box that is about them, if it is.
    pub(super) fn take<F: Read + Seek>(
        &mut self,
        name: BoxType,
        size: u64,
        file: &mut F,
    ) -> Result<()> {
        if name == BoxType::MdhdBox {
            let head = MdhdBox::read_box(file, size)?;
            let track = self.tracks.entry(self.now).or_default();
            track.scale = head.timescale;
            // All ones mean that nobody knows.
            if head.duration != u64::MAX && head.duration != u64::from(u32::MAX) {
                track.whole = track.whole.max(head.duration);
            }
        } else if name == BoxType::SttsBox {
            let lasts = samples(file)?;
            let track = self.tracks.entry(self.now).or_default();
            track.whole = track.whole.max(lasts);
        } else if name == BoxType::TrexBox {
            let usual = TrexBox::read_box(file, size)?;
            let track = self.tracks.entry(usual.track_id).or_default();
            track.each = usual.default_sample_duration;
        } else if name == BoxType::TfhdBox {
            let head = TfhdBox::read_box(file, size)?;
            let track = self.tracks.entry(head.track_id).or_default();
            self.now = head.track_id;
            self.at = track.end;
            self.each = head.default_sample_duration.unwrap_or(track.each);
        } else if name == BoxType::TfdtBox {
            self.at = TfdtBox::read_box(file, size)?.base_media_decode_time;
        } else if name == BoxType::TrunBox {
            let lasts = run(file, self.each)?;
            let track = self.tracks.entry(self.now).or_default();
            track.first = Some(track.first.map_or(self.at, |first| first.min(self.at)));
            self.at = self.at.saturating_add(lasts);
            track.end = track.end.max(self.at);
            track.sum = track.sum.saturating_add(lasts);
        }
        Ok(())
    }

    /// How long they last: from the first one on, which may be in the middle of something that goes on for hours, and all of them together.
    pub(super) fn millis(&self) -> Option<u64> {
        self.longest(|track| {
            let span = track.end.saturating_sub(track.first?);
            Some(span.max(track.sum))
        })
    }

    /// How long the tracks say that they are.
    pub(super) fn tracks(&self) -> Option<u64> {
        self.longest(|track| Some(track.whole))
    }

    fn longest(&self, units: impl Fn(&Track) -> Option<u64>) -> Option<u64> {
        let lasts = self.tracks.values().filter_map(|track| {
            let millis = units(track)?.checked_mul(MILLIS_PER_SECOND)?;
            millis.checked_div(track.scale.into())
        });
        lasts.max().filter(|millis| *millis > 0)
    }
}

/// How long all samples of a track are. They are summed up as they are read: a table may say that it is as long as it likes.
fn samples<F: Read>(file: &mut F) -> Result<u64> {
    let mut number = || number(file);
    let (_, count) = (number()?, number()?);
    let mut lasts = 0_u64;
    for _ in 0..count {
        let (samples, each) = (u64::from(number()?), u64::from(number()?));
        lasts = lasts.saturating_add(samples.saturating_mul(each));
    }
    Ok(lasts)
}

fn number<F: Read>(file: &mut F) -> Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// How long a run of samples lasts. It is read here, since there may be more of them than anybody should count that say nothing.
fn run<F: Read>(file: &mut F, each: u32) -> Result<u64> {
    let mut number = || number(file);
    let (flags, count) = (number()?, number()?);
    let has = |flag: &u32| flags & flag != 0;
    if !has(&DURATION) {
        return Ok(u64::from(count).saturating_mul(each.into()));
    }
    for _ in BEFORE.iter().filter(|flag| has(flag)) {
        number()?;
    }
    let others = EACH.iter().filter(|flag| has(flag)).count();
    let mut lasts = 0_u64;
    for _ in 0..count {
        // The first of what stands there for each; what ends too early is an error.
        lasts = lasts.saturating_add(number()?.into());
        for _ in 1..others {
            number()?;
        }
    }
    Ok(lasts)
}
