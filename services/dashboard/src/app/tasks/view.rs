//! A task as media shows it to its customer, read for pages: the same object as in polls, events and webhooks (docs/api.md).

use std::time::Duration;

use domain::{Micros, Moment, catalogue::Cancel};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    Site,
    refused::Refused,
    show::{self, Time},
    view::plain,
};

/// The code of a task that its customer cancelled.
const CANCELLED: &str = "cancelled";
/// What a task is made from, where it is made from words, in the order in which it is looked for.
const WORDS: [&str; 6] = ["prompt", "text", "lyrics", "dialogue", "title", "input"];
/// Characters of them on a card.
const WORDS_SHOWN: usize = 140;

/// A task: the wire shape, as far as pages read it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Task {
    pub(super) task_id: String,
    /// `image`, `video`, `music`, `speech`, `transcription` or `tool`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) route: String,
    pub(super) model: String,
    /// `queued`, `processing`, `completed` or `failed`.
    pub(super) status: String,
    /// Grows with each change.
    pub(super) sequence: i64,
    /// 0 to 100.
    pub(super) progress: Option<i64>,
    /// How many jobs are before it at its provider.
    pub(super) queue_position: Option<i64>,
    /// How far a song is.
    pub(super) stage: Option<String>,
    /// Resolved parameters.
    request: Map<String, Value>,
    /// Whether some are left out.
    #[serde(default)]
    pub(super) request_truncated: bool,
    pub(super) output: Vec<Output>,
    pub(super) error: Option<Failure>,
    pub(super) held_microcredits: i64,
    pub(super) consumed_microcredits: i64,
    pub(super) created_at: Moment,
    pub(super) started_at: Option<Moment>,
    pub(super) completed_at: Option<Moment>,
    pub(super) deadline_at: Moment,
    /// Where the request said that the end is to be told.
    pub(super) callback: Option<Callback>,
}

/// Why a task failed: the wire shape.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) retryable: bool,
}

/// The wire shape.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Callback {
    pub(super) url: String,
}

/// A file that a task made: the wire shape, as far as pages read it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Output {
    /// Signed.
    pub(super) url: String,
    pub(super) content_type: String,
    pub(super) bytes: u64,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    duration_seconds: Option<f64>,
    pub(super) expires_at: Moment,
    /// Its picture, where it has one of its own.
    pub(super) image_url: Option<String>,
    /// Its provider's own word, whatever that is.
    #[serde(default)]
    title: Value,
}

/// How a file is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// A sound.
    Audio,
    /// Words.
    Text,
    /// Something to be downloaded.
    Other,
}

/// A task of the list.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) kind: String,
    pub(super) state: State,
    /// What it is made from; empty: not from words.
    pub(super) words: String,
    /// A picture of what it made: link and size.
    pub(super) picture: Option<String>,
    /// How long what it made lasts; empty: it is no film and no sound, or nobody knows.
    pub(super) length: String,
    pub(super) outputs: usize,
    /// Why it failed; empty: it did not.
    pub(super) why: String,
    /// What it cost or holds, in words.
    pub(super) cost: String,
    pub(super) created: Time,
}

/// How a task stands, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for a provider.
    Waiting,
    /// A provider is at it.
    Running,
    /// It is there.
    Completed,
    /// It is not, and costs nothing.
    Failed,
    /// Its customer did not want it any more.
    Cancelled,
}

// === impl Task ===

