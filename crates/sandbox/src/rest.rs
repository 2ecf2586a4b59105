//! A provider that nobody has written code for: jobs of a plain REST server, in words of its own. It is there to show, and to test, that a
//! file is enough: docs/providers/acme.toml describes it.
//!
//! | request | what |
//! |---|---|
//! | `POST /rest/jobs` | `{ "model", "input", "notify"? }`: a job |
//! | `GET /rest/jobs/{id}` | how it stands, and its files |
//! | `DELETE /rest/jobs/{id}` | 204 while it is not over, else 409; it goes on, as one that was too far there |
//!
//! It tells the place in its queue, its progress and what it bills, and calls `notify` back if the directive says so.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use chassis::clock::{MICROS_PER_SECOND, micros, now_micros};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer, bill,
    callback::Order,
    directive::Outcome,
    job::{Job, State as JobState, directive_of},
    kie::Asked,
    made::{self, Kind, Made, Sound},
};

/// What the links of files call this provider.
const PROVIDER: &str = "rest";
/// Where its key is shown.
const KEY: &str = "x-api-key";
/// Its models, and what each makes.
const MODELS: [(&str, Kind); 3] = [
    ("picture-1", Kind::Png),
    ("film-1", Kind::Mp4),
    ("sound-1", Kind::Sound(Sound::Mp3)),
];
/// Micro-US-dollars for a file, or for a second of one.
const PRICE: i64 = 20_000;
/// How many times the price an overreporting job is billed with.
const OVERREPORTED: i64 = 100;
/// Seconds of a film or a sound that nobody says the length of.
const USUAL_SECONDS: u16 = 5;
/// Until so much of its time has passed, in percent, a job waits.
const WAITS: u8 = 30;

/// A request that is not taken: status, code and text.
#[derive(Debug, Clone, Copy)]
struct Problem(StatusCode, &'static str, &'static str);

const NO_KEY: Problem = Problem(StatusCode::UNAUTHORIZED, "no_key", "There is no key.");
const NO_JOB: Problem = Problem(StatusCode::NOT_FOUND, "no_job", "There is no such job.");
const NO_MODEL: Problem = Problem(StatusCode::NOT_FOUND, "no_model", "There is no such model.");
const NO_PROMPT: Problem = Problem(
    StatusCode::UNPROCESSABLE_ENTITY,
    "bad_input",
    "input.prompt must be a text that is not empty",
);
const NO_JSON: Problem = Problem(
    StatusCode::BAD_REQUEST,
    "bad_input",
    "the body must be an object with model and input",
);
const NO_HOST: Problem = Problem(StatusCode::BAD_REQUEST, "bad_input", "There is no host.");
const OVER: Problem = Problem(StatusCode::CONFLICT, "over", "The job is over.");
const TOO_FAST: Problem = Problem(StatusCode::TOO_MANY_REQUESTS, "too_fast", "Slow down.");
const NO_ROOM: Problem = Problem(StatusCode::SERVICE_UNAVAILABLE, "no_room", "We are full.");
const NO_FUNDS: Problem = Problem(StatusCode::PAYMENT_REQUIRED, "no_funds", "Top up.");
const BROKEN: Problem = Problem(
    StatusCode::INTERNAL_SERVER_ERROR,
    "broken",
    "The sandbox failed.",
);

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/rest/jobs", post(submit))
        .route("/rest/jobs/{id}", get(look).delete(cancel))
}

async fn submit(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if !has_key(&headers) {
        return NO_KEY.answer();
    }
    let (model, made, input, notify) = match read(&body) {
        Ok(read) => read,
        Err(problem) => return problem.answer(),
    };
    let directive = directive_of(&input, &sandbox.config.bounds());
    if let Some(problem) = refusal(directive.outcome) {
        return problem.answer();
    }
    let seed = input.get("seed").and_then(Value::as_i64);
    let job = Job::new(&directive, sandbox.config.default_delay, seed, made);
    let row = bill::Job {
        id: job.encode(),
        provider: PROVIDER.to_owned(),
        model: model.to_owned(),
        kind: job.made.kind.billed_as().to_owned(),
        prompt_hash: bill::hash(&format!("{model} {input}")),
        at: job.start,
        billed: billed(&job),
    };
    let accepted = json!({ "id": row.id, "phase": "waiting" });
    let told = json!({ "id": row.id, "phase": "finished" });
    let order = Order {
        outcome: job.outcome,
        due: job.due(),
        url: notify,
    };
    match sandbox.bill.record(row).await {
        Ok(()) => {
            sandbox.caller.call_back(order, &told);
            answer::json(StatusCode::ACCEPTED, &accepted)
        }
        Err(error) => {
            tracing::error!(%error, "the sandbox failed");
            BROKEN.answer()
        }
    }
}

