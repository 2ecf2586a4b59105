//! What jobs of simulated media providers make, and its delivery: real files of the kind, the size and the length that was asked for.
//!
//! A picture has any size. A video has the nearest of a few, because its frames were encoded beforehand (`files/`): it shows one of them
//! for as long as it lasts; where it is to be seen through, one of the small ones. A sound is a quiet tone, or silence. Everything but a
//! WebP is marked as the sandbox's, and no two seeds make the same bytes.

mod coded;
mod frames;
mod mp4;
mod sound;
mod webm;
mod webp;

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
};
use chassis::clock::{MICROS_PER_SECOND, now_micros};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Error, Sandbox, answer,
    directive::Outcome,
    job::{Job, Reading, State as JobState},
    picture::{Format, Picture},
};

/// What a job makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Png,
    Jpeg,
    Mp4,
    Webm,
    Mov,
    /// A film with transparent parts.
    ClearWebm,
    ClearMov,
    /// A PNG of what stands on nothing.
    CutOut,
    Sound(Sound),
    /// Words, which are in an answer and no file.
    Words,
    /// Of one colour.
    Webp,
}

/// How a sound is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sound {
    Wav,
    Mp3,
    /// In Ogg.
    Opus,
    Flac,
    /// In ADTS frames.
    Aac,
    /// Samples without a header.
    Pcm,
}

/// The files of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) kind: Kind,
    /// How many.
    pub(crate) count: u8,
    /// In pixels, as the height; 0 for a sound.
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// How long each lasts; 0 for a picture.
    pub(crate) seconds: u16,
}

/// The path of a file.
#[derive(Debug, Deserialize)]
pub(crate) struct File {
    job: String,
    /// `{number}.{extension}`.
    file: String,
}

/// A link's expiry, in seconds UTC.
#[derive(Debug, Deserialize)]
pub(crate) struct Link {
    se: Option<i64>,
}

/// The most files of one job.
pub(crate) const MAX_COUNT: u8 = 16;
/// The longest side of a picture.
pub(crate) const MAX_SIDE: u16 = 4_096;
/// The longest video or sound.
pub(crate) const MAX_SECONDS: u16 = 360;

/// Headers that carry a key at one provider or another.
const KEYS: [&str; 6] = [
    "api_token",
    "authorization",
    "x-key",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
];

/// Where the file `number` (from 0) of a job is to be had until `expires`, in seconds UTC.
pub(crate) fn link(origin: &str, provider: &str, job: &Job, number: u8, expires: i64) -> String {
    let (id, extension) = (job.encode(), job.made.kind.extension());
    format!("{origin}/{provider}/files/{id}/{number}.{extension}?se={expires}")
}

