//! `POST /images/generations` in OpenAI's shape: a request with a `response_format` is answered with the pictures, once they are made, so
//! that `images.generate` of OpenAI's SDKs works. Behind it is a task like any other.

use std::time::Duration;

use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chassis::clock::{MICROS_PER_SECOND, now_micros};
use domain::{
    Catalogue, TaskId,
    catalogue::{Model, Param, ParamType},
};
use http::StatusCode;
use memchr::memmem;
use proto::{Code, code, common::v1::Context};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    App,
    error::ApiError,
    http::{
        ended::GRACE,
        fields::{Field, Fields},
        file, json,
    },
};

/// The field that asks for OpenAI's shape.
const RESPONSE_FORMAT: &str = "response_format";
/// Fields of OpenAI's with the values, as JSON, that ask for nothing: those are not for a model that does not know the field.
const NEUTRAL: [(&str, &[&str]); 7] = [
    ("quality", &["\"auto\"", "\"standard\""]),
    ("style", &["\"auto\"", "\"vivid\""]),
    ("background", &["\"auto\""]),
    ("moderation", &["\"auto\"", "\"low\""]),
    ("output_compression", &["100"]),
    ("stream", &["false"]),
    ("partial_images", &["0"]),
];
/// Ratios are compared in millionths.
const PRECISION: u64 = 1_000_000;

/// A request in OpenAI's shape.
pub(crate) struct Asked {
    form: Form,
    /// The task's own request.
    pub(crate) body: Bytes,
    /// How long its task may take.
    pub(crate) time: Duration,
}

/// How the pictures are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Url,
    B64Json,
}

/// What is read of an ended task's view.
#[derive(Deserialize)]
struct Ended {
    #[serde(default)]
    output: Vec<Made>,
    error: Option<Failure>,
    consumed_credits: Box<RawValue>,
}

/// What is read of an output.
#[derive(Deserialize)]
struct Made {
    url: String,
    bytes: u64,
}

/// What is read of a failure.
#[derive(Deserialize)]
struct Failure {
    code: String,
    message: String,
}

/// The answer.
#[derive(Serialize, ToSchema)]
#[schema(as = Images)]
pub(crate) struct Pictures {
    created: i64,
    data: Vec<Picture>,
    #[schema(value_type = f64)]
    credits_consumed: Box<RawValue>,
}

/// A picture.
#[derive(Serialize, ToSchema)]
#[schema(as = Image)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Picture {
    Url(String),
    B64Json(String),
}

/// What is asked for, if it is asked for in OpenAI's shape. A body that is no object is for media to complain of.
///
/// # Errors
/// What is wrong with the fields that are OpenAI's.
pub(crate) fn read(catalogue: &Catalogue, body: &[u8]) -> Result<Option<Asked>, ApiError> {
    // Most do not, and media reads them anyway.
    if memmem::find(body, RESPONSE_FORMAT.as_bytes()).is_none() {
        return Ok(None);
    }
    let Ok(mut fields) = Fields::parse(body) else {
        return Ok(None);
    };
    if !fields.has(RESPONSE_FORMAT) {
        return Ok(None);
    }
    let form = fields.word(RESPONSE_FORMAT, "url or b64_json", |word| match word {
        "url" => Some(Form::Url),
        "b64_json" => Some(Form::B64Json),
        _ => None,
    });
    let named = fields.raw("model");
    let name: Option<String> = named.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let model = name.and_then(|name| catalogue.find(&name));
    let mut members = Members::default();
    if let Some(raw) = named {
        members.put("model", raw.get());
    }
    count(&mut fields, model, &mut members);
    size(&mut fields, model, &mut members);
    for (name, words) in NEUTRAL {
        if let Some(raw) = fields.raw(name)
            && (param(model, name).is_some() || !words.contains(&raw.get()))
        {
            members.put(name, raw.get());
        }
    }
    let rest: Vec<Field<'_>> = fields.rest()?;
    for (name, raw) in rest {
        members.put(&name, raw.get());
    }
    let deadline = model.map_or(0, |model| model.deadline_seconds);
    Ok(form.map(|form| Asked {
        form,
        body: members.object(),
        time: Duration::from_secs(deadline.into()) + GRACE,
    }))
}