impl Task {
    /// Reads what media says.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn read(view: &[u8]) -> Result<Self, Refused> {
        serde_json::from_slice(view).map_err(|error| {
            tracing::error!(%error, "a task cannot be read");
            Refused::internal()
        })
    }

    pub(super) fn state(&self) -> State {
        match (self.status.as_str(), &self.error) {
            ("completed", _) => State::Completed,
            ("failed", Some(failure)) if failure.code == CANCELLED => State::Cancelled,
            ("failed", _) => State::Failed,
            ("processing", _) => State::Running,
            (_, _) => State::Waiting,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(
            self.state(),
            State::Completed | State::Failed | State::Cancelled
        )
    }

    /// Whether its customer may still cancel it: whether that succeeds, its provider says.
    pub(super) fn can_be_cancelled(&self, site: &Site) -> bool {
        let model = site.catalogue.find(&self.model);
        match model.map(|model| model.cancel) {
            Some(Cancel::Never) => false,
            Some(Cancel::Queued) | None => self.state() == State::Waiting,
            Some(Cancel::Running) => !self.has_ended(),
        }
    }

    /// Name and value of each parameter, as it was used.
    pub(super) fn parameters(&self) -> Vec<(&str, String)> {
        let shown = |value: &Value| match value {
            Value::Object(_) | Value::Array(_) => {
                serde_json::to_string_pretty(value).unwrap_or_default()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => plain(value),
        };
        let all = self.request.iter();
        all.map(|(name, value)| (name.as_str(), shown(value)))
            .collect()
    }

    /// What it is made from, where that is words; at most so many characters.
    fn words(&self, most: usize) -> String {
        let found = WORDS.iter().find_map(|name| said(self.request.get(*name)?));
        let words = found.unwrap_or_default();
        let mut shown: String = words.chars().take(most).collect();
        if shown.len() < words.len() {
            shown.push('…');
        }
        shown
    }

    /// What it costs so far, in words.
    pub(super) fn cost(&self) -> String {
        match self.state() {
            State::Completed => credits(self.consumed_microcredits),
            State::Failed | State::Cancelled => "free".to_owned(),
            State::Waiting | State::Running => {
                format!("{} held", credits(self.held_microcredits))
            }
        }
    }
}

/// A text, or the first of what several say.
fn said(value: &Value) -> Option<&str> {
    let first = || value.as_array()?.first()?.get("text")?.as_str();
    value.as_str().or_else(first)
}

/// An amount with its noun.
pub(super) fn credits(micros: i64) -> String {
    let noun = if Micros::new(micros) == Micros::from_credits(1) {
        "credit"
    } else {
        "credits"
    };
    format!("{} {noun}", show::credits(micros))
}

// === impl Output ===

impl Output {
    /// Its number among the files of its task, which its link says.
    pub(super) fn number(&self) -> Option<u32> {
        let path = self.url.split('?').next()?;
        path.rsplit('/').next()?.parse().ok()
    }

    pub(super) fn medium(&self) -> Medium {
        match self.content_type.split_once('/') {
            Some(("image", _)) => Medium::Image,
            Some(("video", _)) => Medium::Video,
            Some(("audio", _)) => Medium::Audio,
            Some(("text", _)) => Medium::Text,
            Some(("application", kind)) if kind.starts_with("json") => Medium::Text,
            Some(_) | None => Medium::Other,
        }
    }

    pub(super) fn is(&self, medium: &str) -> bool {
        self.medium().as_str() == medium
    }

    /// How long it lasts: `1:05`, or `7.5 s` of what is short; empty: nobody knows.
    pub(super) fn length(&self) -> String {
        let length = self.duration_seconds.map(Duration::try_from_secs_f64);
        match length {
            Some(Ok(length)) => lasting(length),
            Some(Err(_)) | None => String::new(),
        }
    }

    /// What its provider calls it.
    pub(super) fn title(&self) -> Option<&str> {
        self.title.as_str()
    }

    /// Its size: `1.4 MB`.
    pub(super) fn size(&self) -> String {
        size(self.bytes)
    }

    /// Until when it is kept.
    pub(super) fn until(&self) -> Time {
        Time::of(self.expires_at.micros())
    }
}

/// `1:05`, or `7.5 s` of what is shorter than a minute.
fn lasting(length: Duration) -> String {
    let (seconds, tenths) = (length.as_secs(), length.subsec_millis() / 100);
    match (seconds / 60, tenths) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{seconds}.{tenths} s"),
        (minutes, _) => format!("{minutes}:{:02}", seconds % 60),
    }
}

/// `312 B`, `48.2 kB`, `1.4 MB`.
pub(super) fn size(bytes: u64) -> String {
    let in_units = |unit: u64, name: &str| {
        let tenths = bytes.saturating_mul(10) / unit;
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => in_units(1_000, "kB"),
        _ => in_units(1_000_000, "MB"),
    }
}

// === impl Medium ===

impl Medium {
    /// A word for templates.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Text => "text",
            Self::Other => "other",
        }
    }
}

// === impl State ===

impl State {
    /// What is said of it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// The class of its badge.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Completed => "good",
            Self::Failed => "bad",
            Self::Running => "tk-run",
            Self::Waiting | Self::Cancelled => "",
        }
    }
}

// === impl Card ===

