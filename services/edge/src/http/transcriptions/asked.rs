//! What is asked for in OpenAI's shape, as JSON or as a form: how it is to be answered is ours, and all else is the model's. Pure.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    Catalogue, FileId,
    catalogue::{Model, ParamType},
};
use memchr::memmem;
use proto::{Fault, code};
use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest as _, Sha256};

use crate::{
    error::ApiError,
    http::{ended::GRACE, fields::Fields, form},
};

/// How it is to be answered. The last is a list: of a form it has brackets.
const FORMAT: &str = "response_format";
const STREAM: &str = "stream";
const GRANULARITIES: &str = "timestamp_granularities";
const IN_A_FORM: &str = "timestamp_granularities[]";

/// The fields of a form that are texts.
pub(super) type Texts = Vec<(String, String)>;

/// A request in OpenAI's shape.
pub(crate) struct Asked {
    pub(super) wanted: Wanted,
    /// The task's own request.
    pub(crate) body: Bytes,
    /// How long its task may take.
    pub(crate) time: Duration,
}

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) format: Format,
    pub(super) moments: Moments,
    /// Event by event.
    pub(super) stream: bool,
}

/// In what form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Text,
    Srt,
    Vtt,
    VerboseJson,
}

/// Whose moments `verbose_json` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moments {
    Segments,
    Words,
    Both,
}

/// What is asked for, if it says how it is to be answered. A body that is no object is for media to complain of.
///
/// # Errors
/// What is wrong with the fields that are ours.
pub(crate) fn read(catalogue: &Catalogue, body: &[u8]) -> Result<Option<Asked>, ApiError> {
    read_as(catalogue, body, GRANULARITIES)
}

/// The same, whose list of moments has this name.
fn read_as(
    catalogue: &Catalogue,
    body: &[u8],
    granularities: &'static str,
) -> Result<Option<Asked>, ApiError> {
    let names = [FORMAT, STREAM, granularities];
    let is_there = |name: &&str| memmem::find(body, name.as_bytes()).is_some();
    if !names.iter().any(is_there) {
        return Ok(None);
    }
    let Ok(mut fields) = Fields::parse(body) else {
        return Ok(None);
    };
    if !names.iter().any(|name| fields.has(name)) {
        return Ok(None);
    }
    let named = fields.raw("model");
    let model = find(catalogue, named);
    let format = fields.raw(FORMAT);
    let wanted = wanted(&mut fields, format, granularities);
    let rest = fields.rest()?;
    let mut members = Map::new();
    // A model that does not know it makes what all are made of.
    let format = format.filter(|_| model.is_none_or(knows_formats));
    let ours = [("model", named), (FORMAT, format)];
    let ours = ours
        .into_iter()
        .filter_map(|(name, raw)| Some((name.to_owned(), raw?)));
    for (name, raw) in ours.chain(rest) {
        let value = serde_json::from_str(raw.get()).map_err(|_| ApiError::internal())?;
        members.insert(name, value);
    }
    let deadline = model.map_or(0, |model| model.deadline_seconds);
    Ok(Some(Asked {
        wanted,
        body: Value::Object(members).to_string().into(),
        time: Duration::from_secs(deadline.into()) + GRACE,
    }))
}

fn find<'c>(catalogue: &'c Catalogue, named: Option<&RawValue>) -> Option<&'c Model> {
    let name: String = serde_json::from_str(named?.get()).ok()?;
    catalogue.find(&name)
}

fn knows_formats(model: &Model) -> bool {
    model.params.iter().any(|param| param.name == FORMAT)
}

fn wanted(
    fields: &mut Fields<'_>,
    format: Option<&RawValue>,
    granularities: &'static str,
) -> Wanted {
    let word: Option<String> = format.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let word = if format.is_some() {
        word.as_deref().and_then(Format::parse)
    } else {
        Some(Format::Json)
    };
    if word.is_none() {
        let words = Format::ALL.map(Format::as_str).join(", ");
        fields.invalid(FORMAT, &format!("be one of {words}"));
    }
    let format = word.unwrap_or(Format::Json);
    let stream = fields.flag(STREAM).unwrap_or(false);
    if stream && !matches!(format, Format::Json | Format::Text) {
        let allowed = format!("be false where {FORMAT} is neither json nor text");
        fields.invalid(STREAM, &allowed);
    }
    let moments = fields.words(granularities, "word and segment", |word| {
        ["word", "segment"].contains(&word)
    });
    if moments.is_some() && format != Format::VerboseJson {
        let allowed = format!("be left out where {FORMAT} is not verbose_json");
        fields.invalid(granularities, &allowed);
    }
    Wanted {
        format,
        moments: moments.map_or(Moments::Segments, |words| Moments::of(&words)),
        stream,
    }
}

