//! Bria (docs.bria.ai, second version of its API, November 2026): submit a picture or a film to be changed, then look at its status, where the
//! answer says that it is.
//!
//! A status is answered with 200 whatever it says: a job that failed has its code and its words inside of it.

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};
use url::Url;

use super::{
    Access, Callback, Cancelled, Heard, MediaProvider, Order, Progress, Started, jobs, signature,
    wire,
};

/// The header of its key.
const KEY: HeaderName = HeaderName::from_static("api_token");
/// Where the status of a job is, below the address, unless the answer says otherwise.
const STATUS: &str = "status";
/// Hosts of theirs, besides the configured one, that may be asked, and shown the key.
const OWN_HOSTS: [&str; 2] = [".bria-api.com", ".bria.ai"];
/// What a callback is signed with is made of the key by this text.
const SIGNED_WITH: &[u8] = b"bria-webhook-signing-v1";
/// What stands before a signature, of which there may be several.
const SCHEME: &str = "v1=";
/// The one parameter of theirs that a file may stand in.
const PICTURE: &str = "image";
/// What their codes mean that HTTP does not have, or that mean something else there. What they refuse for its content has the code of what is wrong
/// in form (422), and only its words tell.
const CODES: [(i64, Class); 5] = [
    // The picture or the film could not be fetched.
    (460, Class::Invalid),
    (413, Class::Invalid),
    (415, Class::Invalid),
    (422, Class::Invalid),
    // Nothing was begun: there was no room for it.
    (506, Class::Overloaded),
];
/// What is told of an input that they could not have.
const UNFETCHED: &str = "the provider could not download the input";
const DOWNLOAD: i64 = 460;

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Bria {
    client: ProviderClient,
}

/// The wire shape of an accepted job.
#[derive(Deserialize)]
struct Submitted {
    #[serde(default, deserialize_with = "wire::lenient")]
    request_id: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    status_url: String,
}

/// The wire shape of a job's status.
#[derive(Deserialize)]
struct Standing {
    status: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    result: Option<Made>,
    #[serde(default, deserialize_with = "wire::lenient")]
    error: Option<Problem>,
}

/// The wire shape of what was made.
#[derive(Deserialize)]
struct Made {
    #[serde(default, deserialize_with = "wire::lenient")]
    image_url: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    video_url: String,
}

/// The wire shape of a refusal.
#[derive(Deserialize)]
struct Refused {
    error: Problem,
}

/// The wire shape of what is wrong.
#[derive(Deserialize)]
struct Problem {
    #[serde(default, deserialize_with = "wire::lenient_number")]
    code: Option<i64>,
    #[serde(default, deserialize_with = "wire::lenient")]
    message: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    details: String,
}

// === impl Bria ===

impl Bria {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    fn headers(access: &Access) -> HeaderMap {
        wire::keyed(access, KEY, "")
    }
}