impl Card {
    /// What the list shows of a task.
    pub(super) fn of(site: &Site, task: &Task) -> Self {
        let picture = task.output.iter().find_map(|output| match output.medium() {
            Medium::Image => Some(&output.url),
            Medium::Video | Medium::Audio | Medium::Text | Medium::Other => {
                output.image_url.as_ref()
            }
        });
        let model = site.model(&task.model);
        let model = model.map_or(&task.model, |model| &model.name);
        let why = task.error.as_ref().map(|error| error.message.clone());
        Self {
            id: task.task_id.clone(),
            model: model.clone(),
            kind: task.kind.clone(),
            state: task.state(),
            words: task.words(WORDS_SHOWN),
            picture: picture.cloned(),
            length: task.output.first().map(Output::length).unwrap_or_default(),
            outputs: task.output.len(),
            why: why.unwrap_or_default(),
            cost: task.cost(),
            created: Time::of(task.created_at.micros()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(changes: &Value) -> Task {
        let mut view = json!({
            "task_id": "task_1", "object": "task", "type": "image", "route": "images/generations", "model": "flux-2",
            "mode": "test", "status": "queued", "sequence": 3, "progress": null, "queue_position": null, "stage": null,
            "request": {"prompt": "a fox", "n": 2}, "response": [], "output": [], "error": null, "error_message": null,
            "held_credits": 8, "held_microcredits": 8_000_000, "consumed_credits": 0, "consumed_microcredits": 0,
            "created_at": "2030-01-31T12:00:00.5Z", "started_at": null, "completed_at": null,
            "deadline_at": "2030-01-31T12:10:00Z", "attempts": 0, "callback": null,
        });
        for (name, value) in changes.as_object().unwrap() {
            view[name] = value.clone();
        }
        Task::read(view.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_cancelled_task_is_no_failure_to_who_cancelled_it() {
        let failed = |code: &str| {
            let error = json!({"code": code, "message": "no", "retryable": false});
            task(&json!({"status": "failed", "error": error})).state()
        };
        assert_eq!(failed("cancelled"), State::Cancelled);
        assert_eq!(failed("upstream_failed"), State::Failed);
        for (status, state) in [
            ("queued", State::Waiting),
            ("processing", State::Running),
            ("completed", State::Completed),
        ] {
            assert_eq!(task(&json!({"status": status})).state(), state);
        }
    }

    #[test]
    fn what_a_task_costs_is_held_then_charged_or_free() {
        assert_eq!(task(&json!({})).cost(), "8 credits held");
        let done = json!({"status": "completed", "consumed_microcredits": 1_000_000});
        assert_eq!(task(&done).cost(), "1 credit");
        assert_eq!(task(&json!({"status": "failed"})).cost(), "free");
    }

    #[test]
    fn words_are_cut_between_characters() {
        let made_from = |words: &str| task(&json!({"request": {"lyrics": words}})).words(4);
        assert_eq!(made_from("füchse"), "füch…");
        assert_eq!(made_from("füch"), "füch");
        assert_eq!(task(&json!({"request": {}})).words(4), "");
        let spoken = [
            json!({"text": "Hello", "voice": "Sarah"}),
            json!({"text": "Hi"}),
        ];
        let spoken = task(&json!({"request": {"dialogue": spoken}}));
        assert_eq!(spoken.words(9), "Hello");
    }

    #[test]
    fn a_file_is_shown_as_what_it_is() {
        let output = |content_type: &str| {
            let file = json!({
                "url": "http://here/api/v1/tasks/task_1/files/12?exp=1&sig=2", "content_type": content_type, "bytes": 1_449_999,
                "sha256": "", "expires_at": "2030-02-14T12:00:00Z", "duration_seconds": 65.25,
            });
            task(&json!({"output": [file]})).output.remove(0)
        };
        for (content_type, medium) in [
            ("image/png", "image"),
            ("video/mp4", "video"),
            ("audio/mpeg", "audio"),
            ("text/plain; charset=utf-8", "text"),
            ("application/json", "text"),
            ("application/zip", "other"),
            ("", "other"),
        ] {
            assert!(output(content_type).is(medium), "{content_type}");
        }
        let song = output("audio/mpeg");
        assert_eq!(song.number(), Some(12));
        assert_eq!(
            (song.length(), song.size()),
            ("1:05".to_owned(), "1.4 MB".to_owned())
        );
    }

    #[test]
    fn lengths_and_sizes_are_short() {
        for (millis, text) in [
            (0, "0 s"),
            (7_540, "7.5 s"),
            (60_000, "1:00"),
            (3_725_000, "62:05"),
        ] {
            assert_eq!(lasting(Duration::from_millis(millis)), text);
        }
        for (bytes, text) in [
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (48_290, "48.2 kB"),
            (2_000_000, "2.0 MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
