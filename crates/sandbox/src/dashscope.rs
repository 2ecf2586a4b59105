//! Alibaba's Model Studio (DashScope): films are tasks, pictures are answered at once. It refuses with real statuses, and tells of failed tasks
//! with 200.

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
    at_once::{self, End},
    directive::Outcome,
    job::Job,
    kie::has_key,
    work::{
        self, Asked, Refused, Standing, Submit,
        fields::{self, Field, Is},
    },
};

/// A refusal: status, code and words.
#[derive(Debug, Clone, Copy)]
struct Problem(StatusCode, &'static str, &'static str);

const PROVIDER: &str = "dashscope";
const NO_KEY: Problem = Problem(
    StatusCode::UNAUTHORIZED,
    "InvalidApiKey",
    "No API-key provided.",
);
const NO_MODEL: Problem = Problem(StatusCode::NOT_FOUND, "ModelNotFound", "Model not exist.");
const TOO_FAST: Problem = Problem(
    StatusCode::TOO_MANY_REQUESTS,
    "Throttling.RateQuota",
    "Requests rate limit exceeded.",
);
const NO_ROOM: Problem = Problem(
    StatusCode::SERVICE_UNAVAILABLE,
    "ServiceUnavailable",
    "The service is full.",
);
const NO_FUNDS: Problem = Problem(
    StatusCode::BAD_REQUEST,
    "Arrearage",
    "The account is overdue.",
);
const BROKEN: Problem = Problem(
    StatusCode::INTERNAL_SERVER_ERROR,
    "InternalError",
    "the sandbox failed",
);
const NOT_SYNC: Problem = Problem(
    StatusCode::FORBIDDEN,
    "AccessDenied",
    "current user api does not support synchronous calls.",
);
const RUNS: Problem = Problem(
    StatusCode::BAD_REQUEST,
    "UnsupportedOperation",
    "The task is not PENDING.",
);
const REFUSED: (&str, &str) = (
    "DataInspectionFailed",
    "Output data may contain inappropriate content.",
);
const FAILED: (&str, &str) = ("InternalError.Algo", "the directive asked for a failure");
/// Micro-US-dollars: a second of a film at 720 lines and at 1080, and a picture.
const SECOND: [(u16, i64); 2] = [(720, 100_000), (1_080, 150_000)];
const PICTURE: i64 = 30_000;
const FILMS: [&str; 3] = ["wan2.6-t2v", "wan2.6-i2v", "wan2.6-r2v"];
const PICTURES: [&str; 3] = ["qwen-image-plus", "qwen-image-edit-plus", "z-image-turbo"];
const BODY: &[Field] = &[
    ("model", Is::Text(64)),
    ("input", Is::Object),
    ("parameters", Is::Object),
];
const INPUT: &[Field] = &[
    ("prompt", Is::Text(1_500)),
    ("negative_prompt", Is::Words(500)),
    ("img_url", Is::Text(usize::MAX)),
    ("reference_urls", Is::Texts(5)),
];
const SIZES: &[&str] = &[
    "1280*720",
    "720*1280",
    "960*960",
    "1088*832",
    "832*1088",
    "1920*1080",
    "1080*1920",
    "1440*1440",
    "1632*1248",
    "1248*1632",
];
const PARAMETERS: &[Field] = &[
    ("size", Is::OneOf(SIZES)),
    ("resolution", Is::OneOf(&["720P", "1080P"])),
    ("duration", Is::Whole(2, 15)),
    ("prompt_extend", Is::Switch),
    ("shot_type", Is::OneOf(&["single", "multi"])),
    ("watermark", Is::Switch),
    ("seed", Is::Whole(0, 2_147_483_647)),
];
/// The sizes of a picture of words; one that is edited may have any.
const PICTURE_SIZES: [&str; 5] = [
    "1664*928",
    "1472*1104",
    "1328*1328",
    "1104*1472",
    "928*1664",
];
const OF_PICTURES: &[Field] = &[
    ("size", Is::Text(9)),
    ("n", Is::Whole(1, 6)),
    ("negative_prompt", Is::Words(500)),
    ("prompt_extend", Is::Switch),
    ("watermark", Is::Switch),
    ("seed", Is::Whole(0, 2_147_483_647)),
];

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    const SERVICES: &str = "/dashscope/api/v1/services/aigc";
    Router::new()
        .route(
            &format!("{SERVICES}/video-generation/video-synthesis"),
            post(submit),
        )
        .route(
            &format!("{SERVICES}/multimodal-generation/generation"),
            post(draw),
        )
        .route("/dashscope/api/v1/tasks/{id}", get(look))
        .route("/dashscope/api/v1/tasks/{id}/cancel", post(cancel))
}

