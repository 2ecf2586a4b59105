//! Ark: Seedream makes a picture while the caller waits, which is to be had at an address; a film of Seedance is a task. A picture that is
//! held back is an error inside of an answer that says all is well.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use chassis::clock::{MICROS_PER_SECOND, now_micros};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    at_once::{self, End, Order},
    bill,
    callback::Order as Callback,
    directive::Outcome,
    inputs,
    job::{Job, State as JobState, directive_of},
    kie,
    made::{Kind, Made},
};

/// What the bill and the links of files call it.
const PROVIDER: &str = "ark";
/// The models, and what each costs: micro-US-dollars for a picture, or for a million tokens of film, with sound and without.
const SEEDREAM: &str = "seedream-4-5-251128";
const SEEDANCE: &str = "seedance-1-5-pro-251215";
const PICTURE: i64 = 40_000;
const TOKENS: [i64; 2] = [2_400_000, 1_200_000];
const MILLION: i64 = 1_000_000;
/// Pictures of a second, and what of their pixels is a token.
const FRAMES: i64 = 24;
const PIXELS: i64 = 1_024;
/// The bounds of a picture, in pixels.
const PICTURE_PIXELS: std::ops::RangeInclusive<u32> = 3_686_400..=16_777_216;
/// Fields that are known of each; others are refused.
const OF_PICTURES: [&str; 7] = [
    "model",
    "prompt",
    "image",
    "size",
    "sequential_image_generation",
    "response_format",
    "watermark",
];
const OF_FILMS: [&str; 10] = [
    "model",
    "content",
    "resolution",
    "ratio",
    "duration",
    "seed",
    "generate_audio",
    "camera_fixed",
    "watermark",
    "callback_url",
];
/// How long a film lasts if nobody says so, and at least and at most.
const USUAL_SECONDS: u16 = 5;
const SECONDS: std::ops::RangeInclusive<u16> = 4..=12;
/// What says in a task's id that its film has a sound, and that it has none.
const LOUD: &str = "cgt-s";
const SILENT: &str = "cgt-q";

/// A refusal: status, code and words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal(StatusCode, &'static str, String);

/// A task as its id tells it.
struct Task {
    job: Job,
    sound: Sound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    Some,
    None,
}

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    const TASKS: &str = "/ark/api/v3/contents/generations/tasks";
    Router::new()
        .route("/ark/api/v3/images/generations", post(picture))
        .route(TASKS, post(submit))
        .route(&format!("{TASKS}/{{id}}"), get(look).delete(cancel))
}

