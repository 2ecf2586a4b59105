//! Vidu (platform.vidu.com, November 2026): submit a film of a text, of a picture or between two, then look at what it made.
//!
//! Its callbacks are signed with our own key: the address that they call, and when; not what they say, which is not believed anyway.

use async_trait::async_trait;
use domain::Secret;
use http::{HeaderMap, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::Value;
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Access, Callback, Cancelled, Cost, Heard, MediaProvider, Order, Progress, Started, jobs,
    signature, wire,
};

/// What one of their credits is, in millionths of a US dollar.
const CREDIT: i64 = 5_000;
const PREFIX: &str = "ent/v2/";
/// What their callbacks call themselves, and how they are signed: no other way is taken.
const SIGNER: &str = "vidu";
const ALGORITHM: &str = "hmac-sha256";
const TASKS: &str = "ent/v2/tasks";
/// What their reasons mean. Others are what their status says.
const REASONS: [(&str, Class); 18] = [
    ("AuditSubmitIllegal", Class::Moderated),
    ("TaskPromptPolicyViolation", Class::Moderated),
    ("CreationPolicyViolation", Class::Moderated),
    ("CreditInsufficient", Class::Balance),
    ("Unauthorized", Class::Auth),
    ("Forbidden", Class::Auth),
    ("ModelUnavailable", Class::Gone),
    ("NotFound", Class::Gone),
    ("TaskNotFound", Class::Gone),
    ("CreationNotFound", Class::Gone),
    ("QuotaExceeded", Class::RateLimited),
    ("TooManyRequests", Class::RateLimited),
    ("SystemThrottling", Class::RateLimited),
    ("OperationInProcess", Class::Overloaded),
    ("Conflict", Class::Overloaded),
    ("UserCancelled", Class::Overloaded),
    // They may have taken the task before that.
    ("Canceled", Class::Unknown),
    ("InternalServiceFailure", Class::Unknown),
];

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Vidu {
    client: ProviderClient,
}

/// The wire shape of an accepted task.
#[derive(Deserialize)]
struct Submitted {
    task_id: Value,
    #[serde(default)]
    credits: Value,
}

/// The wire shape of a task.
#[derive(Deserialize)]
struct Task {
    state: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    err_code: String,
    #[serde(default)]
    credits: Value,
    #[serde(default, deserialize_with = "wire::lenient")]
    creations: Vec<Creation>,
}

/// The wire shape of a file.
#[derive(Deserialize)]
struct Creation {
    #[serde(default, deserialize_with = "wire::lenient")]
    url: String,
}

/// The wire shape of a refusal.
#[derive(Deserialize)]
struct Problem {
    #[serde(default, deserialize_with = "wire::lenient")]
    reason: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    message: String,
}

// === impl Vidu ===

impl Vidu {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    /// Their word is not the usual one.
    fn headers(access: &Access) -> HeaderMap {
        wire::keyed(access, AUTHORIZATION, "Token ")
    }
}

