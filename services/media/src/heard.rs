//! How long a recording was, as who heard it says: one that lasts longer than its seconds that are paid for is nobody's. We measured it when it
//! came, by what it says itself as well; who hears it decodes it.

use std::time::Duration;

use domain::{charge::Ending, transcript::Transcript};
use proto::code;

use crate::{
    Error, Media,
    finish::Failed,
    look::Made,
    outputs::Place,
    store::attempt::{Finding, Outcome},
    task::{Task, TaskError},
};

/// What two who measure the same recording may differ by: a hundredth, and a second.
const PARTS: u32 = 100;
const SLACK: Duration = Duration::from_secs(1);

/// What is wrong with what was heard, if anything is: its recording lasts longer than what its task pays for.
pub(crate) fn longer(media: &Media, task: &Task, made: &Made<'_>) -> Option<Failed> {
    let model = media.catalogue.find(&task.model)?;
    let counted = model.counted().next()?;
    let seconds = task.parameters().get(counted.name)?.as_u64()?;
    let texts = made.files.iter().filter_map(|place| match place {
        Place::Text(text) => Some(*text),
        Place::Url(_) | Place::Base64(_) => None,
    });
    let lasts = texts.map(|text| of(text, made.lasts)).max()?;
    (lasts > most(seconds)).then(|| {
        let file = counted.of;
        let message = format!(
            "{file} lasts longer than it says: it is paid for {seconds} seconds, and more of it was heard. Write it anew, so that its head says how long it is"
        );
        Failed {
            ending: Ending::Invalid,
            error: TaskError::new(code::INVALID_PARAMETER, message),
        }
    })
}

/// Ends a task for nothing whose provider has billed what nobody gets.
pub(crate) async fn waste(
    media: &Media,
    task: Task,
    why: Failed,
    made: &Made<'_>,
) -> Result<(), Error> {
    let (id, cost) = (task.id, made.cost);
    let provider = task.provider.clone().unwrap_or_default();
    let found = Finding {
        cost,
        ..Finding::failed(Outcome::Failed, why.ending.as_str())
    };
    if Box::pin(media.fail(task, why, found)).await? {
        media.count_wasted(id, provider, cost);
    }
    Ok(())
}

/// How long a recording is, by its transcript and by what else was said of it. The moments of what was heard tell it where nothing else does:
/// some hear words behind its end.
fn of(text: &str, told: Duration) -> Duration {
    let heard: Transcript = serde_json::from_str(text).unwrap_or_default();
    let told = told.max(heard.duration);
    if !told.is_zero() {
        return told;
    }
    let words = heard.words.iter().map(|word| word.end);
    let segments = heard.segments.iter().map(|segment| segment.end);
    words.chain(segments).max().unwrap_or_default()
}

/// The most that a recording of so many seconds may be.
fn most(seconds: u64) -> Duration {
    let seconds = Duration::from_secs(seconds);
    let part = seconds.checked_div(PARTS).unwrap_or_default();
    seconds.saturating_add(part).saturating_add(SLACK)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_recording_lasts_as_long_as_who_heard_it_says() {
        let word = json!({"word": "a", "start": 0, "end": 30});
        let segment = json!({"id": 0, "start": 0, "end": 31, "text": "a"});
        for (text, told, expected) in [
            (json!({"text": "a", "duration": 12.5}), 0, 12_500),
            (json!({"text": "a", "duration": 12.5}), 13_000, 13_000),
            (json!({"text": "a"}), 7_000, 7_000),
            (json!({"text": "a", "words": [word]}), 0, 30_000),
            (
                json!({"text": "a", "words": [word], "segments": [segment]}),
                0,
                31_000,
            ),
            // They hear words that are not there.
            (
                json!({"text": "a", "duration": 12, "words": [word]}),
                0,
                12_000,
            ),
            (json!({"text": "a", "words": [word]}), 12_000, 12_000),
            (json!(["no", "transcript"]), 0, 0),
        ] {
            let lasts = of(&text.to_string(), Duration::from_millis(told));
            assert_eq!(lasts, Duration::from_millis(expected), "{text} {told}");
        }
    }

    #[test]
    fn there_is_a_little_more_than_what_is_paid_for() {
        for (seconds, millis) in [(1, 2_010), (60, 61_600), (3_600, 3_637_000)] {
            assert_eq!(most(seconds), Duration::from_millis(millis));
        }
    }
}