async fn submit(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if !has_key(&headers) {
        return NO_KEY.answer();
    }
    if headers
        .get("x-dashscope-async")
        .is_none_or(|word| word != "enable")
    {
        return NOT_SYNC.answer();
    }
    let Some(model) = model(&body, &FILMS) else {
        return NO_MODEL.answer();
    };
    let submit = Submit {
        provider: PROVIDER,
        model,
        body: &body,
    };
    match work::take(&sandbox, submit, film, |_| Value::Null).await {
        Ok((id, _)) => {
            let output = json!({ "task_status": "PENDING", "task_id": id });
            fine(&json!({ "output": output, "request_id": "sandbox" }))
        }
        Err(why) => refused(why),
    }
}

/// The model that a body names, if it is one of these.
fn model(body: &[u8], known: &[&'static str]) -> Option<&'static str> {
    let sent: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let named = sent.get("model")?.as_str()?;
    known.iter().find(|model| **model == named).copied()
}

/// The parts of a body: what is worked on, and how.
type Parts<'a> = (&'a Map<String, Value>, &'a Map<String, Value>);

fn parts(sent: &Map<String, Value>) -> Result<Parts<'_>, String> {
    fields::check(sent, &["model", "input", "parameters"], BODY)?;
    let part = |name: &str| sent.get(name).and_then(Value::as_object);
    let parts = part("input").zip(part("parameters"));
    parts.ok_or_else(|| "input and parameters are objects".to_owned())
}

fn film(sent: &Map<String, Value>) -> Result<Asked, String> {
    let (input, parameters) = parts(sent)?;
    let needs: &[&str] = match sent.get("model").and_then(Value::as_str) {
        Some("wan2.6-i2v") => &["prompt", "img_url"],
        Some("wan2.6-r2v") => &["prompt", "reference_urls"],
        Some(_) | None => &["prompt"],
    };
    fields::check(input, needs, INPUT)?;
    fields::check(parameters, &[], PARAMETERS)?;
    let word = |name: &str| parameters.get(name).and_then(Value::as_str);
    let seconds = work::seconds(parameters.get("duration"), 5);
    let made = match word("size").and_then(work::sides) {
        Some((width, height)) => {
            let lines = width.min(height).to_string();
            let ratio = format!("{}:{}", width / 80, height / 80);
            work::film(Some(&ratio), Some(&lines), seconds)
        }
        None => work::film(None, word("resolution").or(Some("1080P")), seconds),
    };
    let lines = made.width.min(made.height);
    let row = SECOND.iter().find(|(most, _)| lines <= *most);
    let each = row.map_or(150_000, |(_, each)| *each);
    Ok(Asked {
        made,
        price: each * i64::from(made.seconds),
        callback: None,
    })
}

async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return NO_KEY.answer();
    }
    let task = |status: &str| json!({ "task_id": id, "task_status": status });
    let failed = |(code, words): (&str, &str)| {
        let task = answer::with(task("FAILED"), "code", json!(code));
        answer::with(task, "message", json!(words))
    };
    let Some(job) = Job::decode(&id) else {
        return output(&task("UNKNOWN"));
    };
    if matches!(sandbox.bill.is_cancelled(&id).await, Ok(true)) {
        return output(&task("CANCELED"));
    }
    match work::standing(&job) {
        Standing::Unknown => output(&task("UNKNOWN")),
        Standing::Malformed => answer::malformed(),
        Standing::Waiting => output(&task("PENDING")),
        Standing::Working => output(&task("RUNNING")),
        Standing::Failed => output(&failed(FAILED)),
        Standing::Moderated => output(&failed(REFUSED)),
        Standing::Done => {
            let links = work::links(&sandbox, PROVIDER, &job, (&headers, &uri));
            let task = answer::with(task("SUCCEEDED"), "video_url", json!(links.first()));
            let usage = json!({ "duration": job.made.seconds, "video_count": 1 });
            fine(&json!({ "request_id": "sandbox", "output": task, "usage": usage }))
        }
    }
}

