//! Suno as kie.ai and sunoapi.org serve it: order two songs, look at their record, download them and their pictures; go on from a song, sing an
//! uploaded sound anew, have pictures made for a song (`suno/cover.rs`), ask when which of its words is sung (`suno/lyrics.rs`).
//!
//! Both hosts speak one dialect; where a code means different things, each is told in its own. A record fills up as the real one does: the
//! words, one song, both. They send no callback here, so that the callback outcomes end as success does.

mod cover;
mod lyrics;
mod order;

use std::time::Duration;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
    routing::{get, post},
};
use chassis::clock::{MICROS_PER_SECOND, micros, now_micros};
use http::{HeaderMap, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use self::order::Order;
use crate::{
    Sandbox, answer, bill,
    directive::{Directive, Outcome},
    inputs,
    job::{Job, Reading, State as JobState, directive_of},
    kie::{broken, fine, has_key, no_key, refused},
    made::{self, Kind, Made, Sound},
};

/// What a record is asked by.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Poll {
    task_id: Option<String>,
}

/// An order as its id tells it: the model's number, how what goes on from it ends, then the job.
#[derive(Debug)]
struct Task {
    model: &'static str,
    then: Outcome,
    job: Job,
}

/// A refusal: the envelope's code, and its words.
type Refusal = (u16, String);

/// The models, with the most characters of lyrics and of a style. A position is the model's number inside an id: append only.
const MODELS: [(&str, usize, usize); 6] = [
    ("V4", 3_000, 200),
    ("V4_5", 5_000, 1_000),
    ("V4_5PLUS", 5_000, 1_000),
    ("V4_5ALL", 5_000, 1_000),
    ("V5", 5_000, 1_000),
    ("V5_5", 5_000, 1_000),
];
/// Songs of an order, and how long each is.
const SONGS: u8 = 2;
const SECONDS: u16 = 12;
/// The side of a song's picture.
const SIDE: u16 = 360;
/// Micro-US-dollars of an order, and how many times that an overreporting one is billed.
const PRICE: i64 = 60_000;
const OVERREPORTED: i64 = 100;
/// From these percentages on the words are there, and the first song.
const TEXT: u8 = 30;
const FIRST: u8 = 60;
/// The host whose codes are its own.
const SUNOAPI: &str = "suno";
/// The digits of how what goes on from a song ends.
const HEX: u32 = 16;

/// Everything of it.
pub(crate) fn router() -> Router<Sandbox> {
    let at = |path: &str| format!("/{{provider}}/api/v1/{path}");
    Router::new()
        .route(&at("generate"), post(generate))
        .route(&at("generate/extend"), post(extend))
        .route(&at("generate/upload-cover"), post(upload_cover))
        .route(&at("generate/record-info"), get(record_info))
        .route(&at("generate/get-timestamped-lyrics"), post(lyrics::timed))
        .route(&at("suno/cover/generate"), post(cover::generate))
        .route(&at("suno/cover/record-info"), get(cover::record_info))
}

/// `POST /{host}/api/v1/generate`.
pub(crate) async fn generate(
    State(sandbox): State<Sandbox>,
    Path(host): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    accept(&sandbox, host, &headers, order::songs(&body)).await
}

/// `POST /{host}/api/v1/generate/extend`.
async fn extend(
    State(sandbox): State<Sandbox>,
    Path(host): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    accept(&sandbox, host, &headers, order::longer(&body)).await
}

/// `POST /{host}/api/v1/generate/upload-cover`.
async fn upload_cover(
    State(sandbox): State<Sandbox>,
    Path(host): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    accept(&sandbox, host, &headers, order::sound(&body)).await
}

