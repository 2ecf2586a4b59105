//! How long what a task is given may last, where its seconds are paid for, or a sound has bounds: others are refused, or fail free before a provider
//! is asked. Of a file of ours it is known from its upload. Of what a live task's URL leads to, the container mostly tells it in a few pieces: they
//! are fetched through the guard, and what they do not tell is left open. For test keys nothing is fetched.

use std::{
    cell::Cell,
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    time::Duration,
};

use domain::{
    FileId, Mode,
    catalogue::{Input, Medium},
};
use futures::StreamExt as _;
use prost::bytes::Bytes;
use proto::{Code, code};
use tokio::{task::spawn_blocking, time::timeout};
use tracing::debug;
use upstream::{Caps, EgressError, GuardedClient, Redirects, Trust};

use crate::{
    Media,
    config::Looks,
    inputs::{bounds, out_of, owner},
    measure::{self, By, HEAD_BYTES},
    task::{Task, seconds_of},
};

/// The most there may be of what a task is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Longest {
    seconds: u64,
    /// The parameter that says so.
    param: String,
}

// === impl Longest ===

impl Longest {
    /// Where a task pays for as many seconds as were made of what it is given.
    pub(crate) fn of(media: &Media, task: &Task) -> Option<Self> {
        if !task.price.measured {
            return None;
        }
        let model = media.catalogue.find(&task.model)?;
        let price = model.price_at(task.price.applied.priced_at)?;
        Some(Self {
            seconds: task.price.units,
            param: price.tariff.per()?.to_owned(),
        })
    }

    /// What is wrong with something that lasts so long, if anything is.
    pub(crate) fn exceeded(&self, param: &str, millis: u64) -> Option<String> {
        let Self {
            seconds,
            param: most,
        } = self;
        (seconds_of(millis) > *seconds).then(|| {
            let lasts = Duration::from_millis(millis).as_secs_f64();
            format!("{param} must last {seconds} seconds at most, which is {most}: it lasts {lasts}. Raise {most}, or give a shorter one")
        })
    }
}

/// What is wrong with how long something lasts that the URLs of a task lead to, if anything is. It is looked at once: who is asked later has it as
/// it was. Where as many tasks are looked at as may be, or in the time for it, it is left open: somebody's slow server holds up nobody else.
pub(crate) async fn of_urls(media: &Media, task: &Task) -> Option<(Code, String)> {
    if task.mode == Mode::Test || task.attempts > 1 {
        return None;
    }
    let model = media.catalogue.find(&task.model)?;
    let (longest, parameters) = (Longest::of(media, task), task.parameters());
    let inputs = model.inputs(&parameters).filter(|input| {
        let lasts = input.kind.is_none_or(Medium::has_length);
        let matters = longest.is_some() || bounds(model, &input.param).is_some();
        lasts && matters && FileId::parse(input.text).is_none()
    });
    let inputs: Vec<Input<'_>> = inputs.collect();
    if inputs.is_empty() {
        return None;
    }
    let uploads = &media.kept.uploads;
    let _place = uploads.look(owner(task))?;
    let looks = uploads.limits.looks;
    let looking = async {
        for input in inputs {
            let millis = look(&media.guard, input.text, looks).await;
            let limits = (longest.as_ref(), bounds(model, &input.param));
            let wrong = millis.and_then(|millis| unfit(limits, &input.param, millis));
            if wrong.is_some() {
                return wrong;
            }
        }
        None
    };
    timeout(looks.timeout, looking).await.ok().flatten()
}

/// What is wrong with something that lasts so long, if anything is.
fn unfit(
    (longest, bounds): (Option<&Longest>, Option<(u32, u32)>),
    param: &str,
    millis: u64,
) -> Option<(Code, String)> {
    let out = bounds.and_then(|bounds| out_of(bounds, param, ("it", Some(millis))));
    let out = out.map(|message| (code::INVALID_PARAMETER, message));
    out.or_else(|| {
        let message = longest?.exceeded(param, millis)?;
        Some((code::INPUT_TOO_LONG, message))
    })
}

/// How long it lasts what a URL leads to, as far as a few pieces of it tell.
async fn look(guard: &GuardedClient, url: &str, looks: Looks) -> Option<u64> {
    let found = Pieces::default().look((guard, url), looks).await;
    // A provider may well be given it, or says what is wrong with it.
    found.unwrap_or_else(|error| {
        debug!(%error, "an input cannot be looked at");
        None
    })
}

