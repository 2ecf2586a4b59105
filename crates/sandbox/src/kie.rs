//! kie.ai's unified jobs: create a task, look at its record, download what it made.
//!
//! As the real one, it answers almost everything with HTTP 200: what counts is the envelope's `code`.

mod input;
mod model;

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{Query, State},
    response::Response,
};
use chassis::clock::{MICROS_PER_SECOND, micros, now_micros};
use http::{HeaderMap, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(crate) use self::input::Asked;
use self::model::{MODELS, Model};
use crate::{
    Error, Sandbox, answer, bill,
    callback::Order,
    directive::Outcome,
    inputs,
    job::{Job, State as JobState, directive_of},
    made,
};

/// What `GET /kie/api/v1/jobs/recordInfo` is asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Poll {
    task_id: Option<String>,
}

/// A task as its id tells it: the model's number, then the job.
#[derive(Debug)]
struct Task {
    model: &'static Model,
    job: Job,
}

/// What a submit asks for.
struct Create {
    model: &'static Model,
    /// Where to call.
    callback: Option<String>,
    input: Value,
    made: made::Made,
}

/// A refusal: the envelope's code, and its words.
type Refusal = (u16, String);

/// Micro-US-dollars in one of the provider's credits.
const CREDIT: i64 = 5_000;
/// The provider's credits are never used up here.
const BALANCE: u32 = 1_000_000;
/// How many times the cost an overreporting task is billed with.
const OVERREPORTED: i64 = 100;
/// From this percentage on a task is no longer in the queue.
const UNDER_WAY: u8 = 10;
/// The digits of a model's number.
const DIGITS: usize = 2;

/// `POST /kie/api/v1/jobs/createTask`.
pub(crate) async fn create(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return no_key();
    }
    let create = match read(&body) {
        Ok(create) => create,
        Err((code, words)) => return refused(code, &words),
    };
    if let Err(why) = inputs::check(&sandbox, &create.input).await {
        return refused(422, &why);
    }
    let directive = directive_of(&create.input, &sandbox.config.bounds());
    if let Some((code, words)) = refusal(directive.outcome) {
        return refused(code, words);
    }
    let seed = create.input.get("seed").and_then(Value::as_i64);
    let default_delay = sandbox.config.default_delay;
    let task = Task {
        model: create.model,
        job: Job::new(&directive, default_delay, seed, create.made),
    };
    let earns = !matches!(
        directive.outcome,
        Outcome::Fail | Outcome::Moderated | Outcome::Hang
    );
    let row = bill::Job {
        id: task.encode(),
        provider: "kie".to_owned(),
        model: task.model.name.to_owned(),
        kind: task.job.made.kind.billed_as().to_owned(),
        // Tools have no prompt: a task that comes twice has the same input, for the same model.
        prompt_hash: bill::hash(&format!("{} {}", task.model.name, create.input)),
        at: task.job.start,
        billed: if earns { task.cost() } else { 0 },
    };
    let accepted = json!({ "taskId": row.id });
    let order = Order {
        outcome: directive.outcome,
        due: task.job.due(),
        url: create.callback,
    };
    let told = answer::with(task.ended("success"), "taskId", json!(row.id));
    match sandbox.bill.record(row).await {
        Ok(()) => {
            let told = json!({ "code": 200, "msg": "success", "data": told });
            sandbox.caller.call_back(order, &told);
            fine(&accepted)
        }
        Err(error) => broken(&error),
    }
}

/// `GET /kie/api/v1/jobs/recordInfo?taskId=`.
pub(crate) async fn record_info(
    State(sandbox): State<Sandbox>,
    Query(poll): Query<Poll>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return no_key();
    }
    let Some(id) = poll.task_id.filter(|id| !id.is_empty()) else {
        return refused(422, "taskId is required");
    };
    let now = now_micros();
    let Some(task) = Task::decode(&id) else {
        return unknown_task();
    };
    let record = match task.job.state(now) {
        JobState::Unknown => return unknown_task(),
        JobState::Malformed => return answer::malformed(),
        JobState::Pending(percent) => task.running(percent),
        JobState::Ready => {
            let Some(origin) = answer::origin(&headers, &uri) else {
                return refused(400, "there is no host in the request");
            };
            let expires = now.saturating_add(micros(sandbox.config.link_life)) / MICROS_PER_SECOND;
            task.done(&origin, expires)
        }
        JobState::Failed => task.failed("500", "the directive asked for a failure"),
        JobState::RequestModerated => task.failed("400", "The input was flagged as sensitive."),
        JobState::ContentModerated => task.failed("500", "The output was flagged as sensitive."),
    };
    fine(&answer::with(record, "taskId", json!(id)))
}

/// `GET /kie/api/v1/chat/credit`.
pub(crate) async fn credit(headers: HeaderMap) -> Response {
    if !has_key(&headers) {
        return no_key();
    }
    fine(&json!(BALANCE))
}

