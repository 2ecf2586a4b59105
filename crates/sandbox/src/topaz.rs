//! Topaz Labs, pictures: one is sent to be made larger, looked at, and fetched where its download says. What waits can be cancelled.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{delete, get, post},
};
use chassis::clock::{MICROS_PER_SECOND, now_micros};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer, form,
    job::Job,
    made::{Kind, Made},
    work::{
        self, Asked, Refused, Standing, Submit,
        fields::{self, Field, Is},
    },
};

/// On the bill and in links.
const PROVIDER: &str = "topaz";
/// Where its key is shown.
const KEY: &str = "x-api-key";
/// Micro-US-dollars in one of its credits, of which a picture costs one.
const CREDIT: i64 = 80_000;
/// The only way that is played, and its models.
const WAY: &str = "enhance";
const FIELDS: &[Field] = &[
    (
        "model",
        Is::OneOf(&[
            "Standard V2",
            "Low Resolution V2",
            "CGI",
            "High Fidelity V2",
            "Text Refine",
        ]),
    ),
    ("source_url", Is::Text(4_096)),
    ("image", Is::Text(usize::MAX)),
    ("output_format", Is::OneOf(&["jpeg", "jpg", "png"])),
    ("output_width", Is::Text(5)),
    ("output_height", Is::Text(5)),
    ("crop_to_fill", Is::OneOf(&["true", "false"])),
    ("webhook_url", Is::Text(2_048)),
];
/// The side of what is made where nobody says it.
const SIDE: u16 = 2_048;

/// A refusal: status and words.
#[derive(Debug, Clone, Copy)]
struct Problem(StatusCode, &'static str);

const NO_KEY: Problem = Problem(StatusCode::UNAUTHORIZED, "Unauthorized");
const NO_PROCESS: Problem = Problem(StatusCode::NOT_FOUND, "Process not found");
const NO_PATH: Problem = Problem(StatusCode::NOT_FOUND, "Not found");
const NOT_READY: Problem = Problem(StatusCode::CONFLICT, "Process is not completed");
const OVER: Problem = Problem(StatusCode::CONFLICT, "Process has already ended");
const TOO_FAST: Problem = Problem(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded");
const NO_ROOM: Problem = Problem(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable");
const NO_FUNDS: Problem = Problem(StatusCode::PAYMENT_REQUIRED, "Insufficient credits");
const BROKEN: Problem = Problem(StatusCode::INTERNAL_SERVER_ERROR, "The sandbox failed");

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/topaz/image/v1/{way}/async", post(submit))
        .route("/topaz/image/v1/status/{id}", get(look))
        .route("/topaz/image/v1/download/{id}", get(download))
        .route("/topaz/image/v1/cancel/{id}", delete(cancel))
}

async fn submit(
    State(sandbox): State<Sandbox>,
    Path(way): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return NO_KEY.answer();
    }
    if way != WAY {
        return NO_PATH.answer();
    }
    let sent = match form::fields(&headers, body).await {
        Ok(sent) => Value::Object(sent),
        Err(why) => return refused(Refused::Input(why)),
    };
    let body = sent.to_string();
    let submit = Submit {
        provider: PROVIDER,
        model: work::text(&sent, "model").unwrap_or("Standard V2"),
        body: body.as_bytes(),
    };
    let told = |id: &str| json!({ "notification_id": id, "process_id": id, "status": "Completed", "progress": 100 });
    match work::take(&sandbox, submit, read, told).await {
        Ok((id, _)) => {
            let body = json!({ "process_id": id, "source_id": id, "eta": 1 });
            answer::json(StatusCode::OK, &body)
        }
        Err(why) => refused(why),
    }
}

fn read(sent: &Map<String, Value>) -> Result<Asked, String> {
    fields::check(sent, &[], FIELDS)?;
    let text = |name: &str| sent.get(name).and_then(Value::as_str);
    if text("source_url").is_some() == text("image").is_some() {
        return Err("one of image and source_url is required".to_owned());
    }
    let side = |name: &str| work::seconds(sent.get(name), SIDE);
    let kind = match text("output_format") {
        Some("png") => Kind::Png,
        Some(_) | None => Kind::Jpeg,
    };
    Ok(Asked {
        made: Made {
            kind,
            ..work::pictures((side("output_width"), side("output_height")), 1)
        },
        price: CREDIT,
        callback: text("webhook_url").map(str::to_owned),
    })
}

async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let job = match find(&id, &headers) {
        Ok(job) => job,
        Err(problem) => return problem.answer(),
    };
    let credits = work::billed(job.outcome, 1);
    let told = |status: &str, progress: u8| {
        let body = json!({
            "process_id": id, "status": status, "progress": progress, "eta": 1, "credits": credits,
            "output_format": job.made.kind.extension(), "output_width": job.made.width, "output_height": job.made.height,
        });
        answer::json(StatusCode::OK, &job.with_word(body))
    };
    if matches!(sandbox.bill.is_cancelled(&id).await, Ok(true)) {
        return told("Cancelled", 0);
    }
    match work::standing(&job) {
        Standing::Unknown => NO_PROCESS.answer(),
        Standing::Malformed => answer::malformed(),
        Standing::Waiting => told("Pending", 0),
        Standing::Working => told("Processing", 50),
        Standing::Failed => told("Failed", 50),
        Standing::Moderated => {
            let body = json!({ "process_id": id, "status": "Failed", "progress": 50, "message": "The image violates the content policy" });
            answer::json(StatusCode::OK, &body)
        }
        Standing::Done => told("Completed", 100),
    }
}

async fn download(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let job = match find(&id, &headers) {
        Ok(job) => job,
        Err(problem) => return problem.answer(),
    };
    if work::standing(&job) != Standing::Done {
        return NOT_READY.answer();
    }
    let links = work::links(&sandbox, PROVIDER, &job, (&headers, &uri));
    let expiry = now_micros() / MICROS_PER_SECOND + 3_600;
    let body =
        json!({ "download_url": links.first(), "head_url": links.first(), "expiry": expiry });
    answer::json(StatusCode::OK, &body)
}

/// One that waits is cancelled; one that runs goes on, as one that was too far there.
async fn cancel(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let job = match find(&id, &headers) {
        Ok(job) => job,
        Err(problem) => return problem.answer(),
    };
    let done = || answer::json(StatusCode::OK, &json!({ "process_id": id }));
    match work::standing(&job) {
        Standing::Unknown => NO_PROCESS.answer(),
        Standing::Working => done(),
        Standing::Waiting => match sandbox.bill.cancel(&id, now_micros()).await {
            Ok(()) => done(),
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

fn find(id: &str, headers: &HeaderMap) -> Result<Job, Problem> {
    if !has_key(headers) {
        return Err(NO_KEY);
    }
    Job::decode(id).ok_or(NO_PROCESS)
}

fn has_key(headers: &HeaderMap) -> bool {
    !headers.get(KEY).is_none_or(HeaderValue::is_empty)
}

fn refused(why: Refused) -> Response {
    match why {
        Refused::Input(words) => {
            let body = json!({ "code": 422, "message": words });
            answer::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
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
        let body = json!({ "code": self.0.as_u16(), "message": self.1 });
        answer::json(self.0, &body)
    }
}