async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let job = match find(&id, &headers) {
        Ok(job) => job,
        Err(problem) => return problem.answer(),
    };
    let Some(origin) = answer::origin(&headers, &uri) else {
        return NO_HOST.answer();
    };
    let now = now_micros();
    let body = match job.state(now) {
        JobState::Unknown => return NO_JOB.answer(),
        JobState::Malformed => return answer::malformed(),
        JobState::Pending(percent) if percent < WAITS => json!({ "phase": "waiting", "ahead": 1 }),
        JobState::Pending(percent) => json!({ "phase": "working", "done": hundredths(percent) }),
        JobState::Ready => {
            let life = micros(sandbox.config.link_life);
            let expires = now.saturating_add(life) / MICROS_PER_SECOND;
            let link = |number| made::link(&origin, PROVIDER, &job, number, expires);
            let file =
                |number| json!({ "type": job.made.kind.content_type(), "href": link(number) });
            let files: Vec<Value> = (0..job.made.count).map(file).collect();
            json!({ "phase": "finished", "files": files, "spent": { "micro_usd": billed(&job) } })
        }
        JobState::Failed => ended("broken", "engine", "the directive asked for a failure"),
        JobState::RequestModerated => ended("rejected", "policy", "The input was rejected."),
        JobState::ContentModerated => ended("rejected", "policy", "The result was rejected."),
    };
    let body = answer::with(body, "id", json!(id));
    let body = job.with_word(body);
    answer::json(StatusCode::OK, &body)
}

async fn cancel(Path(id): Path<String>, headers: HeaderMap) -> Response {
    let state = find(&id, &headers).map(|job| job.state(now_micros()));
    match state {
        Err(problem) => problem.answer(),
        Ok(JobState::Unknown) => NO_JOB.answer(),
        Ok(JobState::Pending(_)) => {
            answer::text(StatusCode::NO_CONTENT, "application/json", Bytes::new())
        }
        Ok(
            JobState::Ready
            | JobState::Failed
            | JobState::RequestModerated
            | JobState::ContentModerated
            | JobState::Malformed,
        ) => OVER.answer(),
    }
}

/// The model, what it shall make, the input, and where to call.
fn read(body: &[u8]) -> Result<(&'static str, Made, Value, Option<String>), Problem> {
    let body: Map<String, Value> = serde_json::from_slice(body).map_err(|_| NO_JSON)?;
    let input = body
        .get("input")
        .and_then(Value::as_object)
        .ok_or(NO_JSON)?;
    let model = body.get("model").and_then(Value::as_str).ok_or(NO_JSON)?;
    let (model, kind) = *MODELS.iter().find(|row| row.0 == model).ok_or(NO_MODEL)?;
    let prompt = input.get("prompt").and_then(Value::as_str);
    if prompt.is_none_or(str::is_empty) {
        return Err(NO_PROMPT);
    }
    let asked = Asked(input);
    let ((width, height), count) = match kind {
        Kind::Png | Kind::Jpeg | Kind::CutOut | Kind::Webp => (asked.picture(), asked.count()),
        Kind::Mp4 | Kind::Webm | Kind::Mov | Kind::ClearWebm | Kind::ClearMov => (asked.video(), 1),
        Kind::Sound(_) | Kind::Words => ((0, 0), 1),
    };
    let made = Made {
        kind,
        count,
        width,
        height,
        seconds: asked.seconds().unwrap_or(USUAL_SECONDS),
    };
    let notify = body.get("notify").and_then(Value::as_str);
    let input = Value::Object(input.clone());
    Ok((model, made.fitted(), input, notify.map(str::to_owned)))
}

fn find(id: &str, headers: &HeaderMap) -> Result<Job, Problem> {
    if !has_key(headers) {
        return Err(NO_KEY);
    }
    Job::decode(id).ok_or(NO_JOB)
}

fn has_key(headers: &HeaderMap) -> bool {
    headers.get(KEY).is_some_and(|key| !key.is_empty())
}

/// The outcomes that refuse a submit at once.
fn refusal(outcome: Outcome) -> Option<Problem> {
    let table = [
        (Outcome::RateLimited, TOO_FAST),
        (Outcome::Overloaded, NO_ROOM),
        (Outcome::OutOfBalance, NO_FUNDS),
    ];
    let row = table.into_iter().find(|row| row.0 == outcome);
    row.map(|(_, problem)| problem)
}

/// What the provider would charge, in micro-US-dollars.
fn billed(job: &Job) -> i64 {
    let price = PRICE * i64::from(job.made.count) * i64::from(job.made.seconds.max(1));
    match job.outcome {
        Outcome::Fail | Outcome::Moderated | Outcome::Hang => 0,
        Outcome::Overreport => price * OVERREPORTED,
        Outcome::Success
        | Outcome::RateLimited
        | Outcome::Overloaded
        | Outcome::OutOfBalance
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Cut => price,
    }
}

fn ended(phase: &str, code: &str, text: &str) -> Value {
    json!({ "phase": phase, "problem": { "code": code, "text": text } })
}

/// It counts from 0 to 1.
fn hundredths(percent: u8) -> f64 {
    format!("0.{percent:02}").parse().unwrap_or_default()
}

// === impl Problem ===

impl Problem {
    fn answer(self) -> Response {
        let body = json!({ "problem": { "code": self.1, "text": self.2 } });
        answer::json(self.0, &body)
    }
}
