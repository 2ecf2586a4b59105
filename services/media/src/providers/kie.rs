//! kie.ai, unified jobs (docs.kie.ai, API of November 2026): create a task, then look at its record. One address for models of
//! many makers; the parameters are each model's own input object, which goes out as it is.
//!
//! Every answer is an envelope, and HTTP 200 alone means nothing: what the envelope's `code` says, counts.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};
use url::Url;

use super::{
    Access, Callback, Cancelled, Cost, Heard, MediaProvider, Order, Progress, Started, policy,
    signature, wire,
};

/// What one of their credits is, in millionths of a US dollar.
const CREDIT: i64 = 5_000;
/// The code of an envelope that holds what was asked for.
pub(super) const FINE: i64 = 200;
/// The code of a generation that failed: their word for it in some answers, in the place of a record's state.
const FAILED: i64 = 501;
/// What their codes mean for a submit. Some mean something else than the HTTP status of that number: 451 is an input that they
/// could not fetch, 455 is maintenance, 501 a generation that failed, 505 a model that is switched off.
pub(super) const CODES: &[(i64, Class)] = &[
    (400, Class::Invalid),
    (401, Class::Auth),
    (402, Class::Balance),
    (403, Class::Auth),
    (404, Class::Gone),
    // They may have taken the job before they gave up on the call.
    (408, Class::Unknown),
    (409, Class::Unknown),
    (413, Class::Invalid),
    (422, Class::Invalid),
    (429, Class::RateLimited),
    (451, Class::Invalid),
    (455, Class::Overloaded),
    (500, Class::Unknown),
    (FAILED, Class::Overloaded),
    (505, Class::Gone),
];
/// A record that they do not have: 422 is seen, 404 is documented. The id is all that we ask with, so that a wrong question is an unknown id.
const NO_RECORD: [i64; 2] = [404, 422];
/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Kie {
    client: ProviderClient,
}

/// The wire shape of every answer. Its words come by one of two names.
#[derive(Deserialize)]
pub(super) struct Envelope {
    pub(super) code: i64,
    msg: Option<String>,
    message: Option<String>,
    #[serde(default)]
    pub(super) data: Value,
}

/// The wire shape of an accepted task.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    task_id: String,
}

/// The wire shape of a task's record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    state: String,
    /// JSON within a text; empty until there is a result.
    result_json: Option<String>,
    fail_code: Option<Value>,
    fail_msg: Option<String>,
    /// Some models tell it.
    progress: Option<Value>,
    /// What they billed, where they tell it.
    #[serde(default)]
    credits_consumed: Value,
}

/// What the text in a record's `resultJson` holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    result_urls: Vec<String>,
}

// === impl Kie ===

impl Kie {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl MediaProvider for Kie {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let url = access
            .base_url
            .join("api/v1/jobs/createTask")
            .map_err(|_| Failure::reported(Verdict::of(Class::NotSent)))?;
        let headers = wire::with_json(wire::bearer(access));
        let mut body = json!({ "model": order.model, "input": order.parameters });
        if let (Some(callback), Some(fields)) = (order.callback, body.as_object_mut()) {
            fields.insert("callBackUrl".to_owned(), callback.into());
        }
        let call = Call::submit(url, headers, body.to_string().into());
        let reply = self.client.send(call, classify).await?.bytes().await?;
        let envelope = Envelope::read(&reply)
            .ok_or_else(|| Failure::malformed("the answer to a submit is no envelope"))?;
        if envelope.code != FINE {
            return Err(envelope.refusal(CODES));
        }
        let created: Created = serde_json::from_value(envelope.data)
            .map_err(|_| Failure::malformed("the answer to a submit has no task"))?;
        if created.task_id.is_empty() {
            return Err(Failure::malformed("the answer to a submit has no task"));
        }
        Ok(Started::taken(created.task_id, None))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let url = record_url(&access.base_url, job)
            .ok_or_else(|| Failure::malformed("the record's URL is not one"))?;
        let call = Call::get(url, wire::bearer(access));
        let envelope = match self.client.send(call, classify_record).await {
            Ok(reply) => Envelope::read(&reply.bytes().await?)
                .ok_or_else(|| Failure::malformed("the answer to a poll is no envelope"))?,
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        envelope.progress()
    }

    /// They sign the task's id and the moment, where the account has a key for it. The body is not covered, and not read.
    async fn hears(&self, access: &Access, callback: &Callback<'_>) -> Heard {
        hears(access, callback, callback.job)
    }

    /// They have no such call.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::Impossible)
    }
}

/// Whether a callback about a job of theirs, by their own name of it, is signed with the key that is set in the account.
pub(super) fn hears(access: &Access, callback: &Callback<'_>, job: &str) -> Heard {
    let Some(secret) = &access.callback_secret else {
        return Heard::Unsigned;
    };
    let moment = signature::text(callback.headers, "x-webhook-timestamp");
    let signed = signature::text(callback.headers, "x-webhook-signature");
    let text = format!("{job}.{moment}");
    if signature::is_fresh(moment, callback.now)
        && signature::is_hmac(secret, text.as_bytes(), &signature::of_base64(signed))
    {
        Heard::Signed
    } else {
        Heard::Forged
    }
}

