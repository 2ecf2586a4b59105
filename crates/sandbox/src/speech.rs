//! What is said aloud: how much of a text that is, how long it takes, and the answer that is the sound itself, at once or piece by piece.

use axum::{body::Bytes, response::Response};
use futures::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};

use crate::{
    Error, Sandbox, answer,
    directive::{self, Directive, Outcome},
    job::Job,
    made::{self, Kind, Made},
};

/// How much of a text is said in a second.
const CHARS_A_SECOND: usize = 15;
/// Speeds are hundredths of the usual one.
pub(crate) const USUAL_SPEED: i64 = 100;
/// Pieces of a sound that is told while it is made.
const PIECES: usize = 10;

/// How many characters of these texts are said, at least one.
pub(crate) fn characters<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    let lengths = texts.map(|text| directive::without(text).chars().count());
    lengths.sum::<usize>().max(1)
}

/// The sound of so many characters at this speed.
pub(crate) fn made(kind: Kind, characters: usize, speed: i64) -> Made {
    let usual = usize::try_from(USUAL_SPEED).unwrap_or(1);
    let speed = usize::try_from(speed).unwrap_or(usual).max(1);
    let seconds = (characters * usual).div_ceil(CHARS_A_SECOND * speed);
    Made {
        kind,
        count: 1,
        width: 0,
        height: 0,
        seconds: u16::try_from(seconds).unwrap_or(u16::MAX),
    }
}

/// An answer that is the sound: half of it, where that is cut.
async fn sound(sandbox: &Sandbox, job: &Job) -> Result<Response, Error> {
    let bytes = made::make(sandbox, job.clone(), 0).await?;
    let content_type = job.made.kind.content_type();
    let whole = answer::text(StatusCode::OK, content_type, bytes.clone());
    Ok(if job.outcome == Outcome::Cut {
        answer::cut(whole, &bytes)
    } else {
        whole
    })
}

/// The same where it is told while it is made: in ten pieces, if its directive says how far apart they are, or how many of them come.
pub(crate) async fn told(
    sandbox: &Sandbox,
    job: &Job,
    directive: &Directive,
) -> Result<Response, Error> {
    let pause = match (directive.chunk_delay, directive.after) {
        (None, None) => return sound(sandbox, job).await,
        (named, _) => named.unwrap_or(sandbox.config.chunk_delay),
    };
    let bytes = made::make(sandbox, job.clone(), 0).await?;
    let pieces = stream::iter(pieces(&bytes).into_iter().enumerate());
    let told = pieces.then(move |(number, piece)| async move {
        // The timer's grain is a millisecond: no pause must be none.
        if number > 0 && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        piece
    });
    let mut answer = answer::let_through(told, (directive, PIECES / 2), &sandbox.tasks);
    let kind = HeaderValue::from_static(job.made.kind.content_type());
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}

/// A file in pieces, the last of which may be shorter.
fn pieces(file: &Bytes) -> Vec<Bytes> {
    let each = file.len().div_ceil(PIECES).max(1);
    let starts = (0..file.len()).step_by(each);
    starts
        .map(|start| file.slice(start..file.len().min(start + each)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::Sound;

    #[test]
    fn pieces_are_the_file() {
        for (bytes, count) in [(0, 0), (1, 1), (10, 10), (11, 6), (95, 10), (100, 10)] {
            let file = Bytes::from_iter(0..bytes);
            let pieces = pieces(&file);
            assert_eq!(pieces.len(), count, "{bytes}");
            assert_eq!(pieces.concat(), file);
        }
    }

    #[test]
    fn a_sound_lasts_as_long_as_its_text_takes() {
        let texts = ["éé [sandbox delay=1s]", "abc"];
        assert_eq!(characters(texts.into_iter()), 5);
        assert_eq!(characters(["[sandbox]"].into_iter()), 1);
        for (characters, speed, seconds) in [
            (1, 100, 1),
            (15, 100, 1),
            (16, 100, 2),
            (150, 50, 20),
            (150, 400, 3),
            (150, 0, 1_000),
        ] {
            let made = made(Kind::Sound(Sound::Opus), characters, speed);
            assert_eq!(
                (made.kind, made.seconds),
                (Kind::Sound(Sound::Opus), seconds)
            );
        }
    }
}
