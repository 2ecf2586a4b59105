//! Google's picture models: one turn of words and pictures, answered with a picture, among what the model thought and said.

use axum::{body::Bytes, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PROVIDER, refusal::Refusal};
use crate::{
    Sandbox, answer,
    at_once::{self, End, Order},
    directive::Outcome,
    inputs,
    job::Job,
    made::{Kind, Made},
};

/// What the names of such models hold.
const MARK: &str = "-image";
/// The models, and micro-US-dollars for a picture of up to 2K, and of 4K.
const MODELS: [(&str, [i64; 2]); 2] = [
    ("gemini-3.1-flash-image", [67_000, 151_000]),
    ("gemini-3-pro-image", [134_000, 240_000]),
];
const RATIOS: [&str; 10] = [
    "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9",
];
const SIZES: [&str; 3] = ["1K", "2K", "4K"];
/// Tokens of a picture.
const TOKENS: i64 = 1_120;

/// The body: a wire type, as strict as Google's own.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    contents: Vec<Content>,
    generation_config: Config,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    role: Option<String>,
    parts: Vec<Part>,
}

/// A wire type, of which one field is there.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Part {
    text: Option<String>,
    inline_data: Option<InlineData>,
    file_data: Option<FileData>,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InlineData {
    mime_type: String,
    data: String,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileData {
    file_uri: String,
}

/// `generationConfig`: a wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    response_modalities: Vec<String>,
    #[serde(default)]
    image_config: ImageConfig,
    #[serde(default, rename = "thinkingConfig")]
    _thinking_config: Option<Thinking>,
    seed: Option<i32>,
}

/// A wire type.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ImageConfig {
    aspect_ratio: Option<String>,
    image_size: Option<String>,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Thinking {
    #[serde(rename = "thinkingLevel")]
    _thinking_level: super::wire::Level,
}

/// Whether a model makes pictures.
pub(super) fn makes(model: &str) -> bool {
    model.contains(MARK)
}

/// `POST /gemini/v1beta/models/{model}:generateContent` of such a model.
pub(super) async fn generate(sandbox: &Sandbox, model: &str, body: &Bytes) -> Response {
    let (input, made, price) = match read(model, body) {
        Ok(read) => read,
        Err(refusal) => return refusal.response(),
    };
    if let Err(why) = inputs::check(sandbox, &input).await {
        return Refusal::Invalid(why).response();
    }
    let order = Order {
        provider: PROVIDER,
        model,
        input: &input,
        made,
        price,
    };
    match at_once::call(sandbox, order).await {
        End::Broken(answer) => answer,
        End::Refused(outcome) => refused(model, outcome),
        End::Made(job, times) => match at_once::inline(sandbox, &job).await {
            Ok(files) => at_once::whole(&job, &answered(model, &files, (&job, times))),
            Err(error) => {
                tracing::error!(%error, "the sandbox failed");
                Refusal::Broken.response()
            }
        },
    }
}

/// What is sent, what is made of it, and for how much.
fn read(model: &str, body: &[u8]) -> Result<(Value, Made, i64), Refusal> {
    let row = MODELS.iter().find(|(name, _)| *name == model);
    let (_, [usual, large]) = row.ok_or(Refusal::NotFound)?;
    let wrong = |error: serde_json::Error| {
        Refusal::Invalid(format!("Invalid JSON payload received. {error}"))
    };
    let input: Value = serde_json::from_slice(body).map_err(wrong)?;
    let body = Body::deserialize(&input).map_err(wrong)?;
    body.check().map_err(Refusal::Invalid)?;
    let config = &body.generation_config.image_config;
    let ratio = config.aspect_ratio.as_deref().unwrap_or("1:1");
    let size = config.image_size.as_deref().unwrap_or("1K");
    let (width, height) = at_once::sides(ratio, size);
    let made = Made {
        kind: Kind::Png,
        count: 1,
        width,
        height,
        seconds: 0,
    };
    let price = if size == "4K" { *large } else { *usual };
    // The seed stands where every order's does.
    let seed = body.generation_config.seed.map_or(Value::Null, Value::from);
    Ok((answer::with(input, "seed", seed), made, price))
}

fn refused(model: &str, outcome: Outcome) -> Response {
    if outcome == Outcome::Moderated {
        let candidate = json!({ "index": 0, "finishReason": "IMAGE_SAFETY", "finishMessage": "Unable to show the picture (sandbox)." });
        let body = json!({
            "candidates": [candidate], "modelVersion": model, "responseId": "sandbox",
            "usageMetadata": { "promptTokenCount": 10, "totalTokenCount": 10 },
        });
        return answer::json(StatusCode::OK, &body);
    }
    Refusal::of(outcome).unwrap_or(Refusal::Broken).response()
}

fn answered(model: &str, files: &[String], (job, times): (&Job, i64)) -> Value {
    let thought = json!({ "text": "What shall it be?", "thought": true });
    let said = json!({ "text": "Here it is (sandbox)." });
    let picture = |file: &String| json!({ "inlineData": { "mimeType": job.made.kind.content_type(), "data": file } });
    let parts: Vec<Value> = [thought, said]
        .into_iter()
        .chain(files.iter().map(picture))
        .collect();
    let tokens = TOKENS * times;
    let body = json!({
        "candidates": [{ "index": 0, "content": { "role": "model", "parts": parts }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 10, "candidatesTokenCount": tokens, "totalTokenCount": tokens + 10 },
        "modelVersion": model, "responseId": format!("{:016x}", job.nonce),
    });
    job.with_word(body)
}

// === impl Body ===

impl Body {
    fn check(&self) -> Result<(), String> {
        let [turn] = self.contents.as_slice() else {
            return Err("contents: the sandbox takes one turn".to_owned());
        };
        if turn.role.as_deref().is_some_and(|role| role != "user") {
            return Err("Please ensure that the request ends with a user role.".to_owned());
        }
        if turn.parts.is_empty() {
            return Err("contents[0].parts: must not be empty.".to_owned());
        }
        turn.parts.iter().try_for_each(Part::check)?;
        let config = &self.generation_config;
        if !config.response_modalities.iter().any(|one| one == "IMAGE") {
            return Err("generation_config.response_modalities: must have IMAGE".to_owned());
        }
        let image = &config.image_config;
        let ratio = image.aspect_ratio.as_deref();
        let size = image.image_size.as_deref();
        if ratio.is_some_and(|ratio| !RATIOS.contains(&ratio)) {
            return Err("generation_config.image_config.aspect_ratio: invalid".to_owned());
        }
        if size.is_some_and(|size| !SIZES.contains(&size)) {
            return Err("generation_config.image_config.image_size: invalid".to_owned());
        }
        Ok(())
    }
}

// === impl Part ===

impl Part {
    fn check(&self) -> Result<(), String> {
        match (&self.text, &self.inline_data, &self.file_data) {
            (Some(_), None, None) => Ok(()),
            (None, Some(file), None) => {
                let is_file = STANDARD
                    .decode(&file.data)
                    .is_ok_and(|bytes| !bytes.is_empty());
                if is_file && file.mime_type.starts_with("image/") {
                    Ok(())
                } else {
                    Err("inline_data: no picture in base64".to_owned())
                }
            }
            // The sandbox is shown what would have been fetched.
            (None, None, Some(file)) if file.file_uri.contains("://") => Ok(()),
            _ => Err("required oneof field 'data' must have one initialized field".to_owned()),
        }
    }
}