/// Pieces of a file that is elsewhere.
#[derive(Debug, Default)]
struct Pieces {
    /// Where each begins.
    pieces: Vec<(u64, Vec<u8>)>,
    /// Bytes of the whole, where that is known.
    total: Option<u64>,
}

// === impl Pieces ===

impl Pieces {
    /// Fetches one piece after another, each where the one before has shown that the next is wanted.
    async fn look(
        mut self,
        (guard, url): (&GuardedClient, &str),
        looks: Looks,
    ) -> Result<Option<u64>, EgressError> {
        let mut at = 0;
        for _ in 0..looks.pieces {
            if !self.fetch((guard, url), at, looks).await? {
                break;
            }
            // A library that stumbles over it stops here.
            let measured = spawn_blocking(move || (self.measure(), self)).await;
            let Ok((found, pieces)) = measured else {
                break;
            };
            self = pieces;
            match found {
                (Some(millis), _) => return Ok(Some(millis)),
                (None, Some(wanted)) => at = wanted,
                (None, None) => break,
            }
        }
        Ok(None)
    }

    /// Fetches a piece. `false`: there is none to be had.
    async fn fetch(
        &mut self,
        (guard, url): (&GuardedClient, &str),
        at: u64,
        looks: Looks,
    ) -> Result<bool, EgressError> {
        let caps = Caps {
            timeout: looks.timeout,
            // No more is read than a piece.
            max_bytes: u64::MAX,
            redirects: Redirects::Follow,
        };
        let mut download = guard.get_from(url, Trust::Public, &caps, at).await?;
        if at > 0 && !download.is_part() {
            return Ok(false);
        }
        if at == 0 {
            self.total = download.content_length();
        }
        let mut bytes = Vec::new();
        while bytes.len() < looks.piece_bytes {
            let Some(part) = download.next().await.transpose()? else {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.total = self.total.or_else(|| at.checked_add(length));
                break;
            };
            let part: Bytes = part;
            bytes.extend_from_slice(&part);
        }
        let is_some = !bytes.is_empty();
        self.pieces.push((at, bytes));
        Ok(is_some)
    }

    /// How long it lasts; and where more of it is wanted to tell that.
    fn measure(&self) -> (Option<u64>, Option<u64>) {
        let first = self.pieces.first().map_or(&[][..], |(_, bytes)| bytes);
        let head = first.get(..HEAD_BYTES).unwrap_or(first);
        let Some(content_type) = measure::readable(head) else {
            return (None, None);
        };
        let wanted = Cell::new(None);
        let reader = Reader {
            pieces: &self.pieces,
            total: self.total.unwrap_or(u64::MAX),
            at: 0,
            wanted: &wanted,
        };
        let measures = measure::measure(content_type, reader, By::Head).ok();
        (measures.and_then(|measures| measures.millis), wanted.get())
    }
}

