//! fal's queue (fal.ai/docs, API of November 2026): submit, then look where the answer says, then fetch the result.
//!
//! The model's own input is sent as it is; every model answers in its own words, of which only the places of files matter.

use async_trait::async_trait;
use domain::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use upstream::{Call, Class, Classify, Failure, ProviderAnswer, ProviderClient, Verdict};
use url::Url;

use super::{
    Access, Callback, Cancelled, Heard, MediaProvider, Order, Progress, Started, elevenlabs,
    fastapi,
    jwks::{self, Keys},
    moderated,
};

/// Hosts of their queue, besides the configured one, that may be shown the key.
const OWN_HOSTS: [&str; 2] = [".fal.run", ".falrun.com"];
/// How long they keep what a job made. Else it is the account's choice, which may be for ever.
const LIFECYCLE: HeaderName = HeaderName::from_static("x-fal-object-lifecycle-preference");
const AN_HOUR: HeaderValue = HeaderValue::from_static(r#"{"expiration_duration_seconds":3600}"#);
/// Where files stand in a result: one or several, by model.
const PLACES: [&str; 6] = ["images", "image", "video", "videos", "audio", "audio_file"];
/// What their content policy calls itself.
const POLICY: [&str; 2] = ["content_policy_violation", "no_media_generated"];
/// How they say, with 403, that our account there is empty: they lock it.
const EMPTY: [&str; 3] = ["balance", "top up", "user is locked"];
/// What a result that is asked for too early says.
const EARLY: &str = "still in progress";

/// What their callbacks are signed with (fal.ai/docs, webhooks).
const SIGNED_IN: jwks::Headers = jwks::Headers {
    signed: ["x-fal-webhook-request-id", "x-fal-webhook-user-id"],
    moment: "x-fal-webhook-timestamp",
    signature: "x-fal-webhook-signature",
};
/// Where the keys for that are, of the queue itself.
const KEYS: &str = "https://rest.fal.ai/.well-known/jwks.json";
/// And of another address that speaks like it.
const KEYS_ELSEWHERE: &str = ".well-known/jwks.json";

/// The adapter.
#[derive(Debug)]
pub(super) struct Fal {
    client: ProviderClient,
    keys: Keys,
}

/// The wire shape of an accepted job.
#[derive(Deserialize)]
struct Submitted {
    request_id: String,
    status_url: Option<String>,
    response_url: Option<String>,
}

/// The wire shape of a job's state. Failed jobs are `COMPLETED` too, and have an error.
#[derive(Deserialize)]
struct Standing {
    status: String,
    /// While it waits in the queue.
    queue_position: Option<i64>,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    error_type: Value,
}

/// The wire shape of an error: words of the queue, or FastAPI's list of a model.
#[derive(Deserialize)]
struct Refused {
    detail: Value,
    #[serde(default)]
    error_type: Value,
}

/// The wire shape of an answer to a cancel.
#[derive(Deserialize)]
struct Told {
    status: String,
}

// === impl Fal ===

impl Fal {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self {
            keys: Keys::new(client.clone()),
            client,
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        access: &Access,
        place: &str,
        classify: Classify,
    ) -> Result<T, Failure> {
        let url = access
            .base_url
            .join(place)
            .map_err(|_| Failure::malformed("the URL of a job is not one"))?;
        let headers = headers_for(access, &url);
        // A result is mostly where its files are, but a transcript of hours is all in it.
        let call = Call::get(url, headers).for_a_result();
        let reply = self.client.send(call, classify).await?;
        serde_json::from_slice(&reply.bytes().await?)
            .map_err(|_| Failure::malformed("the answer about a job is not theirs"))
    }
}

#[async_trait]
impl MediaProvider for Fal {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let not_sent = || Failure::reported(Verdict::of(Class::NotSent));
        let mut url = access.base_url.join(order.model).map_err(|_| not_sent())?;
        if let Some(callback) = order.callback {
            url.query_pairs_mut().append_pair("fal_webhook", callback);
        }
        let body = serde_json::to_vec(order.parameters).map_err(|_| not_sent())?;
        let mut headers = authorised(access);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(LIFECYCLE, AN_HOUR);
        let reply = self
            .client
            .send(Call::submit(url, headers, body.into()), classify)
            .await?
            .bytes()
            .await?;
        let submitted: Submitted = serde_json::from_slice(&reply)
            .map_err(|_| Failure::malformed("the answer to a submit has no job"))?;
        let job = reference(&access.base_url, order.model, &submitted)
            .ok_or_else(|| Failure::malformed("the answer to a submit does not lead to a job"))?;
        Ok(Started::taken(job, None))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let (status, response) = job
            .split_once(' ')
            .ok_or_else(|| Failure::malformed("the job has not both its URLs"))?;
        let standing: Standing = match self.get(access, status, classify_state).await {
            Ok(standing) => standing,
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        if standing.status != "COMPLETED" {
            // `IN_QUEUE`, `IN_PROGRESS`, and whatever else they may add: it runs until the deadline. They tell no percentage.
            return Ok(Progress::Running {
                percent: None,
                position: standing.queue_position.filter(|jobs| *jobs >= 0),
                clips: Vec::new(),
            });
        }
        match self.get(access, response, classify_result).await {
            Ok(output) => Ok(done(&standing, &output)),
            Err(failure) => without_result(&standing, failure),
        }
    }

    /// One that waits leaves the queue; one that runs is told to end, and its result is not there then.
    async fn cancel(&self, access: &Access, job: &str) -> Result<Cancelled, Failure> {
        let (_, response) = job
            .split_once(' ')
            .ok_or_else(|| Failure::malformed("the job has not both its URLs"))?;
        let url = access
            .base_url
            .join(&format!("{response}/cancel"))
            .map_err(|_| Failure::malformed("the URL of a job is not one"))?;
        let headers = headers_for(access, &url);
        let call = Call::new(Method::PUT, url, headers, Vec::new().into());
        match self.client.send(call, classify_cancel).await {
            // It does not promise that the job stops.
            Ok(_) => Ok(Cancelled::Asked),
            Err(failure) if failure.class() == Class::Gone => Ok(Cancelled::TooLate),
            Err(failure) => Err(failure),
        }
    }

    /// They sign every one. What answers at another address and publishes no keys, such as a proxy of the operator's, is not checked.
    async fn hears(&self, access: &Access, callback: &Callback<'_>) -> Heard {
        match keys_for(&access.base_url) {
            Some(place) => self.keys.hear(place, SIGNED_IN, callback).await,
            None => Heard::Unsigned,
        }
    }
}

fn keys_for(base: &Url) -> Option<Url> {
    if is_theirs(base) {
        Url::parse(KEYS).ok()
    } else {
        base.join(KEYS_ELSEWHERE).ok()
    }
}

/// Our headers, with the key where it may be seen.
fn headers_for(access: &Access, url: &Url) -> HeaderMap {
    if may_see_the_key(&access.base_url, url) {
        authorised(access)
    } else {
        HeaderMap::new()
    }
}

fn authorised(access: &Access) -> HeaderMap {
    let mut headers = access.headers.clone();
    let key = access.key.as_ref().map(Secret::expose);
    let key = key.map(|key| HeaderValue::from_str(&format!("Key {key}")));
    if let Some(Ok(mut key)) = key {
        key.set_sensitive(true);
        headers.entry(header::AUTHORIZATION).or_insert(key);
    }
    headers
}

/// What finds the job again: where its state is, a space, where its result is. They are not made of the model's name, which
/// the queue shortens to its first two parts, unless the answer names none.
fn reference(base: &Url, model: &str, submitted: &Submitted) -> Option<String> {
    let app: Vec<&str> = model.split('/').take(2).collect();
    let usual = format!("{}/requests/{}", app.join("/"), submitted.request_id);
    let place = |named: &Option<String>, usual: &str| {
        let named = named.as_deref().and_then(|text| base.join(text).ok());
        let url = named.or_else(|| base.join(usual).ok())?;
        Some(from_base(base, &url))
    };
    let status = place(&submitted.status_url, &format!("{usual}/status"))?;
    let response = place(&submitted.response_url, &usual)?;
    Some(format!("{status} {response}"))
}

/// Relative to the configured address if it is there, so that the address may change; else the whole URL.
fn from_base(base: &Url, url: &Url) -> String {
    match base.make_relative(url) {
        Some(relative) if url.origin() == base.origin() => relative,
        _ => url.to_string(),
    }
}

fn may_see_the_key(base: &Url, url: &Url) -> bool {
    url.origin() == base.origin() || (url.scheme() == "https" && is_theirs(url))
}

fn is_theirs(url: &Url) -> bool {
    let host = url.host_str();
    host.is_some_and(|host| OWN_HOSTS.iter().any(|own| host.ends_with(own)))
}

/// What a result that came says.
fn done(standing: &Standing, output: &Map<String, Value>) -> Progress {
    if standing.has_failed() {
        return Progress::Failed(standing.failure());
    }
    if has_flagged_picture(output) {
        let words = "the provider's content policy refused the result";
        return Progress::Failed(moderated(words));
    }
    if let Some(transcript) = elevenlabs::resold(output) {
        return match transcript {
            Ok(text) => Progress::Told { text, cost: None },
            Err(failure) => Progress::Failed(failure),
        };
    }
    let files = files(output);
    if files.is_empty() {
        return Progress::Failed(Failure::malformed("a finished job has no file"));
    }
    Progress::Done {
        files,
        about: Vec::new(),
        cost: None,
    }
}

/// What it says that no result came: the model's own error ends the job. All else is between us and the queue, and does not,
/// unless the state said that the job has failed.
fn without_result(standing: &Standing, failure: Failure) -> Result<Progress, Failure> {
    match failure.class() {
        Class::Invalid | Class::Moderated | Class::Overloaded => Ok(Progress::Failed(failure)),
        Class::Auth
        | Class::Balance
        | Class::RateLimited
        | Class::Gone
        | Class::Unknown
        | Class::Malformed
        | Class::NotSent => {
            if standing.has_failed() && failure.status().is_some() {
                Ok(Progress::Failed(standing.failure()))
            } else if failure.class() == Class::Gone {
                Ok(Progress::Missing)
            } else {
                Err(failure)
            }
        }
    }
}

/// Pictures that their checker flagged come all the same, painted black.
fn has_flagged_picture(output: &Map<String, Value>) -> bool {
    match output.get("has_nsfw_concepts") {
        Some(Value::Array(flags)) => flags.contains(&Value::Bool(true)),
        flag => flag == Some(&Value::Bool(true)),
    }
}

/// The URLs of all files, each once.
fn files(output: &Map<String, Value>) -> Vec<String> {
    let mut files = Vec::new();
    for place in PLACES {
        let items = match output.get(place) {
            Some(Value::Array(items)) => items.as_slice(),
            Some(item) => std::slice::from_ref(item),
            None => &[],
        };
        for url in items.iter().filter_map(url) {
            if !files.contains(&url) {
                files.push(url);
            }
        }
    }
    files
}

/// A file's URL. Data URLs, which `sync_mode` brings, are no place to fetch from.
fn url(file: &Value) -> Option<String> {
    let text = file.get("url").unwrap_or(file).as_str()?;
    let url = Url::parse(text).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| text.to_owned())
}