/// What a form asks for, whose file is in its place.
///
/// # Errors
/// What is wrong with its fields.
pub(super) fn of_form(
    catalogue: &Catalogue,
    texts: &Texts,
    file: FileId,
) -> Result<Asked, ApiError> {
    let named = texts.iter().find(|(name, _)| name == "model");
    let model = named.and_then(|(_, name)| catalogue.find(name));
    let mut members = Map::new();
    members.insert(form::FILE.to_owned(), file.to_string().into());
    members.insert(FORMAT.to_owned(), Format::Json.as_str().into());
    let mut moments: Vec<Value> = Vec::new();
    for (at, (name, text)) in texts.iter().enumerate() {
        if [GRANULARITIES, IN_A_FORM].contains(&name.as_str()) {
            moments.push(text.as_str().into());
            continue;
        }
        // A field without anything in it is none.
        if text.is_empty() {
            continue;
        }
        let mut before = texts.iter().take(at);
        if before.any(|(other, _)| other == name) {
            return Err(wrong(name, "be given once"));
        }
        let value = if name == STREAM || is_yes_or_no(model, name) {
            let value: Option<bool> = text.parse().ok();
            value.ok_or_else(|| wrong(name, "be true or false"))?.into()
        } else {
            Value::String(text.clone())
        };
        members.insert(name.clone(), value);
    }
    if !moments.is_empty() {
        members.insert(IN_A_FORM.to_owned(), moments.into());
    }
    let body = Value::Object(members).to_string();
    read_as(catalogue, body.as_bytes(), IN_A_FORM)?.ok_or_else(ApiError::internal)
}

/// Whether a field of a model is yes or no: in a form every field is a text.
fn is_yes_or_no(model: Option<&Model>, name: &str) -> bool {
    let params = model.map_or(&[][..], |model| &model.params);
    let mut named = params.iter().filter(|param| param.name == name);
    named.any(|param| matches!(param.of, ParamType::Boolean))
}

fn wrong(name: &str, allowed: &str) -> ApiError {
    let message = format!("{name} must {allowed}");
    Fault::new(code::INVALID_PARAMETER, message)
        .param(name)
        .into()
}

