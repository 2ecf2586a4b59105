//! What happened to a task, in its order: as far as media, billing and webhooks have written down when. Pure.

use std::collections::BTreeSet;

use chassis::clock::MICROS_PER_SECOND;
use proto::media::v1::Run;

use super::{
    story::Story,
    view::{State, credits},
};
use crate::show::Time;

/// One thing that happened, or what is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// `None`: it is going on.
    pub(super) at: Option<Time>,
    /// How long after the task was made: `+1.4 s`; of the first the time of day, of what is going on nothing.
    pub(super) after: String,
    pub(super) what: String,
    /// More of it; empty: nothing.
    pub(super) detail: String,
    /// The class of its mark: `good`, `bad`, `now` or nothing.
    pub(super) mark: &'static str,
}

/// A step and its moment, in microseconds UTC; without one it comes last.
type Timed = (Option<i64>, Step);

/// The steps of a task.
pub(super) fn of(story: &Story) -> Vec<Step> {
    let task = &story.task;
    let made = task.created_at.micros();
    let mut steps = vec![step(
        Some(made),
        "Created",
        format!("by POST /{}", task.route),
    )];
    steps.push(held(story));
    for run in &story.runs {
        steps.push(tried(run, task.state()));
    }
    if let Some(started) = task.started_at {
        let detail = "a provider has taken it".to_owned();
        steps.push(step(Some(started.micros()), "Started", detail));
    }
    steps.extend(stages(story));
    steps.push(end(story));
    if task.has_ended() {
        steps.push(charge(story));
    }
    steps.extend(told(story));
    // Stable: what has one moment stays in the order of above.
    steps.sort_by_key(|(at, _)| at.unwrap_or(i64::MAX));
    let placed = steps
        .into_iter()
        .enumerate()
        .map(|(place, (at, step))| Step {
            after: at.map(|at| after(place, at, made)).unwrap_or_default(),
            at: at.map(Time::of),
            ..step
        });
    placed.collect()
}

/// When something was, seen from the making of the task: what came first was that.
fn after(place: usize, at: i64, made: i64) -> String {
    match place {
        0 => {
            let time = Time::of(at).text;
            let (_, time) = time.split_once(' ').unwrap_or_default();
            format!("{time} UTC")
        }
        _ => format!("+{}", seconds(at.saturating_sub(made))),
    }
}

/// So many microseconds: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 1 min`.
pub(super) fn seconds(micros: i64) -> String {
    let tenths = micros.max(0) / (MICROS_PER_SECOND / 10);
    let whole = tenths / 10;
    match whole {
        0..10 => format!("{whole}.{} s", tenths % 10),
        10..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3_600, whole / 60 % 60),
    }
}

/// A class of failure in words.
pub(super) fn reason(word: &str) -> String {
    word.replace('_', " ")
}

fn step(at: Option<i64>, what: &str, detail: String) -> Timed {
    let step = Step {
        at: None,
        after: String::new(),
        what: what.to_owned(),
        detail,
        mark: "",
    };
    (at, step)
}

fn marked((at, step): Timed, mark: &'static str) -> Timed {
    (at, Step { mark, ..step })
}

fn held(story: &Story) -> Timed {
    let task = &story.task;
    let (at, held) = match &story.operation {
        Some(operation) => (operation.created_at, operation.held),
        None => (task.created_at.micros(), task.held_microcredits),
    };
    // It was made first, whatever the two clocks say.
    let at = at.max(task.created_at.micros());
    let detail = match held {
        0 => "what it can cost at most".to_owned(),
        held => format!("{}: it cannot cost more", credits(held)),
    };
    step(Some(at), "Held", detail)
}

fn tried(run: &Run, state: State) -> Timed {
    let has_ended = !matches!(state, State::Waiting | State::Running);
    let why = match run.reason.as_str() {
        "" => String::new(),
        word => format!(": {}", reason(word)),
    };
    let was_stopped = state == State::Cancelled && run.reason.is_empty();
    let (detail, mark) = match (run.outcome.as_str(), has_ended) {
        ("refused", _) => (format!("which did not take it{why}"), ""),
        ("succeeded", _) => ("which made it".to_owned(), ""),
        ("failed", _) if was_stopped => ("which was stopped".to_owned(), ""),
        ("failed", _) => (format!("which did not make it{why}"), ""),
        ("accepted", false) => ("which has taken it".to_owned(), ""),
        ("accepted", true) => ("which had taken it".to_owned(), ""),
        (_, false) => ("which has not answered yet".to_owned(), ""),
        (_, true) => ("which never said whether it took it".to_owned(), "bad"),
    };
    let what = format!("Attempt {}: {}", run.number, run.provider);
    marked(step(Some(run.submitted_at), &what, detail), mark)
}

