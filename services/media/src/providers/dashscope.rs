//! Alibaba's Model Studio (DashScope, November 2026): films are jobs, pictures are answered at once.
//!
//! A row's input is their `input` and `parameters`. Where they are is the operator's to say: keys are of a region.

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use upstream::{Call, Class, Classify, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Access, Answers, Cancelled, MediaProvider, Order, PATIENCE, Progress, Started, at_once, jobs,
    refusal, wire,
};

const FILMS: &str = "api/v1/services/aigc/video-generation/video-synthesis";
const PICTURES: &str = "api/v1/services/aigc/multimodal-generation/generation";
const TASKS: &str = "api/v1/tasks";
/// Without it they would answer at once, which films cannot be.
const ASYNC: HeaderName = HeaderName::from_static("x-dashscope-async");
const ENABLE: HeaderValue = HeaderValue::from_static("enable");
/// What the models of pictures begin with.
const OF_PICTURES: [&str; 2] = ["qwen-image", "z-image"];
/// The longest prompts, by what models are called; they would cut a longer one.
const PROMPTS: [(&str, usize); 3] = [("qwen-image", 800), ("wan2.6", 1_500), ("z-image", 800)];
/// What begins the codes of their own failures.
const BROKEN: &str = "InternalError";
/// What their codes mean, the first that a code begins with. Codes of their own failures are read by the status that they come with.
const CODES: [(&str, Class); 13] = [
    ("DataInspectionFailed", Class::Moderated),
    ("IPInfringementSuspect", Class::Moderated),
    ("Arrearage", Class::Balance),
    ("InvalidApiKey", Class::Auth),
    ("AccessDenied", Class::Auth),
    ("Model.AccessDenied", Class::Auth),
    ("Model", Class::Gone),
    ("WorkSpaceNotFound", Class::Auth),
    ("Throttling", Class::RateLimited),
    ("LimitRequests", Class::RateLimited),
    ("Invalid", Class::Invalid),
    ("BadRequest", Class::Invalid),
    ("UnsupportedOperation", Class::Invalid),
];

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct DashScope {
    client: ProviderClient,
}

/// The wire shape of an answer.
#[derive(Deserialize)]
struct Answer {
    output: Output,
}

/// The wire shape of what an answer holds: a task, or pictures.
#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    task_id: Value,
    #[serde(default, deserialize_with = "wire::lenient")]
    task_status: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    video_url: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    results: Vec<Made>,
    #[serde(default, deserialize_with = "wire::lenient")]
    choices: Vec<Choice>,
    #[serde(default, deserialize_with = "wire::lenient")]
    code: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    message: String,
}

/// The wire shape of a file, by one name or another.
#[derive(Deserialize)]
struct Made {
    #[serde(default, deserialize_with = "wire::lenient")]
    url: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    image: String,
}

/// The wire shape of a picture's message.
#[derive(Deserialize)]
struct Choice {
    message: Message,
}

/// The wire shape of what a message holds: pictures, and texts beside them.
#[derive(Deserialize)]
struct Message {
    #[serde(default, deserialize_with = "wire::lenient")]
    content: Vec<Made>,
}

/// The wire shape of a refusal.
#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    message: String,
}

// === impl DashScope ===