/// What tells whether a form is the same again, whose file has another id each time.
pub(super) fn hash(texts: &Texts, file: &str) -> [u8; 32] {
    let mut sorted: Vec<(&str, &str)> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .chain([(form::FILE, file)])
        .collect();
    sorted.sort_unstable();
    let mut hash = Sha256::new();
    for part in sorted.into_iter().flat_map(|(name, text)| [name, text]) {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

// === impl Format ===

impl Format {
    const ALL: [Self; 5] = [
        Self::Json,
        Self::Text,
        Self::Srt,
        Self::Vtt,
        Self::VerboseJson,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::VerboseJson => "verbose_json",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let same = |format: &Self| format.as_str().eq_ignore_ascii_case(word);
        Self::ALL.into_iter().find(same)
    }
}

// === impl Moments ===

impl Moments {
    fn of(words: &[String]) -> Self {
        let has = |word: &str| words.iter().any(|one| one == word);
        match (has("word"), has("segment")) {
            (true, true) => Self::Both,
            (true, false) => Self::Words,
            (false, _) => Self::Segments,
        }
    }

    pub(super) const fn has_words(self) -> bool {
        matches!(self, Self::Words | Self::Both)
    }

    pub(super) const fn has_segments(self) -> bool {
        matches!(self, Self::Segments | Self::Both)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = "file_01h455vb4pex5vsknk084sn02q";

    fn catalogue() -> Catalogue {
        Catalogue::built_in().unwrap()
    }

    /// How it is wanted and what the task is asked, or what is wrong.
    fn form(texts: &[(&str, &str)]) -> Result<(Wanted, Value), String> {
        let texts: Texts = texts
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        let file = FileId::parse(FILE).unwrap();
        let asked = of_form(&catalogue(), &texts, file);
        asked
            .map(|asked| (asked.wanted, serde_json::from_slice(&asked.body).unwrap()))
            .map_err(|error| error.fault().message.clone())
    }

    const PLAIN: Wanted = Wanted {
        format: Format::Json,
        moments: Moments::Segments,
        stream: false,
    };

    #[test]
    fn a_form_becomes_a_tasks_request() {
        let verbose = Wanted {
            format: Format::VerboseJson,
            ..PLAIN
        };
        let unknown = json!({"response_format": "json", "include[]": "logprobs"});
        for (texts, wanted, body) in [
            (
                &[("model", "whisper-1")][..],
                PLAIN,
                json!({"model": "whisper-1", "response_format": "json"}),
            ),
            (
                &[
                    ("response_format", "srt"),
                    ("model", "whisper-1"),
                    ("temperature", "0"),
                    ("prompt", ""),
                ],
                Wanted {
                    format: Format::Srt,
                    ..PLAIN
                },
                json!({"model": "whisper-1", "response_format": "srt", "temperature": "0"}),
            ),
            (
                &[
                    ("model", "scribe_v2"),
                    ("diarize", "true"),
                    ("stream", "true"),
                    ("user", "u"),
                ],
                Wanted {
                    stream: true,
                    ..PLAIN
                },
                json!({"model": "scribe_v2", "response_format": "json", "diarize": true, "user": "u"}),
            ),
            (
                &[
                    ("model", "whisper-1"),
                    ("response_format", "verbose_json"),
                    ("timestamp_granularities[]", "word"),
                ],
                Wanted {
                    moments: Moments::Words,
                    ..verbose
                },
                json!({"model": "whisper-1", "response_format": "verbose_json"}),
            ),
            (
                &[
                    ("model", "whisper-1"),
                    ("response_format", "verbose_json"),
                    ("timestamp_granularities[]", "word"),
                    ("timestamp_granularities[]", "segment"),
                ],
                Wanted {
                    moments: Moments::Both,
                    ..verbose
                },
                json!({"model": "whisper-1", "response_format": "verbose_json"}),
            ),
            (&[("include[]", "logprobs")], PLAIN, unknown),
        ] {
            let mut expected = body;
            expected["file"] = json!(FILE);
            assert_eq!(form(texts), Ok((wanted, expected)), "{texts:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (texts, told) in [
            (
                &[("response_format", "docx")][..],
                "response_format must be one of json, text, srt, vtt, verbose_json",
            ),
            (&[("stream", "yes")], "stream must be true or false"),
            (
                &[("stream", "true"), ("response_format", "vtt")],
                "stream must be false where response_format is neither json nor text",
            ),
            (
                &[("timestamp_granularities[]", "word")],
                "timestamp_granularities[] must be left out where response_format is not verbose_json",
            ),
            (
                &[
                    ("response_format", "verbose_json"),
                    ("timestamp_granularities[]", "letter"),
                ],
                "timestamp_granularities[] must be a list of word and segment",
            ),
            (
                &[("model", "whisper-1"), ("model", "scribe-v2")],
                "model must be given once",
            ),
            (
                &[("model", "scribe-v2"), ("diarize", "1")],
                "diarize must be true or false",
            ),
        ] {
            assert_eq!(form(texts), Err(told.to_owned()), "{texts:?}");
        }
    }

    #[test]
    fn json_is_a_task_unless_it_says_how_it_wants_to_be_answered() {
        let asked = |body: Value| read(&catalogue(), body.to_string().as_bytes()).unwrap();
        let plain = json!({"model": "whisper-1", "file": FILE});
        for other in [
            plain.clone(),
            json!({"model": "whisper-1", "file": FILE, "prompt": "stream"}),
            json!({"stream": null}),
            json!(["stream"]),
        ] {
            assert!(asked(other.clone()).is_none(), "{other}");
        }
        let mut streamed = plain;
        streamed["stream"] = json!(true);
        let asked = asked(streamed).unwrap();
        assert!(asked.wanted.stream && asked.time > Duration::from_secs(500));
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(body, json!({"model": "whisper-1", "file": FILE}));
    }

    #[test]
    fn a_form_is_the_same_again_in_whatever_order() {
        let texts = |pairs: &[(&str, &str)]| -> Texts {
            let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
            pairs.iter().map(own).collect()
        };
        let one = texts(&[("model", "a"), ("language", "de")]);
        let again = texts(&[("language", "de"), ("model", "a")]);
        assert_eq!(hash(&one, "f"), hash(&again, "f"));
        assert_ne!(hash(&one, "f"), hash(&one, "g"));
        let other = texts(&[("model", "al"), ("anguage", "de")]);
        assert_ne!(hash(&one, "f"), hash(&other, "f"));
    }
}