/// Reads a submit.
fn read(body: &[u8]) -> Result<Create, Refusal> {
    let body: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|_| (400, "the body is not a JSON object".to_owned()))?;
    let name = body.get("model").and_then(Value::as_str);
    let name = name.ok_or_else(|| (422, "model is required".to_owned()))?;
    let model = model::find(name).ok_or_else(|| (404, "there is no such model".to_owned()))?;
    let input = body.get("input").and_then(Value::as_object);
    let input = input.ok_or_else(|| (422, "input is required".to_owned()))?;
    Ok(Create {
        model,
        callback: body
            .get("callBackUrl")
            .and_then(Value::as_str)
            .map(str::to_owned),
        made: model.read(input).map_err(|words| (422, words))?,
        input: Value::Object(input.clone()),
    })
}

/// The outcomes that refuse a submit at once.
fn refusal(outcome: Outcome) -> Option<(u16, &'static str)> {
    let table = [
        (Outcome::RateLimited, 429, "too many new tasks"),
        (Outcome::Overloaded, 455, "the service is being maintained"),
        (Outcome::OutOfBalance, 402, "the credits are used up"),
    ];
    let row = table.into_iter().find(|row| row.0 == outcome);
    row.map(|(_, code, words)| (code, words))
}

/// Whether a request shows a key; any does.
pub(crate) fn has_key(headers: &HeaderMap) -> bool {
    let key = headers.get(header::AUTHORIZATION);
    let key = key.and_then(|key| key.to_str().ok()?.strip_prefix("Bearer "));
    key.is_some_and(|key| !key.trim().is_empty())
}

/// An answer in the envelope of kie's dialect.
pub(crate) fn fine(data: &Value) -> Response {
    envelope(200, "success", data)
}

/// A refusal in that envelope: its code is what counts, the status stays 200.
pub(crate) fn refused(code: u16, words: &str) -> Response {
    envelope(code, words, &Value::Null)
}

/// The refusal of a request without a key.
pub(crate) fn no_key() -> Response {
    refused(401, "there is no key in the header Authorization")
}

fn unknown_task() -> Response {
    refused(422, "recordInfo is null")
}

fn envelope(code: u16, msg: &str, data: &Value) -> Response {
    let body = json!({ "code": code, "msg": msg, "data": data });
    answer::json(StatusCode::OK, &body)
}

/// The sandbox itself failed.
pub(crate) fn broken(error: &Error) -> Response {
    tracing::error!(%error, "the sandbox failed");
    let body = json!({ "code": 500, "msg": "the sandbox failed", "data": null });
    answer::json(StatusCode::INTERNAL_SERVER_ERROR, &body)
}

// === impl Task ===

impl Task {
    fn encode(&self) -> String {
        let number = MODELS.iter().position(|model| model == self.model);
        format!("{:0DIGITS$}{}", number.unwrap_or(0), self.job.encode())
    }

    /// Reads an id; `None` for one that is not ours.
    fn decode(id: &str) -> Option<Self> {
        let (number, job) = id.split_at_checked(DIGITS)?;
        let number = number
            .bytes()
            .all(|digit| digit.is_ascii_digit())
            .then(|| number.parse::<usize>().ok())?;
        Some(Self {
            model: MODELS.get(number?)?,
            job: Job::decode(job)?,
        })
    }

    /// What the provider would charge, in micro-US-dollars.
    fn cost(&self) -> i64 {
        let cost = self.model.cost(&self.job.made);
        if self.job.outcome == Outcome::Overreport {
            return cost * OVERREPORTED;
        }
        cost
    }

    fn running(&self, percent: u8) -> Value {
        let state = match percent {
            0 => "waiting",
            1..UNDER_WAY => "queuing",
            _ => "generating",
        };
        answer::with(self.record(state), "progress", json!(percent))
    }

    fn done(&self, origin: &str, expires: i64) -> Value {
        let links = (0..self.job.made.count)
            .map(|number| made::link(origin, "kie", &self.job, number, expires));
        let results = json!({ "resultUrls": links.collect::<Vec<_>>() });
        let record = self.ended("success");
        let record = answer::with(record, "resultJson", json!(results.to_string()));
        let record = answer::with(record, "progress", json!(100));
        // Rounded up: the smallest tools cost half a credit.
        let credits = (self.cost() + CREDIT - 1) / CREDIT;
        answer::with(record, "creditsConsumed", json!(credits))
    }

    /// Failed tasks are not charged.
    fn failed(&self, code: &str, words: &str) -> Value {
        let record = answer::with(self.ended("fail"), "failCode", json!(code));
        let record = answer::with(record, "failMsg", json!(words));
        answer::with(record, "creditsConsumed", json!(0))
    }

    fn ended(&self, state: &str) -> Value {
        let record = self.record(state);
        let record = answer::with(record, "costTime", json!(self.job.delay_millis));
        answer::with(record, "completeTime", json!(millis(self.job.due())))
    }

    /// The record in any state. The input is not in the id, so it cannot come back.
    fn record(&self, state: &str) -> Value {
        let param = json!({ "model": self.model.name, "input": "(the sandbox keeps no inputs)" });
        let record = json!({
            "taskId": null, "model": self.model.name, "state": state, "param": param.to_string(),
            "resultJson": "", "failCode": "", "failMsg": "", "costTime": null, "completeTime": null,
            "createTime": millis(self.job.start), "updateTime": millis(now_micros()),
        });
        self.job.with_word(record)
    }
}

/// They count time in milliseconds.
fn millis(at: i64) -> i64 {
    at / micros(Duration::from_millis(1))
}
