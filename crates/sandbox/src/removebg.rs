//! remove.bg: a picture, by its address or its bytes, is answered with what stands in its middle and nothing around it.

use axum::{Router, body::Bytes, extract::State, response::Response, routing::post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    at_once::{self, End, Order},
    directive::Outcome,
    form, inputs,
    job::Job,
    made::{Kind, Made},
    work::{
        self,
        fields::{self, Field, Is},
    },
};

/// On the bill.
const PROVIDER: &str = "removebg";
/// Where its key is shown.
const KEY: &str = "x-api-key";
/// Micro-US-dollars in one of its credits, of which a whole picture costs one and a preview a quarter.
const CREDIT: i64 = 200_000;
const FIELDS: &[Field] = &[
    ("image_url", Is::Text(4_096)),
    ("image_file", Is::Text(usize::MAX)),
    ("image_file_b64", Is::Text(usize::MAX)),
    (
        "size",
        Is::OneOf(&[
            "preview", "small", "regular", "medium", "hd", "full", "4k", "50MP", "auto",
        ]),
    ),
    (
        "type",
        Is::OneOf(&["auto", "person", "product", "car", "animal", "graphic"]),
    ),
    ("format", Is::OneOf(&["auto", "png"])),
    ("channels", Is::OneOf(&["rgba"])),
];
/// The pictures that one may be told by.
const SOURCES: [&str; 3] = ["image_url", "image_file", "image_file_b64"];
const PREVIEWS: [&str; 3] = ["preview", "small", "regular"];
/// The sides of what is made: a preview is of a quarter of a megapixel.
const SIDES: (u16, u16) = (512, 1_024);

/// A refusal: status, code and title.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal(StatusCode, &'static str, String);

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new().route("/removebg/v1.0/removebg", post(remove))
}

async fn remove(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if headers.get(KEY).is_none_or(HeaderValue::is_empty) {
        let words = "API Key invalid".to_owned();
        return Refusal(StatusCode::FORBIDDEN, "auth_failed", words).answer();
    }
    let input = match read(&headers, body).await {
        Ok(input) => input,
        Err(refusal) => return refusal.answer(),
    };
    let input = Value::Object(input);
    if let Err(why) = inputs::check(&sandbox, &input).await {
        return Refusal(StatusCode::BAD_REQUEST, "failed_to_download_image", why).answer();
    }
    let is_preview = work::text(&input, "size").is_none_or(|size| PREVIEWS.contains(&size));
    let (side, quarters) = if is_preview {
        (SIDES.0, 1)
    } else {
        (SIDES.1, 4)
    };
    let order = Order {
        provider: PROVIDER,
        model: "removebg",
        input: &input,
        made: Made {
            kind: Kind::CutOut,
            ..work::pictures((side, side), 1)
        },
        price: CREDIT * quarters / 4,
    };
    match at_once::call(&sandbox, order).await {
        End::Broken(answer) => answer,
        End::Refused(outcome) => refused(outcome).answer(),
        End::Made(job, times) => match at_once::file(&sandbox, &job).await {
            Ok(answer) => told(answer, &job, quarters * times),
            Err(error) => {
                tracing::error!(%error, "the sandbox failed");
                refused(Outcome::Fail).answer()
            }
        },
    }
}

async fn read(headers: &HeaderMap, body: Bytes) -> Result<Map<String, Value>, Refusal> {
    let invalid = |why| Refusal(StatusCode::BAD_REQUEST, "invalid_parameter", why);
    let input = form::fields(headers, body).await.map_err(invalid)?;
    fields::check(&input, &[], FIELDS).map_err(invalid)?;
    let sources = SOURCES.iter().filter(|name| input.contains_key(**name));
    match sources.count() {
        1 => Ok(input),
        0 => Err(Refusal(
            StatusCode::BAD_REQUEST,
            "missing_source",
            "No image given".to_owned(),
        )),
        _ => Err(Refusal(
            StatusCode::BAD_REQUEST,
            "multiple_sources",
            "Multiple image sources given".to_owned(),
        )),
    }
}

/// The answer with what it cost, in quarters of a credit, and how large it is.
fn told(mut answer: Response, job: &Job, quarters: i64) -> Response {
    let fraction = ["", ".25", ".5", ".75"];
    let fraction = usize::try_from(quarters % 4)
        .ok()
        .and_then(|part| fraction.get(part));
    let credits = format!("{}{}", quarters / 4, fraction.unwrap_or(&""));
    for (name, value) in [
        ("x-credits-charged", credits),
        ("x-type", "other".to_owned()),
        ("x-width", job.made.width.to_string()),
        ("x-height", job.made.height.to_string()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// How a directive's refusal is said.
fn refused(outcome: Outcome) -> Refusal {
    let (status, code, words) = match outcome {
        Outcome::RateLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            "Rate limit exceeded",
        ),
        Outcome::Overloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Service unavailable",
        ),
        Outcome::OutOfBalance => (
            StatusCode::PAYMENT_REQUIRED,
            "insufficient_credits",
            "Insufficient credits",
        ),
        Outcome::Moderated => (
            StatusCode::BAD_REQUEST,
            "content_policy",
            "The image was refused by our content policy",
        ),
        Outcome::Success
        | Outcome::Fail
        | Outcome::Hang
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Overreport
        | Outcome::Cut => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something went wrong",
        ),
    };
    Refusal(status, code, words.to_owned())
}

// === impl Refusal ===

impl Refusal {
    fn answer(&self) -> Response {
        let body = json!({ "errors": [{ "title": self.2, "code": self.1 }] });
        let mut answer = answer::json(self.0, &body);
        if self.0 == StatusCode::TOO_MANY_REQUESTS {
            let soon = HeaderValue::from_static("1");
            answer.headers_mut().insert(header::RETRY_AFTER, soon);
        }
        answer
    }
}
