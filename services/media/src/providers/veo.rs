//! Google's films, Veo, by the Gemini API (ai.google.dev, November 2026): a long-running operation, and a file that only our key gets.
//!
//! A row's input is their `instances` and `parameters`. They fetch no pictures: those travel inside.

use async_trait::async_trait;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::{Value, json};
use upstream::{Class, Failure, ProviderClient, Verdict};

use super::{
    Access, Cancelled, MediaProvider, Order, Progress, Started, Takes, jobs, moderated, policy,
    refusal,
    wire::{self, Inline},
};

const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
/// The members of an instance that are pictures.
const PICTURES: [&str; 2] = ["image", "lastFrame"];
/// What begins the name of an operation.
const NAME: &str = "models/";
/// Google's codes of errors (google.rpc.Code) that are the request's.
const INVALID_ARGUMENT: i64 = 3;
const OUT_OF_RANGE: i64 = 11;

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Veo {
    client: ProviderClient,
}

/// The wire shape of an operation.
#[derive(Deserialize)]
struct Operation {
    #[serde(default, deserialize_with = "wire::lenient")]
    name: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    done: bool,
    #[serde(default)]
    error: Option<Status>,
    #[serde(default)]
    response: Option<Response>,
}

/// The wire shape of an error.
#[derive(Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "wire::lenient")]
    code: i64,
    #[serde(default, deserialize_with = "wire::lenient")]
    message: String,
}

/// The wire shape of what was made: by one name for it or another.
#[derive(Deserialize)]
struct Response {
    #[serde(rename = "generateVideoResponse", default)]
    generate_video_response: Option<Made>,
    #[serde(flatten)]
    made: Made,
}

/// The wire shape of films, or of why there are none.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Made {
    #[serde(deserialize_with = "wire::lenient")]
    generated_samples: Vec<Sample>,
    #[serde(deserialize_with = "wire::lenient")]
    generated_videos: Vec<Sample>,
    rai_media_filtered_count: Value,
    #[serde(deserialize_with = "wire::lenient")]
    rai_media_filtered_reasons: Vec<String>,
}

/// The wire shape of a film.
#[derive(Deserialize)]
struct Sample {
    #[serde(default, deserialize_with = "wire::lenient")]
    video: Option<Film>,
}

/// The wire shape of where a film is.
#[derive(Deserialize)]
struct Film {
    #[serde(default, deserialize_with = "wire::lenient")]
    uri: String,
}

// === impl Veo ===

impl Veo {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    fn headers(access: &Access) -> HeaderMap {
        wire::keyed(access, KEY, "")
    }
}

#[async_trait]
impl MediaProvider for Veo {
    fn takes(&self) -> Takes {
        Takes::Bytes
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let path = format!("{NAME}{}:predictLongRunning", order.model);
        let to = wire::place(&access.base_url, &path)?;
        let at = (to, Self::headers(access));
        let mut body = Value::Object(order.parameters.clone());
        with_pictures(&mut body);
        let answer = jobs::submit(&self.client, at, &body, refusal::classify).await?;
        let operation: Operation = jobs::read(&answer)?;
        if is_name(&operation.name) {
            Ok(Started::taken(operation.name, None))
        } else {
            Err(Failure::malformed(
                "the answer to a submit has no operation",
            ))
        }
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        if !is_name(job) {
            return Err(Failure::malformed("the name of an operation is none"));
        }
        let segments: Vec<&str> = job.split('/').skip(1).collect();
        let from = jobs::below(&access.base_url, "models", &segments)?;
        let at = (from, Self::headers(access));
        match jobs::get::<Operation>(&self.client, at, refusal::classify_state).await {
            Ok(operation) => Ok(operation.progress()),
            Err(failure) if failure.class() == Class::Gone => Ok(Progress::Missing),
            Err(failure) => Err(failure),
        }
    }

    /// They have no such call.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::Impossible)
    }

    fn file_headers(&self, access: &Access) -> HeaderMap {
        Self::headers(access)
    }
}

/// `models/{model}/operations/{id}`: four parts, none of which leads elsewhere.
fn is_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let is_part = |part: &&str| !part.is_empty() && *part != "." && *part != "..";
    name.starts_with(NAME) && parts.len() == 4 && parts.iter().all(is_part)
}

/// Pictures in their shape. An address is none that they know of here; where it is one all the same, they say so.
fn with_pictures(body: &mut Value) {
    let instances = body.get_mut("instances").and_then(Value::as_array_mut);
    for instance in instances.into_iter().flatten() {
        for name in PICTURES {
            let Some(picture) = instance.get_mut(name) else {
                continue;
            };
            let text = picture.as_str().unwrap_or_default();
            *picture = match wire::inline(text) {
                Some(Inline {
                    content_type,
                    bytes,
                }) => json!({ "bytesBase64Encoded": bytes, "mimeType": content_type }),
                None => json!({ "gcsUri": text, "mimeType": "image/png" }),
            };
        }
    }
}

// === impl Operation ===

impl Operation {
    /// They tell no percentage.
    fn progress(self) -> Progress {
        if !self.done {
            return jobs::running();
        }
        if let Some(error) = self.error {
            return Progress::Failed(error.failure());
        }
        let made = self.response.map(Response::made).unwrap_or_default();
        let films = made.generated_samples.iter();
        let films = films.chain(&made.generated_videos);
        let films = films.filter_map(|sample| sample.video.as_ref());
        let files: Vec<String> = films
            .map(|film| film.uri.clone())
            .filter(|uri| !uri.is_empty())
            .collect();
        if files.is_empty() {
            return Progress::Failed(made.failure());
        }
        jobs::done(files, None)
    }
}

// === impl Response ===

impl Response {
    fn made(self) -> Made {
        self.generate_video_response.unwrap_or(self.made)
    }
}

// === impl Made ===

impl Made {
    fn is_filtered(&self) -> bool {
        let count = wire::whole(&self.rai_media_filtered_count);
        count.is_some_and(|count| count > 0) || !self.rai_media_filtered_reasons.is_empty()
    }

    /// Why there is no film. One that their filters took is not charged; where they do not say that they did, it is their own doing, and no
    /// later look finds another end.
    fn failure(&self) -> Failure {
        match self.rai_media_filtered_reasons.as_slice() {
            [] if self.is_filtered() => moderated(jobs::REFUSED),
            [] => Failure::reported(Verdict::of(Class::Overloaded)),
            reasons => moderated(&reasons.join("; ")),
        }
    }
}

// === impl Status ===

impl Status {
    fn failure(&self) -> Failure {
        let is_the_requests = [INVALID_ARGUMENT, OUT_OF_RANGE].contains(&self.code);
        let verdict = if policy::tells(&self.message) {
            Verdict::with_detail(Class::Moderated, self.message.as_str())
        } else if is_the_requests {
            Verdict::with_detail(Class::Invalid, self.message.as_str())
        } else {
            Verdict::of(Class::Overloaded)
        };
        Failure::reported(verdict)
    }
}

#[cfg(test)]
mod tests;
