//! Replicate's predictions: create one, of an official model or of a version, look at it, download what it made.
//!
//! Its webhook comes if the directive says so. A cancelled prediction goes on, as one that was too far there.

mod model;
mod wire;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use chassis::clock::{MICROS_PER_SECOND, micros, now_micros};
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::{Map, Value};

use self::{
    model::{MODELS, Model},
    wire::{Problem, Told},
};
use crate::{
    Sandbox, answer, bill,
    callback::Order,
    directive::Outcome,
    inputs,
    job::{Job, State as JobState, directive_of},
    made,
};

/// A submit that was read.
type Read = (Map<String, Value>, made::Made, Option<String>);

/// What is wrong with the body of a submit.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// It is no JSON object.
    Body,
    /// It has no input.
    Input,
    /// This field of it is not a text.
    Field(&'static str),
}

/// What the links of files call this provider.
const PROVIDER: &str = "replicate";
/// How many times the work an overreporting prediction is billed for.
const OVERREPORTED: i64 = 100;
/// The digits of a model's number.
const DIGITS: usize = 2;

/// A prediction as its id tells it: the model's number, then the job.
#[derive(Debug)]
struct Prediction {
    model: &'static Model,
    job: Job,
}

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    const PREDICTIONS: &str = "/replicate/v1/predictions";
    Router::new()
        .route(
            "/replicate/v1/models/{owner}/{name}/predictions",
            post(create_official),
        )
        .route(PREDICTIONS, post(create_version))
        .route(&format!("{PREDICTIONS}/{{id}}"), get(look))
        .route(&format!("{PREDICTIONS}/{{id}}/cancel"), post(cancel))
}

/// `POST /replicate/v1/models/{owner}/{name}/predictions`.
async fn create_official(
    State(sandbox): State<Sandbox>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let model = model::official(&format!("{owner}/{name}")).ok_or(wire::NOT_FOUND);
    create(&sandbox, model, (&headers, &uri), &body).await
}

/// `POST /replicate/v1/predictions`.
async fn create_version(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let sent: Option<Map<String, Value>> = serde_json::from_slice(&body).ok();
    let version = sent.as_ref().and_then(|sent| sent.get("version")?.as_str());
    let model = version.and_then(model::versioned).ok_or(wire::NO_VERSION);
    create(&sandbox, model, (&headers, &uri), &body).await
}

/// `GET /replicate/v1/predictions/{id}`.
async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    find(&sandbox, &id, (&headers, &uri))
}

/// `POST /replicate/v1/predictions/{id}/cancel`: the prediction as it stands.
async fn cancel(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    find(&sandbox, &id, (&headers, &uri))
}

async fn create(
    sandbox: &Sandbox,
    model: Result<&'static Model, Problem>,
    (headers, uri): (&HeaderMap, &Uri),
    body: &[u8],
) -> Response {
    if !has_key(headers) {
        return wire::NO_KEY.answer();
    }
    let model = match model {
        Ok(model) => model,
        Err(problem) => return problem.answer(),
    };
    let Some(origin) = answer::origin(headers, uri) else {
        return wire::NO_HOST.answer();
    };
    let (input, made, webhook) = match read(model, body) {
        Ok(read) => read,
        Err(wrong) => return wrong.answer(),
    };
    let seed = input.get("seed").and_then(Value::as_i64);
    let input = Value::Object(input);
    let mut directive = directive_of(&input, &sandbox.config.bounds());
    if let Some(problem) = refusal(directive.outcome) {
        return problem.answer();
    }
    // It takes what it cannot fetch, and fails then.
    if inputs::check(sandbox, &input).await.is_err() {
        directive.outcome = Outcome::Fail;
    }
    let job = Job::new(&directive, sandbox.config.default_delay, seed, made);
    let prediction = Prediction { model, job };
    let row = bill::Job {
        id: prediction.encode(),
        provider: PROVIDER.to_owned(),
        model: model.name.to_owned(),
        kind: prediction.job.made.kind.billed_as().to_owned(),
        prompt_hash: bill::hash(&format!("{} {input}", model.name)),
        at: prediction.job.start,
        billed: prediction.billed(),
    };
    let accepted = wire::prediction(&prediction.told(&row.id, &origin), "starting");
    let order = Order {
        outcome: prediction.job.outcome,
        due: prediction.job.due(),
        url: webhook,
    };
    match sandbox.bill.record(row).await {
        Ok(()) => {
            sandbox.caller.call_back(order, &accepted);
            answer::json(StatusCode::CREATED, &accepted)
        }
        Err(error) => {
            tracing::error!(%error, "the sandbox failed");
            wire::BROKEN.answer()
        }
    }
}

