//! The words of a song, each with its moment.

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use chassis::clock::now_micros;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;

use super::{Task, billed, refusal};
use crate::{
    Sandbox, answer, bill,
    directive::Outcome,
    kie::{broken, fine, has_key, no_key, refused},
};

/// Micro-US-dollars of an answer.
const PRICE: i64 = 2_500;
/// The words of every song, when each begins, and when it ends.
const WORDS: [(&str, f64, f64); 6] = [
    ("[Verse 1]\nA ", 0.5, 0.75),
    ("fox ", 1.0, 1.5),
    ("ran\n", 2.0, 2.5),
    ("[Chorus]\nla ", 4.0, 4.25),
    ("la ", 4.5, 4.75),
    ("la\n", 5.0, 6.5),
];

/// What is asked.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    task_id: String,
    audio_id: String,
}

/// `POST /{host}/api/v1/generate/get-timestamped-lyrics`.
pub(super) async fn timed(
    State(sandbox): State<Sandbox>,
    Path(host): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return no_key();
    }
    let asked: Asked = serde_json::from_slice(&body).unwrap_or_default();
    let is_its_own = asked.audio_id.starts_with(&format!("{}-", asked.task_id));
    let Some(song) = Task::of_song(&asked.audio_id).filter(|_| is_its_own) else {
        return refused(404, "there is no such song");
    };
    let outcome = song.then;
    if let Some((code, words)) = refusal(&host, outcome) {
        return refused(code, words);
    }
    let id = format!("lyrics {:016x}", rand::random::<u64>());
    let row = bill::Job {
        prompt_hash: bill::hash(&id),
        id,
        provider: host,
        model: "suno lyrics".to_owned(),
        kind: "lyrics".to_owned(),
        at: now_micros(),
        billed: billed(outcome, PRICE),
    };
    if let Err(error) = sandbox.bill.record(row).await {
        return broken(&error);
    }
    match outcome {
        Outcome::Hang => answer::hang(&sandbox.tasks).await,
        Outcome::Vanish => answer::vanish(),
        Outcome::Malformed | Outcome::Cut => answer::malformed(),
        Outcome::Fail => refused(501, "the directive asked for it"),
        Outcome::Moderated => refused(400, "The lyrics were flagged as sensitive."),
        Outcome::Success
        | Outcome::RateLimited
        | Outcome::Overloaded
        | Outcome::OutOfBalance
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Overreport => {
            let words = WORDS.map(|(word, start, end)| {
                json!({ "word": word, "success": true, "startS": start, "endS": end, "palign": 0 })
            });
            fine(&json!({
                "alignedWords": words, "waveformData": [0, 0.25, 0.5, 0.25], "hootCer": 0.1, "isStreamed": false,
            }))
        }
    }
}
