//! `POST /audio/speech` in OpenAI's shape: a request with an `input` is answered with the sound itself, while it is made or once it is, so that
//! `audio.speech.create` of OpenAI's SDKs works. Behind it is a task like any other.

mod answer;
mod live;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use domain::{
    Catalogue, TaskId,
    catalogue::{Model, Param, ParamType},
};
use memchr::memmem;
use proto::code;
use serde_json::{Map, Value};

pub(super) use self::live::speak;
use crate::{
    error::ApiError,
    http::{ended::GRACE, fields::Fields},
};

/// The field that asks for OpenAI's shape.
const INPUT: &str = "input";
/// What becomes of it where a model says what several say: one line of a dialogue.
const DIALOGUE: &str = "dialogue";
const VOICE: &str = "voice";
const FORMAT: &str = "response_format";
const SPEED: &str = "speed";
/// The most characters of a line, which is the limit of the model that takes dialogues.
const MAX_INPUT: usize = 5_000;
/// The format of a model that names none.
const USUAL_FORMAT: &str = "mp3";
/// The format that is the samples of another one, without its header.
const SAMPLES: &str = "pcm";
const OF_SAMPLES: &str = "wav";
/// The speeds, as JSON has them, that change nothing.
const USUAL_SPEEDS: [&str; 2] = ["1", "1.0"];
/// The slowest and the fastest speed.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.25..=4.0;

/// A request in OpenAI's shape.
pub(crate) struct Asked {
    /// The task's own request.
    pub(crate) body: Bytes,
    /// How long its task may take.
    pub(crate) time: Duration,
    /// How the sound is wanted.
    pub(super) form: Form,
}

/// How a sound is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    content: Content,
    delivery: Delivery,
}

/// What of a sound's file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// All of it.
    File,
    /// Its samples alone.
    Samples,
}

/// How it is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Bytes,
    /// Piece by piece, as events.
    Events,
}

/// The voices of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voices<'m> {
    pub(super) words: &'m [String],
    /// Other words that mean one of them.
    pub(super) also: &'m BTreeMap<String, String>,
    /// The one that is meant where none is named.
    pub(super) usual: Option<&'m str>,
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
    let mut body = Map::new();
    put_text(&mut fields, model, &mut body);
    let form = Form {
        content: content(&mut fields, model, &mut body),
        delivery: delivery(&mut fields),
    };
    speed(&mut fields, model, &mut body);
    let rest = fields.rest()?;
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
        form,
    }))
}

/// What is said, and by whom: in the model's own words for it. What is wrong with an input of that name, media says.
fn put_text(fields: &mut Fields<'_>, model: Option<&Model>, body: &mut Map<String, Value>) {
    let voice = voice(fields, model).map(Value::String);
    if param(model, INPUT).is_some() {
        body.extend(voice.map(|voice| (VOICE.to_owned(), voice)));
        return;
    }
    let text = fields.text(INPUT, 1, MAX_INPUT).map(Value::String);
    let line = [("text", text), (VOICE, voice)];
    let line = line
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let dialogue = Value::Array(vec![Value::Object(line.collect())]);
    body.insert(DIALOGUE.to_owned(), dialogue);
}

/// `response_format`: one of the model's own, or the samples of one.
fn content(
    fields: &mut Fields<'_>,
    model: Option<&Model>,
    body: &mut Map<String, Value>,
) -> Content {
    let own = param(model, FORMAT).and_then(|param| choice(&param.of));
    let usual = [USUAL_FORMAT.to_owned()];
    let words = own.map_or(&usual[..], |(words, _)| words);
    let has_samples = words.iter().any(|word| word == OF_SAMPLES);
    let allowed = words.iter().map(String::as_str);
    let allowed: Vec<&str> = allowed.chain(has_samples.then_some(SAMPLES)).collect();
    let allowed = match allowed.as_slice() {
        [one] => format!("{one}: nothing else is made"),
        several => format!("one of {}", several.join(", ")),
    };
    let found = fields.word(FORMAT, &allowed, |word| {
        if word == SAMPLES && has_samples {
            return Some((OF_SAMPLES.to_owned(), Content::Samples));
        }
        let word = words.iter().find(|known| *known == word)?;
        Some((word.clone(), Content::File))
    });
    let Some((word, content)) = found else {
        return Content::File;
    };
    if own.is_some() {
        body.insert(FORMAT.to_owned(), word.into());
    }
    content
}

