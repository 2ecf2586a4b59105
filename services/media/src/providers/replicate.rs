//! Replicate's predictions (replicate.com/docs, API of November 2026): create one, then look at it. Models of many makers, official ones
//! by their name, others by the version that shall run; the input is each model's own object, which goes out as it is.

use std::time::Duration;

use async_trait::async_trait;
use http::header::RETRY_AFTER;
use serde::Deserialize;
use serde_json::{Value, json};
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};
use url::Url;

use super::{
    Access, Callback, Cancelled, Heard, MediaProvider, Order, Progress, Started, policy, svix, wire,
};

/// Hexadecimal digits of a version.
const VERSION_DIGITS: usize = 64;
/// What stands before the seconds in the words of a throttled request.
const RESETS_IN: &str = "resets in ~";

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Replicate {
    client: ProviderClient,
}

/// The wire shape of a prediction.
#[derive(Deserialize)]
struct Prediction {
    id: String,
    status: String,
    #[serde(default)]
    output: Value,
    #[serde(default)]
    error: Value,
}

/// The wire shape of a refusal.
#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    title: String,
    detail: String,
}

// === impl Replicate ===

impl Replicate {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl MediaProvider for Replicate {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let not_sent = || Failure::reported(Verdict::of(Class::NotSent));
        let mut body = json!({ "input": order.parameters });
        let url = if is_version(order.model) {
            set(&mut body, "version", json!(order.model));
            access.base_url.join("v1/predictions").ok()
        } else {
            model_url(&access.base_url, order.model)
        };
        if let Some(callback) = order.callback {
            set(&mut body, "webhook", json!(callback));
            set(&mut body, "webhook_events_filter", json!(["completed"]));
        }
        let headers = wire::with_json(wire::bearer(access));
        let call = Call::submit(url.ok_or_else(not_sent)?, headers, body.to_string().into());
        let reply = self.client.send(call, classify).await?.bytes().await?;
        let prediction: Prediction = serde_json::from_slice(&reply)
            .map_err(|_| Failure::malformed("the answer to a submit has no prediction"))?;
        if prediction.id.is_empty() {
            return Err(Failure::malformed("the prediction has no id"));
        }
        Ok(Started::taken(prediction.id, None))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let url = prediction_url(&access.base_url, job, &[])
            .ok_or_else(|| Failure::malformed("the prediction's URL is not one"))?;
        let call = Call::get(url, wire::bearer(access));
        let answer = match self.client.send(call, classify_state).await {
            Ok(reply) => reply.bytes().await?,
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        let prediction: Prediction = serde_json::from_slice(&answer)
            .map_err(|_| Failure::malformed("the answer to a poll has no state"))?;
        Ok(prediction.progress())
    }

    /// What runs ends as soon as its model lets it; what it took until then is billed all the same.
    async fn cancel(&self, access: &Access, job: &str) -> Result<Cancelled, Failure> {
        let url = prediction_url(&access.base_url, job, &["cancel"])
            .ok_or_else(|| Failure::malformed("the prediction's URL is not one"))?;
        let call = Call::post(url, wire::bearer(access), Vec::new().into());
        let answer = match self.client.send(call, classify_state).await {
            Ok(reply) => reply.bytes().await?,
            Err(failure) if failure.class() == Class::Gone => return Ok(Cancelled::TooLate),
            Err(failure) => return Err(failure),
        };
        let prediction: Prediction = serde_json::from_slice(&answer)
            .map_err(|_| Failure::malformed("the answer to a cancel has no state"))?;
        Ok(match prediction.status.as_str() {
            "succeeded" | "failed" => Cancelled::TooLate,
            // Before it ran, which costs nothing.
            "aborted" => Cancelled::Stopped,
            _ => Cancelled::Asked,
        })
    }

