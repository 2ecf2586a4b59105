//! What is said aloud: how much of a text that is, how long it takes, and the answer that is the sound itself.

use axum::response::Response;
use http::StatusCode;

use crate::{
    Error, Sandbox, answer,
    directive::{self, Outcome},
    job::Job,
    made::{self, Kind, Made},
};

/// How much of a text is said in a second.
const CHARS_A_SECOND: usize = 15;
/// Speeds are hundredths of the usual one.
pub(crate) const USUAL_SPEED: i64 = 100;

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
pub(crate) async fn sound(sandbox: &Sandbox, job: &Job) -> Result<Response, Error> {
    let bytes = made::make(sandbox, job.clone(), 0).await?;
    let content_type = job.made.kind.content_type();
    let whole = answer::text(StatusCode::OK, content_type, bytes.clone());
    Ok(if job.outcome == Outcome::Cut {
        answer::cut(whole, &bytes)
    } else {
        whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::Sound;

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
