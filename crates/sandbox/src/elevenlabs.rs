//! ElevenLabs: a dialogue is said, and is the answer, once that has taken its time, or piece by piece.

mod scribe;

use std::collections::HashSet;

use axum::{
    Router,
    body::Bytes,
    extract::{Query, State},
    response::Response,
    routing::post,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(crate) use self::scribe::{Telling, transcript};
use crate::{
    Sandbox, answer,
    at_once::{self, End, Order},
    directive::{Directive, Outcome},
    job::Job,
    made::{Kind, Sound},
    speech,
    work::fields::{self, Field, Is},
};

/// A refusal: the status, the word, and what is said.
type Problem = (StatusCode, &'static str, &'static str);

const PROVIDER: &str = "elevenlabs";
const NO_KEY: Problem = (
    StatusCode::UNAUTHORIZED,
    "needs_authorization",
    "Neither authorization header nor xi-api-key received.",
);
const NO_VOICE: Problem = (
    StatusCode::BAD_REQUEST,
    "voice_not_found",
    "A voice with this voice_id was not found.",
);
const TOO_LONG: Problem = (
    StatusCode::BAD_REQUEST,
    "max_character_limit_exceeded",
    "The text has more than 5000 characters.",
);
const BUSY: Problem = (
    StatusCode::TOO_MANY_REQUESTS,
    "too_many_concurrent_requests",
    "Too many requests at once (sandbox).",
);
const NO_ROOM: Problem = (
    StatusCode::TOO_MANY_REQUESTS,
    "system_busy",
    "We are experiencing heavy traffic (sandbox).",
);
const NO_FUNDS: Problem = (
    StatusCode::UNAUTHORIZED,
    "quota_exceeded",
    "This request exceeds your quota (sandbox).",
);
const REFUSED: Problem = (
    StatusCode::BAD_REQUEST,
    // They have no word of their own for it.
    "invalid_request",
    "The content is against our content policy (sandbox).",
);
const BROKEN: Problem = (
    StatusCode::INTERNAL_SERVER_ERROR,
    "internal_server_error",
    "An internal error has occurred (sandbox).",
);
/// Voices that everybody has.
const VOICES: [&str; 18] = [
    "CwhRBWXzGAHq8TQ4Fs17",
    "EXAVITQu4vr4xnSDxMaL",
    "FGY2WhTYpPnrIDTdsKH5",
    "IKne3meq5aSn9XLyUdCD",
    "JBFqnCBsd6RMkjVDRZzb",
    "N2lVS1w4EtoT3dr4eOWO",
    "SAz9YHcvj6GT2YYXdXww",
    "TX3LPaxmHKxFdv7VOQHJ",
    "Xb7hH8MSUJpSbSDYk0k2",
    "XrExE9yKIg1WjnnlVkGX",
    "bIHbv24MWmeRgasZH58o",
    "cgSgspJ2msm6clMCkdW9",
    "cjVigY5qzO86Huf0OWal",
    "iP95p4xoKVk53GoZ742B",
    "nPczCjzI2devNBz1zQrb",
    "onwK4e9ZLuTAKqWW03F9",
    "pFZP5JQG7iQjIQuC4Bku",
    "pqHfZKP75CvOlQylNhV4",
];
const FIELDS: &[Field] = &[
    ("model_id", Is::OneOf(&["eleven_v3"])),
    ("inputs", Is::List),
    ("settings", Is::Object),
    ("language_code", Is::Text(3)),
    ("seed", Is::Whole(0, 4_294_967_295)),
];
const OF_A_LINE: &[Field] = &[
    ("text", Is::Text(usize::MAX)),
    ("voice_id", Is::Text(usize::MAX)),
];
const OF_SETTINGS: &[Field] = &[("stability", Is::Number(0, 100))];
/// Steps of the stability, in hundredths.
const STEPS: [i64; 3] = [0, 50, 100];
/// The formats that the sandbox has, and what they are.
const FORMATS: [(&str, Kind); 3] = [
    ("mp3_44100_128", Kind::Sound(Sound::Mp3)),
    ("opus_48000_128", Kind::Sound(Sound::Opus)),
    ("pcm_24000", Kind::Sound(Sound::Pcm)),
];
const MAX_CHARACTERS: usize = 5_000;
const MAX_VOICES: usize = 10;
/// Micro-US-dollars of a character.
const CHARACTER: i64 = 100;

/// What is asked for beside the body.
#[derive(Deserialize)]
struct Wanted {
    output_format: Option<String>,
}

/// How a dialogue is answered.
#[derive(Clone, Copy)]
enum Told {
    Whole,
    /// As it is made.
    InPieces,
}

/// A dialogue that was understood.
struct Asked {
    kind: Kind,
    characters: usize,
}

/// What is wrong with a request.
enum Wrong {
    /// What the real one says as well.
    Known(Problem),
    /// This field.
    Field(String),
}

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/elevenlabs/v1/text-to-dialogue", post(speak))
        .route("/elevenlabs/v1/text-to-dialogue/stream", post(stream))
        .route("/elevenlabs/v1/speech-to-text", post(scribe::transcribe))
}

