//! Ideogram (developer.ideogram.ai, second API, as of November 2026): every way to a picture has a place of its own, takes a form where files
//! go in and JSON where none do, and is a job where that is asked for.

use async_trait::async_trait;
use http::HeaderName;
use serde::Deserialize;
use serde_json::{Map, Value};
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Access, Callback, Cancelled, Cost, Heard, MediaProvider, Order, Progress, Started, Takes,
    form::Form,
    jwks::{self, Keys},
    moderated, policy, signature, wire,
};

/// What stands before the name of a model, which says the way: `generate/ideogram-3`.
const PREFIX: &str = "v2/image/";
const JOBS: &str = "v2/generations";
const KEY: HeaderName = HeaderName::from_static("api-key");
/// The pictures that go in, by the names that the catalogue and they have.
const FILES: [&str; 3] = ["image", "mask", "style_reference_images"];
/// What their policy says of a request, and of a result.
const REFUSED: &str = "the provider's content policy refused the request or its result";

/// What their callbacks are signed with (developer.ideogram.ai, webhooks), and where the keys for that are.
const SIGNED_IN: jwks::Headers = jwks::Headers {
    signed: [GENERATION, "x-ideogram-webhook-user-id"],
    moment: "x-ideogram-webhook-timestamp",
    signature: "x-ideogram-webhook-signature",
};
const GENERATION: &str = "x-ideogram-webhook-generation-id";
const KEYS: &str = "v1/.well-known/jwks.json";

/// The adapter.
#[derive(Debug)]
pub(super) struct Ideogram {
    client: ProviderClient,
    keys: Keys,
}

/// The wire shape of an accepted job.
#[derive(Deserialize)]
struct Accepted {
    generation_id: String,
}

/// The wire shape of a job.
#[derive(Deserialize)]
struct Generation {
    status: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    failure_reason: Option<String>,
    /// Nothing, in one way or another, until it is done.
    #[serde(default, deserialize_with = "wire::lenient")]
    data: Vec<Picture>,
    /// What it was billed with, where that depends on the request.
    #[serde(default, deserialize_with = "wire::lenient_number")]
    usage_cost_usd_micros: Option<i64>,
}

/// The wire shape of a picture. One that their policy holds back has no address, and is billed all the same.
#[derive(Deserialize)]
struct Picture {
    #[serde(default, deserialize_with = "wire::lenient")]
    url: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient")]
    is_image_safe: Option<bool>,
}

/// The wire shape of a refusal.
#[derive(Deserialize)]
struct Refused {
    error: Option<String>,
}

// === impl Ideogram ===

impl Ideogram {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self {
            keys: Keys::new(client.clone()),
            client,
        }
    }
}

#[async_trait]
impl MediaProvider for Ideogram {
    fn takes(&self) -> Takes {
        Takes::Bytes
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let url = wire::place(&access.base_url, &format!("{PREFIX}{}", order.model))?;
        let headers = wire::keyed(access, KEY, "");
        let mut body = order.parameters.clone();
        body.insert("async".to_owned(), true.into());
        // They call back by TLS alone; whoever has them at another address may have another mind.
        let callback = order.callback.filter(|callback| {
            callback.starts_with("https://") || access.base_url.scheme() == "http"
        });
        if let Some(callback) = callback {
            body.insert("webhook_url".to_owned(), callback.into());
        }
        let (headers, body) = if FILES.iter().any(|name| body.contains_key(*name)) {
            form(&body)?.written(headers)
        } else {
            let body = Value::Object(body).to_string();
            (wire::with_json(headers), body.into_bytes())
        };
        let call = Call::submit(url, headers, body.into());
        let reply = self.client.send(call, classify).await?.bytes().await?;
        let wrong = "the answer to a submit has no generation";
        let accepted: Accepted = wire::read(&reply, wrong)?;
        if accepted.generation_id.is_empty() {
            return Err(Failure::malformed(wrong));
        }
        Ok(Started::taken(accepted.generation_id, None))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let url = wire::named(&access.base_url, JOBS, job)
            .ok_or_else(|| Failure::malformed("the generation's URL is not one"))?;
        let call = Call::get(url, wire::keyed(access, KEY, ""));
        let answer = match self.client.send(call, classify_state).await {
            Ok(reply) => reply.bytes().await?,
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        let generation: Generation = wire::read(&answer, "the answer to a poll has no status")?;
        Ok(generation.progress())
    }

    /// They have no such call.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::Impossible)
    }

