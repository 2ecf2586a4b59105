//! Vidu: a film of a text, of a picture, or between two; looked at by what it created, and asked to stop.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use chassis::clock::now_micros;
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    job::Job,
    signer::Signature,
    work::{
        self, Asked, Read, Refused, Standing, Submit,
        fields::{self, Field, Is},
    },
};

/// A refusal: status, reason and words.
#[derive(Debug, Clone, Copy)]
struct Problem(StatusCode, &'static str, &'static str);

const PROVIDER: &str = "vidu";
const NO_KEY: Problem = Problem(StatusCode::UNAUTHORIZED, "Unauthorized", "there is no key");
const NO_TASK: Problem = Problem(
    StatusCode::NOT_FOUND,
    "TaskNotFound",
    "there is no such task",
);
const NO_PATH: Problem = Problem(StatusCode::NOT_FOUND, "NotFound", "there is nothing here");
const TOO_FAST: Problem = Problem(
    StatusCode::TOO_MANY_REQUESTS,
    "TooManyRequests",
    "slow down",
);
const NO_ROOM: Problem = Problem(
    StatusCode::SERVICE_UNAVAILABLE,
    "ServiceUnavailable",
    "the service is full",
);
const NO_FUNDS: Problem = Problem(StatusCode::BAD_REQUEST, "CreditInsufficient", "top up");
const OVER: Problem = Problem(StatusCode::BAD_REQUEST, "BadRequest", "the task is over");
const BROKEN: Problem = Problem(
    StatusCode::INTERNAL_SERVER_ERROR,
    "InternalServiceFailure",
    "the sandbox failed",
);
/// Micro-US-dollars in one of its credits.
const CREDIT: i64 = 5_000;
/// Credits a second, by lines.
const SECOND: [(&str, i64); 3] = [("540p", 9), ("720p", 20), ("1080p", 24)];
const FIELDS: &[Field] = &[
    ("model", Is::OneOf(&["viduq3-pro", "viduq3-turbo"])),
    ("prompt", Is::Text(5_000)),
    ("duration", Is::Whole(1, 16)),
    ("seed", Is::Whole(0, 2_147_483_647)),
    ("resolution", Is::OneOf(&["540p", "720p", "1080p"])),
    ("audio", Is::Switch),
    ("payload", Is::Words(1_048_576)),
    ("callback_url", Is::Text(2_048)),
];
const RATIO: &[Field] = &[(
    "aspect_ratio",
    Is::OneOf(&["16:9", "9:16", "3:4", "4:3", "1:1"]),
)];
const PICTURES: &[Field] = &[("images", Is::Texts(2))];

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/vidu/ent/v2/{kind}", post(submit))
        .route("/vidu/ent/v2/tasks/{id}/creations", get(look))
        .route("/vidu/ent/v2/tasks/{id}/cancel", post(cancel))
}

async fn submit(
    State(sandbox): State<Sandbox>,
    Path(kind): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(key) = key(&headers) else {
        return NO_KEY.answer();
    };
    let read: Read = match &*kind {
        "text2video" => of_text,
        "img2video" => of_picture,
        "start-end2video" => between,
        _ => return NO_PATH.answer(),
    };
    let submit = Submit {
        provider: PROVIDER,
        model: "viduq3-pro",
        body: &body,
    };
    let told = |id: &str| json!({ "id": id, "state": "success", "err_code": "" });
    let signature = Signature::for_vidu(key);
    match work::take_signed(&sandbox, submit, read, told, signature).await {
        Ok((id, job)) => answer::json(
            StatusCode::OK,
            &json!({
                "task_id": id, "state": "created", "model": "viduq3-pro", "duration": job.made.seconds, "seed": job.seed,
                "movement_amplitude": "auto", "payload": "", "off_peak": false, "credits": credits(&job),
            }),
        ),
        Err(why) => refused(why),
    }
}

fn of_text(sent: &Map<String, Value>) -> Result<Asked, String> {
    film(sent, &["model", "prompt"], &[FIELDS, RATIO].concat())
}

fn of_picture(sent: &Map<String, Value>) -> Result<Asked, String> {
    of_pictures(sent, 1)
}

fn between(sent: &Map<String, Value>) -> Result<Asked, String> {
    of_pictures(sent, 2)
}

