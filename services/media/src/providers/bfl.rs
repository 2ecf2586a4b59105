//! Black Forest Labs, FLUX.2 (docs.bfl.ai, API of November 2026): submit, then poll the URL that the answer names.

use async_trait::async_trait;
use domain::Secret;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};
use url::Url;

use super::{
    Access, Callback, Cancelled, Cost, Heard, MediaProvider, Order, Progress, Started, fastapi,
    moderated, signature,
};

/// Polling hosts of theirs, besides the configured one, that may be shown the key.
const OWN_HOSTS: &str = ".bfl.ai";
/// Their global address.
const GLOBAL_HOST: &str = "api.bfl.ai";
/// What one of their credits is, in millionths of a US dollar.
const CREDIT: i64 = 10_000;
/// Width and height at 1K, about a megapixel and multiples of 16; 2K doubles both.
const SIZES: &[(&str, u32, u32)] = &[
    ("1:1", 1024, 1024),
    ("16:9", 1360, 768),
    ("9:16", 768, 1360),
    ("4:3", 1184, 880),
    ("3:4", 880, 1184),
    ("3:2", 1248, 832),
    ("2:3", 832, 1248),
    ("21:9", 1536, 656),
    ("9:21", 656, 1536),
];

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Bfl {
    client: ProviderClient,
}

/// The wire shape of an accepted job.
#[derive(Deserialize)]
struct Submitted {
    id: String,
    polling_url: Option<String>,
    /// In credits of theirs.
    #[serde(default)]
    cost: Value,
}

/// The wire shape of a job's state. Some clients of theirs met `state` for `status`.
#[derive(Deserialize)]
struct Polled {
    #[serde(alias = "state")]
    status: String,
    progress: Option<Value>,
    result: Option<Sample>,
}

/// The wire shape of a result.
#[derive(Deserialize)]
struct Sample {
    sample: String,
}

/// The wire shape of an error: FastAPI's.
#[derive(Deserialize)]
struct Refused {
    #[serde(alias = "message", alias = "error")]
    detail: Value,
}

// === impl Bfl ===

impl Bfl {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl MediaProvider for Bfl {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let url = access
            .base_url
            .join(&format!("v1/{}", order.model))
            .map_err(|_| Failure::reported(Verdict::of(Class::NotSent)))?;
        let mut headers = authorised(access);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut body = body(order.parameters);
        let callback = order
            .callback
            .filter(|_| polls_without_a_url(&access.base_url));
        if let (Some(callback), Some(fields)) = (callback, body.as_object_mut()) {
            fields.insert("webhook_url".to_owned(), callback.into());
            if let Some(secret) = &access.callback_secret {
                fields.insert("webhook_secret".to_owned(), secret.expose().into());
            }
        }
        let body = body.to_string().into();
        let reply = self
            .client
            .send(Call::submit(url, headers, body), classify)
            .await?
            .bytes()
            .await?;
        let submitted: Submitted = serde_json::from_slice(&reply)
            .map_err(|_| Failure::malformed("the answer to a submit has no job"))?;
        let cost = Cost::of_credits(&submitted.cost, CREDIT);
        let job = reference(&access.base_url, submitted);
        Ok(Started::taken(job, cost))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let url = access
            .base_url
            .join(job)
            .map_err(|_| Failure::malformed("the polling URL is not one"))?;
        let headers = if may_see_the_key(&access.base_url, &url) {
            authorised(access)
        } else {
            HeaderMap::new()
        };
        let answer = match self.client.send(Call::get(url, headers), classify).await {
            Ok(reply) => reply.bytes().await?,
            // Their gateway answers 404 for a job it does not know, where the documents have a status.
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        let polled: Polled = serde_json::from_slice(&answer)
            .map_err(|_| Failure::malformed("the answer to a poll has no status"))?;
        progress(polled)
    }

    /// They sign the body with the secret that came with the job.
    async fn hears(&self, access: &Access, callback: &Callback<'_>) -> Heard {
        let Some(secret) = &access.callback_secret else {
            return Heard::Unsigned;
        };
        let signed = signature::text(callback.headers, "x-bfl-signature");
        let signed = signature::of_hex(signed.trim_start_matches("sha256="));
        if signature::is_hmac(secret, callback.body, &signed) {
            Heard::Signed
        } else {
            Heard::Forged
        }
    }

    /// They have no such call.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::Impossible)
    }
}

fn authorised(access: &Access) -> HeaderMap {
    let mut headers = access.headers.clone();
    let key = access.key.as_ref().map(Secret::expose);
    if let Some(Ok(mut key)) = key.map(HeaderValue::from_str) {
        key.set_sensitive(true);
        headers.entry("x-key").or_insert(key);
    }
    headers
}

