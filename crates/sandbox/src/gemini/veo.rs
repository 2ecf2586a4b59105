//! Google's films: `POST /gemini/v1beta/models/{model}:predictLongRunning`, the operation below its model, and a file that only a key gets.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    job::Job,
    made,
    work::{
        self, Asked, Read, Refused, Standing, Submit,
        fields::{self, Field, Is},
    },
};

/// A refusal: status, Google's word for it, and words.
#[derive(Debug, Clone, Copy)]
struct Problem(StatusCode, &'static str, &'static str);

const PROVIDER: &str = "gemini";
const NO_KEY: Problem = Problem(
    StatusCode::FORBIDDEN,
    "PERMISSION_DENIED",
    "Method doesn't allow unregistered callers.",
);
const NOT_FOUND: Problem = Problem(
    StatusCode::NOT_FOUND,
    "NOT_FOUND",
    "There is no such thing.",
);
const TOO_FAST: Problem = Problem(
    StatusCode::TOO_MANY_REQUESTS,
    "RESOURCE_EXHAUSTED",
    "You exceeded your rate limit.",
);
const NO_ROOM: Problem = Problem(
    StatusCode::SERVICE_UNAVAILABLE,
    "UNAVAILABLE",
    "The model is overloaded.",
);
const NO_FUNDS: Problem = Problem(
    StatusCode::PAYMENT_REQUIRED,
    "RESOURCE_EXHAUSTED",
    "Your prepaid credits are depleted.",
);
const BROKEN: Problem = Problem(
    StatusCode::INTERNAL_SERVER_ERROR,
    "INTERNAL",
    "the sandbox failed",
);
/// The models, and how each is read.
const MODELS: [(&str, Read); 3] = [
    ("veo-3.1-generate-preview", standard),
    ("veo-3.1-fast-generate-preview", fast),
    ("veo-3.1-lite-generate-preview", lite),
];
/// Micro-US-dollars a second.
const STANDARD: i64 = 400_000;
const FAST: i64 = 100_000;
const LITE: i64 = 50_000;
/// What ends the name of a file's address.
const DOWNLOAD: &str = ":download";
/// Google's code of an error that is its own.
const INTERNAL: u32 = 13;
const BODY: &[Field] = &[("instances", Is::List), ("parameters", Is::Object)];
const INSTANCE: &[Field] = &[
    ("prompt", Is::Text(8_192)),
    ("image", Is::Object),
    ("lastFrame", Is::Object),
];
const PICTURE: &[Field] = &[
    ("bytesBase64Encoded", Is::Text(usize::MAX)),
    ("gcsUri", Is::Text(4_096)),
    ("mimeType", Is::Text(64)),
];
const PARAMETERS: &[Field] = &[
    ("aspectRatio", Is::OneOf(&["16:9", "9:16"])),
    ("resolution", Is::OneOf(&["720p", "1080p", "4k"])),
    ("durationSeconds", Is::Whole(4, 8)),
    ("negativePrompt", Is::Words(8_192)),
    ("seed", Is::Whole(0, 4_294_967_295)),
];

/// An operation begins.
pub(super) async fn submit(
    sandbox: &Sandbox,
    model: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    if !has_key(headers) {
        return NO_KEY.answer();
    }
    let Some((model, read)) = MODELS.iter().find(|(name, _)| *name == model) else {
        return NOT_FOUND.answer();
    };
    let submit = Submit {
        provider: PROVIDER,
        model,
        body,
    };
    match work::take(sandbox, submit, *read, |_| Value::Null).await {
        Ok((id, _)) => {
            let name = format!("models/{model}/operations/{id}");
            answer::json(StatusCode::OK, &json!({ "name": name }))
        }
        Err(why) => refused(why),
    }
}

fn standard(sent: &Map<String, Value>) -> Result<Asked, String> {
    film(sent, STANDARD)
}

fn fast(sent: &Map<String, Value>) -> Result<Asked, String> {
    film(sent, FAST)
}

fn lite(sent: &Map<String, Value>) -> Result<Asked, String> {
    film(sent, LITE)
}