#[async_trait]
impl MediaProvider for Bria {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let mut body = order.parameters.clone();
        if let Some(picture) = body.get_mut(PICTURE) {
            jobs::bare(picture);
        }
        if let Some(callback) = order.callback {
            body.insert("webhook_url".to_owned(), callback.into());
        }
        let to = wire::place(&access.base_url, order.model)?;
        let at = (to, Self::headers(access));
        let body = Value::Object(body);
        let answer = jobs::submit(&self.client, at, &body, classify).await?;
        let submitted: Submitted = jobs::read(&answer)?;
        let job = submitted.reference(&access.base_url);
        let job = job.ok_or_else(|| Failure::malformed("the answer to a submit has no job"))?;
        Ok(Started::taken(job, None))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let url = access
            .base_url
            .join(job)
            .map_err(|_| Failure::malformed("the URL of a status is not one"))?;
        let headers = if is_theirs(&access.base_url, &url) {
            Self::headers(access)
        } else {
            HeaderMap::new()
        };
        let call = Call::get(url, headers);
        match self.client.send(call, classify_look).await {
            Ok(reply) => Ok(jobs::read::<Standing>(&reply.bytes().await?)?.progress()),
            Err(failure) if failure.class() == Class::Gone => Ok(Progress::Missing),
            Err(failure) => Err(failure),
        }
    }

    /// They sign all that they send with a key that is made of ours.
    async fn hears(&self, access: &Access, callback: &Callback<'_>) -> Heard {
        let key = access.key.as_ref();
        let Some(key) = key.and_then(|key| signature::derived(key, SIGNED_WITH)) else {
            return Heard::Unsigned;
        };
        let header = |name| signature::text(callback.headers, name);
        let (id, moment) = (header("bria-webhook-id"), header("bria-webhook-timestamp"));
        let text = [id.as_bytes(), moment.as_bytes(), callback.body].join(&b'.');
        let given = header("bria-webhook-signature").split([' ', ',']);
        let mut given = given.filter_map(|one| one.strip_prefix(SCHEME));
        let is_right = |one: &str| signature::is_hmac_by(&key, &text, &signature::of_base64(one));
        if signature::is_fresh(moment, callback.now) && given.any(is_right) {
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

/// A refused submit.
fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let refused: Refused = serde_json::from_slice(answer.body).ok()?;
    let code = refused.error.code;
    let code = code.unwrap_or_else(|| answer.status.as_u16().into());
    if let Some(verdict) = refused.error.verdict(code) {
        return Some(verdict);
    }
    let class = Class::of_submit_status(status(code)?);
    Some(jobs::of_words(class, &refused.error.message))
}

/// As [`classify`], for a look at a job.
fn classify_look(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let refused: Option<Refused> = serde_json::from_slice(answer.body).ok();
    let theirs = refused.map(|_| Verdict::of(Class::of_status(answer.status)));
    Some(jobs::looked(theirs, answer.status))
}

/// The status of HTTP that a code is.
fn status(code: i64) -> Option<StatusCode> {
    StatusCode::from_u16(u16::try_from(code).ok()?).ok()
}

fn is_theirs(base: &Url, place: &Url) -> bool {
    let host = place.host_str().unwrap_or_default();
    let is_own = OWN_HOSTS.iter().any(|own| host.ends_with(own));
    place.origin() == base.origin() || (place.scheme() == "https" && is_own)
}

// === impl Submitted ===

impl Submitted {
    /// What finds the job again: relative to the configured address if it is there, so that the address may change; else the whole URL, if that
    /// is theirs; of any other place, which nobody is to be sent to, where its id leads.
    fn reference(&self, base: &Url) -> Option<String> {
        let told = base.join(&self.status_url);
        let told = told.ok().filter(|url| is_theirs(base, url));
        let told = told.filter(|_| !self.status_url.is_empty());
        let by_id = || {
            let url = jobs::below(base, STATUS, &[&self.request_id]).ok();
            url.filter(|_| !self.request_id.is_empty())
        };
        let url = told.or_else(by_id)?;
        let relative = base.make_relative(&url);
        let relative = relative.filter(|_| url.origin() == base.origin());
        Some(relative.unwrap_or_else(|| url.to_string()))
    }
}

// === impl Standing ===

impl Standing {
    fn progress(self) -> Progress {
        match self.status.as_str() {
            "COMPLETED" => {
                let made = self.result.map(|made| [made.image_url, made.video_url]);
                let mut files: Vec<String> = made.into_iter().flatten().collect();
                files.retain(|url| !url.is_empty());
                jobs::done(files, None)
            }
            "ERROR" => Progress::Failed(self.failure()),
            // A fault inside of theirs: nothing comes of it any more.
            "UNKNOWN" => Progress::Failed(Failure::reported(Verdict::of(Class::Overloaded))),
            // `IN_PROGRESS`, and whatever else they may add: it runs until the deadline.
            _ => jobs::running(),
        }
    }

    /// The input's, or their own doing.
    fn failure(&self) -> Failure {
        let verdict = self.error.as_ref().map(|error| {
            let code = error.code.unwrap_or_default();
            let is_wrong = status(code).map(Class::of_status) == Some(Class::Invalid);
            let class = if is_wrong {
                Class::Invalid
            } else {
                Class::Overloaded
            };
            let verdict = error.verdict(code);
            verdict.unwrap_or_else(|| jobs::of_words(class, &error.message))
        });
        Failure::reported(verdict.unwrap_or_else(|| Verdict::of(Class::Overloaded)))
    }
}

// === impl Problem ===

impl Problem {
    /// What a code of the table means.
    fn verdict(&self, code: i64) -> Option<Verdict> {
        let words = match (code, self.message.as_str(), self.details.as_str()) {
            // Their words name the place that we gave them.
            (DOWNLOAD, ..) => UNFETCHED,
            (_, "", details) => details,
            (_, message, _) => message,
        };
        jobs::verdict(&CODES, code, words)
    }
}

#[cfg(test)]
mod tests;