impl DashScope {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl MediaProvider for DashScope {
    fn answers(&self, model: &str) -> Answers {
        if OF_PICTURES.iter().any(|start| model.starts_with(start)) {
            Answers::AtOnce
        } else {
            Answers::Later
        }
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let input = order.parameters.get("input").unwrap_or(&Value::Null);
        if let Some((_, most)) = PROMPTS
            .iter()
            .find(|(start, _)| order.model.starts_with(start))
        {
            jobs::fits(("prompt", prompt(input)), *most)?;
        }
        let mut headers = wire::bearer(access);
        let answers = self.answers(order.model);
        let (path, classify): (_, Classify) = match answers {
            Answers::AtOnce => (PICTURES, classify_picture),
            Answers::Later => {
                headers.insert(ASYNC, ENABLE);
                (FILMS, classify)
            }
        };
        let to = wire::place(&access.base_url, path)?;
        let parameters = order.parameters.get("parameters");
        let body = json!({ "model": order.model, "input": input, "parameters": parameters });
        let call = Call::submit(to, wire::with_json(headers), body.to_string().into());
        let call = match answers {
            // However long it takes: whoever asks has a limit for it.
            Answers::AtOnce => call.first_byte_within(PATIENCE),
            Answers::Later => call,
        };
        let answer = match self.client.send(call, classify).await {
            Ok(reply) => reply.bytes().await?,
            Err(failure) if has_broken(&failure) => return Ok(at_once::failed("the call")),
            Err(failure) => return Err(failure),
        };
        let answer: Answer = jobs::read(&answer)?;
        let files = answer.output.files();
        match jobs::id(&answer.output.task_id) {
            Some(job) => Ok(Started::taken(job, None)),
            None if files.is_empty() => Err(Failure::malformed(
                "the answer to a submit has no task and no file",
            )),
            None => Ok(at_once::placed(files, None)),
        }
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        if let Some(progress) = at_once::check(job) {
            return Ok(progress);
        }
        let from = jobs::below(&access.base_url, TASKS, &[job])?;
        let at = (from, wire::bearer(access));
        let answer: Answer = match jobs::get(&self.client, at, classify_look).await {
            Ok(answer) => answer,
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        answer.output.progress()
    }

    /// They take a task out of their queue, and out of nothing else.
    async fn cancel(&self, access: &Access, job: &str) -> Result<Cancelled, Failure> {
        if at_once::check(job).is_some() {
            return Ok(Cancelled::TooLate);
        }
        let url = jobs::below(&access.base_url, TASKS, &[job, "cancel"])?;
        let call = Call::post(url, wire::bearer(access), Vec::new().into());
        match self.client.send(call, classify).await {
            Ok(_) => Ok(Cancelled::Stopped),
            Err(failure) if matches!(failure.class(), Class::Invalid | Class::Gone) => {
                Ok(Cancelled::TooLate)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Where a prompt stands.
fn prompt(input: &Value) -> Option<&str> {
    let message = || {
        let content = input.pointer("/messages/0/content")?.as_array()?;
        content.iter().find_map(|part| part.get("text"))
    };
    input.get("prompt").or_else(message)?.as_str()
}

fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let problem: Problem = serde_json::from_slice(answer.body).ok()?;
    verdict(&problem.code, &problem.message)
}

/// As [`classify`], for a picture, which is answered when it is there: that they broke, in words of their own, says that it is not, and that
/// nothing is billed.
fn classify_picture(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let Ok(problem) = serde_json::from_slice::<Problem>(answer.body) else {
        return refusal::without_words(answer.status);
    };
    let told = verdict(&problem.code, &problem.message);
    let has_broken = problem.code.starts_with(BROKEN);
    told.or_else(|| has_broken.then(|| Verdict::of(Class::Overloaded)))
}

/// Whether it is a picture that they broke at.
fn has_broken(failure: &Failure) -> bool {
    let broke = failure.status() == Some(StatusCode::INTERNAL_SERVER_ERROR);
    broke && failure.class() == Class::Overloaded
}

/// As [`classify`], for a look at a task: a task that they forgot is told as `UNKNOWN`, so that an error ends none.
fn classify_look(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    Some(jobs::looked(classify(answer), answer.status))
}

fn verdict(code: &str, words: &str) -> Option<Verdict> {
    let (_, class) = CODES.iter().find(|(start, _)| code.starts_with(start))?;
    Some(jobs::of_words(*class, words))
}

// === impl Output ===

impl Output {
    fn files(&self) -> Vec<String> {
        let messages = self.choices.iter().map(|choice| &choice.message);
        let pictures = messages.flat_map(|message| &message.content);
        let all = pictures.chain(&self.results);
        let all = all.flat_map(|made| [&made.url, &made.image]);
        let all = std::iter::once(&self.video_url).chain(all);
        all.filter(|url| !url.is_empty()).cloned().collect()
    }

    fn progress(&self) -> Result<Progress, Failure> {
        match self.task_status.as_str() {
            "SUCCEEDED" => Ok(jobs::done(self.files(), None)),
            "FAILED" => Ok(Progress::Failed(self.failure())),
            // Somebody cancelled it there.
            "CANCELED" | "CANCELLED" => Ok(Progress::Failed(Failure::reported(Verdict::of(
                Class::Overloaded,
            )))),
            // Older than a day, or none of theirs.
            "UNKNOWN" => Ok(Progress::Missing),
            "" => Err(Failure::malformed("the answer to a poll has no status")),
            // `PENDING`, `RUNNING`, `SUSPENDED`, and whatever else they may add: it runs until the deadline.
            _ => Ok(jobs::running()),
        }
    }

    /// A failed task is the content's, or the input's, or their own doing.
    fn failure(&self) -> Failure {
        let verdict = verdict(&self.code, &self.message);
        let is_the_customers =
            |verdict: &Verdict| matches!(verdict.class, Class::Moderated | Class::Invalid);
        let verdict = verdict.filter(is_the_customers);
        Failure::reported(
            verdict.unwrap_or_else(|| jobs::of_words(Class::Overloaded, &self.message)),
        )
    }
}

#[cfg(test)]
mod tests;