/// `n`: of a model that makes one picture a task, it can only be 1.
fn count(fields: &mut Fields<'_>, model: Option<&Model>, members: &mut Members) {
    const OURS: &str = "num_images";
    let Some(n) = fields.count("n") else {
        return;
    };
    if param(model, OURS).is_some() {
        members.put(OURS, &n.to_string());
    } else if n != 1 {
        fields.invalid("n", "be 1: this model makes one picture a request");
    }
}

/// `size`, in pixels: the model's nearest aspect ratio. Anything else goes to the model, which may have a size of its own.
fn size(fields: &mut Fields<'_>, model: Option<&Model>, members: &mut Members) {
    let Some(raw) = fields.raw("size") else {
        return;
    };
    let text: String = serde_json::from_str(raw.get()).unwrap_or_default();
    if text == "auto" {
        return;
    }
    let ours = ["aspect_ratio", "size"]
        .into_iter()
        .find_map(|name| param(model, name));
    let nearest = ours.and_then(|param| {
        let ParamType::Choice { values, .. } = &param.of else {
            return None;
        };
        Some((&param.name, nearest(values, ratio(&text, 'x')?)?))
    });
    match nearest {
        Some((name, word)) => members.put(name, &format!("\"{word}\"")),
        None => members.put("size", raw.get()),
    }
}

fn param<'m>(model: Option<&'m Model>, name: &str) -> Option<&'m Param> {
    model?.params.iter().find(|param| param.name == name)
}

/// Width by height, in millionths.
fn ratio(text: &str, between: char) -> Option<u64> {
    let (width, height) = text.split_once(between)?;
    let (width, height): (u64, u64) = (width.parse().ok()?, height.parse().ok()?);
    width.checked_mul(PRECISION)?.checked_div(height)
}

/// The word, such as 16:9, whose ratio is nearest: by which factor, not by which difference.
fn nearest(words: &[String], wanted: u64) -> Option<&str> {
    let distance = |word: &&String| {
        let own = ratio(word, ':')?;
        let (less, more) = (own.min(wanted), own.max(wanted));
        more.checked_mul(PRECISION)?.checked_div(less)
    };
    let known = words.iter().filter(|word| distance(word).is_some());
    known.min_by_key(distance).map(String::as_str)
}

impl App {
    /// The answer to a request in OpenAI's shape, whose task has ended as this view shows it.
    pub(crate) async fn pictures(
        &self,
        asked: &Asked,
        (context, task): (Context, TaskId),
        view: &[u8],
    ) -> Result<Response, ApiError> {
        let ended: Ended = serde_json::from_slice(view).map_err(|_| not_yet(task))?;
        if let Some(Failure { code, message }) = ended.error {
            return Err(ApiError::new(
                Code::find(&code).unwrap_or(code::INTERNAL),
                message,
            ));
        }
        let _place = match asked.form {
            Form::Url => None,
            Form::B64Json => {
                self.within_inline(&ended.output, task)?;
                // Never closed; without a place the pictures would only be read sooner.
                self.prepared.inline_places.acquire().await.ok()
            }
        };
        let mut data = Vec::with_capacity(ended.output.len());
        for (index, made) in (0_u32..).zip(ended.output) {
            data.push(match asked.form {
                Form::Url => Picture::Url(made.url),
                Form::B64Json => {
                    let request = file::output(Some(context.clone()), task, index);
                    // They are made and paid for: no program may ask for them again by itself.
                    let bytes = file::whole(self, request).await;
                    let bytes = bytes.map_err(|_| not_yet(task))?;
                    Picture::B64Json(STANDARD.encode(bytes))
                }
            });
        }
        let pictures = Pictures {
            created: now_micros() / MICROS_PER_SECOND,
            data,
            credits_consumed: ended.consumed_credits,
        };
        let body = serde_json::to_vec(&pictures).map_err(|_| not_yet(task))?;
        Ok(json(StatusCode::OK, body.into()))
    }

    /// That pictures are not too large to be held here. They are made and paid for by now: whoever asked is told where they are.
    fn within_inline(&self, made: &[Made], task: TaskId) -> Result<(), ApiError> {
        let most = self.config.limits.bodies.inline_pictures;
        let bytes = made.iter().map(|made| made.bytes);
        let bytes = bytes.fold(0, u64::saturating_add);
        if usize::try_from(bytes).is_ok_and(|bytes| bytes <= most) {
            return Ok(());
        }
        let message = format!(
            "the pictures have {bytes} bytes, and b64_json takes at most {most}: they are kept at /api/v1/tasks/{task}"
        );
        Err(ApiError::new(code::TIMEOUT, message))
    }
}