/// A task leaves the queue, and nothing else.
async fn cancel(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !has_key(&headers) {
        return NO_KEY.answer();
    }
    let waits = Job::decode(&id).is_some_and(|job| work::standing(&job) == Standing::Waiting);
    if !waits {
        return RUNS.answer();
    }
    match sandbox.bill.cancel(&id, now_micros()).await {
        Ok(()) => fine(&json!({ "request_id": "sandbox" })),
        Err(error) => {
            tracing::error!(%error, "the sandbox failed");
            BROKEN.answer()
        }
    }
}

/// A picture, once it has taken its time.
async fn draw(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return NO_KEY.answer();
    }
    let Some(model) = model(&body, &PICTURES) else {
        return NO_MODEL.answer();
    };
    let submit = Submit {
        provider: PROVIDER,
        model,
        body: &body,
    };
    let (asked, input) = match submit.read(picture) {
        Ok(read) => read,
        Err(why) => return refused(why),
    };
    let order = at_once::Order {
        provider: PROVIDER,
        model,
        input: &input,
        made: asked.made,
        price: asked.price,
    };
    match at_once::call(&sandbox, order).await {
        End::Made(job, _) => {
            let links = work::links(&sandbox, PROVIDER, &job, (&headers, &uri));
            let content: Vec<Value> = links.iter().map(|url| json!({ "image": url })).collect();
            let message = json!({ "role": "assistant", "content": content });
            output(&json!({ "choices": [{ "finish_reason": "stop", "message": message }] }))
        }
        End::Refused(outcome) => without(outcome).answer(),
        End::Broken(answer) => answer,
    }
}

/// Why there is no picture.
fn without(outcome: Outcome) -> Problem {
    match outcome {
        Outcome::RateLimited => TOO_FAST,
        Outcome::Overloaded => NO_ROOM,
        Outcome::OutOfBalance => NO_FUNDS,
        Outcome::Moderated => Problem(StatusCode::BAD_REQUEST, REFUSED.0, REFUSED.1),
        Outcome::Fail
        | Outcome::Success
        | Outcome::Hang
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Overreport
        | Outcome::Cut => Problem(StatusCode::INTERNAL_SERVER_ERROR, FAILED.0, FAILED.1),
    }
}

fn picture(sent: &Map<String, Value>) -> Result<Asked, String> {
    let (input, parameters) = parts(sent)?;
    fields::check(input, &["messages"], &[("messages", Is::List)])?;
    fields::check(parameters, &[], OF_PICTURES)?;
    let content = sent
        .get("input")
        .and_then(|input| input.pointer("/messages/0/content"));
    let content = content.and_then(Value::as_array).map(Vec::as_slice);
    let content = content.unwrap_or_default();
    let has = |name: &str| content.iter().any(|part| work::text(part, name).is_some());
    let model = sent.get("model").and_then(Value::as_str);
    if !has("text") || has("image") != (model == Some("qwen-image-edit-plus")) {
        return Err("content must have a text, and images where they are edited".to_owned());
    }
    let size = parameters.get("size").and_then(Value::as_str);
    let size = size.unwrap_or("1328*1328");
    let is_theirs = model != Some("qwen-image-plus") || PICTURE_SIZES.contains(&size);
    let sides = work::sides(size).filter(|_| is_theirs);
    let sides = sides.ok_or_else(|| "size is wrong".to_owned())?;
    Ok(Asked {
        made: work::pictures(sides, 1),
        price: PICTURE,
        callback: None,
    })
}

fn refused(why: Refused) -> Response {
    match why {
        Refused::Input(words) => {
            let body =
                json!({ "code": "InvalidParameter", "message": words, "request_id": "sandbox" });
            answer::json(StatusCode::BAD_REQUEST, &body)
        }
        Refused::TooFast => TOO_FAST.answer(),
        Refused::NoRoom => NO_ROOM.answer(),
        Refused::NoFunds => NO_FUNDS.answer(),
        Refused::NoKey => NO_KEY.answer(),
        Refused::Broken => BROKEN.answer(),
    }
}

fn output(output: &Value) -> Response {
    fine(&json!({ "request_id": "sandbox", "output": output }))
}

fn fine(body: &Value) -> Response {
    answer::json(StatusCode::OK, body)
}

// === impl Problem ===

impl Problem {
    fn answer(self) -> Response {
        let body = json!({ "code": self.1, "message": self.2, "request_id": "sandbox" });
        answer::json(self.0, &body)
    }
}
