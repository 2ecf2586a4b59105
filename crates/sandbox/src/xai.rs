//! xAI's pictures and films. A picture is made, or edited, while the caller waits, and is to be had at an address; a film is a job.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use chassis::clock::now_micros;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    at_once::{self, End, Order},
    bill,
    directive::Outcome,
    inputs,
    job::{Job, State as JobState, directive_of},
    kie,
    made::{Kind, Made},
};

/// What the bill, the path and the links of files call it.
pub(crate) const PROVIDER: &str = "xai";
/// The models.
const PICTURES: [&str; 2] = ["grok-imagine-image", "grok-imagine-image-quality"];
const FILMS: [&str; 1] = ["grok-imagine-video"];
/// Micro-US-dollars for a picture, and for a second of film.
const PICTURE: i64 = 20_000;
const SECOND: i64 = 50_000;
/// Their ticks in one of these.
const TICKS: i64 = 10_000;
/// How long a film lasts if nobody says so, and at most.
const USUAL_SECONDS: u16 = 6;
const MAX_SECONDS: u16 = 15;
/// Fields that they know; others they refuse.
const OF_PICTURES: [&str; 7] = [
    "model",
    "prompt",
    "n",
    "aspect_ratio",
    "resolution",
    "response_format",
    "image",
];
const OF_FILMS: [&str; 7] = [
    "model",
    "prompt",
    "duration",
    "aspect_ratio",
    "resolution",
    "image",
    "reference_images",
];

/// A refusal: status, code and words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal(StatusCode, &'static str, String);

/// Its routes, but for those of pictures, which OpenAI's have in common with it.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/xai/v1/videos/generations", post(submit))
        .route("/xai/v1/videos/{id}", get(look))
}

/// `POST /xai/v1/images/generations`.
pub(crate) async fn pictures(
    sandbox: &Sandbox,
    (headers, uri): (&HeaderMap, &Uri),
    body: &[u8],
) -> Response {
    let read = read(headers, body, (&PICTURES, &OF_PICTURES)).and_then(|input| {
        if input.contains_key("image") {
            return Err(invalid("Argument not supported: image"));
        }
        Ok(input)
    });
    picture(sandbox, (headers, uri), read).await
}

/// `POST /xai/v1/images/edits`.
pub(crate) async fn edited(
    sandbox: &Sandbox,
    (headers, uri): (&HeaderMap, &Uri),
    body: &[u8],
) -> Response {
    let read = read(headers, body, (&PICTURES, &OF_PICTURES)).and_then(|input| {
        let image = input.get("image").and_then(|image| image.get("url"));
        if image.and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(invalid("image.url is required"));
        }
        Ok(input)
    });
    picture(sandbox, (headers, uri), read).await
}

async fn picture(
    sandbox: &Sandbox,
    (headers, uri): (&HeaderMap, &Uri),
    read: Result<Map<String, Value>, Refusal>,
) -> Response {
    let input = match read {
        Ok(input) => input,
        Err(refusal) => return refusal.answer(),
    };
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let (width, height) = at_once::sides(text("aspect_ratio"), text("resolution"));
    let model = text("model").to_owned();
    let input = Value::Object(input);
    if let Err(why) = inputs::check(sandbox, &input).await {
        return invalid(&why).answer();
    }
    let Some(origin) = answer::origin(headers, uri) else {
        return invalid("there is no host").answer();
    };
    let order = Order {
        provider: PROVIDER,
        model: &model,
        input: &input,
        made: Made {
            kind: Kind::Jpeg,
            count: 1,
            width,
            height,
            seconds: 0,
        },
        price: PICTURE,
    };
    match at_once::call(sandbox, order).await {
        End::Broken(answer) => answer,
        End::Refused(outcome) => refused(outcome).answer(),
        End::Made(job, times) => {
            let urls = at_once::links(sandbox, &job, (PROVIDER, &origin));
            let picture = |url: String| json!({ "url": url, "mime_type": job.made.kind.content_type(), "revised_prompt": "" });
            let data: Vec<Value> = urls.into_iter().map(picture).collect();
            let usage = json!({ "cost_in_usd_ticks": PICTURE * times * TICKS });
            let body = job.with_word(json!({ "data": data, "usage": usage }));
            answer::json(StatusCode::OK, &body)
        }
    }
}