/// A file of which pieces are there.
struct Reader<'p> {
    pieces: &'p [(u64, Vec<u8>)],
    total: u64,
    at: u64,
    /// The first place that was read and is not there.
    wanted: &'p Cell<Option<u64>>,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.total {
            return Ok(0);
        }
        let at = self.at;
        let mut pieces = self.pieces.iter();
        let found = pieces.find_map(|(begin, bytes)| {
            let within = usize::try_from(at.checked_sub(*begin)?).ok()?;
            bytes.get(within..).filter(|rest| !rest.is_empty())
        });
        let Some(mut rest) = found else {
            self.wanted.set(self.wanted.get().or(Some(at)));
            // What was found before counts: it is no fault of the file.
            return Err(ErrorKind::InvalidInput.into());
        };
        let read = rest.read(buffer)?;
        self.at = at.saturating_add(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        let at = match place {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.total.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! file {
        ($name:literal) => {
            include_bytes!(concat!("../tests/files/", $name)).as_slice()
        };
    }

    /// How long a file is that is fetched in pieces of so many bytes, and how many of them were.
    fn pieces(file: &[u8], length: usize, most: usize) -> (Option<u64>, usize) {
        let total = Some(file.len().try_into().unwrap());
        let mut found = Pieces {
            pieces: Vec::new(),
            total,
        };
        let mut at = 0_usize;
        for count in 1..=most {
            let piece = &file[at..file.len().min(at + length)];
            found.pieces.push((at.try_into().unwrap(), piece.to_vec()));
            match found.measure() {
                (None, Some(wanted)) => at = wanted.try_into().unwrap(),
                (millis, _) => return (millis, count),
            }
        }
        (None, most)
    }

    #[test]
    fn a_few_pieces_tell_how_long_a_film_is() {
        for (name, file) in [
            // What tells it comes last, behind the pictures.
            ("film.mp4", file!("film.mp4")),
            ("first.mp4", file!("first.mp4")),
            ("film.mov", file!("film.mov")),
            ("film.webm", file!("film.webm")),
            ("film.mkv", file!("film.mkv")),
        ] {
            let (millis, _) = pieces(file, 1024, 8);
            assert!(
                millis.is_some_and(|millis| (2_400..2_500).contains(&millis)),
                "{name}: {millis:?}"
            );
        }
        assert_eq!(pieces(file!("first.mp4"), 1024, 8).1, 1);
        assert_eq!(pieces(file!("film.mp4"), 512, 1), (None, 1));
    }

    #[test]
    fn what_does_not_tell_is_left_open() {
        for file in [file!("picture.png"), b"<html>", b""] {
            assert_eq!(pieces(file, 512, 8).0, None);
        }
        // Of what was made as it went on all must be there.
        for file in [file!("fragments.mp4"), file!("live.webm")] {
            assert_eq!(pieces(file, 512, 1).0, None);
            let (millis, _) = pieces(file, 512, 8);
            assert_eq!(millis, Some(2_400));
        }
    }

    /// An element: its id, how many bytes it says it has, and what it has.
    fn element(id: &[u8], length: u64, content: &[u8]) -> Vec<u8> {
        let length = (length | 1 << 56).to_be_bytes();
        [id, &length, content].concat()
    }

    #[test]
    fn what_says_that_it_is_larger_than_any_memory_is_left_open() {
        let huge = 1 << 50;
        // Which format it is stands in the head of the file, and there are strings further on.
        let in_the_head = element(&[0x42, 0x82], huge, b"webm");
        let in_the_head = element(&[0x1A, 0x45, 0xDF, 0xA3], huge + 100, &in_the_head);
        let format = element(&[0x42, 0x82], 4, b"webm");
        let mut further_on = element(&[0x1A, 0x45, 0xDF, 0xA3], 14, &format);
        let scale = element(&[0x2A, 0xD7, 0xB1], 3, &[0x0F, 0x42, 0x40]);
        let writer = element(&[0x57, 0x41], huge, b"somebody");
        let info = [scale, writer].concat();
        let info = element(&[0x15, 0x49, 0xA9, 0x66], huge + 100, &info);
        further_on.extend(element(&[0x18, 0x53, 0x80, 0x67], huge + 200, &info));
        for head in [in_the_head, further_on] {
            for total in [None, Some(u64::MAX), Some(huge + 4_096)] {
                let found = Pieces {
                    pieces: vec![(0, head.clone())],
                    total,
                };
                assert_eq!(measure::readable(&head), Some("video/webm"));
                assert_eq!(found.measure().0, None);
            }
        }
    }

    #[test]
    fn a_sound_has_bounds_on_both_sides() {
        let told = |millis| unfit((None, Some((6, 60))), "audio_id", millis);
        assert_eq!((told(6_000), told(60_000)), (None, None));
        for (millis, lasts) in [(5_999, "5.999"), (60_001, "60.001")] {
            let (why, message) = told(millis).unwrap();
            assert_eq!(why, code::INVALID_PARAMETER);
            let expected = format!("audio_id must be a sound of 6 to 60 seconds: it lasts {lasts}");
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn a_second_is_too_much_when_a_quarter_of_it_has_come() {
        let longest = Longest {
            seconds: 3,
            param: "max_seconds".to_owned(),
        };
        assert_eq!(longest.exceeded("video", 3_250), None);
        let told = longest.exceeded("video", 3_251).unwrap();
        assert!(
            told.starts_with(
                "video must last 3 seconds at most, which is max_seconds: it lasts 3.251."
            ),
            "{told}"
        );
    }
}