/// A picture inline is base64 alone there.
fn bare(url: &Value) -> Value {
    let inline = url.as_str().filter(|url| url.starts_with("data:"));
    match inline.and_then(|url| url.split_once(";base64,")) {
        Some((_, bytes)) => bytes.into(),
        None => url.clone(),
    }
}

/// Our parameters in their names. References make it an edit; there is one image a job.
fn body(parameters: &Map<String, Value>) -> Value {
    let text = |name: &str| parameters.get(name).and_then(Value::as_str);
    let (width, height) = size(
        text("aspect_ratio").unwrap_or_default(),
        text("resolution").unwrap_or_default(),
    );
    let mut body = json!({
        "prompt": text("prompt"),
        "width": width,
        "height": height,
        "output_format": text("output_format"),
    });
    let Some(fields) = body.as_object_mut() else {
        return body;
    };
    if let Some(seed) = parameters.get("seed") {
        fields.insert("seed".to_owned(), seed.clone());
    }
    let references = parameters
        .get("input_urls")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for (index, url) in references.enumerate() {
        let name = match index {
            0 => "input_image".to_owned(),
            _ => format!("input_image_{}", index.saturating_add(1)),
        };
        fields.insert(name, bare(url));
    }
    body
}

fn size(aspect_ratio: &str, resolution: &str) -> (u32, u32) {
    let factor = if resolution == "2K" { 2 } else { 1 };
    let (width, height) = SIZES
        .iter()
        .find(|(name, _, _)| *name == aspect_ratio)
        .map_or((1024, 1024), |(_, width, height)| (*width, *height));
    (width.saturating_mul(factor), height.saturating_mul(factor))
}

/// Whether a job can be found by its id alone. With a webhook they do not say where to poll, and their global address answers from
/// regions that do not know each other's jobs: there a callback could cost us the job.
fn polls_without_a_url(base: &Url) -> bool {
    base.host_str() != Some(GLOBAL_HOST)
}

/// What finds the job again: relative to the configured address if it is there (so that the address may change), else the
/// whole URL, since their global address answers on regional hosts.
fn reference(base: &Url, submitted: Submitted) -> String {
    let by_id = || format!("v1/get_result?id={}", submitted.id);
    let Some(polling) = submitted
        .polling_url
        .as_deref()
        .and_then(|text| base.join(text).ok())
    else {
        return by_id();
    };
    match base.make_relative(&polling) {
        Some(relative) if polling.origin() == base.origin() => relative,
        _ => polling.to_string(),
    }
}

fn may_see_the_key(base: &Url, polling: &Url) -> bool {
    let theirs = polling
        .host_str()
        .is_some_and(|host| host.ends_with(OWN_HOSTS));
    polling.origin() == base.origin() || (polling.scheme() == "https" && theirs)
}

fn progress(polled: Polled) -> Result<Progress, Failure> {
    Ok(match polled.status.as_str() {
        "Ready" => {
            let result = polled
                .result
                .ok_or_else(|| Failure::malformed("a finished job has no sample"))?;
            Progress::Done {
                files: vec![result.sample],
                about: Vec::new(),
                cost: None,
            }
        }
        "Request Moderated" => Progress::Failed(moderated(
            "the provider's content policy refused the request",
        )),
        "Content Moderated" => Progress::Failed(moderated(
            "the provider's content policy refused the result",
        )),
        "Error" | "Failed" => Progress::Failed(Failure::reported(Verdict::of(Class::Overloaded))),
        "Task not found" => Progress::Missing,
        // `Pending`, and whatever else they may add: it runs until the deadline.
        _ => Progress::Running {
            percent: polled.progress.as_ref().and_then(percent),
            position: None,
            clips: Vec::new(),
        },
    })
}

/// They count from 0.0 to 1.0. Read as text: the house has no floats outside the wire.
fn percent(progress: &Value) -> Option<i64> {
    let text = progress.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if whole == "1" {
        return Some(100);
    }
    let hundredths: String = fraction.chars().chain("00".chars()).take(2).collect();
    hundredths.parse().ok().filter(|_| whole == "0")
}

/// Their refusals: FastAPI's validation texts are for the customer, all others are ours.
fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let class = Class::of_status(answer.status);
    if class != Class::Invalid {
        return None;
    }
    let refused: Refused = serde_json::from_slice(answer.body).ok()?;
    Some(Verdict::with_detail(
        class,
        fastapi::words(&refused.detail)?,
    ))
}

#[cfg(test)]
mod tests;
