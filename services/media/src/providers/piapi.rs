//! PiAPI's tasks (piapi.ai/docs, v1, as of November 2026): create one, then look at it. That HTTP says all is well proves nothing: the code in
//! the answer counts. But what has become of a task, its own state says, whatever the code and HTTP say beside it; they write it in large and in
//! small letters.

use std::sync::OnceLock;

use async_trait::async_trait;
use domain::Secret;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Access, Callback, Cancelled, Heard, MediaProvider, Order, Progress, Started, jobs, signature,
    wire,
};

const KEY: HeaderName = HeaderName::from_static("x-api-key");
const TASKS: &str = "api/v1/task";
/// The header in which a callback shows the secret that came with its task.
const SECRET: &str = "x-webhook-secret";
/// The code of an answer that is none of a refusal.
const FINE: i64 = 200;
/// Where files stand in a result, each in the place of those behind it.
const PLACES: [&str; 5] = [
    "image_url",
    "image_urls",
    "temporary_image_urls",
    "video_url",
    "audio_url",
];
/// How they say that our account is empty, whatever the code beside it: this, and what there is too little of. Of other things there may be too
/// little as well.
const EMPTY: &str = "insufficient ";
const OF_AN_ACCOUNT: [&str; 5] = ["credit", "balance", "quota", "point", "fund"];
/// What their words hold, in small letters, where it is the picture that is wrong.
const OF_A_PICTURE: [&str; 9] = [
    "no face",
    "face not",
    "invalid image",
    "invalid input",
    "image size",
    "download the image",
    "download the input",
    "download image",
    "download input",
];

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct PiApi {
    client: ProviderClient,
}

/// The wire shape of any answer.
#[derive(Deserialize)]
struct Envelope {
    #[serde(deserialize_with = "wire::number")]
    code: i64,
    #[serde(default, deserialize_with = "wire::lenient")]
    message: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    data: Option<Task>,
}

/// The wire shape of a task.
#[derive(Deserialize)]
struct Task {
    #[serde(default)]
    task_id: Value,
    #[serde(default, deserialize_with = "wire::lenient")]
    status: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    output: Map<String, Value>,
    #[serde(default, deserialize_with = "wire::lenient")]
    error: Wrong,
}

/// The wire shape of why a task failed.
#[derive(Default, Deserialize)]
struct Wrong {
    #[serde(default, deserialize_with = "wire::lenient")]
    message: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    raw_message: String,
}

// === impl PiApi ===

impl PiApi {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    fn headers(access: &Access) -> HeaderMap {
        wire::keyed(access, KEY, "")
    }
}

#[async_trait]
impl MediaProvider for PiApi {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let at = (wire::place(&access.base_url, TASKS)?, Self::headers(access));
        let body = body(access, order);
        let answer = jobs::submit(&self.client, at, &body, classify).await?;
        let envelope: Envelope = jobs::read(&answer)?;
        if envelope.code != FINE {
            return Err(jobs::refusal(envelope.verdict(StatusCode::OK)));
        }
        let job = envelope.data.and_then(|task| jobs::id(&task.task_id));
        let job = job.ok_or_else(|| Failure::malformed("the answer to a submit has no task"))?;
        Ok(Started::taken(job, None))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let from = jobs::below(&access.base_url, TASKS, &[job])?;
        // In an answer that HTTP calls a refusal there may be a task all the same.
        let inside = OnceLock::new();
        let classify = |answer: &ProviderAnswer<'_>| {
            let envelope = serde_json::from_slice::<Envelope>(answer.body).ok();
            if let Some(over) = envelope.and_then(|envelope| envelope.data?.over()) {
                let _ = inside.set(over);
            }
            classify_look(answer)
        };
        let call = Call::get(from, Self::headers(access));
        let answer = self.client.send(call, classify).await;
        if let Some(over) = inside.into_inner() {
            return Ok(over);
        }
        let failure = match answer {
            Ok(reply) => match jobs::read::<Envelope>(&reply.bytes().await?)?.progress() {
                Ok(progress) => return Ok(progress),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        if failure.class() == Class::Gone {
            return Ok(Progress::Missing);
        }
        Err(failure)
    }

    /// They document no such call for pictures.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::Impossible)
    }

    /// They sign nothing, and show the secret that they were given with the task.
    async fn hears(&self, access: &Access, callback: &Callback<'_>) -> Heard {
        let shown = signature::text(callback.headers, SECRET);
        match &access.callback_secret {
            None => Heard::Unsigned,
            Some(secret) if signature::is_same(secret, shown) => Heard::Signed,
            Some(_) => Heard::Forged,
        }
    }
}

