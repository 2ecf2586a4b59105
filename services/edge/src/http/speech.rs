//! `POST /audio/speech` in OpenAI's shape: a request with an `input` is answered with the sound itself, once it is made, so that
//! `audio.speech.create` of OpenAI's SDKs works. Behind it is a task like any other.

use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use domain::{
    Catalogue, TaskId,
    catalogue::{Model, Param, ParamType},
};
use http::HeaderMap;
use memchr::memmem;
use proto::{Code, code, common::v1::Context};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    App,
    error::ApiError,
    http::{
        fields::Fields,
        file::{self, Asked as File},
        images::GRACE,
        put,
    },
};

/// The field that asks for OpenAI's shape.
const INPUT: &str = "input";
/// What becomes of it: one line of a dialogue.
const DIALOGUE: &str = "dialogue";
/// The most characters of an input, which is the model's own limit.
const MAX_INPUT: usize = 5_000;
/// The speeds, as JSON has them, that change nothing.
const USUAL_SPEEDS: [&str; 2] = ["1", "1.0"];

/// A request in OpenAI's shape.
pub(crate) struct Asked {
    /// The task's own request.
    pub(crate) body: Bytes,
    /// How long its task may take.
    pub(crate) time: Duration,
}

/// What is read of an ended task's view.
#[derive(Deserialize)]
pub(super) struct Ended {
    error: Option<Failure>,
    consumed_credits: Box<RawValue>,
}

/// What is read of a failure.
#[derive(Deserialize)]
struct Failure {
    code: String,
    message: String,
}

/// What is asked for, if it is asked for in OpenAI's shape. A body that is no object is for media to complain of.
///
/// # Errors
/// What is wrong with the fields that are OpenAI's.
pub(crate) fn read(catalogue: &Catalogue, body: &[u8]) -> Result<Option<Asked>, ApiError> {
    if memmem::find(body, INPUT.as_bytes()).is_none() {
        return Ok(None);
    }
    let Ok(mut fields) = Fields::parse(body) else {
        return Ok(None);
    };
    if !fields.has(INPUT) || fields.has(DIALOGUE) {
        return Ok(None);
    }
    let named = fields.raw("model");
    let name: Option<String> = named.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let model = name.and_then(|name| catalogue.find(&name));
    let mut line = Map::new();
    if let Some(text) = fields.text(INPUT, 1, MAX_INPUT) {
        line.insert("text".to_owned(), text.into());
    }
    if let Some(voice) = voice(&mut fields, model) {
        line.insert("voice".to_owned(), voice.into());
    }
    // The models make MP3, as a whole, at the speed of the voice.
    fields.word("response_format", "mp3: nothing else is made", |word| {
        (word == "mp3").then_some(())
    });
    fields.word("stream_format", "audio", |word| {
        (word == "audio").then_some(())
    });
    if let Some(raw) = fields.raw("speed")
        && !USUAL_SPEEDS.contains(&raw.get())
    {
        fields.invalid("speed", "be 1: these voices have their own");
    }
    let rest = fields.rest()?;
    let mut body = Map::new();
    let dialogue = Value::Array(vec![Value::Object(line)]);
    body.insert(DIALOGUE.to_owned(), dialogue);
    for (name, raw) in named
        .map(|raw| ("model".to_owned(), raw))
        .into_iter()
        .chain(rest)
        // As if it were not there.
        .filter(|(_, raw)| raw.get() != "null")
    {
        let value = serde_json::from_str(raw.get()).map_err(|_| ApiError::internal())?;
        body.insert(name, value);
    }
    let deadline = model.map_or(0, |model| model.deadline_seconds);
    Ok(Some(Asked {
        body: Value::Object(body).to_string().into(),
        time: Duration::from_secs(deadline.into()) + GRACE,
    }))
}

/// The voice: a word, or OpenAI's object with an id. What the model does not know is said by the field's own name.
fn voice(fields: &mut Fields<'_>, model: Option<&Model>) -> Option<String> {
    let raw = fields.raw("voice")?;
    let given: Value = serde_json::from_str(raw.get()).ok()?;
    let word = given.get("id").unwrap_or(&given).as_str();
    let known = model.and_then(voices);
    let is_known = |word: &str| {
        known.is_none_or(|(values, also)| {
            let mut words = values.iter().chain(also.keys());
            words.any(|known| known.eq_ignore_ascii_case(word))
        })
    };
    if let Some(word) = word
        && is_known(word)
    {
        return Some(word.to_owned());
    }
    let allowed = known.map_or_else(
        || "a text".to_owned(),
        |(values, also)| {
            let words: Vec<&str> = values
                .iter()
                .chain(also.keys())
                .map(String::as_str)
                .collect();
            format!("one of {}", words.join(", "))
        },
    );
    fields.invalid("voice", &format!("be {allowed}"));
    None
}

