//! Kling (kling.ai/document-api, November 2026), in both generations of its API, which are there at once: the new one names the version in the
//! path (`text-to-video/kling-3.0`), the old one in the body (`videos/text2video`, and a `model_name` in the row's input).
//!
//! One key (`KLING_API_KEY`) opens both. An access key with its secret, written `<access key>:<secret key>`, signs a token (`kling/token.rs`)
//! that opens the old one alone.

mod token;

use std::ops::RangeInclusive;

use async_trait::async_trait;
use chassis::clock::{MICROS_PER_SECOND, now_micros};
use domain::Secret;
use http::{HeaderMap, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::{Map, Value};
use upstream::{Class, Failure, ProviderAnswer, ProviderClient, Verdict};
use url::Url;

use super::{
    Access, Callback, Cancelled, Cost, Heard, MediaProvider, Order, Progress, Started, jobs, svix,
    wire,
};

/// What one of their units is, in millionths of a US dollar.
const UNIT: i64 = 140_000;
/// Millionths in a US dollar.
const DOLLAR: i64 = 1_000_000;
/// The code of an envelope that holds what was asked for.
const FINE: i64 = 0;
/// What begins the models of the old generation, and where those are.
const OLD_FILMS: &str = "videos/";
const OLD: [&str; 2] = [OLD_FILMS, "images/"];
const OLD_PREFIX: &str = "v1/";
/// Where tasks of the new generation are looked up, whatever they make.
const TASKS: &str = "tasks";
/// A task that they do not have.
const NOT_FOUND: i64 = 1203;
/// What their codes mean. That HTTP says 429 says little: half of those codes ask for an operator.
const CODES: &[(i64, Class)] = &[
    (1000, Class::Auth),
    (1001, Class::Auth),
    (1002, Class::Auth),
    (1003, Class::Auth),
    (1004, Class::Auth),
    (1100, Class::Auth),
    (1101, Class::Balance),
    (1102, Class::Balance),
    (1103, Class::Auth),
    (1200, Class::Invalid),
    (1201, Class::Invalid),
    (1202, Class::Gone),
    (NOT_FOUND, Class::Gone),
    (1300, Class::Moderated),
    (1301, Class::Moderated),
    (1302, Class::RateLimited),
    (1303, Class::RateLimited),
    (1304, Class::Auth),
    // They may have taken the task before that.
    (5000, Class::Unknown),
    (5001, Class::Overloaded),
    (5002, Class::Unknown),
];
/// What codes mean that are not among those.
const FAMILIES: &[(RangeInclusive<i64>, Class)] = &[
    (1000..=1199, Class::Auth),
    (1200..=1299, Class::Invalid),
    (1300..=1399, Class::RateLimited),
];

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Kling {
    client: ProviderClient,
}

/// The wire shape of every answer.
#[derive(Deserialize)]
struct Envelope {
    #[serde(deserialize_with = "wire::number")]
    code: i64,
    #[serde(default, deserialize_with = "wire::lenient")]
    message: Option<String>,
    #[serde(default)]
    data: Value,
}

/// The wire shape of a task, in either generation.
#[derive(Deserialize)]
struct Task {
    /// The new one's.
    #[serde(default, deserialize_with = "wire::lenient")]
    status: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    message: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    outputs: Vec<Made>,
    #[serde(default, deserialize_with = "wire::lenient")]
    billing: Vec<Billed>,
    /// The old one's, of whose results one kind is there.
    #[serde(default, deserialize_with = "wire::lenient")]
    task_status: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    task_status_msg: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    task_result: Map<String, Value>,
    #[serde(default)]
    final_unit_deduction: Value,
}

/// The wire shape of a file.
#[derive(Deserialize)]
struct Made {
    #[serde(default, deserialize_with = "wire::lenient")]
    url: String,
}

/// The wire shape of what a task cost.
#[derive(Deserialize)]
struct Billed {
    #[serde(default, deserialize_with = "wire::lenient")]
    charge_type: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    currency: String,
    #[serde(default)]
    amount: Value,
}

// === impl Kling ===

impl Kling {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    fn headers(access: &Access) -> HeaderMap {
        match pair(access) {
            Some((key, pair)) => {
                let now = now_micros() / MICROS_PER_SECOND;
                let token = token::sign(key, pair, now);
                jobs::with_header(access, AUTHORIZATION, &format!("Bearer {token}"))
            }
            None => wire::bearer(access),
        }
    }
}

#[async_trait]
impl MediaProvider for Kling {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let is_old = is_old(order.model);
        let path = if is_old {
            format!("{OLD_PREFIX}{}", order.model)
        } else {
            order.model.to_owned()
        };
        let to = wire::place(&access.base_url, &path)?;
        let body = body(order);
        let sending = jobs::submit(&self.client, (to, Self::headers(access)), &body, classify);
        let envelope: Envelope = jobs::read(&sending.await?)?;
        if envelope.code != FINE {
            return Err(jobs::refusal(envelope.verdict()));
        }
        let id = id_of(&envelope.data);
        let id = id.ok_or_else(|| Failure::malformed("the answer to a submit has no task"))?;
        let job = if is_old {
            format!("{} {id}", order.model)
        } else {
            id
        };
        Ok(Started::taken(job, None))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let (from, id) = look_up(&access.base_url, job)?;
        let at = (from, Self::headers(access));
        let envelope: Envelope = match jobs::get(&self.client, at, classify_look).await {
            Ok(envelope) => envelope,
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        match (envelope.code, envelope.verdict()) {
            (FINE, _) => {}
            (NOT_FOUND, _) => return Ok(Progress::Missing),
            (_, verdict) => return Err(jobs::refusal(verdict)),
        }
        match envelope.task(id) {
            None => Ok(Progress::Missing),
            Some(Err(_)) => Err(Failure::malformed("the answer to a poll has no task")),
            Some(Ok(task)) => Ok(task.progress()),
        }
    }

    /// They have no such call.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::Impossible)
    }

    /// A pair of keys opens the old generation alone. One key opens both: films of which both have the model are asked of the new one.
    fn can(&self, access: &Access, model: &str) -> bool {
        match pair(access) {
            Some(_) => is_old(model),
            None => !model.starts_with(OLD_FILMS),
        }
    }

    /// As Svix does, by the one source that says how they sign.
    async fn hears(&self, access: &Access, callback: &Callback<'_>) -> Heard {
        match &access.callback_secret {
            None => Heard::Unsigned,
            Some(secret) if svix::is_genuine(secret, callback) => Heard::Signed,
            Some(_) => Heard::Forged,
        }
    }
}

