//! What a file that a task made is, by its bytes, and how large and how long it is; the latter of files that customers upload as well.
//!
//! A file is read where it is kept, a little here and there, and a film never as a whole. Only its type decides whether it is kept: what
//! cannot be measured of it is left open.

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    rc::Rc,
    time::Duration,
};

use lofty::{config::ParseOptions, file::AudioFile as _, probe::Probe};
use matroska_demuxer::MatroskaFile;
use re_mp4::{BoxHeader, BoxType, MehdBox, MvhdBox, ReadBox as _, TkhdBox};
use tokio::runtime::Handle;
use tracing::warn;

use crate::{Error, storage::Store};

/// Bytes at the beginning of a file that tell its type.
pub(crate) const HEAD_BYTES: usize = 4096;

/// Nanoseconds in a second times nanoseconds in a millisecond.
const NANOS_SQUARED: u128 = 1_000_000_000 * 1_000_000;
const MILLIS_PER_SECOND: u64 = 1_000;
/// The most boxes that are looked at: what is wanted comes long before, and a file that is made of nothing else takes no time.
const MAX_BOXES: u32 = 100_000;
/// How often a reader may go to another place of a file, and how many bytes it may read of it.
const MAX_MOVES: u32 = 1_000_000;
const MAX_READ: usize = 32 << 20;
/// The bytes of a box's length and name.
const BOX_HEADER: u64 = 8;

/// The boxes that have what is wanted in them.
const WITHIN: [BoxType; 3] = [BoxType::MoovBox, BoxType::TrakBox, BoxType::MvexBox];

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measures {
    pub(crate) content_type: &'static str,
    /// Width and height in pixels.
    pub(crate) size: Option<(u32, u32)>,
    /// How long it lasts.
    pub(crate) millis: Option<u64>,
}

/// What is kept of a provider whose result is a text.
pub(crate) const JSON: &str = "application/json";
const MP4: &str = "video/mp4";
const QUICKTIME: &str = "video/quicktime";
const WEBM: &str = "video/webm";
const MPEG: &str = "audio/mpeg";
const MP4_SOUND: &str = "audio/mp4";

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
        Some("audio/ogg" | "audio/opus") => Some("audio/ogg"),
        Some("audio/x-flac") => Some("audio/flac"),
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
fn is_mpeg_sound(head: &[u8]) -> bool {
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
) -> Result<Measures, Error> {
    let (store, place, waiter) = (store.clone(), key.clone(), Handle::current());
    let measured = tokio::task::spawn_blocking(move || {
        let file = store.bytewise((&place, bytes), waiter)?;
        measure(content_type, file)
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
pub(crate) fn measure<F: Read + Seek>(content_type: &'static str, file: F) -> io::Result<Measures> {
    let broken = Rc::new(Cell::new(None));
    let file = BufReader::new(Bounded {
        file,
        moves: MAX_MOVES,
        bytes: MAX_READ,
        broken: Rc::clone(&broken),
    });
    let nothing = Measures::unknown(content_type);
    let found = match content_type {
        MP4 | QUICKTIME | MP4_SOUND => movie(file, content_type),
        WEBM => webm(file),
        _ if content_type.starts_with("image/") => pixels(file).map(|size| Measures {
            size: Some(size),
            ..nothing
        }),
        _ => sound(file).map(|millis| Measures {
            millis: Some(millis),
            ..nothing
        }),
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

/// A file whose end is never far: what says how long it is takes so many bytes of memory before it is read, so that a length that goes
/// further than may be read is not believed.
struct Near<F>(F);

// === impl Near ===

impl<F: Read> Read for Near<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<F: Seek> Seek for Near<F> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        let SeekFrom::End(_) = place else {
            return self.0.seek(place);
        };
        let at = self.0.stream_position()?;
        let most = at.saturating_add(u64::try_from(MAX_READ).unwrap_or(u64::MAX));
        let end = self.0.seek(place)?;
        if end <= most {
            return Ok(end);
        }
        self.0.seek(SeekFrom::Start(most))
    }
}

fn webm<F: Read + Seek>(file: F) -> Option<Measures> {
    let film = MatroskaFile::open(Near(file)).ok()?;
    let info = film.info();
    // So many units of so many nanoseconds, as the format has them.
    let units = info.duration();
    let units = units.and_then(|units| Duration::try_from_secs_f64(units).ok());
    let scale = u128::from(info.timestamp_scale().get());
    let nanos = units.and_then(|units| units.as_nanos().checked_mul(scale));
    let millis = nanos.and_then(|nanos| nanos.checked_div(NANOS_SQUARED));
    let video = film.tracks().iter().find_map(|track| track.video());
    let side = |side: std::num::NonZeroU64| u32::try_from(side.get()).ok();
    Some(Measures {
        content_type: WEBM,
        size: video
            .and_then(|video| Some((side(video.pixel_width())?, side(video.pixel_height())?))),
        millis: millis.and_then(|millis| u64::try_from(millis).ok()),
    })
}

/// What the boxes of an ISO media file (MP4, QuickTime) say.
#[derive(Default)]
struct Movie {
    /// How many units it lasts, and how many are a second.
    units: u64,
    scale: u64,
    size: Option<(u32, u32)>,
    has_tracks: bool,
}

/// A film without anything to see is a sound, whatever its first bytes say.
fn movie<F: Read + Seek>(mut file: F, content_type: &'static str) -> Option<Measures> {
    let mut movie = Movie::default();
    // What was found before a damaged part may be all there is to know.
    let whole = movie.read(&mut file).is_ok();
    let heard = whole && movie.has_tracks && movie.size.is_none() && content_type == MP4;
    let millis = movie.units.checked_mul(MILLIS_PER_SECOND);
    Some(Measures {
        content_type: if heard { MP4_SOUND } else { content_type },
        size: movie.size,
        millis: millis.and_then(|millis| millis.checked_div(movie.scale)),
    })
}

// === impl Measures ===

impl Measures {
    /// Of a file that cannot be read.
    pub(crate) const fn unknown(content_type: &'static str) -> Self {
        Self {
            content_type,
            size: None,
            millis: None,
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
            if self.size.is_none() && width > 0 && height > 0 {
                self.size = Some((width.into(), height.into()));
            }
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