/// Takes an order of songs.
async fn accept(
    sandbox: &Sandbox,
    host: String,
    headers: &HeaderMap,
    order: Result<Order, Refusal>,
) -> Response {
    if !has_key(headers) {
        return no_key();
    }
    let Order { model, input, from } = match order {
        Ok(order) => order,
        Err((code, words)) => return refused(code, &words),
    };
    if let Err(why) = inputs::check(sandbox, &input).await {
        return refused(422, &why);
    }
    let mut directive = directive_of(&input, &sandbox.config.bounds());
    if let Some(song) = from.filter(|_| directive == Directive::default()) {
        directive = song.next();
    }
    if let Some((code, words)) = refusal(&host, directive.outcome) {
        return refused(code, words);
    }
    let songs = Made {
        kind: Kind::Sound(Sound::Mp3),
        count: SONGS,
        width: 0,
        height: 0,
        seconds: SECONDS,
    };
    let task = Task {
        model,
        then: directive.then,
        job: Job::new(&directive, sandbox.config.default_delay, None, songs),
    };
    let row = bill::Job {
        id: task.encode(),
        provider: host,
        model: format!("suno {model}"),
        kind: Kind::Sound(Sound::Mp3).billed_as().to_owned(),
        prompt_hash: bill::hash(&input.to_string()),
        at: task.job.start,
        billed: billed(directive.outcome, PRICE),
    };
    count(sandbox, row).await
}

/// Counts what was accepted, and says what it is called.
async fn count(sandbox: &Sandbox, row: bill::Job) -> Response {
    let accepted = json!({ "taskId": row.id });
    match sandbox.bill.record(row).await {
        Ok(()) => fine(&accepted),
        Err(error) => broken(&error),
    }
}

/// What is billed for something that costs so much.
const fn billed(outcome: Outcome, price: i64) -> i64 {
    match outcome {
        Outcome::Fail | Outcome::Moderated | Outcome::Hang => 0,
        Outcome::Overreport => price.saturating_mul(OVERREPORTED),
        Outcome::Success
        | Outcome::RateLimited
        | Outcome::Overloaded
        | Outcome::OutOfBalance
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Cut => price,
    }
}

/// `GET /{host}/api/v1/generate/record-info?taskId=`.
pub(crate) async fn record_info(
    State(sandbox): State<Sandbox>,
    Path(host): Path<String>,
    Query(poll): Query<Poll>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return no_key();
    }
    let Some(id) = poll.task_id.filter(|id| !id.is_empty()) else {
        return refused(422, "taskId is required");
    };
    let now = now_micros();
    let Some(task) = Task::decode(&id) else {
        return unknown_task();
    };
    let Some(origin) = answer::origin(&headers, &uri) else {
        return refused(400, "there is no host in the request");
    };
    let expires = now.saturating_add(micros(sandbox.config.link_life)) / MICROS_PER_SECOND;
    let place = |job: &Job, number| made::link(&origin, &host, job, number, expires);
    let record = match task.job.state(now) {
        JobState::Unknown => return unknown_task(),
        JobState::Malformed => return answer::malformed(),
        JobState::Pending(percent) => task.running(percent, place),
        JobState::Ready => task.record("SUCCESS", SONGS, place),
        JobState::Failed => task.failed("GENERATE_AUDIO_FAILED", 501, "the directive asked for it"),
        JobState::RequestModerated => task.failed(
            "SENSITIVE_WORD_ERROR",
            400,
            "The lyrics were flagged as sensitive.",
        ),
        JobState::ContentModerated => task.failed(
            "GENERATE_AUDIO_FAILED",
            413,
            "The song matches an existing work.",
        ),
    };
    fine(&answer::with(record, "taskId", json!(id)))
}

/// The outcomes that refuse an order at once, in the codes of the host.
fn refusal(host: &str, outcome: Outcome) -> Option<(u16, &'static str)> {
    let (many, empty) = if host == SUNOAPI {
        (405, 429)
    } else {
        (429, 402)
    };
    let table = [
        (Outcome::RateLimited, many, "too many new tasks"),
        (Outcome::Overloaded, 455, "the service is being maintained"),
        (Outcome::OutOfBalance, empty, "the credits are used up"),
    ];
    let row = table.into_iter().find(|row| row.0 == outcome);
    row.map(|(_, code, words)| (code, words))
}

fn unknown_task() -> Response {
    refused(404, "there is no such record")
}

// === impl Task ===

impl Task {
    fn encode(&self) -> String {
        let number = MODELS.iter().position(|(name, ..)| *name == self.model);
        let then = char::from_digit(self.then.number().into(), HEX).unwrap_or('0');
        format!("{}{then}{}", number.unwrap_or(0), self.job.encode())
    }