/// That a song got further, each time that was told. Which stage it was, the event says.
fn stages(story: &Story) -> Vec<Timed> {
    let mut seen = BTreeSet::new();
    let told = story.told.iter().flatten();
    let told = told.filter(|delivery| delivery.kind == "task.processing");
    told.filter(|delivery| seen.insert(delivery.event.clone()))
        .map(|delivery| {
            let detail = "a part of it was there".to_owned();
            step(Some(delivery.created_at), "Stage reached", detail)
        })
        .collect()
}

/// How it ended, or what is going on.
fn end(story: &Story) -> Timed {
    let task = &story.task;
    let at = task.completed_at.map(|at| at.micros());
    let failed = |what: &str, mark| {
        let message = task.error.as_ref().map(|error| error.message.clone());
        marked(step(at, what, message.unwrap_or_default()), mark)
    };
    match task.state() {
        State::Completed => {
            let detail = match task.output.len() {
                0 => "its files are kept no longer".to_owned(),
                1 => "1 file".to_owned(),
                files => format!("{files} files"),
            };
            marked(step(at, "Completed", detail), "good")
        }
        State::Failed => failed("Failed", "bad"),
        State::Cancelled => failed("Cancelled", ""),
        State::Waiting => marked(
            step(None, "Waiting", "for room at a provider".to_owned()),
            "now",
        ),
        State::Running => {
            let detail = match (task.stage.as_deref(), task.progress, task.queue_position) {
                (Some("text"), ..) => "the text is there".to_owned(),
                (Some("first"), ..) => "the first song is there".to_owned(),
                (_, Some(progress), _) => format!("{progress} %"),
                (_, None, Some(before)) => format!("{before} before it at its provider"),
                (_, None, None) => "a provider is at it".to_owned(),
            };
            marked(step(None, "Running", detail), "now")
        }
    }
}

fn charge(story: &Story) -> Timed {
    let Some(operation) = &story.operation else {
        let detail = "it is booked in a moment".to_owned();
        return marked(step(None, "Charge", detail), "now");
    };
    let at = Some(operation.ended_at);
    if operation.charged > 0 {
        let left = operation.held.saturating_sub(operation.charged);
        let detail = match left {
            0 => String::new(),
            left => format!("{} of what was held are free again", credits(left)),
        };
        let what = format!("{} charged", credits(operation.charged));
        return step(at, &what, detail);
    }
    let detail = format!("{} are free again", credits(operation.held));
    step(at, "Nothing charged", detail)
}

fn told(story: &Story) -> Vec<Timed> {
    let told = story.told.iter().flatten();
    told.filter_map(|delivery| {
        let at = delivery.ended_at?;
        let (what, mark) = match delivery.state.as_str() {
            "delivered" => ("Told by webhook", ""),
            _ => ("Webhook given up", "bad"),
        };
        let detail = format!("{}, {}", delivery.kind, delivery.last);
        Some(marked(step(Some(at), what, detail), mark))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_exact_as_they_are_short() {
        for (micros, text) in [
            (-5, "0.0 s"),
            (449_000, "0.4 s"),
            (9_990_000, "9.9 s"),
            (12_700_000, "12 s"),
            (185_000_000, "3 min 5 s"),
            (7_260_000_000, "2 h 1 min"),
        ] {
            assert_eq!(seconds(micros), text);
        }
    }

    #[test]
    fn the_first_has_a_time_of_day_and_the_others_what_came_before_them() {
        let made = 1_780_000_000_000_000;
        assert_eq!(after(0, made, made), "20:26 UTC");
        assert_eq!(after(1, made, made), "+0.0 s");
        assert_eq!(after(3, made + 2_600_000, made), "+2.6 s");
    }

    #[test]
    fn an_attempt_says_what_became_of_it() {
        let run = |outcome: &str, reason: &str, state| {
            let run = Run {
                number: 2,
                provider: "fal".to_owned(),
                outcome: outcome.to_owned(),
                reason: reason.to_owned(),
                submitted_at: 7,
            };
            let (at, step) = tried(&run, state);
            assert_eq!((at, step.what.as_str()), (Some(7), "Attempt 2: fal"));
            (step.detail, step.mark)
        };
        for (outcome, why, state, detail, mark) in [
            (
                "refused",
                "rate_limited",
                State::Running,
                "which did not take it: rate limited",
                "",
            ),
            ("failed", "", State::Failed, "which did not make it", ""),
            ("accepted", "", State::Running, "which has taken it", ""),
            ("failed", "", State::Cancelled, "which was stopped", ""),
            ("succeeded", "", State::Completed, "which made it", ""),
            (
                "unknown",
                "",
                State::Running,
                "which has not answered yet",
                "",
            ),
            (
                "unknown",
                "",
                State::Failed,
                "which never said whether it took it",
                "bad",
            ),
        ] {
            assert_eq!(run(outcome, why, state), (detail.to_owned(), mark));
        }
    }
}