// === impl Envelope ===

impl Envelope {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// What a code says that is in a table.
    pub(super) fn verdict(&self, codes: &[(i64, Class)]) -> Option<Verdict> {
        let (_, class) = codes.iter().find(|(code, _)| *code == self.code)?;
        let words = self.msg.as_deref().or(self.message.as_deref());
        let words = words.unwrap_or_default();
        let may_be_policy = matches!(class, Class::Invalid | Class::Overloaded | Class::Unknown);
        Some(if may_be_policy && policy::tells(words) {
            Verdict::with_detail(Class::Moderated, words)
        } else {
            Verdict::with_detail(*class, words)
        })
    }

    pub(super) fn has_no_record(&self) -> bool {
        NO_RECORD.contains(&self.code)
    }

    /// What the answer to a poll tells of the task. A record says more than the code above it, which some failed tasks have of their
    /// own.
    fn progress(self) -> Result<Progress, Failure> {
        let (refusal, no_record) = (self.refusal(CODES), self.has_no_record());
        if let Ok(record) = Record::deserialize(self.data) {
            return record.progress();
        }
        match self.code {
            FINE => Err(Failure::malformed("the answer to a poll has no state")),
            FAILED => Ok(Progress::Failed(refusal)),
            _ if no_record => Ok(Progress::Missing),
            _ => Err(refusal),
        }
    }

    /// A refusal under a status that says all is well.
    pub(super) fn refusal(&self, codes: &[(i64, Class)]) -> Failure {
        self.verdict(codes).map_or_else(
            || Failure::malformed("the provider's code is not in its table"),
            Failure::reported,
        )
    }
}

// === impl Record ===

impl Record {
    fn progress(&self) -> Result<Progress, Failure> {
        Ok(match self.state.as_str() {
            "success" => Progress::Done {
                files: self.files()?,
                about: Vec::new(),
                cost: Cost::of_credits(&self.credits_consumed, CREDIT),
            },
            "fail" => Progress::over(
                self.failure(),
                Cost::of_credits(&self.credits_consumed, CREDIT),
            ),
            // `waiting`, `queuing`, `generating`, and whatever else they may add: it runs until the deadline.
            _ => Progress::Running {
                percent: self.progress.as_ref().and_then(percent),
                position: None,
                clips: Vec::new(),
            },
        })
    }

    fn files(&self) -> Result<Vec<String>, Failure> {
        let text = self.result_json.as_deref().unwrap_or_default();
        serde_json::from_str(text)
            .ok()
            .map(|results: Results| results.result_urls)
            .filter(|urls| !urls.is_empty())
            .ok_or_else(|| Failure::malformed("a finished task has no files"))
    }

    /// What is not the content policy's is the provider's own failure, whatever its number is.
    fn failure(&self) -> Failure {
        let words = self.fail_msg.as_deref().unwrap_or_default();
        let code = self.fail_code.as_ref().and_then(Value::as_str);
        let verdict = if policy::tells(words) {
            Verdict::with_detail(Class::Moderated, words)
        } else if code.is_some_and(policy::tells) {
            let words = "the provider's content policy refused the request or its result";
            Verdict::with_detail(Class::Moderated, words)
        } else {
            Verdict::of(Class::Overloaded)
        };
        Failure::reported(verdict)
    }
}

fn record_url(base: &Url, job: &str) -> Option<Url> {
    let mut url = base.join("api/v1/jobs/recordInfo").ok()?;
    url.query_pairs_mut().append_pair("taskId", job);
    Some(url)
}

/// A refused submit, by its envelope; one without is read by its status.
fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    Envelope::read(answer.body)?.verdict(CODES)
}

/// As [`classify`], for a look at a task: only they themselves can say that they do not have it. A gateway's bare 404 says nothing
/// about a task that is paid.
fn classify_record(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    record_verdict(answer, CODES)
}

/// What an answer in the place of a record says, by a table of codes.
pub(super) fn record_verdict(
    answer: &ProviderAnswer<'_>,
    codes: &[(i64, Class)],
) -> Option<Verdict> {
    let envelope = Envelope::read(answer.body);
    if envelope.as_ref().is_some_and(Envelope::has_no_record) {
        return Some(Verdict::of(Class::Gone));
    }
    let verdict = envelope
        .and_then(|envelope| envelope.verdict(codes))
        .unwrap_or_else(|| Verdict::of(Class::of_status(answer.status)));
    Some(if verdict.class == Class::Gone {
        Verdict::of(Class::Overloaded)
    } else {
        verdict
    })
}

/// They count from 0 to 100, in numbers or in texts.
fn percent(progress: &Value) -> Option<i64> {
    let text = match progress {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let whole: String = text.chars().take_while(char::is_ascii_digit).collect();
    whole.parse().ok().filter(|percent| *percent <= 100)
}

#[cfg(test)]
mod tests;