/// Their refusals: words about the input are for the customer, all others are ours.
fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let class = Class::of_status(answer.status);
    let refused: Refused = serde_json::from_slice(answer.body).ok()?;
    if class == Class::Auth && refused.tells_of_an_empty_account() {
        return Some(Verdict::of(Class::Balance));
    }
    if class == Class::Invalid {
        return refused.verdict();
    }
    None
}

/// As [`classify`], for a look at a job: only they themselves can say that they do not have it. A gateway's bare 404 says nothing about a
/// job that is paid.
fn classify_state(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let is_theirs = serde_json::from_slice::<Refused>(answer.body).is_ok();
    if Class::of_status(answer.status) == Class::Gone && !is_theirs {
        return Some(Verdict::of(Class::Unknown));
    }
    classify(answer)
}

/// As [`classify`], for a cancel: done already, or not there (any more), in their words. Whatever comes from in between leaves it open.
fn classify_cancel(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let told: Option<Told> = serde_json::from_slice(answer.body).ok();
    match told.map(|told| told.status).as_deref() {
        Some("ALREADY_COMPLETED" | "NOT_FOUND") => Some(Verdict::of(Class::Gone)),
        _ if Class::of_status(answer.status) == Class::Gone => Some(Verdict::of(Class::Unknown)),
        _ => classify(answer),
    }
}

