//! Pictures in OpenAI's wire form: made of a text, or of pictures as well. They come inside of the answer.

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use chassis::clock::{MICROS_PER_SECOND, now_micros};
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
    inputs,
    job::Job,
    made::{Kind, Made},
    xai,
};

/// The models.
const MODELS: [&str; 2] = ["gpt-image-1.5", "gpt-image-2.6-sunburst"];
/// Sizes, and the tokens of a picture of that size by its quality: low, medium, high.
const SIZES: [(&str, [i64; 3]); 3] = [
    ("1024x1024", [272, 1_056, 4_160]),
    ("1024x1536", [408, 1_584, 6_240]),
    ("1536x1024", [408, 1_584, 6_240]),
];
const QUALITIES: [&str; 3] = ["low", "medium", "high"];
const FORMATS: [(&str, Kind); 2] = [("png", Kind::Png), ("jpeg", Kind::Jpeg)];
/// Fields that may stand in a request.
const FIELDS: [&str; 8] = [
    "model",
    "prompt",
    "n",
    "size",
    "quality",
    "output_format",
    "moderation",
    "images",
];
/// The tokens of a request's words, however many there are, and of each picture that goes in.
const WORDS: i64 = 10;
const PICTURE: i64 = 323;
/// Micro-US-dollars of a token: of words, of a picture that goes in, of one that comes out.
const PRICES: [i64; 3] = [5, 8, 32];
/// The most pictures that go in.
const MAX_IMAGES: usize = 16;

/// A request that was understood.
struct Asked {
    made: Made,
    format: &'static str,
    size: &'static str,
    quality: &'static str,
    /// Tokens that go in of pictures, and that come out.
    images: i64,
    output: i64,
}

/// `POST /{provider}/v1/images/generations`.
pub(crate) async fn generate(
    sandbox: State<Sandbox>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    uri: http::Uri,
    body: Bytes,
) -> Response {
    if provider == xai::PROVIDER {
        return xai::pictures(&sandbox, (&headers, &uri), &body).await;
    }
    make(&sandbox, &headers, read(&body, Takes::Words)).await
}

/// `POST /{provider}/v1/images/edits`.
pub(crate) async fn edit(
    sandbox: State<Sandbox>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    uri: http::Uri,
    body: Bytes,
) -> Response {
    if provider == xai::PROVIDER {
        return xai::edited(&sandbox, (&headers, &uri), &body).await;
    }
    make(&sandbox, &headers, read(&body, Takes::Pictures)).await
}

/// What is wrong with a request.
enum Wrong {
    NoModel,
    /// This parameter, in these words.
    Invalid(&'static str, String),
}

/// What a picture is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Words,
    Pictures,
}

async fn make(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    read: Result<(Value, Asked), Wrong>,
) -> Response {
    if !has_key(headers) {
        return Dialect::OpenAi.refuse(&Refusal::NoKey);
    }
    let (input, asked) = match read {
        Ok(read) => read,
        Err(wrong) => return wrong.answer(),
    };
    if let Err(why) = inputs::check(sandbox, &input).await {
        return invalid("images", &why).answer();
    }
    let order = Order {
        provider: "openai",
        model: input
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or_default(),
        input: &input,
        made: asked.made,
        price: asked.price(),
    };
    match at_once::call(sandbox, order).await {
        End::Broken(answer) => answer,
        End::Refused(outcome) => refuse(outcome),
        End::Made(job, times) => match at_once::inline(sandbox, &job).await {
            Ok(files) => at_once::whole(&job, &asked.answer(&files, &job, times)),
            Err(error) => {
                tracing::error!(%error, "the sandbox failed");
                Dialect::OpenAi.refuse(&Refusal::Broken)
            }
        },
    }
}