/// What a task is created with. The name of a model ends with what it shall do; a picture inline is base64 alone there.
fn body(access: &Access, order: &Order<'_>) -> Value {
    let (model, kind) = order.model.rsplit_once('/').unwrap_or((order.model, ""));
    let mut input = Value::Object(order.parameters.clone());
    jobs::bare(&mut input);
    let mut config = Map::new();
    if let Some(callback) = order.callback {
        let mut hook = Map::from_iter([("endpoint".to_owned(), Value::from(callback))]);
        let secret = access.callback_secret.as_ref().map(Secret::expose);
        if let Some(secret) = secret {
            hook.insert("secret".to_owned(), secret.into());
        }
        config.insert("webhook_config".to_owned(), Value::Object(hook));
    }
    json!({ "model": model, "task_type": kind, "input": input, "config": config })
}

fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let envelope: Envelope = serde_json::from_slice(answer.body).ok()?;
    let by_code = envelope.verdict(answer.status);
    Some(by_code.unwrap_or_else(|| {
        let by_status = Class::of_submit_status(answer.status);
        told((by_status, answer.status), &envelope.message)
    }))
}

/// As [`classify`], for a look at a task.
fn classify_look(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    Some(jobs::looked(classify(answer), answer.status))
}

/// A class, unless the words tell of an account that is empty or of a content policy.
fn told((class, status): (Class, StatusCode), words: &str) -> Verdict {
    let may_be_empty = class != Class::RateLimited && class != Class::Gone;
    if may_be_empty && is_empty(words, status) {
        return Verdict::of(Class::Balance);
    }
    jobs::of_words(class, words)
}

/// Whether these are words of an account that is empty. Under a status that leaves it open whether they have taken the task, none are believed.
fn is_empty(words: &str, status: StatusCode) -> bool {
    let words = words.to_lowercase();
    let of_what = words.split(EMPTY).skip(1);
    let mut of_what = of_what.map(|rest| OF_AN_ACCOUNT.iter().any(|word| rest.starts_with(word)));
    !status.is_server_error() && of_what.any(|is_ours| is_ours)
}

// === impl Envelope ===

impl Envelope {
    /// What its code means, which is HTTP's where it is one; `None`: it is a number of their own.
    fn verdict(&self, by: StatusCode) -> Option<Verdict> {
        let status = u16::try_from(self.code).ok();
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.filter(|status| status.is_client_error() || status.is_server_error());
        match status.map(Class::of_submit_status) {
            Some(class) => Some(told((class, by), &self.message)),
            None => is_empty(&self.message, by).then(|| Verdict::of(Class::Balance)),
        }
    }

    /// How the task stands that a look was answered with.
    fn progress(self) -> Result<Progress, Failure> {
        let over = self.data.as_ref().and_then(Task::over);
        match (over, &self.data) {
            (Some(over), _) => Ok(over),
            // They tell no percentage.
            (None, Some(_)) if self.code == FINE => Ok(jobs::running()),
            (None, None) if self.code == FINE => Err(Failure::malformed("the answer has no task")),
            (None, _) => Err(jobs::refusal(self.verdict(StatusCode::OK))),
        }
    }
}

// === impl Task ===

impl Task {
    /// How it has ended, if it has.
    fn over(&self) -> Option<Progress> {
        match self.status.to_lowercase().as_str() {
            "completed" | "success" => Some(jobs::done(self.files(), None)),
            "failed" => Some(Progress::Failed(self.error.failure())),
            // `pending`, `staged`, `processing`, and whatever else they may add: it runs until the deadline.
            _ => None,
        }
    }

    /// In the first of the places that has some.
    fn files(&self) -> Vec<String> {
        let there = PLACES.iter().filter_map(|name| self.output.get(*name));
        let mut lists = there.map(|value| {
            let urls = wire::texts(value).into_iter();
            let urls = urls.filter(|url| !url.is_empty()).map(str::to_owned);
            urls.collect::<Vec<String>>()
        });
        lists.find(|files| !files.is_empty()).unwrap_or_default()
    }
}

// === impl Wrong ===

impl Wrong {
    /// The content's, the picture's, or their own doing: by its words, since its numbers are not told.
    fn failure(&self) -> Failure {
        let words = if self.message.is_empty() {
            &self.raw_message
        } else {
            &self.message
        };
        let lower = words.to_lowercase();
        let is_wrong = OF_A_PICTURE.iter().any(|word| lower.contains(word));
        let class = if is_wrong {
            Class::Invalid
        } else {
            Class::Overloaded
        };
        Failure::reported(told((class, StatusCode::OK), words))
    }
}

#[cfg(test)]
mod tests;
