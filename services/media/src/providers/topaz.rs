//! Topaz Labs, pictures (developer.topazlabs.com, image API v1, as of November 2026): send one to be made larger, look at it, and ask where it is
//! when it is done. Nothing signs its callbacks: they only hasten a look.

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Access, Cancelled, Cost, MediaProvider, Order, Progress, Started, form::Form, jobs, wire,
};

const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What stands before each of its places, and those of a process.
const PREFIX: &str = "image/v1";
const STATUS: &str = "status";
const DOWNLOAD: &str = "download";
const CANCEL: &str = "cancel";
/// The field of a picture that they fetch, and that of one that is sent.
const PICTURE: (&str, &str) = ("source_url", "image");
/// What one of their credits is, in millionths of a US dollar, as far as they say it.
const CREDIT: i64 = 80_000;
/// While credits that we ordered are on their way: nothing was taken, and another one may have some.
const ORDERING: u16 = 425;

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Topaz {
    client: ProviderClient,
}

/// The wire shape of an accepted process.
#[derive(Deserialize)]
struct Accepted {
    process_id: Value,
}

/// The wire shape of a process.
#[derive(Deserialize)]
struct Process {
    status: String,
    #[serde(default)]
    progress: Value,
    #[serde(default)]
    credits: Value,
    #[serde(default, deserialize_with = "wire::lenient")]
    message: String,
}

/// The wire shape of where a file is.
#[derive(Deserialize)]
struct Place {
    download_url: String,
}

/// The wire shape of a refusal.
#[derive(Deserialize)]
struct Problem {
    #[serde(alias = "error", alias = "detail")]
    message: String,
}

// === impl Topaz ===

impl Topaz {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    fn headers(access: &Access) -> HeaderMap {
        wire::keyed(access, KEY, "")
    }

    /// Where the file of a process is that is done.
    async fn file(
        &self,
        access: &Access,
        (job, process): (&str, &Process),
    ) -> Result<Progress, Failure> {
        let from = jobs::below(&access.base_url, PREFIX, &[DOWNLOAD, job])?;
        let at = (from, Self::headers(access));
        match jobs::get::<Place>(&self.client, at, classify_look).await {
            Ok(place) => {
                let cost = Cost::of_credits(&process.credits, CREDIT);
                Ok(jobs::done(vec![place.download_url], cost))
            }
            // Not everywhere yet.
            Err(failure) if failure.status() == Some(StatusCode::CONFLICT) => Ok(process.running()),
            Err(failure) => Err(failure),
        }
    }
}

#[async_trait]
impl MediaProvider for Topaz {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let way = order.model;
        let url = wire::place(&access.base_url, &format!("{PREFIX}/{way}/async"))?;
        let mut form = Form::of(order.parameters, PICTURE)?;
        if let Some(callback) = order.callback {
            form.text("webhook_url", callback);
        }
        let (headers, body) = form.written(Self::headers(access));
        let call = Call::submit(url, headers, body.into());
        let answer = self.client.send(call, classify).await?.bytes().await?;
        let accepted: Accepted = jobs::read(&answer)?;
        let job = jobs::id(&accepted.process_id);
        let job = job.ok_or_else(|| Failure::malformed("the answer to a submit has no process"))?;
        Ok(Started::taken(job, None))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let from = jobs::below(&access.base_url, PREFIX, &[STATUS, job])?;
        let at = (from, Self::headers(access));
        let process = match jobs::get::<Process>(&self.client, at, classify_look).await {
            Ok(process) => process,
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        match process.status.to_lowercase().as_str() {
            "completed" => self.file(access, (job, &process)).await,
            // Either gives back what it cost.
            "failed" | "cancelled" => Ok(Progress::Failed(process.failure())),
            // `Pending`, `Processing`, and whatever else they may add: it runs until the deadline.
            _ => Ok(process.running()),
        }
    }

    /// They do not say until when a process can be stopped: only a look tells.
    async fn cancel(&self, access: &Access, job: &str) -> Result<Cancelled, Failure> {
        let url = jobs::below(&access.base_url, PREFIX, &[CANCEL, job])?;
        let call = Call::new(
            Method::DELETE,
            url,
            Self::headers(access),
            Vec::new().into(),
        );
        match self.client.send(call, classify_look).await {
            Ok(_) => Ok(Cancelled::Asked),
            Err(failure) if is_over(&failure) => Ok(Cancelled::TooLate),
            Err(failure) => Err(failure),
        }
    }
}

/// Whether a process could not be stopped because it has ended.
fn is_over(failure: &Failure) -> bool {
    matches!(failure.class(), Class::Gone | Class::Invalid)
        || failure.status() == Some(StatusCode::CONFLICT)
}

fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    if answer.status.as_u16() == ORDERING {
        return Some(Verdict::of(Class::Overloaded));
    }
    let problem: Problem = serde_json::from_slice(answer.body).ok()?;
    let class = Class::of_submit_status(answer.status);
    Some(jobs::of_words(class, &problem.message))
}

/// As [`classify`], for a look at a process.
fn classify_look(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    Some(jobs::looked(classify(answer), answer.status))
}

// === impl Process ===

impl Process {
    /// How far it is, in whole percent.
    fn running(&self) -> Progress {
        let text = self.progress.to_string();
        let whole = text.split('.').next().unwrap_or_default();
        let percent = whole.parse().ok();
        Progress::Running {
            percent: percent.filter(|percent| (0..=100).contains(percent)),
            position: None,
            clips: Vec::new(),
        }
    }

    /// The content's, or their own doing.
    fn failure(&self) -> Failure {
        Failure::reported(jobs::of_words(Class::Overloaded, &self.message))
    }
}

#[cfg(test)]
mod tests;