/// `GET /{provider}/files/{job}/{number}.{extension}?se=`: the file. A key has no business here, and one that is sent is refused, so that
/// an adapter that leaks it is noticed.
pub(crate) async fn deliver(
    State(sandbox): State<Sandbox>,
    Path(file): Path<File>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Response {
    if KEYS.iter().any(|name| headers.contains_key(*name)) {
        return refused(StatusCode::BAD_REQUEST, "the key must not be sent here");
    }
    let now = now_micros();
    let expires = link.se.unwrap_or(0);
    if expires < now / MICROS_PER_SECOND {
        return refused(StatusCode::FORBIDDEN, "the link has expired");
    }
    send(&sandbox, &file.job, &file.file).await
}

/// The file `{number}.{extension}` of a job that is done.
pub(crate) async fn send(sandbox: &Sandbox, job: &str, file: &str) -> Response {
    let job = Job::decode(job).filter(|job| job.state(now_micros()) == JobState::Ready);
    let found = job.and_then(|job| Some((job.made.numbered(file)?, job)));
    let Some((number, job)) = found else {
        return refused(StatusCode::NOT_FOUND, "there is no such file");
    };
    let content_type = job.made.kind.content_type();
    let cut = job.outcome == Outcome::Cut;
    match make(sandbox, job, number).await {
        Ok(bytes) => {
            let whole = answer::text(StatusCode::OK, content_type, bytes.clone());
            if cut {
                answer::cut(whole, &bytes)
            } else {
                whole
            }
        }
        Err(error) => {
            tracing::error!(%error, "the sandbox failed");
            refused(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox failed")
        }
    }
}

fn refused(status: StatusCode, text: &str) -> Response {
    let mut response = answer::json(status, &json!({ "error": text }));
    let never = http::HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, never);
    response
}

/// Makes a file off the async threads, a few at a time.
pub(crate) async fn make(sandbox: &Sandbox, job: Job, number: u8) -> Result<Bytes, Error> {
    // The semaphore is never closed; without a permit the file would only be made sooner.
    let _permit = sandbox.renders.acquire().await.ok();
    let made = tokio::task::spawn_blocking(move || render(&job, number)).await;
    made.map_err(Error::Drawing)?.map(Bytes::from)
}

/// The bytes of the file `number` of a job.
fn render(job: &Job, number: u8) -> Result<Vec<u8>, Error> {
    let made = &job.made;
    let seed = job.seed.wrapping_add(number.into());
    let title = format!("sandbox {seed}");
    let picture = |format| picture(job, seed).encode(format);
    let movie = |brand, shown: &_| mp4::write(brand, (shown, made.seconds), &title);
    let webm = |shown: &_| webm::write(shown, made.seconds, &title);
    match made.kind {
        Kind::Png => picture(Format::Png),
        Kind::Jpeg => picture(Format::Jpeg),
        Kind::CutOut => self::picture(job, seed).cut_out(),
        Kind::Webp => Ok(webp::write((made.width, made.height), seed)),
        Kind::Mp4 => Ok(movie(&mp4::MP4, &mp4::Shown::opaque(made.frame()))),
        Kind::Mov => Ok(movie(&mp4::MOV, &mp4::Shown::opaque(made.frame()))),
        Kind::ClearMov => Ok(movie(&mp4::MOV, &mp4::Shown::clear(made.clear()))),
        Kind::Webm => Ok(webm(&webm::Shown::opaque(made.frame()))),
        Kind::ClearWebm => Ok(webm(&webm::Shown::clear(made.clear()))),
        Kind::Sound(Sound::Wav) => Ok(sound::wav(made.seconds, seed)),
        Kind::Sound(Sound::Mp3) => Ok(sound::mp3(made.seconds, &title)),
        Kind::Sound(Sound::Opus) => Ok(coded::opus(made.seconds, &title)),
        Kind::Sound(Sound::Flac) => Ok(coded::flac(made.seconds, &title)),
        Kind::Sound(Sound::Aac) => Ok(coded::aac(made.seconds, &title)),
        Kind::Sound(Sound::Pcm) => Ok(sound::samples(made.seconds, seed)),
        Kind::Words => Ok(format!("{{\"sandbox\":{seed}}}").into_bytes()),
    }
}

fn picture(job: &Job, seed: i64) -> Picture {
    let (width, height) = (job.made.width, job.made.height);
    let mut lines = vec!["SANDBOX".to_owned(), format!("{width}x{height}")];
    if job.directive == Reading::Partly {
        lines.push("directive not understood".to_owned());
    }
    Picture {
        width,
        height,
        seed,
        lines,
    }
}

/// How long something is, as the containers write it.
fn u32_len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

// === impl Kind ===

impl Kind {
    /// The position is the kind's number inside a job's id: append only.
    pub(crate) const ALL: [Self; 16] = [
        Self::Png,
        Self::Jpeg,
        Self::Mp4,
        Self::Webm,
        Self::Sound(Sound::Wav),
        Self::Sound(Sound::Mp3),
        Self::Mov,
        Self::ClearWebm,
        Self::ClearMov,
        Self::CutOut,
        Self::Sound(Sound::Opus),
        Self::Sound(Sound::Flac),
        Self::Sound(Sound::Aac),
        Self::Sound(Sound::Pcm),
        Self::Words,
        Self::Webp,
    ];

    /// The same with transparent parts, where there is such a kind.
    pub(crate) const fn cleared(self) -> Option<Self> {
        match self {
            Self::Webm | Self::ClearWebm => Some(Self::ClearWebm),
            Self::Mov | Self::ClearMov => Some(Self::ClearMov),
            Self::Png | Self::CutOut => Some(Self::CutOut),
            Self::Jpeg | Self::Webp | Self::Mp4 | Self::Sound(_) | Self::Words => None,
        }
    }

    /// Its media type.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Png | Self::CutOut => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Mp4 => "video/mp4",
            Self::Webm | Self::ClearWebm => "video/webm",
            Self::Sound(Sound::Wav) => "audio/wav",
            Self::Sound(Sound::Mp3) => "audio/mpeg",
            Self::Mov | Self::ClearMov => "video/quicktime",
            Self::Sound(Sound::Opus) => "audio/ogg",
            Self::Sound(Sound::Flac) => "audio/flac",
            Self::Sound(Sound::Aac) => "audio/aac",
            Self::Sound(Sound::Pcm) => "audio/pcm",
            Self::Words => "application/json",
        }
    }

    /// The ending of its files' names.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Png | Self::CutOut => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
            Self::Mp4 => "mp4",
            Self::Webm | Self::ClearWebm => "webm",
            Self::Sound(Sound::Wav) => "wav",
            Self::Sound(Sound::Mp3) => "mp3",
            Self::Mov | Self::ClearMov => "mov",
            Self::Sound(Sound::Opus) => "opus",
            Self::Sound(Sound::Flac) => "flac",
            Self::Sound(Sound::Aac) => "aac",
            Self::Sound(Sound::Pcm) => "pcm",
            Self::Words => "json",
        }
    }

    /// What the bill calls a job that makes it.
    pub(crate) const fn billed_as(self) -> &'static str {
        match self {
            Self::Png | Self::Jpeg | Self::CutOut | Self::Webp => "image",
            Self::Mp4 | Self::Webm | Self::Mov | Self::ClearWebm | Self::ClearMov => "video",
            Self::Sound(_) => "audio",
            Self::Words => "text",
        }
    }

    /// Its number inside an id.
    pub(crate) fn number(self) -> u8 {
        let position = Self::ALL.iter().position(|kind| *kind == self);
        position.and_then(|n| u8::try_from(n).ok()).unwrap_or(0)
    }

    pub(crate) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