/// The input, what shall be made of it, and where to call.
fn read(model: &Model, body: &[u8]) -> Result<Read, Wrong> {
    let sent: Map<String, Value> = serde_json::from_slice(body).map_err(|_| Wrong::Body)?;
    let input = sent.get("input").and_then(Value::as_object);
    let input = input.ok_or(Wrong::Input)?;
    let made = model.read(input).map_err(Wrong::Field)?;
    let webhook = sent.get("webhook").and_then(Value::as_str);
    Ok((input.clone(), made, webhook.map(str::to_owned)))
}

/// A prediction as it stands.
fn find(sandbox: &Sandbox, id: &str, (headers, uri): (&HeaderMap, &Uri)) -> Response {
    if !has_key(headers) {
        return wire::NO_KEY.answer();
    }
    let Some(origin) = answer::origin(headers, uri) else {
        return wire::NO_HOST.answer();
    };
    let Some(prediction) = Prediction::decode(id) else {
        return wire::NOT_FOUND.answer();
    };
    let told = prediction.told(id, &origin);
    let now = now_micros();
    let body = match prediction.job.state(now) {
        JobState::Unknown => return wire::NOT_FOUND.answer(),
        JobState::Malformed => return answer::malformed(),
        JobState::Pending(0) => wire::prediction(&told, "starting"),
        JobState::Pending(_) => wire::prediction(&told, "processing"),
        JobState::Ready => {
            let life = micros(sandbox.config.link_life);
            let expires = now.saturating_add(life) / MICROS_PER_SECOND;
            wire::succeeded(&told, prediction.output(&origin, expires))
        }
        JobState::Failed => wire::failed(&told, "the directive asked for a failure"),
        JobState::RequestModerated => {
            wire::failed(&told, "The input was flagged as sensitive. (E005)")
        }
        JobState::ContentModerated => {
            wire::failed(&told, "The output was flagged as sensitive. (E005)")
        }
    };
    answer::json(StatusCode::OK, &body)
}

/// The outcomes that refuse a submit at once.
fn refusal(outcome: Outcome) -> Option<Problem> {
    let table = [
        (Outcome::RateLimited, wire::THROTTLED),
        (Outcome::Overloaded, wire::OVERLOADED),
        (Outcome::OutOfBalance, wire::NO_CREDIT),
    ];
    let row = table.into_iter().find(|row| row.0 == outcome);
    row.map(|(_, problem)| problem)
}

fn has_key(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::AUTHORIZATION);
    let key = sent.and_then(|sent| sent.to_str().ok()?.strip_prefix("Bearer "));
    key.is_some_and(|key| !key.is_empty())
}

// === impl Wrong ===

impl Wrong {
    fn answer(self) -> Response {
        match self {
            Self::Body => wire::NO_JSON.answer(),
            Self::Input => wire::invalid("input", "an object is required"),
            Self::Field(name) => wire::invalid(&format!("input.{name}"), "a text is required"),
        }
    }
}

// === impl Prediction ===

impl Prediction {
    fn encode(&self) -> String {
        let number = MODELS.iter().position(|model| model == self.model);
        format!("{:0DIGITS$}{}", number.unwrap_or(0), self.job.encode())
    }

    /// Reads an id; `None` for one that is not ours.
    fn decode(id: &str) -> Option<Self> {
        let (number, job) = id.split_at_checked(DIGITS)?;
        let is_number = number.bytes().all(|digit| digit.is_ascii_digit());
        let number: usize = is_number.then(|| number.parse().ok())??;
        Some(Self {
            model: MODELS.get(number)?,
            job: Job::decode(job)?,
        })
    }

    fn told<'a>(&'a self, id: &'a str, origin: &'a str) -> Told<'a> {
        Told {
            id,
            origin,
            model: self.model,
            job: &self.job,
            times: self.times(),
        }
    }

    /// How many times the work is told and billed.
    fn times(&self) -> i64 {
        if self.job.outcome == Outcome::Overreport {
            OVERREPORTED
        } else {
            1
        }
    }

    /// What the provider would charge, in micro-US-dollars. Official models are billed by what they made.
    fn billed(&self) -> i64 {
        match self.job.outcome {
            Outcome::Fail | Outcome::Moderated | Outcome::Hang => 0,
            Outcome::Success
            | Outcome::RateLimited
            | Outcome::Overloaded
            | Outcome::OutOfBalance
            | Outcome::Malformed
            | Outcome::Vanish
            | Outcome::DuplicateCallback
            | Outcome::LateCallback
            | Outcome::Overreport
            | Outcome::Cut => self.model.cost(&self.job.made) * self.times(),
        }
    }

    /// One link, or a list of them, by model.
    fn output(&self, origin: &str, expires: i64) -> Value {
        let link = |number| made::link(origin, PROVIDER, &self.job, number, expires);
        if self.model.lists {
            (0..self.job.made.count).map(link).collect()
        } else {
            link(0).into()
        }
    }
}
