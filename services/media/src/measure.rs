//! What a file that a task made is, by its bytes, and how large and how long it is; the latter of files that customers upload as well.
//!
//! A file is read where it is kept, a little here and there, and a film never as a whole. Only its type decides whether it is kept: what
//! cannot be measured of it is left open. What its head says of its length is believed where nothing hangs on it ([`By`]).

mod ahead;
mod flac;
mod fragments;
mod frames;
mod near;
mod ogg;
mod webm;

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    rc::Rc,
};

use lofty::{config::ParseOptions, file::AudioFile as _, probe::Probe};
use re_mp4::{BoxHeader, BoxType, MehdBox, MvhdBox, ReadBox as _, TkhdBox};
use tokio::runtime::Handle;
use tracing::warn;

use self::{fragments::Fragments, near::Near, webm::Film};
use crate::{Error, alpha, storage::Store};

/// Bytes at the beginning of a file that tell its type.
pub(crate) const HEAD_BYTES: usize = 4096;

const MILLIS_PER_SECOND: u64 = 1_000;
/// The most boxes that are looked at: what is wanted comes long before, and a file that is made of nothing else takes no time.
const MAX_BOXES: u32 = 100_000;
/// How often a reader may go to another place of a file, and how many bytes it may read of it.
const MAX_MOVES: u32 = 1_000_000;
const MAX_READ: usize = 32 << 20;
/// The same of one that is counted, and of which nothing is collected.
const MAX_COUNTED: usize = 256 << 20;
/// The same of one that must be fetched, unless it is read from its beginning to its end.
pub(crate) const FEW: u64 = 16 << 20;
/// What a head may differ by from what is counted, beside a hundredth: what begins before it is heard, and what is filled up at its end.
const SLACK: u64 = 1_000;
/// The bytes of a box's length and name.
const BOX_HEADER: u64 = 8;

/// The boxes that have what is wanted in them.
const WITHIN: [BoxType; 8] = [
    BoxType::MoovBox,
    BoxType::TrakBox,
    BoxType::MdiaBox,
    BoxType::MinfBox,
    BoxType::StblBox,
    BoxType::MvexBox,
    BoxType::MoofBox,
    BoxType::TrafBox,
];
/// Before the codec of a track in the box that has it: how many there are, and the length of the first.
const BEFORE_CODEC: usize = 12;

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measures {
    pub(crate) content_type: &'static str,
    /// Width and height in pixels.
    pub(crate) size: Option<(u32, u32)>,
    /// How long it lasts.
    pub(crate) millis: Option<u64>,
    /// Whether it is QuickTime, and certainly has no alpha channel by its codec, wherever in it that stands.
    pub(crate) is_opaque: bool,
}

/// Whose word it is how long a file lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Its head's, where that tells: that takes a few bytes.
    Head,
    /// That of what is in it, as far as it can be counted: its seconds are a price, and who sent it might say less.
    Count,
}

/// What is kept of a provider whose result is a text.
pub(crate) const JSON: &str = "application/json";
const MP4: &str = "video/mp4";
const QUICKTIME: &str = "video/quicktime";
const WEBM: &str = "video/webm";
const MPEG: &str = "audio/mpeg";
const MP4_SOUND: &str = "audio/mp4";
const AAC: &str = "audio/aac";
const OGG: &str = "audio/ogg";
const FLAC: &str = "audio/flac";

/// What the bytes say: a provider's word is not enough to charge for a file, or to serve it. `None`: no picture, video or sound of a kind
/// that we keep.
pub(crate) fn content_type(head: &[u8]) -> Option<&'static str> {
    match imagesize::image_type(head) {
        Ok(imagesize::ImageType::Png) => Some("image/png"),
        Ok(imagesize::ImageType::Jpeg) => Some("image/jpeg"),
        Ok(imagesize::ImageType::Webp) => Some("image/webp"),
        _ => video_or_sound(head),
    }
}

fn video_or_sound(head: &[u8]) -> Option<&'static str> {
    match infer::get(head).map(|kind| kind.mime_type()) {
        Some("video/mp4" | "video/x-m4v") => Some(MP4),
        Some("video/quicktime") => Some(QUICKTIME),
        // Matroska's own header says which of its formats a file is.
        Some("video/webm") if has_word(head, b"webm") => Some(WEBM),
        Some("audio/mpeg") => Some(MPEG),
        Some("audio/m4a") => Some(MP4_SOUND),
        Some(AAC) => Some(AAC),
        Some(OGG | "audio/opus") => Some(OGG),
        Some("audio/x-flac") => Some(FLAC),
        Some("audio/x-wav") => Some("audio/wav"),
        Some(_) => None,
        None => is_mpeg_sound(head).then_some(MPEG),
    }
}

/// As what a file that comes in is measured: more kinds come in than go out. `None`: it has nothing to be measured.
pub(crate) fn readable(head: &[u8]) -> Option<&'static str> {
    content_type(head).or_else(|| match infer::get(head)?.mime_type() {
        "video/webm" | "video/x-matroska" => Some(WEBM),
        kind if kind.starts_with("image/") || kind.starts_with("audio/") => Some(kind),
        _ => None,
    })
}