/// The voices of a model that speaks dialogues.
fn voices(model: &Model) -> Option<(&Vec<String>, &std::collections::BTreeMap<String, String>)> {
    let find = |params: &'_ [Param], name: &str| params.iter().position(|param| param.name == name);
    let dialogue = model.params.get(find(&model.params, DIALOGUE)?)?;
    let ParamType::Items { fields, .. } = &dialogue.of else {
        return None;
    };
    let voice = fields.get(find(fields, "voice")?)?;
    match &voice.of {
        ParamType::Choice { values, also } => Some((values, also)),
        ParamType::Text { .. }
        | ParamType::Integer { .. }
        | ParamType::Number { .. }
        | ParamType::Boolean
        | ParamType::Url
        | ParamType::Urls { .. }
        | ParamType::Task(_)
        | ParamType::Sound { .. }
        | ParamType::Items { .. } => None,
    }
}

// === impl Ended ===

impl Ended {
    /// What an ended task cost, as JSON has it.
    ///
    /// # Errors
    /// Why it failed, if it did.
    pub(super) fn paid(
        view: &[u8],
        not_yet: impl FnOnce() -> ApiError,
    ) -> Result<Box<RawValue>, ApiError> {
        let Ok(ended) = serde_json::from_slice::<Self>(view) else {
            return Err(not_yet());
        };
        let Some(Failure { code, message }) = ended.error else {
            return Ok(ended.consumed_credits);
        };
        let code = Code::find(&code).unwrap_or(code::INTERNAL);
        Err(ApiError::new(code, message))
    }
}

// === impl App ===

impl App {
    /// The answer to a request in OpenAI's shape, whose task has ended as this view shows it: the sound.
    pub(crate) async fn sound(
        &self,
        (context, task): (Context, TaskId),
        view: &[u8],
    ) -> Result<Response, ApiError> {
        let credits = Ended::paid(view, || not_yet(task))?;
        let request = file::output(Some(context), task, 0);
        // It is made and paid for: no program may ask for it again by itself.
        let sound = file::serve(self, &HeaderMap::new(), File::Output(request)).await;
        let mut sound = sound.map_err(|_| not_yet(task))?;
        put(sound.headers_mut(), "x-aio-cost-credits", credits.get());
        Ok(sound)
    }
}

/// Who asked in OpenAI's shape, and cannot have it now: the task may still end, and be charged, or has been.
pub(crate) fn not_yet(task: TaskId) -> ApiError {
    let message = format!("the sound is not there yet; it will be at /api/v1/tasks/{task}");
    ApiError::new(code::TIMEOUT, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The task's request, or what is wrong; nothing where it is not asked in OpenAI's shape.
    fn asked(body: &Value) -> Option<Value> {
        let catalogue = Catalogue::built_in().unwrap();
        match read(&catalogue, body.to_string().as_bytes()) {
            Ok(asked) => asked.map(|asked| serde_json::from_slice(&asked.body).unwrap()),
            Err(error) => Some(json!(error.fault().message)),
        }
    }

    #[test]
    fn an_input_becomes_a_line_of_a_dialogue() {
        let plain = json!({"model": "elevenlabs-v3", "input": "Hi \"you\""});
        for (more, becomes) in [
            (json!({}), json!({"dialogue": [{"text": "Hi \"you\""}]})),
            (
                json!({"voice": "alloy", "response_format": "mp3", "speed": 1.0, "stream_format": "audio", "instructions": null}),
                json!({"dialogue": [{"text": "Hi \"you\"", "voice": "alloy"}]}),
            ),
            (
                json!({"voice": {"id": "Sarah"}, "stability": 1, "user": "u"}),
                json!({"dialogue": [{"text": "Hi \"you\"", "voice": "Sarah"}], "stability": 1, "user": "u"}),
            ),
            (
                json!({"instructions": "slowly"}),
                json!({"dialogue": [{"text": "Hi \"you\""}], "instructions": "slowly"}),
            ),
        ] {
            let mut body = plain.clone();
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let mut expected = becomes;
            expected["model"] = json!("elevenlabs-v3");
            assert_eq!(asked(&body), Some(expected), "{more}");
        }
        for other in [
            json!({"model": "elevenlabs-v3", "dialogue": [{"text": "input"}]}),
            json!({"model": "elevenlabs-v3", "dialogue": [{"text": "a"}], "input": "b"}),
            json!({"input": null}),
            json!(["input"]),
        ] {
            assert_eq!(asked(&other), None, "{other}");
        }
    }

    #[test]
    fn what_is_not_made_is_said() {
        for (more, told) in [
            (
                json!({"input": ""}),
                "input must be a text of 1 to 5000 characters",
            ),
            (
                json!({"input": 7}),
                "input must be a text of 1 to 5000 characters",
            ),
            (json!({"voice": "nobody"}), "voice must be one of Sarah, "),
            (json!({"voice": 7}), "voice must be one of Sarah, "),
            (
                json!({"response_format": "opus"}),
                "response_format must be mp3: nothing else is made",
            ),
            (
                json!({"stream_format": "sse"}),
                "stream_format must be audio",
            ),
            (
                json!({"speed": 1.5}),
                "speed must be 1: these voices have their own",
            ),
        ] {
            let mut body = json!({"model": "elevenlabs-v3", "input": "Hi"});
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let said = asked(&body).unwrap();
            assert!(said.as_str().unwrap().starts_with(told), "{said}");
        }
    }
}