    /// One about another generation is none about this one, whoever signed it.
    async fn hears(&self, access: &Access, callback: &Callback<'_>) -> Heard {
        let Ok(place) = wire::place(&access.base_url, KEYS) else {
            return Heard::Unsigned;
        };
        match self.keys.hear(place, SIGNED_IN, callback).await {
            Heard::Signed if signature::text(callback.headers, GENERATION) != callback.job => {
                Heard::Forged
            }
            heard @ (Heard::Signed | Heard::Unsigned | Heard::Forged) => heard,
        }
    }
}

/// A form: pictures are its files, everything else is a text.
fn form(body: &Map<String, Value>) -> Result<Form, Failure> {
    let mut form = Form::default();
    for (name, value) in body {
        if FILES.contains(&name.as_str()) {
            for url in wire::texts(value) {
                form.url(name, url)?;
            }
        } else {
            match value.as_str() {
                Some(text) => form.text(name, text),
                None => form.text(name, &value.to_string()),
            }
        }
    }
    Ok(form)
}

/// Their refusals: what is wrong with the request, and that its content is refused, is for the customer; all others are ours.
fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let words = words(answer)?;
    match Class::of_status(answer.status) {
        // 422 is theirs for content alone.
        Class::Invalid if answer.status.as_u16() == 422 => {
            Some(Verdict::with_detail(Class::Moderated, words))
        }
        Class::Invalid => Some(Verdict::with_detail(Class::Invalid, words)),
        Class::Auth
        | Class::Balance
        | Class::RateLimited
        | Class::Overloaded
        | Class::Moderated
        | Class::Gone
        | Class::Unknown
        | Class::Malformed
        | Class::NotSent => None,
    }
}

/// As [`classify`], for a look at a job: only they themselves can say that they do not have it. A gateway's bare 404 says nothing about a
/// job that is paid.
fn classify_state(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let is_gone = Class::of_status(answer.status) == Class::Gone;
    if is_gone && words(answer).is_none() {
        return Some(Verdict::of(Class::Unknown));
    }
    None
}

/// What a refusal of theirs says; `None`: it is not theirs.
fn words(answer: &ProviderAnswer<'_>) -> Option<String> {
    let refused: Refused = serde_json::from_slice(answer.body).ok()?;
    Some(refused.error.unwrap_or_default())
}

// === impl Generation ===

impl Generation {
    fn progress(&self) -> Progress {
        match self.status.as_str() {
            "completed" => self.completed(),
            // Which is not billed.
            "failed" => Progress::Failed(self.failure()),
            // `pending`, and whatever else they may add: it runs until the deadline. They tell no percentage.
            _ => Progress::Running {
                percent: None,
                position: None,
                clips: Vec::new(),
            },
        }
    }

    /// We ask for one picture at a time.
    fn completed(&self) -> Progress {
        let cost = self.usage_cost_usd_micros.filter(|cost| *cost > 0);
        let cost = cost.map(|micro_usd| Cost { micro_usd });
        let pictures = self.data.iter();
        let urls = pictures.filter_map(|one| one.url.clone());
        let files: Vec<String> = urls.filter(|url| !url.is_empty()).collect();
        let is_held_back = self.data.iter().any(|one| one.is_image_safe == Some(false));
        if files.is_empty() && is_held_back {
            return Progress::Wasted(moderated(REFUSED), cost);
        }
        Progress::Done {
            files,
            about: Vec::new(),
            cost,
        }
    }

    /// What is not the content policy's is the provider's own failure.
    fn failure(&self) -> Failure {
        let reason = self.failure_reason.as_deref().unwrap_or_default();
        if policy::tells(reason) {
            moderated(REFUSED)
        } else {
            Failure::reported(Verdict::of(Class::Overloaded))
        }
    }
}

#[cfg(test)]
mod tests;