/// Whether one of the first words of a file is this.
fn has_word(head: &[u8], word: &[u8]) -> bool {
    let first = head.get(..64).unwrap_or(head);
    first.windows(word.len()).any(|part| part == word)
}

/// A frame of layer III, of whichever version of MPEG, with or without a checksum.
pub(crate) fn is_mpeg_sound(head: &[u8]) -> bool {
    matches!(head, [0xFF, 0xE2 | 0xE3 | 0xF2 | 0xF3 | 0xFA | 0xFB, ..])
}

/// Measures a file where it is kept, which has so many bytes.
///
/// # Errors
/// When it cannot be read there: what it costs may depend on it, so that it must be tried again.
pub(crate) async fn kept(
    store: &Store,
    (key, bytes): (String, u64),
    content_type: &'static str,
    by: By,
) -> Result<Measures, Error> {
    let (store, place, waiter) = (store.clone(), key.clone(), Handle::current());
    let measured = tokio::task::spawn_blocking(move || {
        let most = by.most(content_type, bytes);
        let file = store.bytewise((&place, bytes), most, waiter)?;
        measure(content_type, file, by)
    });
    match measured.await {
        Ok(measured) => measured.map_err(|error| {
            let (store, source) = ("outputs", error.into());
            object_store::Error::Generic { store, source }.into()
        }),
        // A file that a library stumbles over can be delivered all the same.
        Err(_) => {
            warn!(file = key, content_type, "a file cannot be measured");
            Ok(Measures::unknown(content_type))
        }
    }
}

/// Measures a file of a type that [`content_type`] gave. It reads, so it has no place on an async thread.
///
/// # Errors
/// When the file cannot be read where it is kept. That it does not say how long it is, is none.
pub(crate) fn measure<F: Read + Seek>(
    content_type: &'static str,
    file: F,
    by: By,
) -> io::Result<Measures> {
    let broken = Rc::new(Cell::new(None));
    let bounded = |bytes: usize| Bounded {
        file,
        moves: MAX_MOVES,
        bytes,
        broken: Rc::clone(&broken),
    };
    let nothing = Measures::unknown(content_type);
    let lasts = |millis: u64| Measures {
        millis: Some(millis),
        ..nothing
    };
    let found = match (content_type, by) {
        (MP4 | QUICKTIME | MP4_SOUND, _) => {
            movie(Near::new(bounded(MAX_COUNTED)), content_type, by)
        }
        (WEBM, _) => film(Near::new(bounded(MAX_COUNTED)), by),
        (AAC, _) | (MPEG, By::Count) => frames::millis(bounded(MAX_COUNTED)).map(lasts),
        (FLAC, By::Count) => flac::millis(bounded(MAX_COUNTED)).map(lasts),
        (OGG, By::Count) => ogg::millis(bounded(MAX_COUNTED)).map(lasts),
        _ if content_type.starts_with("image/") => {
            pixels(BufReader::new(bounded(MAX_READ))).map(|size| Measures {
                size: Some(size),
                ..nothing
            })
        }
        _ => sound(BufReader::new(bounded(MAX_READ))).map(lasts),
    };
    // A library only says that it did not get on: why, the reader knows.
    if let Some(broken) = broken.take() {
        return Err(broken);
    }
    let found = found.unwrap_or(nothing);
    Ok(Measures {
        millis: found.millis.filter(|millis| *millis > 0),
        ..found
    })
}

/// A file that can be gone about in so often, and read of so much: a damaged one may lead a reader round and round, or have it collect
/// without end.
struct Bounded<F> {
    file: F,
    moves: u32,
    bytes: usize,
    /// Why it could not be read, if it could not.
    broken: Rc<Cell<Option<io::Error>>>,
}

// === impl Bounded ===

impl<F> Bounded<F> {
    /// Notes why the file itself could not be read. A place that no file has is asked for by what stands in this one.
    fn noted<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::InvalidInput {
                self.broken.set(Some(error));
            }
            kind.into()
        })
    }
}

impl<F: Read> Read for Bounded<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.bytes);
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other("the file has no end to its parts"));
        }
        let read = self.file.read(buffer.get_mut(..most).unwrap_or_default());
        let read = self.noted(read)?;
        self.bytes = self.bytes.saturating_sub(read);
        Ok(read)
    }
}

impl<F: Seek> Seek for Bounded<F> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.moves = self
            .moves
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("the file leads round and round"))?;
        let moved = self.file.seek(place);
        self.noted(moved)
    }
}

fn pixels<F: BufRead + Seek>(file: F) -> Option<(u32, u32)> {
    let size = imagesize::reader_size(file).ok()?;
    let side = |side: usize| u32::try_from(side).ok();
    Some((side(size.width)?, side(size.height)?))
}

fn sound<F: BufRead + Seek>(file: F) -> Option<u64> {
    let options = ParseOptions::new().read_tags(false).read_cover_art(false);
    let probe = Probe::new(file).options(options);
    let sound = probe.guess_file_type().ok()?.read().ok()?;
    u64::try_from(sound.properties().duration().as_millis()).ok()
}

