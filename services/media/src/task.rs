//! A task as media works with it.

use domain::{
    AccountId, Micros, Mode, Tags, TaskId,
    charge::{Charge, Ending, Kind},
    price::Frozen,
    receipt::{Attempt, Attempts, Receipt, Subject},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, origin::Origin, state::State};

/// A row of `task`, opened.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Also its operation and its hold.
    pub id: TaskId,
    /// Whose.
    pub account: AccountId,
    /// Which balance.
    pub mode: Mode,
    /// The route it came by, below `/api/v1/`.
    pub route: String,
    /// The model's slug.
    pub model: String,
    /// Where it stands.
    pub state: State,
    /// Rises with every change that customers can see.
    pub version: i64,
    /// What was asked for; `None` when it does not open any more, because the content key was changed.
    pub request: Option<Request>,
    /// Held for it while it is open.
    pub held: Micros,
    /// What it costs, as it was when it was accepted.
    pub price: Box<Frozen>,
    /// Charged for it.
    pub charged: Micros,
    /// The price list `held` was computed with.
    pub price_version: String,
    /// Runs at a provider so far.
    pub attempts: i64,
    /// Who runs it.
    pub provider: Option<String>,
    /// What the provider calls it.
    pub job: Option<String>,
    /// 0 to 100.
    pub progress: Option<i64>,
    /// How often the provider was asked about the job.
    pub polls: i64,
    /// How often in a row that failed.
    pub poll_failures: i64,
    /// Queued: when to ring for it again. Running: when to look next. Microseconds UTC.
    pub due_at: i64,
    /// Queued: not to be taken before. In a line, whose turn it is.
    pub not_before: i64,
    /// Queued: the providers whose room it waits for; empty: none's, and it is rung for.
    pub line: String,
    /// How often it was taken. Whoever took it last may move it, and nobody else.
    pub claims: i64,
    /// A process is at it until then; 0: none is.
    pub lease_until: i64,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// Microseconds UTC.
    pub created_at: i64,
    /// When the first provider took it.
    pub started_at: Option<i64>,
    /// When it ended.
    pub completed_at: Option<i64>,
    /// When it fails if it has not ended.
    pub deadline_at: i64,
    /// How many jobs are before it at its provider, where that tells.
    pub queue_position: Option<i64>,
    /// When its customer asked to cancel it while a provider had it; 0: never.
    pub cancel_asked_at: i64,
    /// When its provider last said that something has changed, or, where it said so soon after another time, when that is heeded; 0: never.
    pub heard_at: i64,
    /// The W3C traceparent of the request that submitted it, or nothing.
    pub trace: String,
    /// What is known of the songs that it makes before they are there.
    pub clips: Vec<Map<String, Value>>,
}

/// What was asked for: kept sealed.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Request {
    /// Resolved parameters.
    pub parameters: Map<String, Value>,
    /// Where to tell how it ended.
    pub callback_url: Option<String>,
    /// The customer's own labels.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// The earlier task that it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
}

/// Why a task failed, as the customer reads it: kept sealed, since a provider's words may quote the prompt.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct TaskError {
    /// A published code.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// Whether a new task may succeed.
    pub retryable: bool,
}

/// A file a task made: a row of `output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// From 0.
    pub number: u32,
    /// Its media type.
    pub content_type: String,
    /// Its size.
    pub bytes: u64,
    /// Hex.
    pub sha256: String,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// How long a video or a sound lasts.
    pub duration_millis: Option<u64>,
    /// Kept until then, microseconds UTC.
    pub expires_at: i64,
    /// What its provider knows of it.
    pub about: Option<About>,
}

/// What is known of a file beside itself: kept sealed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct About {
    /// What its customer reads beside its measures: an id, a title.
    pub facts: Map<String, Value>,
    /// The number of the file that is its picture.
    pub picture: Option<u32>,
    /// Whether it only belongs to another file, and is no result of its own.
    pub is_part: bool,
}

/// How far a task is whose songs come one after another: the words are there, and the first song is. They are counts of music alone (`view.rs`).
pub(crate) const TEXT_IS_THERE: i64 = 33;
pub(crate) const FIRST_IS_THERE: i64 = 66;

/// The unit of a price for each picture.
const PICTURE: &str = "image";
/// A second that is charged as it was made begins when the one before has lasted so much longer: whoever encodes a film anew adds a
/// frame here and there.
const SECOND_MILLIS: u64 = 1_000;
const GRACE_MILLIS: u64 = 250;

// === impl Request ===

impl Request {
    /// The parameters as a provider is to know them.
    pub(crate) fn sent(&self) -> Map<String, Value> {
        let mut sent = self.parameters.clone();
        let words = self.origin.iter().flat_map(|origin| origin.words.clone());
        sent.extend(words);
        sent
    }
}

// === impl Output ===

impl Output {
    /// What its provider says of it by this name.
    pub(crate) fn fact(&self, name: &str) -> Option<&str> {
        self.about.as_ref()?.facts.get(name)?.as_str()
    }

    /// Whether it is a result of its own.
    pub(crate) fn is_result(&self) -> bool {
        self.about.as_ref().is_none_or(|about| !about.is_part)
    }