/// As [`classify`], for the answer in the place of a result. An error in their words is the model's, and the end of the job; any
/// other may come from in between, and leaves it open.
fn classify_result(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let open = Some(Verdict::of(Class::Unknown));
    let class = Class::of_status(answer.status);
    let refused = serde_json::from_slice::<Refused>(answer.body);
    match (class, refused) {
        (Class::Auth | Class::Balance | Class::RateLimited | Class::Moderated, _) => {
            classify(answer)
        }
        (_, Err(_)) => open,
        (Class::Gone, Ok(_)) => classify(answer),
        (_, Ok(refused)) if refused.is_early() => open,
        // Somebody cancelled it there.
        (Class::Invalid, Ok(_)) if answer.status.as_u16() == 499 => {
            Some(Verdict::of(Class::Overloaded))
        }
        (Class::Invalid, Ok(refused)) => refused.verdict(),
        (_, Ok(_)) => Some(Verdict::of(Class::Overloaded)),
    }
}

// === impl Standing ===

impl Standing {
    fn has_failed(&self) -> bool {
        [&self.error, &self.error_type]
            .into_iter()
            .any(|told| !told.is_null() && told != "")
    }

    /// The failure by the state alone.
    fn failure(&self) -> Failure {
        if is_policy(&self.error_type) {
            moderated("the provider's content policy refused the request")
        } else {
            Failure::reported(Verdict::of(Class::Overloaded))
        }
    }
}

// === impl Refused ===

impl Refused {
    /// What is wrong with the input.
    fn verdict(&self) -> Option<Verdict> {
        let items = self.detail.as_array().map_or(&[][..], Vec::as_slice);
        let words = fastapi::words(&self.detail)?;
        let mut types = items.iter().filter_map(|item| item.get("type"));
        let class = if is_policy(&self.error_type) || types.any(is_policy) {
            Class::Moderated
        } else {
            Class::Invalid
        };
        Some(Verdict::with_detail(class, words))
    }

    fn tells_of_an_empty_account(&self) -> bool {
        let words = self.detail.to_string().to_lowercase();
        EMPTY.iter().any(|word| words.contains(word))
    }

    fn is_early(&self) -> bool {
        self.detail
            .as_str()
            .is_some_and(|words| words.contains(EARLY))
    }
}

fn is_policy(kind: &Value) -> bool {
    kind.as_str().is_some_and(|kind| POLICY.contains(&kind))
}

#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod tests;