async fn speak(
    State(sandbox): State<Sandbox>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    say(&sandbox, &wanted, (&headers, &body), Told::Whole).await
}

async fn stream(
    State(sandbox): State<Sandbox>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    say(&sandbox, &wanted, (&headers, &body), Told::InPieces).await
}

async fn say(
    sandbox: &Sandbox,
    wanted: &Wanted,
    (headers, body): (&HeaderMap, &Bytes),
    how: Told,
) -> Response {
    if !has_key(headers) {
        return refuse(NO_KEY);
    }
    let (asked, input) = match read(wanted, body) {
        Ok(read) => read,
        Err(Wrong::Known(problem)) => return refuse(problem),
        Err(Wrong::Field(words)) => return invalid(&words),
    };
    let characters = i64::try_from(asked.characters).unwrap_or(i64::MAX);
    let order = Order {
        provider: PROVIDER,
        model: "eleven_v3",
        input: &input,
        made: speech::made(asked.kind, asked.characters, speech::USUAL_SPEED),
        price: characters * CHARACTER,
    };
    let (end, directive) = match how {
        Told::Whole => (at_once::call(sandbox, order).await, Directive::default()),
        Told::InPieces => at_once::tell(sandbox, order).await,
    };
    match end {
        End::Broken(answer) => answer,
        End::Refused(outcome) => refuse(problem(outcome)),
        End::Made(job, times) => match speech::told(sandbox, &job, &directive).await {
            Ok(sound) => told(sound, &job, characters * times),
            Err(error) => {
                tracing::error!(%error, "the sandbox failed");
                refuse(BROKEN)
            }
        },
    }
}

/// Whether a request shows a key where they look for it; any does.
pub(crate) fn has_key(headers: &HeaderMap) -> bool {
    headers.get("xi-api-key").is_some_and(|key| !key.is_empty())
}

fn read(wanted: &Wanted, body: &[u8]) -> Result<(Asked, Value), Wrong> {
    let field = |words: &str| Wrong::Field(words.to_owned());
    let sent: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| field("the body is not a JSON object"))?;
    fields::check(&sent, &["inputs", "model_id"], FIELDS).map_err(Wrong::Field)?;
    let format = wanted.output_format.as_deref().unwrap_or("mp3_44100_128");
    let known = FORMATS.iter().find(|(name, _)| *name == format);
    let (_, kind) = known.ok_or_else(|| field("output_format is wrong"))?;
    let none = Map::new();
    let settings = sent.get("settings").and_then(Value::as_object);
    fields::check(settings.unwrap_or(&none), &[], OF_SETTINGS).map_err(Wrong::Field)?;
    let stability = settings.and_then(|settings| fields::hundredths(settings.get("stability")?));
    if stability.is_some_and(|stability| !STEPS.contains(&stability)) {
        return Err(field("stability must be one of 0.0, 0.5, 1.0"));
    }
    let lines = sent.get("inputs").and_then(Value::as_array);
    let lines = lines.map(Vec::as_slice).unwrap_or_default();
    if lines.is_empty() {
        return Err(field("inputs is empty"));
    }
    let (mut texts, mut voices) = (Vec::new(), HashSet::new());
    for line in lines {
        let line = line.as_object().unwrap_or(&none);
        fields::check(line, &["text", "voice_id"], OF_A_LINE).map_err(Wrong::Field)?;
        let word = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
        texts.push(word("text"));
        voices.insert(word("voice_id"));
    }
    if voices.iter().any(|voice| !VOICES.contains(voice)) {
        return Err(Wrong::Known(NO_VOICE));
    }
    if voices.len() > MAX_VOICES {
        return Err(field("inputs has more than 10 voices"));
    }
    let all: usize = texts.iter().map(|text| text.chars().count()).sum();
    if all > MAX_CHARACTERS {
        return Err(Wrong::Known(TOO_LONG));
    }
    let asked = Asked {
        kind: *kind,
        characters: speech::characters(texts.into_iter()),
    };
    Ok((asked, Value::Object(sent)))
}

/// An answer with what the call is called, and what was billed.
fn told(mut answer: Response, job: &Job, characters: i64) -> Response {
    let headers = answer.headers_mut();
    headers.insert("character-cost", HeaderValue::from(characters));
    if let Ok(id) = HeaderValue::from_str(&format!("{:016x}", job.nonce)) {
        headers.insert("request-id", id);
    }
    answer
}

/// Why there is no sound.
fn problem(outcome: Outcome) -> Problem {
    match outcome {
        Outcome::RateLimited => BUSY,
        Outcome::Overloaded => NO_ROOM,
        Outcome::OutOfBalance => NO_FUNDS,
        Outcome::Moderated => REFUSED,
        Outcome::Fail
        | Outcome::Success
        | Outcome::Hang
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Overreport
        | Outcome::Cut => BROKEN,
    }
}

fn refuse((status, word, words): Problem) -> Response {
    let detail = json!({ "status": word, "message": words });
    answer::json(status, &json!({ "detail": detail }))
}

/// What is wrong with a request, as their framework says it.
fn invalid(words: &str) -> Response {
    let wrong = json!({ "loc": ["body"], "msg": words, "type": "value_error" });
    let body = json!({ "detail": [wrong] });
    answer::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
}