// === impl Made ===

impl Made {
    /// The nearest to this that there is: within the limits, the size of a video one of the few, nothing where the kind has nothing.
    pub(crate) fn fitted(self) -> Self {
        let (width, height, seconds) = match self.kind {
            Kind::Png | Kind::Jpeg | Kind::CutOut | Kind::Webp => (
                self.width.clamp(1, MAX_SIDE),
                self.height.clamp(1, MAX_SIDE),
                0,
            ),
            Kind::Mp4 | Kind::Webm | Kind::Mov => {
                let frame = self.frame();
                (frame.width, frame.height, self.lasting())
            }
            Kind::ClearWebm | Kind::ClearMov => {
                let frame = self.clear();
                (frame.width, frame.height, self.lasting())
            }
            Kind::Sound(_) => (0, 0, self.lasting()),
            // No file is made of them, however long they are; what is to be told of them stands in the place of a size.
            Kind::Words => (self.width, self.height, self.seconds.max(1)),
        };
        Self {
            kind: self.kind,
            count: self.count.clamp(1, MAX_COUNT),
            width,
            height,
            seconds,
        }
    }

    fn lasting(&self) -> u16 {
        self.seconds.clamp(1, MAX_SECONDS)
    }

    fn frame(&self) -> &'static frames::Frame {
        frames::nearest(self.width, self.height)
    }

    fn clear(&self) -> &'static frames::Clear {
        frames::nearest_clear(self.width, self.height)
    }

    /// The number in a file's name, if there is such a file.
    fn numbered(&self, file: &str) -> Option<u8> {
        let (number, extension) = file.split_once('.')?;
        let number = number.parse().ok()?;
        (extension == self.kind.extension() && number < self.count).then_some(number)
    }
}

#[cfg(test)]
mod tests;