    /// Whether another file is its picture.
    pub(crate) fn shows(&self, other: &Self) -> bool {
        self.about.as_ref().and_then(|about| about.picture) == Some(other.number)
    }
}

// === impl Task ===

impl Task {
    /// What was asked for; nothing when it does not open any more.
    pub(crate) fn parameters(&self) -> Map<String, Value> {
        self.request
            .as_ref()
            .map(|request| request.parameters.clone())
            .unwrap_or_default()
    }

    /// What was asked for, as its customer sees it: parameters and labels.
    pub(crate) fn asked(&self) -> Map<String, Value> {
        let mut asked = self.parameters();
        if let Ok(Value::Object(tags)) = serde_json::to_value(self.tags()) {
            asked.extend(tags);
        }
        asked
    }

    /// The customer's own labels; none when the request does not open any more.
    fn tags(&self) -> Tags {
        let tags = self.request.as_ref().map(|request| &request.tags);
        tags.cloned().unwrap_or_default()
    }

    /// How many units of its price these files are: of pictures only those that were made cost something, and so of seconds where the
    /// price says so.
    pub(crate) fn made(&self, files: &[Output]) -> u64 {
        if self.price.measured {
            return seconds(files);
        }
        let ordered = self.price.units;
        match self.price.applied.unit.as_str() {
            PICTURE => u64::try_from(files.len()).unwrap_or(ordered).min(ordered),
            _ => ordered,
        }
    }

    /// What explains its charge when it ends so, with these files, after these runs: the table says whether it costs anything.
    ///
    /// # Errors
    /// When the sum does not fit.
    pub(crate) fn receipt(
        &self,
        ending: Ending,
        files: &[Output],
        runs: Vec<Attempt>,
    ) -> Result<Receipt, Error> {
        let receipt = Receipt {
            provider: self.provider.clone().unwrap_or_default(),
            attempts: Attempts::Calls(runs),
            error_code: self.error.as_ref().map(|error| error.code.clone()),
            ..Receipt::of(Subject {
                route: self.route.clone(),
                kind: Kind::Media,
                model: self.model.clone(),
                price_version: self.price_version.clone(),
                applied: self.price.applied.clone(),
                tags: self.tags(),
            })
        };
        match ending.charge(Kind::Media) {
            Charge::InFull => {
                let unit = self.price.applied.unit.clone();
                let units = self.made(files).min(self.price.units);
                let cost = self.price.cost(units);
                let cost = cost.map_err(|_| Error::Damaged("price"))?;
                let used = ([(unit, units)].into(), cost);
                Ok(receipt.paid(ending, used, self.held))
            }
            // Of a task nothing arrives before all of it does.
            Charge::WhatArrived | Charge::Nothing => Ok(receipt.free(ending, self.held)),
        }
    }

    /// When to look after it: nobody rings for a task that stands in a line.
    pub(crate) fn wakes_at(&self) -> i64 {
        if self.state == State::Queued && !self.line.is_empty() {
            self.deadline_at
        } else {
            self.due_at
        }
    }

    /// Where to tell how it ended.
    pub(crate) fn callback_url(&self) -> Option<&str> {
        self.request.as_ref()?.callback_url.as_deref()
    }
}

/// The seconds that were begun, one at least: what cannot be measured costs no more than that.
fn seconds(files: &[Output]) -> u64 {
    let millis = files.iter().filter_map(|file| file.duration_millis);
    seconds_of(millis.fold(0, u64::saturating_add))
}

/// The same of what lasts so long.
pub(crate) fn seconds_of(millis: u64) -> u64 {
    millis
        .saturating_sub(GRACE_MILLIS)
        .div_ceil(SECOND_MILLIS)
        .max(1)
}

// === impl TaskError ===

impl TaskError {
    /// A published code and one sentence.
    pub(crate) fn new(code: proto::Code, message: impl Into<String>) -> Self {
        Self {
            code: code.word.to_owned(),
            message: message.into(),
            retryable: matches!(code.retry, proto::Retry::Yes),
        }
    }

    /// A published code with the sentence that the docs have for it.
    pub(crate) fn of(code: proto::Code) -> Self {
        Self::new(code, code.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_count_when_they_are_begun() {
        let file = |duration_millis| Output {
            number: 0,
            content_type: "video/mp4".to_owned(),
            bytes: 1,
            sha256: String::new(),
            width: None,
            height: None,
            duration_millis,
            expires_at: 0,
            about: None,
        };
        for (millis, counted) in [
            (None, 1),
            (Some(0), 1),
            (Some(40), 1),
            (Some(1_000), 1),
            (Some(1_250), 1),
            (Some(1_251), 2),
            (Some(30_040), 30),
            (Some(30_251), 31),
            (Some(u64::MAX), u64::MAX.div_ceil(1_000)),
        ] {
            assert_eq!(seconds(&[file(millis)]), counted, "{millis:?}");
        }
        assert_eq!(seconds(&[file(Some(1_000)), file(Some(2_000))]), 3);
        assert_eq!(seconds(&[]), 1);
    }
}