/// `POST /ark/api/v3/images/generations`.
async fn picture(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let read = read(&headers, &body, (SEEDREAM, &OF_PICTURES)).and_then(of_picture);
    let (input, (width, height)) = match read {
        Ok(read) => read,
        Err(refusal) => return refusal.answer(),
    };
    if let Err(why) = inputs::check(&sandbox, &input).await {
        return invalid("image", &why).answer();
    }
    let Some(origin) = answer::origin(&headers, &uri) else {
        return invalid("host", "there is none").answer();
    };
    let order = Order {
        provider: PROVIDER,
        model: SEEDREAM,
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
    let created = now_micros() / MICROS_PER_SECOND;
    match at_once::call(&sandbox, order).await {
        End::Broken(answer) => answer,
        // All is well, but for the picture.
        End::Refused(Outcome::Moderated) => {
            let error = json!({ "code": "OutputImageSensitiveContentDetected", "message": "The output image may contain sensitive information." });
            let body =
                json!({ "model": SEEDREAM, "created": created, "data": [{ "error": error }] });
            answer::json(StatusCode::OK, &body)
        }
        End::Refused(outcome) => refused(outcome).answer(),
        End::Made(job, times) => {
            let urls = at_once::links(&sandbox, &job, (PROVIDER, &origin));
            let size = format!("{}x{}", job.made.width, job.made.height);
            let data: Vec<Value> = urls
                .into_iter()
                .map(|url| json!({ "url": url, "size": size }))
                .collect();
            let tokens = 16_384 * times;
            let usage =
                json!({ "generated_images": 1, "output_tokens": tokens, "total_tokens": tokens });
            let body =
                json!({ "model": SEEDREAM, "created": created, "data": data, "usage": usage });
            answer::json(StatusCode::OK, &job.with_word(body))
        }
    }
}

/// What a request for a picture asks for.
fn of_picture(input: Map<String, Value>) -> Result<(Value, (u16, u16)), Refusal> {
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    if text("prompt").is_none_or(str::is_empty) {
        return Err(invalid("prompt", "it is required"));
    }
    if text("response_format").is_some_and(|format| format != "url") {
        return Err(invalid("response_format", "the sandbox answers with a url"));
    }
    let (width, height) = text("size")
        .and_then(at_once::pixels)
        .ok_or_else(|| invalid("size", "the sandbox takes width and height"))?;
    if !PICTURE_PIXELS.contains(&(u32::from(width) * u32::from(height))) {
        return Err(invalid("size", "it is out of bounds"));
    }
    Ok((Value::Object(input), (width, height)))
}

/// `POST /ark/api/v3/contents/generations/tasks`.
async fn submit(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let (input, task) = match read(&headers, &body, (SEEDANCE, &OF_FILMS)) {
        Ok(input) => match of_film(&input) {
            Ok(film) => (Value::Object(input), film),
            Err(refusal) => return refusal.answer(),
        },
        Err(refusal) => return refusal.answer(),
    };
    if let Err(why) = inputs::check(&sandbox, &input).await {
        return invalid("content", &why).answer();
    }
    let directive = directive_of(&input, &sandbox.config.bounds());
    if at_once::is_refused(directive.outcome) {
        return refused(directive.outcome).answer();
    }
    let (made, sound) = task;
    let seed = input.get("seed").and_then(Value::as_i64);
    let job = Job::new(&directive, sandbox.config.default_delay, seed, made);
    let task = Task { job, sound };
    let row = bill::Job {
        id: task.encode(),
        provider: PROVIDER.to_owned(),
        model: SEEDANCE.to_owned(),
        kind: task.job.made.kind.billed_as().to_owned(),
        prompt_hash: bill::hash(&format!("{SEEDANCE} {input}")),
        at: task.job.start,
        billed: task.price() * at_once::billed(task.job.outcome),
    };
    let callback = Callback {
        outcome: task.job.outcome,
        due: task.job.due(),
        url: input
            .get("callback_url")
            .and_then(Value::as_str)
            .map(str::to_owned),
    };
    let (accepted, told) = (json!({ "id": row.id }), task.told(&row.id, "succeeded"));
    match sandbox.bill.record(row).await {
        Ok(()) => {
            sandbox.caller.call_back(callback, &told);
            answer::json(StatusCode::OK, &accepted)
        }
        Err(error) => {
            tracing::error!(%error, "the sandbox failed");
            refused(Outcome::Fail).answer()
        }
    }
}

/// What a request for a film asks for.
fn of_film(input: &Map<String, Value>) -> Result<(Made, Sound), Refusal> {
    let content = input.get("content").and_then(Value::as_array);
    let items = content.map_or(&[][..], Vec::as_slice);
    let has_words = items.iter().any(|item| {
        let text = item.get("text").and_then(Value::as_str);
        item["type"] == "text" && text.is_some_and(|text| !text.is_empty())
    });
    let frames = items.iter().filter(|item| item["type"] == "image_url");
    let are_frames = frames.clone().all(|item| {
        item["role"] == "first_frame"
            && item.pointer("/image_url/url").is_some_and(Value::is_string)
    });
    if !(has_words && are_frames) || frames.count() > 1 {
        return Err(invalid("content", "it takes a text, and a first frame"));
    }
    // The ratio has a name of its own there.
    let mut asked = input.clone();
    let ratio = asked.get("ratio").cloned().unwrap_or_else(|| json!("16:9"));
    asked.insert("aspect_ratio".to_owned(), ratio);
    let asked = kie::Asked(&asked);
    let seconds = asked.seconds().unwrap_or(USUAL_SECONDS);
    if !SECONDS.contains(&seconds) {
        return Err(invalid("duration", "it must be from 4 to 12"));
    }
    let (width, height) = asked.video();
    let made = Made {
        kind: Kind::Mp4,
        count: 1,
        width,
        height,
        seconds,
    };
    let sound = match input.get("generate_audio").and_then(Value::as_bool) {
        Some(true) => Sound::Some,
        Some(false) | None => Sound::None,
    };
    Ok((made, sound))
}

/// `GET /ark/api/v3/contents/generations/tasks/{id}`.
async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let task = match find(&sandbox, &id, &headers).await {
        Ok(task) => task,
        Err(refusal) => return refusal.answer(),
    };
    let Some(origin) = answer::origin(&headers, &uri) else {
        return invalid("host", "there is none").answer();
    };
    let failed = |code: &str, message: &str| {
        let error = json!({ "code": code, "message": message });
        answer::with(task.told(&id, "failed"), "error", error)
    };
    let body = match task.job.state(now_micros()) {
        JobState::Unknown => return no_task().answer(),
        JobState::Malformed => return answer::malformed(),
        JobState::Pending(0) => task.told(&id, "queued"),
        JobState::Pending(_) => task.told(&id, "running"),
        JobState::Ready => {
            let url = at_once::links(&sandbox, &task.job, (PROVIDER, &origin)).pop();
            let content = json!({ "video_url": url });
            let body = answer::with(task.told(&id, "succeeded"), "content", content);
            let tokens = task.tokens() * at_once::billed(task.job.outcome);
            let usage = json!({ "completion_tokens": tokens, "total_tokens": tokens });
            answer::with(body, "usage", usage)
        }
        JobState::Failed => failed("InternalServiceError", "the directive asked for a failure"),
        JobState::RequestModerated => failed(
            "InputTextSensitiveContentDetected",
            "The input text may contain sensitive information.",
        ),
        JobState::ContentModerated => failed(
            "OutputVideoSensitiveContentDetected",
            "The output video may contain sensitive information.",
        ),
    };
    answer::json(StatusCode::OK, &task.job.with_word(body))
}