fn read(body: &[u8], takes: Takes) -> Result<(Value, Asked), Wrong> {
    let body: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|_| invalid("body", "We could not parse the JSON body of your request."))?;
    if let Some(name) = body.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(invalid("body", &format!("Unknown parameter: '{name}'.")));
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    if text("model").is_none_or(|model| !MODELS.contains(&model)) {
        return Err(Wrong::NoModel);
    }
    if text("prompt").is_none_or(str::is_empty) {
        return Err(invalid("prompt", "Missing required parameter: 'prompt'."));
    }
    if body.get("n").is_some_and(|n| *n != 1) {
        return Err(invalid("n", "The sandbox makes one picture at a time."));
    }
    let chosen = text("size").unwrap_or("1024x1024");
    let row = SIZES.iter().find(|(size, _)| *size == chosen);
    let Some((size, tokens)) = row else {
        return Err(invalid("size", "Invalid value: 'size'."));
    };
    let chosen = text("quality").unwrap_or("medium");
    let mut rows = QUALITIES.iter().zip(tokens);
    let Some((quality, output)) = rows.find(|(quality, _)| **quality == chosen) else {
        return Err(invalid("quality", "Invalid value: 'quality'."));
    };
    let chosen = text("output_format").unwrap_or("png");
    let Some((format, kind)) = FORMATS.iter().find(|(format, _)| *format == chosen) else {
        return Err(invalid("output_format", "Invalid value: 'output_format'."));
    };
    let images = images(&body, takes)?;
    let (width, height) = at_once::pixels(size).unwrap_or_default();
    let asked = Asked {
        made: Made {
            kind: *kind,
            count: 1,
            width,
            height,
            seconds: 0,
        },
        format,
        size,
        quality,
        images,
        output: *output,
    };
    Ok((Value::Object(body), asked))
}

/// The tokens of the pictures that go in: an edit has some, and nothing else has.
fn images(body: &Map<String, Value>, takes: Takes) -> Result<i64, Wrong> {
    let images = body.get("images").and_then(Value::as_array);
    let count = images.map_or(0, Vec::len);
    let are_named = images.into_iter().flatten().all(|image| {
        let url = image.get("image_url").and_then(Value::as_str);
        url.is_some_and(|url| url.contains(':'))
    });
    match takes {
        Takes::Words if body.contains_key("images") => {
            Err(invalid("images", "Unknown parameter: 'images'."))
        }
        Takes::Pictures if count == 0 || count > MAX_IMAGES || !are_named => Err(invalid(
            "images",
            "'images' must be 1 to 16 objects with an 'image_url'.",
        )),
        Takes::Words | Takes::Pictures => Ok(i64::try_from(count).unwrap_or(0) * PICTURE),
    }
}

fn invalid(param: &'static str, message: &str) -> Wrong {
    Wrong::Invalid(param, message.to_owned())
}

/// How a directive's refusal is said.
fn refuse(outcome: Outcome) -> Response {
    if outcome == Outcome::Moderated {
        let error = json!({
            "message": "Your request was rejected by the safety system. safety_violations=[sandbox].",
            "type": "image_generation_user_error", "param": null, "code": "moderation_blocked",
            "moderation_details": { "moderation_stage": "output", "categories": ["sandbox"] },
        });
        return answer::json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
    }
    let refusal = Refusal::of(outcome).unwrap_or(Refusal::Broken);
    Dialect::OpenAi.refuse(&refusal)
}

// === impl Wrong ===

impl Wrong {
    fn answer(self) -> Response {
        match self {
            Self::NoModel => {
                let error = json!({
                    "message": "The model does not exist or you do not have access to it.",
                    "type": "invalid_request_error", "param": "model", "code": "model_not_found",
                });
                answer::json(StatusCode::NOT_FOUND, &json!({ "error": error }))
            }
            Self::Invalid(param, message) => Dialect::OpenAi.refuse(&Refusal::Invalid(Problem {
                message,
                param: Some(param),
                code: None,
            })),
        }
    }
}

// === impl Asked ===

impl Asked {
    /// Micro-US-dollars.
    fn price(&self) -> i64 {
        let [words, images, output] = PRICES;
        WORDS * words + self.images * images + self.output * output
    }

    fn answer(&self, files: &[String], job: &Job, times: i64) -> Value {
        let data: Vec<Value> = files
            .iter()
            .map(|file| json!({ "b64_json": file }))
            .collect();
        let (words, images, output) = (WORDS * times, self.images * times, self.output * times);
        let input = words + images;
        let answer = json!({
            "created": now_micros() / MICROS_PER_SECOND, "background": "opaque", "output_format": self.format,
            "size": self.size, "quality": self.quality, "data": data,
            "usage": {
                "input_tokens": input, "output_tokens": output, "total_tokens": input + output,
                "input_tokens_details": { "text_tokens": words, "image_tokens": images },
                "output_tokens_details": { "image_tokens": output, "text_tokens": 0 },
            },
        });
        job.with_word(answer)
    }
}