fn of_pictures(sent: &Map<String, Value>, count: usize) -> Result<Asked, String> {
    let pictures = sent.get("images").and_then(Value::as_array);
    if pictures.map(Vec::len) != Some(count) {
        return Err(format!("images must be {count}"));
    }
    film(sent, &["model", "images"], &[FIELDS, PICTURES].concat())
}

fn film(sent: &Map<String, Value>, needs: &[&str], known: &[Field]) -> Result<Asked, String> {
    fields::check(sent, needs, known)?;
    let word = |name: &str| sent.get(name).and_then(Value::as_str);
    let lines = word("resolution").unwrap_or("720p");
    let row = SECOND.iter().find(|(name, _)| *name == lines);
    let each = row.map_or(20, |(_, credits)| *credits);
    let seconds = work::seconds(sent.get("duration"), 5);
    Ok(Asked {
        made: work::film(word("aspect_ratio"), Some(lines), seconds),
        price: each * i64::from(seconds) * CREDIT,
        callback: word("callback_url").map(str::to_owned),
    })
}

/// What a task costs, as far as its id tells: at 540 lines the frames are those of 480.
fn credits(job: &Job) -> i64 {
    let lines = job.made.width.min(job.made.height);
    let each = match lines {
        0..=540 => 9,
        541..=720 => 20,
        _ => 24,
    };
    work::billed(job.outcome, each * i64::from(job.made.seconds))
}

async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if key(&headers).is_none() {
        return NO_KEY.answer();
    }
    let Some(job) = Job::decode(&id) else {
        return NO_TASK.answer();
    };
    let task = |state: &str, code: &str, creations: Vec<Value>| {
        let body = json!({
            "id": id, "state": state, "err_code": code, "credits": credits(&job), "payload": "", "bgm": false, "off_peak": false,
            "creations": creations,
        });
        answer::json(StatusCode::OK, &body)
    };
    if matches!(sandbox.bill.is_cancelled(&id).await, Ok(true)) {
        return task("failed", "UserCancelled", Vec::new());
    }
    match work::standing(&job) {
        Standing::Unknown => NO_TASK.answer(),
        Standing::Malformed => answer::malformed(),
        Standing::Waiting => task("queueing", "", Vec::new()),
        Standing::Working => task("processing", "", Vec::new()),
        Standing::Failed => task("failed", "InternalServiceFailure", Vec::new()),
        Standing::Moderated => task("failed", "CreationPolicyViolation", Vec::new()),
        Standing::Done => {
            let links = work::links(&sandbox, PROVIDER, &job, (&headers, &uri));
            let made = |url| json!({ "id": "1", "url": url, "cover_url": "" });
            task("success", "", links.into_iter().map(made).collect())
        }
    }
}

/// A task that waits is stopped; one that runs goes on, as one that was too far there.
async fn cancel(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if key(&headers).is_none() {
        return NO_KEY.answer();
    }
    let Some(job) = Job::decode(&id) else {
        return NO_TASK.answer();
    };
    match work::standing(&job) {
        Standing::Unknown => NO_TASK.answer(),
        Standing::Working => answer::json(StatusCode::OK, &json!({})),
        Standing::Waiting => match sandbox.bill.cancel(&id, now_micros()).await {
            Ok(()) => answer::json(StatusCode::OK, &json!({})),
            Err(error) => {
                tracing::error!(%error, "the sandbox failed");
                BROKEN.answer()
            }
        },
        Standing::Done | Standing::Failed | Standing::Moderated | Standing::Malformed => {
            OVER.answer()
        }
    }
}

/// The word before its key is its own.
fn key(headers: &HeaderMap) -> Option<&str> {
    let key = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let key = key.strip_prefix("Token ")?.trim();
    Some(key).filter(|key| !key.is_empty())
}

fn refused(why: Refused) -> Response {
    match why {
        Refused::Input(words) => {
            let body = json!({ "code": 400, "reason": "FieldInvalid", "message": words, "metadata": { "trace_id": "sandbox" } });
            answer::json(StatusCode::BAD_REQUEST, &body)
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
        let body = json!({ "code": self.0.as_u16(), "reason": self.1, "message": self.2, "metadata": { "trace_id": "sandbox" } });
        answer::json(self.0, &body)
    }
}