/// `DELETE /ark/api/v3/contents/generations/tasks/{id}`: one that waits is cancelled; the record of one that is over would be taken away,
/// which the sandbox keeps.
async fn cancel(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let task = match find(&sandbox, &id, &headers).await {
        Ok(task) => task,
        Err(refusal) => return refusal.answer(),
    };
    let now = now_micros();
    if task.job.state(now) != JobState::Pending(0) {
        return invalid("id", "the task runs, or is over").answer();
    }
    match sandbox.bill.cancel(&id, now).await {
        Ok(()) => answer::json(StatusCode::OK, &json!({})),
        Err(error) => {
            tracing::error!(%error, "the sandbox failed");
            refused(Outcome::Fail).answer()
        }
    }
}

/// A task that was not cancelled.
async fn find(sandbox: &Sandbox, id: &str, headers: &HeaderMap) -> Result<Task, Refusal> {
    if !at_once::has_key(headers) {
        return Err(no_key());
    }
    let task = Task::decode(id).ok_or_else(no_task)?;
    match sandbox.bill.is_cancelled(id).await {
        Ok(false) => Ok(task),
        Ok(true) => Err(no_task()),
        Err(error) => {
            tracing::error!(%error, "the sandbox failed");
            Err(refused(Outcome::Fail))
        }
    }
}