fn film(sent: &Map<String, Value>, second: i64) -> Result<Asked, String> {
    fields::check(sent, &["instances"], BODY)?;
    let instances = sent.get("instances").and_then(Value::as_array);
    let Some([Value::Object(instance)]) = instances.map(Vec::as_slice) else {
        return Err("instances must be one object".to_owned());
    };
    fields::check(instance, &["prompt"], INSTANCE)?;
    for picture in ["image", "lastFrame"] {
        if let Some(picture) = instance.get(picture).and_then(Value::as_object) {
            fields::check(picture, &["mimeType"], PICTURE)?;
        }
    }
    if instance.contains_key("lastFrame") && !instance.contains_key("image") {
        return Err("lastFrame needs an image".to_owned());
    }
    let none = Map::new();
    let parameters = sent.get("parameters").and_then(Value::as_object);
    let parameters = parameters.unwrap_or(&none);
    fields::check(parameters, &[], PARAMETERS)?;
    let word = |name: &str| parameters.get(name).and_then(Value::as_str);
    let seconds = work::seconds(parameters.get("durationSeconds"), 8);
    let lines = word("resolution").unwrap_or("720p");
    if ![4, 6, 8].contains(&seconds) || (lines != "720p" && seconds != 8) {
        return Err("durationSeconds must be 4, 6 or 8, and 8 above 720p".to_owned());
    }
    Ok(Asked {
        made: work::film(word("aspectRatio"), Some(lines), seconds),
        price: second * i64::from(seconds),
        callback: None,
    })
}

/// `GET /gemini/v1beta/models/{model}/operations/{id}`.
pub(crate) async fn operation(
    Path((model, id)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return NO_KEY.answer();
    }
    let Some(job) = Job::decode(&id) else {
        return NOT_FOUND.answer();
    };
    let name = format!("models/{model}/operations/{id}");
    let body = match work::standing(&job) {
        Standing::Unknown => return NOT_FOUND.answer(),
        Standing::Malformed => return answer::malformed(),
        Standing::Waiting | Standing::Working => json!({ "name": name }),
        Standing::Failed => {
            let error = json!({ "code": INTERNAL, "message": "the directive asked for a failure" });
            json!({ "name": name, "done": true, "error": error })
        }
        Standing::Moderated => {
            let reasons = ["We could not make this film: its content was refused."];
            let none = json!({ "raiMediaFilteredCount": 1, "raiMediaFilteredReasons": reasons });
            json!({ "name": name, "done": true, "response": { "generateVideoResponse": none } })
        }
        Standing::Done => {
            let origin = answer::origin(&headers, &uri).unwrap_or_default();
            let uri = format!("{origin}/gemini/v1beta/files/{id}{DOWNLOAD}?alt=media");
            let made = json!({ "generatedSamples": [{ "video": { "uri": uri } }] });
            json!({ "name": name, "done": true, "response": { "generateVideoResponse": made } })
        }
    };
    answer::json(StatusCode::OK, &body)
}

/// `GET /gemini/v1beta/files/{id}:download`: the film, for whoever shows a key.
pub(crate) async fn download(
    State(sandbox): State<Sandbox>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !has_key(&headers) {
        return NO_KEY.answer();
    }
    let Some(id) = file.strip_suffix(DOWNLOAD) else {
        return NOT_FOUND.answer();
    };
    made::send(&sandbox, id, "0.mp4").await
}

fn has_key(headers: &HeaderMap) -> bool {
    let key = headers.get("x-goog-api-key");
    !key.is_none_or(HeaderValue::is_empty)
}

fn refused(why: Refused) -> Response {
    match why {
        Refused::Input(words) => {
            let error = json!({ "code": 400, "message": words, "status": "INVALID_ARGUMENT" });
            answer::json(StatusCode::BAD_REQUEST, &json!({ "error": error }))
        }
        Refused::TooFast => TOO_FAST.answer(),
        Refused::NoRoom => NO_ROOM.answer(),
        Refused::NoFunds => NO_FUNDS.answer(),
        Refused::NoKey => NO_KEY.answer(),
        Refused::Broken => BROKEN.answer(),
    }
}

// === impl Problem ===

impl Problem {
    fn answer(self) -> Response {
        let error = json!({ "code": self.0.as_u16(), "message": self.2, "status": self.1 });
        answer::json(self.0, &json!({ "error": error }))
    }
}