#[async_trait]
impl MediaProvider for Vidu {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let mut body = order.parameters.clone();
        let pictures = body.get("images").and_then(Value::as_array).map(Vec::len);
        let path = match pictures {
            None | Some(0) => "text2video",
            Some(1) => "img2video",
            Some(_) => "start-end2video",
        };
        body.insert("model".to_owned(), order.model.into());
        if let Some(callback) = order.callback {
            body.insert("callback_url".to_owned(), callback.into());
        }
        let to = wire::place(&access.base_url, &format!("{PREFIX}{path}"))?;
        let at = (to, Self::headers(access));
        let body = Value::Object(body);
        let answer = jobs::submit(&self.client, at, &body, classify).await?;
        let submitted: Submitted = jobs::read(&answer)?;
        let job = jobs::id(&submitted.task_id);
        let job = job.ok_or_else(|| Failure::malformed("the answer to a submit has no task"))?;
        let cost = Cost::of_credits(&submitted.credits, CREDIT);
        Ok(Started::taken(job, cost))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let from = jobs::below(&access.base_url, TASKS, &[job, "creations"])?;
        let at = (from, Self::headers(access));
        match jobs::get::<Task>(&self.client, at, classify_look).await {
            Ok(task) => Ok(task.progress()),
            Err(failure) if failure.class() == Class::Gone => Ok(Progress::Missing),
            Err(failure) => Err(failure),
        }
    }

    /// They do not say until when a task can be stopped: only a look tells.
    async fn cancel(&self, access: &Access, job: &str) -> Result<Cancelled, Failure> {
        let url = jobs::below(&access.base_url, TASKS, &[job, "cancel"])?;
        let call = Call::post(url, Self::headers(access), Vec::new().into());
        match self.client.send(call, classify_look).await {
            Ok(_) => Ok(Cancelled::Asked),
            Err(failure) if matches!(failure.class(), Class::Gone | Class::Invalid) => {
                Ok(Cancelled::TooLate)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn hears(&self, access: &Access, callback: &Callback<'_>) -> Heard {
        match &access.key {
            None => Heard::Unsigned,
            Some(key) if is_genuine(key, callback) => Heard::Signed,
            Some(_) => Heard::Forged,
        }
    }
}

/// Whether a callback was made lately with the key that its task was made with (platform.vidu.com/docs/callback-signature): the HMAC-SHA256, in
/// base64, of lines that are the method, the path and the query of the address, whose key it is, the date, and each header that is named.
fn is_genuine(key: &Secret, callback: &Callback<'_>) -> bool {
    let header = |name: &str| signature::text(callback.headers, name);
    let date = header("date");
    let mut lines = format!("POST\n{}\n\n{SIGNER}\n{date}\n", callback.path);
    let named = header("x-hmac-signed-headers").split(';').map(str::trim);
    for name in named.filter(|name| !name.is_empty()) {
        lines.extend([name, ":", header(name), "\n"]);
    }
    let given = signature::of_base64(header("x-hmac-signature"));
    header("x-hmac-algorithm") == ALGORITHM
        && header("x-hmac-access-key") == SIGNER
        && signature::is_of_late(date, callback.now)
        && signature::is_hmac(key, lines.as_bytes(), &given)
}

fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let problem: Problem = serde_json::from_slice(answer.body).ok()?;
    if let Some(verdict) = verdict(&problem.reason, &problem.message) {
        return Some(verdict);
    }
    // Fields and pictures that are wrong.
    let is_theirs = !problem.reason.is_empty();
    let is_wrong = is_theirs && Class::of_status(answer.status) == Class::Invalid;
    is_wrong.then(|| jobs::of_words(Class::Invalid, &problem.message))
}

/// As [`classify`], for a look at a task.
fn classify_look(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    Some(jobs::looked(classify(answer), answer.status))
}

fn verdict(reason: &str, words: &str) -> Option<Verdict> {
    let (_, class) = REASONS.iter().find(|(known, _)| *known == reason)?;
    Some(jobs::of_words(*class, words))
}

// === impl Task ===

impl Task {
    fn progress(&self) -> Progress {
        match self.state.as_str() {
            "success" => jobs::done(self.files(), Cost::of_credits(&self.credits, CREDIT)),
            "failed" => Progress::Failed(self.failure()),
            // `created`, `queueing`, `processing`, and whatever else they may add: it runs until the deadline.
            _ => jobs::running(),
        }
    }

    fn files(&self) -> Vec<String> {
        let made = self.creations.iter();
        let urls = made.map(|creation| creation.url.clone());
        urls.filter(|url| !url.is_empty()).collect()
    }

    /// The content's, or their own doing, whatever its reason is. What `credits` is worth of a failed task, they do not say: it is taken as
    /// given back.
    fn failure(&self) -> Failure {
        let code = self.err_code.as_str();
        let is_policy = verdict(code, "").is_some_and(|verdict| verdict.class == Class::Moderated)
            || code.ends_with("PolicyViolation");
        let class = if is_policy {
            Class::Moderated
        } else {
            Class::Overloaded
        };
        Failure::reported(jobs::of_words(class, ""))
    }
}

#[cfg(test)]
mod tests;