fn film<F: Read + Seek>(mut file: F, by: By) -> Option<Measures> {
    let film = Film::read(&mut file, by)?;
    Some(Measures {
        content_type: WEBM,
        size: film.size(),
        millis: longest(film.told(), film.counted()),
        is_opaque: false,
    })
}

/// What a head says, where no more was counted than may be.
fn longest(told: Option<u64>, counted: Option<u64>) -> Option<u64> {
    let most = told.map_or(0, |told| {
        let part = told.checked_div(100).unwrap_or_default();
        told.saturating_add(part).saturating_add(SLACK)
    });
    counted.filter(|counted| *counted > most).or(told)
}

/// What the boxes of an ISO media file (MP4, QuickTime) say.
#[derive(Default)]
struct Movie {
    /// How many units it lasts, and how many are a second.
    units: u64,
    scale: u64,
    size: Option<(u32, u32)>,
    has_tracks: bool,
    fragments: Fragments,
    /// Whether the codec of one of its tracks has no alpha channel.
    is_opaque: bool,
}

/// A film without anything to see is a sound, whatever its first bytes say.
fn movie<F: Read + Seek>(mut file: F, content_type: &'static str, by: By) -> Option<Measures> {
    let mut movie = Movie::default();
    // What was found before a damaged part may be all there is to know.
    let whole = movie.read(&mut file).is_ok();
    let heard = whole && movie.has_tracks && movie.size.is_none() && content_type == MP4;
    let millis = movie.units.checked_mul(MILLIS_PER_SECOND);
    let millis = millis.and_then(|millis| millis.checked_div(movie.scale));
    // Of fragments all must have been seen.
    let fragments = movie.fragments.millis().filter(|_| whole);
    let tracks = movie.fragments.tracks().filter(|_| by == By::Count);
    Some(Measures {
        content_type: if heard { MP4_SOUND } else { content_type },
        size: movie.size,
        millis: longest(millis.max(fragments), tracks),
        is_opaque: movie.is_opaque && content_type == QUICKTIME,
    })
}

// === impl By ===

impl By {
    /// How many bytes of a file may be fetched to measure it, which has so many.
    fn most(self, content_type: &str, bytes: u64) -> u64 {
        let is_read_through = [MPEG, AAC, FLAC, OGG, WEBM].contains(&content_type);
        match self {
            Self::Count if is_read_through => bytes.saturating_add(FEW),
            Self::Count | Self::Head => FEW,
        }
    }
}

// === impl Measures ===

impl Measures {
    /// Of a file that cannot be read.
    pub(crate) const fn unknown(content_type: &'static str) -> Self {
        Self {
            content_type,
            size: None,
            millis: None,
            is_opaque: false,
        }
    }
}

// === impl Movie ===

impl Movie {
    /// Goes from box to box, and into those that have what is wanted, as if what is in them lay beside them.
    fn read<F: Read + Seek>(&mut self, file: &mut F) -> re_mp4::Result<()> {
        let end = file.seek(SeekFrom::End(0))?;
        let mut at = 0_u64;
        for _ in 0..MAX_BOXES {
            if at >= end {
                break;
            }
            file.seek(SeekFrom::Start(at))?;
            let BoxHeader { name, size } = BoxHeader::read(file)?;
            let body = file.stream_position()?;
            // A length of 0 means: to the end.
            let length = if size == 0 { end } else { size };
            let length = length.saturating_sub(BOX_HEADER);
            let next = body.saturating_add(length);
            at = if WITHIN.contains(&name) {
                body
            } else {
                self.take(name, size, file)?;
                next
            };
        }
        Ok(())
    }

    fn take<F: Read + Seek>(
        &mut self,
        name: BoxType,
        size: u64,
        file: &mut F,
    ) -> re_mp4::Result<()> {
        if name == BoxType::MvhdBox {
            let head = MvhdBox::read_box(file, size)?;
            self.scale = head.timescale.into();
            self.lasts(head.duration);
        } else if name == BoxType::MehdBox {
            self.lasts(MehdBox::read_box(file, size)?.fragment_duration);
        } else if name == BoxType::TkhdBox {
            let track = TkhdBox::read_box(file, size)?;
            let (width, height) = (track.width.value(), track.height.value());
            self.has_tracks = true;
            self.fragments.of(track.track_id);
            if self.size.is_none() && width > 0 && height > 0 {
                self.size = Some((width.into(), height.into()));
            }
        } else if name == BoxType::StsdBox {
            let (mut before, mut codec) = ([0; BEFORE_CODEC], [0; 4]);
            file.read_exact(&mut before)?;
            file.read_exact(&mut codec)?;
            self.is_opaque |= alpha::is_opaque_codec(codec);
        } else {
            self.fragments.take(name, size, file)?;
        }
        Ok(())
    }

    /// All ones mean that nobody knows.
    fn lasts(&mut self, units: u64) {
        if units != u64::MAX && units != u64::from(u32::MAX) {
            self.units = self.units.max(units);
        }
    }
}

#[cfg(test)]
mod tests;
