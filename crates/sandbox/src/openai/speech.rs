//! Speech in OpenAI's wire form: a text is said, and is the answer.

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    has_key,
    refusal::{Dialect, Refusal},
    request::Problem,
};
use crate::{
    Sandbox, answer,
    at_once::{self, End, Order},
    directive::Outcome,
    made::{Kind, Made, Sound},
    speech,
    work::fields::{self, Field, Is},
};

/// The models, and micro-US-dollars of a character. The last one is billed by tokens, which are taken to be as many.
const MODELS: [(&str, i64); 3] = [("tts-1", 15), ("tts-1-hd", 30), (INSTRUCTED, 18)];
/// The one that takes instructions, and has all voices.
const INSTRUCTED: &str = "gpt-4o-mini-tts";
const VOICES: [&str; 9] = [
    "alloy", "ash", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer",
];
const ITS_VOICES: [&str; 4] = ["ballad", "cedar", "marin", "verse"];
const FORMATS: [(&str, Kind); 6] = [
    ("mp3", Kind::Sound(Sound::Mp3)),
    ("opus", Kind::Sound(Sound::Opus)),
    ("aac", Kind::Sound(Sound::Aac)),
    ("flac", Kind::Sound(Sound::Flac)),
    ("wav", Kind::Sound(Sound::Wav)),
    ("pcm", Kind::Sound(Sound::Pcm)),
];
const FIELDS: &[Field] = &[
    ("model", Is::Text(usize::MAX)),
    ("input", Is::Text(4_096)),
    ("voice", Is::Text(usize::MAX)),
    ("instructions", Is::Text(4_096)),
    (
        "response_format",
        Is::OneOf(&["mp3", "opus", "aac", "flac", "wav", "pcm"]),
    ),
    ("speed", Is::Number(25, 400)),
];

/// A request that was understood.
struct Asked {
    model: &'static str,
    made: Made,
    price: i64,
}

/// `POST /{provider}/v1/audio/speech`.
pub(crate) async fn speak(
    State(sandbox): State<Sandbox>,
    Path(_): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return Dialect::OpenAi.refuse(&Refusal::NoKey);
    }
    let (input, asked) = match read(&body) {
        Ok(read) => read,
        Err(refusal) => return Dialect::OpenAi.refuse(&refusal),
    };
    let order = Order {
        provider: "openai",
        model: asked.model,
        input: &input,
        made: asked.made,
        price: asked.price,
    };
    let (end, directive) = at_once::tell(&sandbox, order).await;
    match end {
        End::Broken(answer) => answer,
        End::Refused(outcome) => refuse(outcome),
        End::Made(job, _) => match speech::told(&sandbox, &job, &directive).await {
            Ok(sound) => at_once::named(sound, &job),
            Err(error) => {
                tracing::error!(%error, "the sandbox failed");
                Dialect::OpenAi.refuse(&Refusal::Broken)
            }
        },
    }
}

fn read(body: &[u8]) -> Result<(Value, Asked), Refusal> {
    let sent: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|_| invalid("We could not parse the JSON body of your request.".to_owned()))?;
    fields::check(&sent, &["model", "input", "voice"], FIELDS).map_err(invalid)?;
    let word = |name: &str| sent.get(name).and_then(Value::as_str).unwrap_or_default();
    let known = MODELS.iter().find(|(name, _)| *name == word("model"));
    let Some((model, each)) = known else {
        return Err(Refusal::Invalid(Problem {
            message: "The model does not exist or you do not have access to it.".to_owned(),
            param: Some("model"),
            code: Some("model_not_found"),
        }));
    };
    let is_instructed = *model == INSTRUCTED;
    if sent.contains_key("instructions") && !is_instructed {
        return Err(invalid(format!("instructions is not for {model}")));
    }
    let voice = word("voice");
    let is_known = VOICES.contains(&voice) || is_instructed && ITS_VOICES.contains(&voice);
    if !is_known {
        return Err(invalid(format!("voice is none of {model}'s")));
    }
    let format = sent.get("response_format").and_then(Value::as_str);
    let kind = FORMATS.iter().find(|(name, _)| Some(*name) == format);
    let kind = kind.map_or(Kind::Sound(Sound::Mp3), |(_, kind)| *kind);
    let speed = sent.get("speed").and_then(fields::hundredths);
    let characters = speech::characters(std::iter::once(word("input")));
    let asked = Asked {
        model,
        made: speech::made(kind, characters, speed.unwrap_or(speech::USUAL_SPEED)),
        price: i64::try_from(characters).unwrap_or(i64::MAX) * each,
    };
    Ok((Value::Object(sent), asked))
}

fn invalid(message: String) -> Refusal {
    Refusal::Invalid(Problem {
        message,
        param: None,
        code: None,
    })
}

/// How a directive's refusal is said.
fn refuse(outcome: Outcome) -> Response {
    if outcome == Outcome::Moderated {
        let error = json!({
            "message": "Your request was rejected by the safety system.",
            "type": "invalid_request_error", "param": null, "code": "content_policy_violation",
        });
        return answer::json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
    }
    let refusal = Refusal::of(outcome).unwrap_or(Refusal::Broken);
    Dialect::OpenAi.refuse(&refusal)
}
