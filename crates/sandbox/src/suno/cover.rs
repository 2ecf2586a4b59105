//! Pictures for a song, once.

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
};
use chassis::clock::{MICROS_PER_SECOND, micros, now_micros};
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Poll, SIDE, Task, billed, count, refusal, unknown_task};
use crate::{
    Sandbox, answer, bill,
    job::{Job, State as JobState},
    kie::{broken, fine, has_key, no_key, refused},
    made::{self, Kind, Made},
};

/// What begins the id of such an order, before its job.
const MARK: char = 'c';
/// Pictures of an order.
const PICTURES: u8 = 2;
/// Micro-US-dollars of an order: they make them for nothing.
const PRICE: i64 = 0;

/// What an order says.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    task_id: String,
    call_back_url: String,
}

/// `POST /{host}/api/v1/suno/cover/generate`.
pub(super) async fn generate(
    State(sandbox): State<Sandbox>,
    Path(host): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return no_key();
    }
    let asked: Asked = serde_json::from_slice(&body).unwrap_or_default();
    if url::Url::parse(&asked.call_back_url).is_err() {
        return refused(422, "callBackUrl is required");
    }
    let Some(song) = Task::done(&asked.task_id) else {
        return refused(404, "taskId is no order of songs that is done");
    };
    let hash = bill::hash(&format!("cover {}", asked.task_id));
    match sandbox.bill.find(&host, &hash).await {
        Ok(None) => {}
        Ok(Some(id)) => return made_before(&id),
        Err(error) => return broken(&error),
    }
    let directive = song.next();
    if let Some((code, words)) = refusal(&host, directive.outcome) {
        return refused(code, words);
    }
    let pictures = Made {
        kind: Kind::Jpeg,
        count: PICTURES,
        width: SIDE,
        height: SIDE,
        seconds: 0,
    };
    let job = Job::new(&directive, sandbox.config.default_delay, None, pictures);
    let row = bill::Job {
        id: format!("{MARK}{}", job.encode()),
        provider: host,
        model: "suno cover".to_owned(),
        kind: Kind::Jpeg.billed_as().to_owned(),
        prompt_hash: hash,
        at: job.start,
        billed: billed(directive.outcome, PRICE),
    };
    count(&sandbox, row).await
}

/// `GET /{host}/api/v1/suno/cover/record-info?taskId=`.
pub(super) async fn record_info(
    State(sandbox): State<Sandbox>,
    Path(host): Path<String>,
    Query(poll): Query<Poll>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return no_key();
    }
    let id = poll.task_id.unwrap_or_default();
    let job = id.strip_prefix(MARK).and_then(Job::decode);
    let Some(job) = job.filter(|job| job.made.kind == Kind::Jpeg) else {
        return unknown_task();
    };
    let Some(origin) = answer::origin(&headers, &uri) else {
        return refused(400, "there is no host in the request");
    };
    let now = now_micros();
    let expires = now.saturating_add(micros(sandbox.config.link_life)) / MICROS_PER_SECOND;
    let (flag, images, why) = match job.state(now) {
        JobState::Unknown => return unknown_task(),
        JobState::Malformed => return answer::malformed(),
        JobState::Pending(0) => (0, Value::Null, None),
        JobState::Pending(_) => (2, Value::Null, None),
        JobState::Ready => {
            let links =
                (0..PICTURES).map(|number| made::link(&origin, &host, &job, number, expires));
            (1, links.collect(), None)
        }
        JobState::Failed => (3, Value::Null, Some((501, "the directive asked for it"))),
        JobState::RequestModerated | JobState::ContentModerated => {
            let words = "The song's words were flagged as sensitive.";
            (3, Value::Null, Some((400, words)))
        }
    };
    fine(&json!({
        "taskId": id, "parentTaskId": "", "callbackUrl": "", "completeTime": null, "response": { "images": images },
        "successFlag": flag, "createTime": job.start, "errorCode": why.map_or(0, |(code, _)| code),
        "errorMessage": why.map_or("", |(_, words)| words),
    }))
}

/// There are some: which order made them stands beside the refusal.
fn made_before(id: &str) -> Response {
    let body = json!({ "code": 400, "msg": "pictures of this song were ordered before", "data": { "taskId": id } });
    answer::json(StatusCode::OK, &body)
}
