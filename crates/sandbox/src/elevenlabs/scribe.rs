//! Scribe: a form with a recording, answered with what is said in it, word by word.

use std::time::Duration;

use axum::{body::Bytes, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{NO_KEY, PROVIDER, Problem, has_key, invalid, problem, refuse};
use crate::{
    Sandbox, answer,
    at_once::{self, End, Order},
    made::{Kind, Made},
    recording::{self, Form, Recording, Said, Wrong},
};

const MODELS: [&str; 2] = ["scribe_v1", "scribe_v2"];
const FIELDS: [&str; 8] = [
    "model_id",
    "language_code",
    "tag_audio_events",
    "timestamps_granularity",
    "diarize",
    "temperature",
    "seed",
    "keyterms",
];
/// Micro-US-dollars of a second.
const SECOND: i64 = 112;
/// The language that is heard where none is named.
const USUAL: &str = "eng";
/// What is heard behind the words, where such things are told.
const EVENT: &str = "(silence)";
/// What a transcript is to tell.
pub(crate) struct Telling {
    /// The language, if one is named.
    pub(crate) language: Option<String>,
    /// Who says it.
    pub(crate) speakers: bool,
    /// What is heard beside words.
    pub(crate) events: bool,
}

const NO_SOUND: Problem = (
    StatusCode::BAD_REQUEST,
    "invalid_content",
    "File upload is corrupted. Please ensure it is playable audio.",
);

/// `POST /elevenlabs/v1/speech-to-text`.
pub(super) async fn transcribe(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return refuse(NO_KEY);
    }
    let form = match Form::read(&headers, body, &[]).await {
        Ok(form) => form,
        Err(Wrong::Broken) => return invalid("the body is no form"),
        Err(Wrong::NoFile) => return invalid("file is missing"),
        Err(Wrong::NoSound) => return refuse(NO_SOUND),
    };
    let unknown = |name: &&String| !FIELDS.contains(&name.as_str());
    if let Some(name) = form.fields.keys().find(unknown) {
        return invalid(&format!("{name} is unknown"));
    }
    let model = form.text("model_id").unwrap_or_default();
    let Some(model) = MODELS.into_iter().find(|known| *known == model) else {
        return invalid("model_id is wrong");
    };
    let seconds = form.recording.seconds();
    let input = form.input();
    let order = Order {
        provider: PROVIDER,
        model,
        input: &input,
        made: Made {
            kind: Kind::Words,
            count: 1,
            width: 0,
            height: 0,
            seconds: u16::try_from(seconds).unwrap_or(u16::MAX),
        },
        price: i64::try_from(seconds).unwrap_or(i64::MAX) * SECOND,
    };
    match at_once::call(&sandbox, order).await {
        End::Broken(answer) => answer,
        End::Refused(outcome) => refuse(problem(outcome)),
        End::Made(job, _) => {
            let wanted = Telling {
                language: form.text("language_code").map(str::to_owned),
                // As they have it where nothing is said.
                speakers: form.text("diarize") == Some("true"),
                events: form.text("tag_audio_events") != Some("false"),
            };
            let told = transcript(&form.recording, &wanted);
            let lasts = form.recording.lasts.as_secs_f64();
            let told = answer::with(told, "audio_duration_secs", json!(lasts));
            let told = answer::with(told, "transcription_id", json!("sandbox"));
            at_once::whole(&job, &job.with_word(told))
        }
    }
}

/// What is said, as they tell it, and who sells it on.
pub(crate) fn transcript(recording: &Recording, wanted: &Telling) -> Value {
    let language = wanted.language.as_deref().unwrap_or(USUAL);
    let said = recording.said(language);
    let heard = |text: &str, kind: &str, (start, end): (Duration, Duration)| {
        let heard = json!({
            "text": text, "start": start.as_secs_f64(), "end": end.as_secs_f64(), "type": kind, "logprob": -0.1,
        });
        if wanted.speakers {
            answer::with(heard, "speaker_id", json!("speaker_0"))
        } else {
            heard
        }
    };
    let spoken = |said: &Said| heard(&said.word, "word", (said.start, said.end));
    let mut words: Vec<Value> = Vec::new();
    for (before, next) in said.iter().zip(said.iter().skip(1)) {
        words.push(spoken(before));
        words.push(heard(" ", "spacing", (before.end, next.start)));
    }
    words.extend(said.last().map(spoken));
    let mut text = recording::text(&said);
    if let Some(last) = said.last().filter(|_| wanted.events) {
        let end = recording.lasts.max(last.end);
        words.push(heard(EVENT, "audio_event", (last.end, end)));
        text = format!("{text} {EVENT}");
    }
    json!({ "language_code": language, "language_probability": 1.0, "text": text, "words": words })
}