    /// Reads an id; `None` for one that is not ours. Those of earlier sandboxes have the job, which begins with a capital, right behind the
    /// model.
    fn decode(id: &str) -> Option<Self> {
        let (number, rest) = id.split_at_checked(1)?;
        let number: usize = number.parse().ok()?;
        let then = rest
            .chars()
            .next()
            .filter(|digit| !digit.is_ascii_uppercase());
        let then = then.map(|digit| digit.to_digit(HEX));
        let (then, job) = match then {
            Some(digit) => (u8::try_from(digit?).ok()?, rest.get(1..)?),
            None => (0, rest),
        };
        let job = Job::decode(job).filter(|job| job.made.kind == Kind::Sound(Sound::Mp3))?;
        let (model, ..) = MODELS.get(number)?;
        Some(Self {
            model,
            then: Outcome::numbered(then)?,
            job,
        })
    }

    /// The order that is done and whose song has this id, which is the order's own, a hyphen, and the song's number.
    fn of_song(id: &str) -> Option<Self> {
        let (task, number) = id.rsplit_once('-')?;
        number.parse::<u8>().ok().filter(|number| *number < SONGS)?;
        Self::done(task)
    }

    /// The order of this id, if it is done.
    fn done(id: &str) -> Option<Self> {
        Self::decode(id).filter(|task| task.job.state(now_micros()) == JobState::Ready)
    }

    /// What happens to what goes on from it and does not say so itself: it takes as long as this one did.
    fn next(&self) -> Directive {
        Directive {
            outcome: self.then,
            delay: Some(Duration::from_millis(self.job.delay_millis.into())),
            then: self.then,
            ..Directive::default()
        }
    }

    /// The job of the songs' pictures.
    fn pictures(&self) -> Job {
        let made = Made {
            kind: Kind::Jpeg,
            width: SIDE,
            height: SIDE,
            seconds: 0,
            ..self.job.made
        };
        Job {
            made,
            ..self.job.clone()
        }
    }

    fn running(&self, percent: u8, place: impl Fn(&Job, u8) -> String) -> Value {
        let (status, songs) = match percent {
            0..TEXT => return self.record("PENDING", 0, place),
            TEXT..FIRST => ("TEXT_SUCCESS", 0),
            _ => ("FIRST_SUCCESS", 1),
        };
        self.record(status, songs, place)
    }

    /// The record with so many songs to be heard. The order's words are not in the id, so they cannot come back.
    fn record(&self, status: &str, songs: u8, place: impl Fn(&Job, u8) -> String) -> Value {
        let (pictures, id) = (self.pictures(), self.encode());
        let of = |number: u8| {
            let there = |url: String| if number < songs { url } else { String::new() };
            json!({
                "id": format!("{id}-{number}"),
                "audioUrl": there(place(&self.job, number)),
                "streamAudioUrl": "",
                "imageUrl": there(place(&pictures, number)),
                "prompt": "(the sandbox keeps no lyrics)",
                "modelName": format!("chirp-{}", self.model.to_lowercase()),
                "title": format!("Sandbox song {}", number.saturating_add(1)),
                "tags": "sandbox",
                "createTime": self.job.start / micros(Duration::from_millis(1)),
                "duration": if number < songs { json!(SECONDS) } else { Value::Null },
            })
        };
        let all: Vec<Value> = match status {
            "PENDING" => Vec::new(),
            _ => (0..SONGS).map(of).collect(),
        };
        let record = json!({
            "taskId": null, "parentMusicId": "", "param": "{}", "status": status, "type": "GENERATE", "operationType": "generate",
            "response": { "taskId": null, "sunoData": all }, "errorCode": null, "errorMessage": null,
        });
        match self.job.directive {
            Reading::Whole => record,
            Reading::Partly => {
                let words = "the directive in the input was not fully understood";
                answer::with(record, "sandbox", json!(words))
            }
        }
    }

    fn failed(&self, status: &str, code: u16, words: &str) -> Value {
        let record = self.record("PENDING", 0, |_, _| String::new());
        let record = answer::with(record, "status", json!(status));
        let record = answer::with(record, "errorCode", json!(code));
        answer::with(record, "errorMessage", json!(words))
    }
}