fn is_old(model: &str) -> bool {
    OLD.iter().any(|start| model.starts_with(start))
}

/// The access key, and the whole credential, where that is a pair.
fn pair(access: &Access) -> Option<(&str, &Secret)> {
    let pair = access.key.as_ref()?;
    let (key, _) = pair.expose().split_once(':')?;
    Some((key.trim(), pair))
}

/// The row's input as it is, with pictures bare, and where to call back.
fn body(order: &Order<'_>) -> Value {
    let mut fields = order.parameters.clone();
    if let Some(callback) = order.callback {
        if is_old(order.model) {
            fields.insert("callback_url".to_owned(), callback.into());
        } else {
            let options = fields
                .entry("options")
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(options) = options.as_object_mut() {
                options.insert("callback_url".to_owned(), callback.into());
            }
        }
    }
    let mut body = Value::Object(fields);
    jobs::bare(&mut body);
    body
}

/// Where a job is looked up, and its id there. Those of the old generation say what they make.
fn look_up<'j>(base: &Url, job: &'j str) -> Result<(Url, &'j str), Failure> {
    let url = match job.split_once(' ') {
        Some((model, id)) => jobs::below(base, &format!("{OLD_PREFIX}{model}"), &[id]),
        None => jobs::asking(base, TASKS, ("task_ids", job)),
    };
    let id = job.rsplit(' ').next().unwrap_or(job);
    Ok((url?, id))
}

fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let envelope: Envelope = serde_json::from_slice(answer.body).ok()?;
    envelope.verdict()
}

/// As [`classify`], for a look at a task.
fn classify_look(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    Some(jobs::looked(classify(answer), answer.status))
}

// === impl Envelope ===

impl Envelope {
    fn verdict(&self) -> Option<Verdict> {
        let words = self.message.as_deref().unwrap_or_default();
        let known = jobs::verdict(CODES, self.code, words);
        known.or_else(|| jobs::of_family(FAMILIES, self.code, words))
    }

    /// The task of this id: the new generation answers with a list of those that were asked for, and with an empty one where there is none.
    fn task(self, id: &str) -> Option<Result<Task, serde_json::Error>> {
        let data = match self.data {
            Value::Array(tasks) => tasks
                .into_iter()
                .find(|task| id_of(task).as_deref() == Some(id))?,
            one @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_)) => one,
        };
        Some(serde_json::from_value(data))
    }
}

/// The id of a task: one name in each generation.
fn id_of(task: &Value) -> Option<String> {
    let mut names = ["id", "task_id"].iter();
    names.find_map(|name| jobs::id(task.get(name)?))
}

/// What stands under the name of one generation, or of the other.
fn either<'t>(new: &'t str, old: &'t str) -> &'t str {
    if new.is_empty() { old } else { new }
}

// === impl Task ===

impl Task {
    fn progress(&self) -> Progress {
        match either(&self.status, &self.task_status) {
            // One word in each generation.
            "succeed" | "succeeded" => jobs::done(self.files(), self.cost()),
            "failed" => Progress::over(self.failure(), self.cost()),
            // `submitted`, `processing`, and whatever else they may add: it runs until the deadline.
            _ => jobs::running(),
        }
    }

    fn files(&self) -> Vec<String> {
        let new = self.outputs.iter().map(|made| made.url.clone());
        let old = self.task_result.values();
        let old = old.filter_map(Value::as_array).flatten();
        let old = old.filter_map(|made| made.get("url")?.as_str().map(str::to_owned));
        new.chain(old).filter(|url| !url.is_empty()).collect()
    }

    /// What they say of a failed task is for the customer where it is the content's.
    fn failure(&self) -> Failure {
        let words = either(&self.message, &self.task_status_msg);
        Failure::reported(jobs::of_words(Class::Overloaded, words))
    }

    /// Units in the old generation; units or money in the new one, of which yuan are not told in dollars.
    fn cost(&self) -> Option<Cost> {
        if self.billing.is_empty() {
            return Cost::of_credits(&self.final_unit_deduction, UNIT);
        }
        let each = self.billing.iter().map(Billed::cost);
        let costs: Option<Vec<Cost>> = each.collect();
        let costs = costs?.into_iter().map(|cost| cost.micro_usd);
        let micro_usd = costs.fold(0, i64::saturating_add);
        Some(Cost { micro_usd })
    }
}

// === impl Billed ===

impl Billed {
    fn cost(&self) -> Option<Cost> {
        match (self.charge_type.as_str(), self.currency.as_str()) {
            ("unit", _) => Cost::of_credits(&self.amount, UNIT),
            ("cash", "USD") => Cost::of_credits(&self.amount, DOLLAR),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