/// `POST /xai/v1/videos/generations`.
async fn submit(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let input = match read(&headers, &body, (&FILMS, &OF_FILMS)) {
        Ok(input) => input,
        Err(refusal) => return refusal.answer(),
    };
    if input.contains_key("image") && input.contains_key("reference_images") {
        return invalid("image and reference_images exclude each other").answer();
    }
    let asked = kie::Asked(&input);
    let seconds = asked.seconds().unwrap_or(USUAL_SECONDS);
    if seconds > MAX_SECONDS {
        return invalid("duration must be from 1 to 15").answer();
    }
    let (width, height) = asked.video();
    let made = Made {
        kind: Kind::Mp4,
        count: 1,
        width,
        height,
        seconds,
    };
    let model = input.get("model").and_then(Value::as_str);
    let model = model.unwrap_or_default().to_owned();
    let input = Value::Object(input);
    if let Err(why) = inputs::check(&sandbox, &input).await {
        return invalid(&why).answer();
    }
    let directive = directive_of(&input, &sandbox.config.bounds());
    if at_once::is_refused(directive.outcome) {
        return refused(directive.outcome).answer();
    }
    let job = Job::new(&directive, sandbox.config.default_delay, None, made);
    let row = bill::Job {
        id: job.encode(),
        provider: PROVIDER.to_owned(),
        model: model.clone(),
        kind: job.made.kind.billed_as().to_owned(),
        prompt_hash: bill::hash(&format!("{model} {input}")),
        at: job.start,
        billed: film(&job) * at_once::billed(job.outcome),
    };
    let accepted = json!({ "request_id": row.id });
    match sandbox.bill.record(row).await {
        Ok(()) => answer::json(StatusCode::OK, &accepted),
        Err(error) => {
            tracing::error!(%error, "the sandbox failed");
            refused(Outcome::Fail).answer()
        }
    }
}

/// `GET /xai/v1/videos/{id}`.
async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !at_once::has_key(&headers) {
        return no_key().answer();
    }
    let (Some(job), Some(origin)) = (Job::decode(&id), answer::origin(&headers, &uri)) else {
        return no_film().answer();
    };
    let ticks = film(&job) * at_once::billed(job.outcome) * TICKS;
    let body = match job.state(now_micros()) {
        JobState::Unknown => return no_film().answer(),
        JobState::Malformed => return answer::malformed(),
        JobState::Pending(percent) => {
            let body = json!({ "status": "pending", "progress": percent });
            return answer::json(StatusCode::ACCEPTED, &job.with_word(body));
        }
        JobState::Ready => {
            let url = at_once::links(&sandbox, &job, (PROVIDER, &origin)).pop();
            let video =
                json!({ "url": url, "duration": job.made.seconds, "respect_moderation": true });
            json!({ "status": "done", "video": video, "progress": 100, "usage": { "cost_in_usd_ticks": ticks } })
        }
        JobState::Failed => failed("internal_error", "the directive asked for a failure"),
        JobState::RequestModerated => failed(
            "invalid_argument",
            "The prompt was rejected by content moderation.",
        ),
        // Which is no failure of theirs.
        JobState::ContentModerated => {
            json!({ "status": "done", "video": { "url": "", "duration": 0, "respect_moderation": false } })
        }
    };
    answer::json(StatusCode::OK, &job.with_word(body))
}

fn failed(code: &str, message: &str) -> Value {
    json!({ "status": "failed", "error": { "code": code, "message": message } })
}

/// What a film costs.
fn film(job: &Job) -> i64 {
    SECOND * i64::from(job.made.seconds)
}

/// A request for one of these models, in these fields.
fn read(
    headers: &HeaderMap,
    body: &[u8],
    (models, fields): (&[&str], &[&str]),
) -> Result<Map<String, Value>, Refusal> {
    if !at_once::has_key(headers) {
        return Err(no_key());
    }
    let body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| invalid("the body is no JSON object"))?;
    if let Some(name) = body.keys().find(|name| !fields.contains(&name.as_str())) {
        return Err(invalid(&format!("Argument not supported: {name}")));
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    if text("model").is_none_or(|model| !models.contains(&model)) {
        let words = "The model does not exist or your team does not have access to it.";
        return Err(Refusal(
            StatusCode::NOT_FOUND,
            "not-found",
            words.to_owned(),
        ));
    }
    if text("prompt").is_none_or(str::is_empty) {
        return Err(invalid("prompt is required"));
    }
    Ok(body)
}

fn invalid(words: &str) -> Refusal {
    Refusal(
        StatusCode::BAD_REQUEST,
        "invalid-argument",
        words.to_owned(),
    )
}

fn no_key() -> Refusal {
    let words = "No API key was found in the header Authorization.";
    Refusal(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        words.to_owned(),
    )
}

fn no_film() -> Refusal {
    let words = "There is no such request.";
    Refusal(StatusCode::NOT_FOUND, "not-found", words.to_owned())
}

/// How a directive's refusal is said.
fn refused(outcome: Outcome) -> Refusal {
    let (status, code, words) = match outcome {
        Outcome::RateLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            "resource-exhausted",
            "Too many requests (sandbox).",
        ),
        Outcome::Overloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The model is at capacity (sandbox).",
        ),
        Outcome::OutOfBalance => (
            StatusCode::FORBIDDEN,
            "permission-denied",
            "Your team has either used all available credits or reached its monthly spending limit.",
        ),
        Outcome::Moderated => (
            // As if it were the key's.
            StatusCode::FORBIDDEN,
            "The caller does not have permission to execute the specified operation",
            "Content violates usage guidelines. Team: sandbox, API key ID: sandbox, Failed check: SAFETY_CHECK_TYPE_SANDBOX",
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
            "internal",
            "An internal error has occurred (sandbox).",
        ),
    };
    Refusal(status, code, words.to_owned())
}

// === impl Refusal ===

impl Refusal {
    fn answer(&self) -> Response {
        answer::json(self.0, &json!({ "code": self.1, "error": self.2 }))
    }
}
