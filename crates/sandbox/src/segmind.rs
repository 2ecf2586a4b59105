//! Segmind: a model is asked, and answers with a picture.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::post,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    at_once::{self, End, Order},
    directive::Outcome,
    inputs,
    made::{Kind, Made},
    work::{
        self,
        fields::{self, Field, Is},
    },
};

/// On the bill.
const PROVIDER: &str = "segmind";
/// Where its key is shown.
const KEY: &str = "x-api-key";
/// The model that is played, and micro-US-dollars for a picture of it.
const MODEL: (&str, i64) = ("faceswap-v5", 50_000);
const NEEDS: [&str; 2] = ["source_image", "target_image"];
const FIELDS: &[Field] = &[
    ("source_image", Is::Text(usize::MAX)),
    ("target_image", Is::Text(usize::MAX)),
    ("additional_prompt", Is::Words(2_000)),
    ("image_format", Is::OneOf(&["png", "jpeg", "webp"])),
    ("quality", Is::Whole(10, 100)),
    ("seed", Is::Whole(-1, i64::MAX)),
];
/// The side of what is made.
const SIDE: u16 = 1_024;

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new().route("/segmind/v1/{model}", post(ask))
}

async fn ask(
    State(sandbox): State<Sandbox>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.get(KEY).is_none_or(HeaderValue::is_empty) {
        return refuse(StatusCode::UNAUTHORIZED, "There is no API key.");
    }
    if model != MODEL.0 {
        return refuse(StatusCode::NOT_FOUND, "There is no such model.");
    }
    let input = match read(&body) {
        Ok(input) => Value::Object(input),
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &why),
    };
    if let Err(why) = inputs::check(&sandbox, &input).await {
        return refuse(StatusCode::BAD_REQUEST, &why);
    }
    let kind = match work::text(&input, "image_format") {
        Some("jpeg") => Kind::Jpeg,
        Some("webp") => Kind::Webp,
        Some(_) | None => Kind::Png,
    };
    let order = Order {
        provider: PROVIDER,
        model: MODEL.0,
        input: &input,
        made: Made {
            kind,
            ..work::pictures((SIDE, SIDE), 1)
        },
        price: MODEL.1,
    };
    match at_once::call(&sandbox, order).await {
        End::Broken(answer) => answer,
        End::Refused(outcome) => refused(outcome),
        End::Made(job, _) => match at_once::file(&sandbox, &job).await {
            Ok(mut answer) => {
                let left = HeaderValue::from_static("1000000");
                answer.headers_mut().insert("x-remaining-credits", left);
                answer
            }
            Err(error) => {
                tracing::error!(%error, "the sandbox failed");
                refused(Outcome::Fail)
            }
        },
    }
}

fn read(body: &[u8]) -> Result<Map<String, Value>, String> {
    let input = serde_json::from_slice(body);
    let input: Map<String, Value> = input.map_err(|_| "the body is no JSON object".to_owned())?;
    fields::check(&input, &NEEDS, FIELDS)?;
    Ok(input)
}

/// How a directive's refusal is said.
fn refused(outcome: Outcome) -> Response {
    let (status, words) = match outcome {
        Outcome::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests."),
        Outcome::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "No machine is free."),
        // What is theirs for it.
        Outcome::OutOfBalance => (StatusCode::NOT_ACCEPTABLE, "Not enough credits."),
        Outcome::Moderated => (
            StatusCode::BAD_REQUEST,
            "The picture was flagged as sensitive.",
        ),
        Outcome::Success
        | Outcome::Fail
        | Outcome::Hang
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Overreport
        | Outcome::Cut => (StatusCode::INTERNAL_SERVER_ERROR, "Inference failed."),
    };
    refuse(status, words)
}

fn refuse(status: StatusCode, words: &str) -> Response {
    answer::json(status, &json!({ "error": words }))
}