/// A request for this model, in these fields.
fn read(
    headers: &HeaderMap,
    body: &[u8],
    (model, fields): (&str, &[&str]),
) -> Result<Map<String, Value>, Refusal> {
    if !at_once::has_key(headers) {
        return Err(no_key());
    }
    let body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| invalid("body", "it is no JSON object"))?;
    if body.get("model").is_none_or(|named| named != model) {
        let words = format!("The model or endpoint does not exist here; {model} does.");
        return Err(Refusal(
            StatusCode::NOT_FOUND,
            "InvalidEndpointOrModel.NotFound",
            words,
        ));
    }
    if let Some(name) = body.keys().find(|name| !fields.contains(&name.as_str())) {
        return Err(invalid(name, "it is not known"));
    }
    Ok(body)
}

fn invalid(param: &str, words: &str) -> Refusal {
    let words = format!("The parameter `{param}` specified in the request is not valid: {words}.");
    Refusal(StatusCode::BAD_REQUEST, "InvalidParameter", words)
}

fn no_key() -> Refusal {
    let words = "The API key in the request is missing or invalid.";
    Refusal(
        StatusCode::UNAUTHORIZED,
        "AuthenticationError",
        words.to_owned(),
    )
}

fn no_task() -> Refusal {
    let words = "There is no such task.";
    Refusal(StatusCode::NOT_FOUND, "NotFound", words.to_owned())
}

/// How a directive's refusal is said.
fn refused(outcome: Outcome) -> Refusal {
    let (status, code, words) = match outcome {
        Outcome::RateLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            "RateLimitExceeded.EndpointRPMExceeded",
            "The requests per minute limit was exceeded.",
        ),
        Outcome::Overloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "ServerOverloaded",
            "The service is overloaded.",
        ),
        Outcome::OutOfBalance => (
            StatusCode::FORBIDDEN,
            "AccountOverdueError",
            "Your account has an overdue balance.",
        ),
        Outcome::Success
        | Outcome::Fail
        | Outcome::Moderated
        | Outcome::Hang
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Overreport
        | Outcome::Cut => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServiceError",
            "The service encountered an unexpected internal error.",
        ),
    };
    Refusal(status, code, words.to_owned())
}

// === impl Refusal ===

impl Refusal {
    fn answer(&self) -> Response {
        let kind = self.0.canonical_reason().unwrap_or_default();
        let error = json!({ "code": self.1, "message": self.2, "type": kind, "param": "" });
        answer::json(self.0, &json!({ "error": error }))
    }
}

// === impl Task ===

impl Task {
    fn encode(&self) -> String {
        let mark = match self.sound {
            Sound::Some => LOUD,
            Sound::None => SILENT,
        };
        format!("{mark}{}", self.job.encode())
    }

    /// Reads an id; `None` for one that is not ours.
    fn decode(id: &str) -> Option<Self> {
        let (sound, job) = match id.strip_prefix(LOUD) {
            Some(job) => (Sound::Some, job),
            None => (Sound::None, id.strip_prefix(SILENT)?),
        };
        Some(Self {
            job: Job::decode(job)?,
            sound,
        })
    }

    fn tokens(&self) -> i64 {
        let made = &self.job.made;
        let pixels = i64::from(made.width) * i64::from(made.height);
        pixels * FRAMES * i64::from(made.seconds) / PIXELS
    }

    /// Micro-US-dollars.
    fn price(&self) -> i64 {
        let [loud, silent] = TOKENS;
        let price = match self.sound {
            Sound::Some => loud,
            Sound::None => silent,
        };
        self.tokens() * price / MILLION
    }

    fn told(&self, id: &str, status: &str) -> Value {
        json!({
            "id": id, "model": SEEDANCE, "status": status, "error": null, "generate_audio": self.sound == Sound::Some,
            "duration": self.job.made.seconds, "created_at": self.job.start / MICROS_PER_SECOND,
            "updated_at": now_micros() / MICROS_PER_SECOND,
        })
    }
}