/// Who asked in OpenAI's shape, and cannot have it now: the task may still end, and be charged, or has been.
pub(crate) fn not_yet(task: TaskId) -> ApiError {
    let message = format!("the pictures are not there yet; they will be at /api/v1/tasks/{task}");
    ApiError::new(code::TIMEOUT, message)
}

/// An object that is written member by member.
#[derive(Default)]
struct Members(String);

// === impl Members ===

impl Members {
    /// Adds a member; `value` is JSON.
    fn put(&mut self, name: &str, value: &str) {
        let before = if self.0.is_empty() { '{' } else { ',' };
        self.0.push(before);
        self.0.push_str(&serde_json::Value::from(name).to_string());
        self.0.push(':');
        self.0.push_str(value);
    }

    fn object(mut self) -> Bytes {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The task's request, or what is wrong.
    fn asked(body: &Value) -> Option<Value> {
        let catalogue = Catalogue::built_in().unwrap();
        let asked = read(&catalogue, body.to_string().as_bytes());
        let asked = asked.map_err(|error| error.fault().message.clone());
        let asked = match asked {
            Ok(asked) => asked?,
            Err(message) => return Some(json!(message)),
        };
        Some(serde_json::from_slice(&asked.body).unwrap())
    }

    #[test]
    fn only_who_names_a_response_format_asks_in_openais_shape() {
        assert_eq!(
            asked(&json!({"model": "flux-2", "prompt": "response_format"})),
            None
        );
        assert_eq!(asked(&json!([])), None);
        let catalogue = Catalogue::built_in().unwrap();
        let form = |word: &str| {
            let body = json!({"model": "flux-2", "response_format": word}).to_string();
            let asked = read(&catalogue, body.as_bytes()).unwrap().unwrap();
            assert_eq!(asked.time, Duration::from_secs(315));
            asked.form
        };
        assert_eq!((form("url"), form("b64_json")), (Form::Url, Form::B64Json));
    }

    #[test]
    fn openais_fields_become_the_models_own() {
        for (more, becomes) in [
            (
                json!({"size": "1024x1024", "n": 1}),
                json!({"aspect_ratio": "1:1"}),
            ),
            (json!({"size": "1536x1024"}), json!({"aspect_ratio": "3:2"})),
            (
                json!({"size": "1792x1024"}),
                json!({"aspect_ratio": "16:9"}),
            ),
            (
                json!({"size": "1024x1792"}),
                json!({"aspect_ratio": "9:16"}),
            ),
            (
                json!({"size": "auto", "quality": "auto", "style": "vivid", "stream": false}),
                json!({}),
            ),
            (json!({"size": "large"}), json!({"size": "large"})),
            (json!({"size": "9x0"}), json!({"size": "9x0"})),
            (
                json!({"quality": "hd", "stream": true}),
                json!({"quality": "hd", "stream": true}),
            ),
            (
                json!({"seed": 7, "user": "u"}),
                json!({"seed": 7, "user": "u"}),
            ),
        ] {
            let mut body =
                json!({"model": "flux-2", "prompt": "a \"fox\"", "response_format": "url"});
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let mut expected = json!({"model": "flux-2", "prompt": "a \"fox\""});
            expected
                .as_object_mut()
                .unwrap()
                .extend(becomes.as_object().unwrap().clone());
            assert_eq!(asked(&body), Some(expected), "{more}");
        }
        // What media says of these is said in its own words.
        let unknown = json!({"model": "none", "size": "1x1", "response_format": "url"});
        assert_eq!(
            asked(&unknown),
            Some(json!({"model": "none", "size": "1x1"}))
        );
        assert_eq!(asked(&json!({"response_format": "url"})), Some(json!({})));
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (more, told) in [
            (
                json!({"response_format": "png"}),
                "response_format must be url or b64_json",
            ),
            (
                json!({"response_format": "url", "n": 2}),
                "n must be 1: this model makes one picture a request",
            ),
        ] {
            let mut body = json!({"model": "flux-2"});
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            assert_eq!(asked(&body), Some(json!(told)));
        }
    }
}
