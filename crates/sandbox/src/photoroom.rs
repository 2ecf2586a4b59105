//! Photoroom: a picture's bytes are answered with what stands in its middle and nothing around it. The real one fetches nothing; with test keys
//! nothing is fetched for it, so that here an address may stand in the place of the bytes.

use axum::{Router, body::Bytes, extract::State, response::Response, routing::post};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    at_once::{self, End, Order},
    directive::Outcome,
    form, inputs,
    made::{Kind, Made},
    work::{
        self,
        fields::{self, Field, Is},
    },
};

/// On the bill.
const PROVIDER: &str = "photoroom";
/// Where its key is shown.
const KEY: &str = "x-api-key";
/// Micro-US-dollars for a picture.
const PRICE: i64 = 20_000;
const FIELDS: &[Field] = &[
    ("image_file", Is::Text(usize::MAX)),
    ("format", Is::OneOf(&["png"])),
    ("channels", Is::OneOf(&["rgba"])),
    ("size", Is::OneOf(&["preview", "medium", "hd", "full"])),
    ("crop", Is::OneOf(&["true", "false"])),
    ("despill", Is::OneOf(&["true", "false"])),
];
/// The side of what is made.
const SIDE: u16 = 1_024;

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new().route("/photoroom/v1/segment", post(segment))
}

async fn segment(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if headers.get(KEY).is_none_or(HeaderValue::is_empty) {
        return refuse(StatusCode::FORBIDDEN, "There is no API key.");
    }
    let input = match read(&headers, body).await {
        Ok(input) => Value::Object(input),
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &why),
    };
    if let Err(why) = inputs::check(&sandbox, &input).await {
        return refuse(StatusCode::BAD_REQUEST, &why);
    }
    let order = Order {
        provider: PROVIDER,
        model: "segment",
        input: &input,
        made: Made {
            kind: Kind::CutOut,
            ..work::pictures((SIDE, SIDE), 1)
        },
        price: PRICE,
    };
    match at_once::call(&sandbox, order).await {
        End::Broken(answer) => answer,
        End::Refused(outcome) => refused(outcome),
        End::Made(job, _) => match at_once::file(&sandbox, &job).await {
            Ok(mut answer) => {
                let sure = HeaderValue::from_static("0.02");
                answer.headers_mut().insert("x-uncertainty-score", sure);
                answer
            }
            Err(error) => {
                tracing::error!(%error, "the sandbox failed");
                refused(Outcome::Fail)
            }
        },
    }
}

async fn read(headers: &HeaderMap, body: Bytes) -> Result<Map<String, Value>, String> {
    let input = form::fields(headers, body).await?;
    fields::check(&input, &["image_file"], FIELDS)?;
    Ok(input)
}

/// How a directive's refusal is said.
fn refused(outcome: Outcome) -> Response {
    let (status, words) = match outcome {
        Outcome::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests."),
        Outcome::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "The service is full."),
        Outcome::OutOfBalance => (StatusCode::PAYMENT_REQUIRED, "The plan is used up."),
        Outcome::Moderated => (
            StatusCode::BAD_REQUEST,
            "The picture is against the usage policy.",
        ),
        Outcome::Success
        | Outcome::Fail
        | Outcome::Hang
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Overreport
        | Outcome::Cut => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong."),
    };
    refuse(status, words)
}

fn refuse(status: StatusCode, words: &str) -> Response {
    answer::json(status, &json!({ "detail": words }))
}