    async fn hears(&self, access: &Access, callback: &Callback<'_>) -> Heard {
        match &access.callback_secret {
            None => Heard::Unsigned,
            Some(secret) if svix::is_genuine(secret, callback) => Heard::Signed,
            Some(_) => Heard::Forged,
        }
    }
}

// === impl Prediction ===

impl Prediction {
    fn progress(&self) -> Progress {
        match self.status.as_str() {
            "succeeded" => match self.files() {
                files if files.is_empty() => {
                    // They delete what a prediction made after an hour.
                    let words = "a finished prediction has no file";
                    Progress::Failed(Failure::malformed(words))
                }
                files => Progress::Done {
                    files,
                    about: Vec::new(),
                    cost: None,
                },
            },
            "failed" => Progress::Failed(self.failure()),
            // Somebody cancelled it there while it ran: they bill for how long it had, and do not say how much.
            "canceled" => Progress::Wasted(Failure::reported(Verdict::of(Class::Overloaded)), None),
            // Or before, or it had to wait for longer than it might.
            "aborted" => Progress::Failed(Failure::reported(Verdict::of(Class::Overloaded))),
            // `starting`, `processing`, and whatever else they may add: it runs until the deadline. They tell no percentage.
            _ => Progress::Running {
                percent: None,
                position: None,
                clips: Vec::new(),
            },
        }
    }

    /// One URL or a list of them; models that answer otherwise make no files.
    fn files(&self) -> Vec<String> {
        let list = self.output.as_array().map(Vec::as_slice);
        let items = list.unwrap_or_else(|| std::slice::from_ref(&self.output));
        let is_address = |text: &&str| {
            let url = Url::parse(text).ok();
            url.is_some_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        let texts = items.iter().filter_map(Value::as_str);
        texts.filter(is_address).map(str::to_owned).collect()
    }

    /// Models fail in words of their own: those that tell of a content policy are for the customer.
    fn failure(&self) -> Failure {
        let words = text(&self.error);
        Failure::reported(if policy::tells(&words) {
            Verdict::with_detail(Class::Moderated, words)
        } else {
            Verdict::of(Class::Overloaded)
        })
    }
}

/// `<64 hex>` or `owner/name:<64 hex>`.
fn is_version(model: &str) -> bool {
    let version = model.rsplit(':').next().unwrap_or(model);
    version.len() == VERSION_DIGITS && version.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn model_url(base: &Url, model: &str) -> Option<Url> {
    let (owner, name) = model.split_once('/')?;
    let mut url = base.join("v1/models").ok()?;
    url.path_segments_mut()
        .ok()?
        .extend([owner, name, "predictions"]);
    Some(url)
}

fn prediction_url(base: &Url, id: &str, further: &[&str]) -> Option<Url> {
    let mut url = base.join("v1/predictions").ok()?;
    url.path_segments_mut().ok()?.push(id).extend(further);
    Some(url)
}

fn set(body: &mut Value, name: &str, value: Value) {
    if let Some(fields) = body.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

fn text(value: &Value) -> String {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string())
}

/// Their refusals: words about the input are for the customer, all others are ours.
fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let problem: Problem = serde_json::from_slice(answer.body).ok()?;
    match Class::of_status(answer.status) {
        Class::Invalid => Some(problem.verdict()),
        Class::RateLimited => {
            let is_told = answer.headers.contains_key(RETRY_AFTER);
            let pause = problem.pause().filter(|_| !is_told);
            Some(Verdict::of(Class::RateLimited).after(pause))
        }
        Class::Auth
        | Class::Balance
        | Class::Overloaded
        | Class::Moderated
        | Class::Gone
        | Class::Unknown
        | Class::Malformed
        | Class::NotSent => None,
    }
}

/// As [`classify`], for a look at a prediction: only they themselves can say that they do not have it. A gateway's bare 404 says nothing
/// about a prediction that is paid.
fn classify_state(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let is_theirs = serde_json::from_slice::<Problem>(answer.body).is_ok();
    if Class::of_status(answer.status) == Class::Gone && !is_theirs {
        return Some(Verdict::of(Class::Unknown));
    }
    classify(answer)
}

// === impl Problem ===

impl Problem {
    /// A wrong input, or a version that is not there: then another provider may have the model.
    fn verdict(self) -> Verdict {
        if self.title.to_lowercase().contains("version") {
            Verdict::of(Class::Gone)
        } else if policy::tells(&self.detail) {
            Verdict::with_detail(Class::Moderated, self.detail)
        } else {
            Verdict::with_detail(Class::Invalid, self.detail)
        }
    }

    /// How long to wait, where the words alone say it.
    fn pause(&self) -> Option<Duration> {
        let (_, rest) = self.detail.split_once(RESETS_IN)?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests;