/// `stream_format`.
fn delivery(fields: &mut Fields<'_>) -> Delivery {
    let found = fields.word("stream_format", "audio or sse", |word| match word {
        "audio" => Some(Delivery::Bytes),
        "sse" => Some(Delivery::Events),
        _ => None,
    });
    found.unwrap_or(Delivery::Bytes)
}

/// `speed`, of a model that has some.
fn speed(fields: &mut Fields<'_>, model: Option<&Model>, body: &mut Map<String, Value>) {
    let Some(raw) = fields.raw(SPEED) else {
        return;
    };
    if param(model, SPEED).is_none() {
        if !USUAL_SPEEDS.contains(&raw.get()) {
            fields.invalid(SPEED, "be 1: these voices have their own");
        }
        return;
    }
    let speed: Option<serde_json::Number> = serde_json::from_str(raw.get()).ok();
    let speed = speed.filter(|speed| speed.as_f64().is_some_and(|speed| SPEEDS.contains(&speed)));
    match speed {
        Some(speed) => {
            body.insert(SPEED.to_owned(), Value::Number(speed));
        }
        None => fields.invalid(SPEED, "be a number from 0.25 to 4"),
    }
}

/// The voice: a word, or OpenAI's object with an id. What the model does not know is said by the field's own name.
fn voice(fields: &mut Fields<'_>, model: Option<&Model>) -> Option<String> {
    let raw = fields.raw(VOICE)?;
    let given: Value = serde_json::from_str(raw.get()).ok()?;
    let word = given.get("id").unwrap_or(&given).as_str();
    let known = model.and_then(voices);
    if let Some(word) = word
        && known.is_none_or(|known| known.has(word))
    {
        return Some(word.to_owned());
    }
    let allowed = known.map_or_else(|| "a text".to_owned(), |known| known.told());
    fields.invalid(VOICE, &format!("be {allowed}"));
    None
}

/// The voices of a model that speaks.
pub(super) fn voices(model: &Model) -> Option<Voices<'_>> {
    let dialogue = param(Some(model), DIALOGUE).map(|param| &param.of);
    let params = match dialogue {
        Some(ParamType::Items { fields, .. }) => fields,
        Some(_) | None => &model.params,
    };
    let voice = params.iter().find(|param| param.name == VOICE)?;
    let (words, also) = choice(&voice.of)?;
    Some(Voices {
        words,
        also,
        usual: voice.default.as_ref().and_then(Value::as_str),
    })
}

fn param<'m>(model: Option<&'m Model>, name: &str) -> Option<&'m Param> {
    model?.params.iter().find(|param| param.name == name)
}

/// The words of a parameter that is one of some, and their other spellings.
fn choice(of: &ParamType) -> Option<(&[String], &BTreeMap<String, String>)> {
    match of {
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

// === impl Voices ===

impl<'m> Voices<'m> {
    /// Other words for one of them.
    pub(super) fn others(&self, word: &'m str) -> impl Iterator<Item = &'m str> {
        let means = move |(other, meant): (&'m String, &'m String)| {
            (*meant == word).then_some(other.as_str())
        };
        self.also.iter().filter_map(means)
    }

    /// Whether a word means one of them, however its letters are written.
    fn has(&self, word: &str) -> bool {
        let mut words = self.words.iter().chain(self.also.keys());
        words.any(|known| known.eq_ignore_ascii_case(word))
    }

    /// What completes "`voice` must be …".
    fn told(&self) -> String {
        let words = self.words.join(", ");
        if self.also.is_empty() {
            format!("one of {words}")
        } else {
            format!(
                "one of {words}, or a word that means one of them: GET /api/v1/audio/voices lists all"
            )
        }
    }
}

/// Who asked in OpenAI's shape, and cannot have it now: the task may still end, and be charged, or has been.
pub(crate) fn not_yet(task: TaskId) -> ApiError {
    let message = format!("the sound is not there yet; it will be at /api/v1/tasks/{task}");
    ApiError::new(code::TIMEOUT, message)
}

#[cfg(test)]
mod tests;
