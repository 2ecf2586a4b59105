//! ByteDance's Ark, which the rest of the world knows as ModelArk (docs.byteplus.com, API of November 2026): Seedream makes a picture in one
//! call, which answers where it is; a film of Seedance is a task.

use async_trait::async_trait;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use upstream::{Call, Class, Failure, ProviderClient, Verdict};

use super::{
    Access, Answers, Cancelled, Cost, MediaProvider, Order, Progress, Started,
    at_once::{self, Answer},
    refusal::{Refused, classify, classify_state},
    wire,
};

const PICTURES: &str = "images/generations";
const TASKS: &str = "contents/generations/tasks";
/// What the names of models hold that make films.
const OF_FILMS: &str = "seedance";
/// What a film is of, as the catalogue names it.
const PROMPT: &str = "prompt";
const FIRST_FRAME: &str = "first_frame";
/// What they bill a million tokens of a film of some models with, in millionths of a US dollar: with sound, and without.
const PRICES: [(&str, [i64; 2]); 1] = [("seedance-1-5-pro", [2_400_000, 1_200_000])];
const MILLION: i64 = 1_000_000;

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Ark {
    client: ProviderClient,
}

/// The wire shape of an answer with pictures.
#[derive(Deserialize)]
struct Made {
    #[serde(default, deserialize_with = "wire::lenient")]
    data: Vec<Picture>,
    #[serde(default, deserialize_with = "wire::lenient")]
    error: Option<Refused>,
}

/// The wire shape of a picture, or of why there is none.
#[derive(Deserialize)]
struct Picture {
    #[serde(default, deserialize_with = "wire::lenient")]
    url: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient")]
    error: Option<Refused>,
}

/// The wire shape of an accepted task.
#[derive(Deserialize)]
struct Created {
    id: String,
}

/// The wire shape of a task.
#[derive(Deserialize)]
struct Task {
    #[serde(default, deserialize_with = "wire::lenient")]
    model: String,
    status: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    content: Option<Content>,
    #[serde(default, deserialize_with = "wire::lenient")]
    error: Option<Refused>,
    /// Whether it has a sound, where they tell.
    #[serde(default, deserialize_with = "wire::lenient")]
    generate_audio: Option<bool>,
    #[serde(default, deserialize_with = "wire::lenient")]
    usage: Usage,
}

/// The wire shape of what a task made.
#[derive(Deserialize)]
struct Content {
    video_url: Option<String>,
}

/// The wire shape of what it took.
#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default, deserialize_with = "wire::lenient_number")]
    completion_tokens: Option<i64>,
}

// === impl Ark ===

impl Ark {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    async fn film(&self, call: Call) -> Result<Started, Failure> {
        let reply = self.client.send(call, classify).await?.bytes().await?;
        let wrong = "the answer to a submit has no task";
        let created: Created = wire::read(&reply, wrong)?;
        if created.id.is_empty() {
            return Err(Failure::malformed(wrong));
        }
        Ok(Started::taken(created.id, None))
    }

    async fn picture(&self, call: Call) -> Result<Started, Failure> {
        let (answer, id) = match at_once::submit(&self.client, call).await? {
            Answer::Made(answer, id) => (answer, id),
            Answer::Failed(started) => return Ok(started),
        };
        let made: Made = wire::read(&answer, "the answer to a submit has no pictures")?;
        made.started(&id)
    }

    /// A task as it stands; nothing if there is none.
    async fn task(&self, access: &Access, job: &str) -> Result<Option<Task>, Failure> {
        let call = Call::get(task_url(access, job)?, wire::bearer(access));
        let answer = match self.client.send(call, classify_state).await {
            Ok(reply) => reply.bytes().await?,
            Err(failure) if failure.class() == Class::Gone => return Ok(None),
            Err(failure) => return Err(failure),
        };
        wire::read(&answer, "the answer to a poll has no status").map(Some)
    }
}

#[async_trait]
impl MediaProvider for Ark {
    fn answers(&self, model: &str) -> Answers {
        if model.contains(OF_FILMS) {
            Answers::Later
        } else {
            Answers::AtOnce
        }
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let answers = self.answers(order.model);
        let (path, body) = match answers {
            Answers::Later => (TASKS, film(order)),
            Answers::AtOnce => (PICTURES, picture(order)),
        };
        let url = wire::place(&access.base_url, path)?;
        let headers = wire::with_json(wire::bearer(access));
        let call = Call::submit(url, headers, Value::Object(body).to_string().into());
        match answers {
            Answers::Later => self.film(call).await,
            Answers::AtOnce => self.picture(call).await,
        }
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        if let Some(progress) = at_once::check(job) {
            return Ok(progress);
        }
        let task = self.task(access, job).await?;
        Ok(task.map_or(Progress::Missing, |task| task.progress()))
    }

    /// One that waits is cancelled. The same call takes the record of one that is done away, and that of what it made with it: so only one
    /// that waits is asked for.
    async fn cancel(&self, access: &Access, job: &str) -> Result<Cancelled, Failure> {
        if at_once::check(job).is_some() {
            return Ok(Cancelled::TooLate);
        }
        let task = self.task(access, job).await?;
        if task.is_none_or(|task| task.status != "queued") {
            return Ok(Cancelled::TooLate);
        }
        let headers = wire::bearer(access);
        let url = task_url(access, job)?;
        let call = Call::new(Method::DELETE, url, headers, Vec::new().into());
        match self.client.send(call, classify_state).await {
            Ok(_) => Ok(Cancelled::Stopped),
            // It runs meanwhile.
            Err(failure) if matches!(failure.class(), Class::Invalid | Class::Gone) => {
                Ok(Cancelled::TooLate)
            }
            Err(failure) => Err(failure),
        }
    }
}

fn task_url(access: &Access, job: &str) -> Result<url::Url, Failure> {
    let url = wire::named(&access.base_url, TASKS, job);
    url.ok_or_else(|| Failure::malformed("the task's URL is not one"))
}

/// A picture of a text, or of pictures.
fn picture(order: &Order<'_>) -> Map<String, Value> {
    let mut body = order.parameters.clone();
    body.insert("model".to_owned(), order.model.into());
    body.insert("response_format".to_owned(), "url".into());
    body
}

/// A film of a text, or of the picture that it begins with.
fn film(order: &Order<'_>) -> Map<String, Value> {
    let mut body = order.parameters.clone();
    let words = wire::take_texts(&mut body, PROMPT).into_iter();
    let words = words.map(|text| json!({ "type": "text", "text": text }));
    let frames = wire::take_texts(&mut body, FIRST_FRAME).into_iter();
    let frames = frames.map(
        |url| json!({ "type": "image_url", "image_url": { "url": url }, "role": FIRST_FRAME }),
    );
    let content: Vec<Value> = words.chain(frames).collect();
    body.insert("model".to_owned(), order.model.into());
    body.insert("content".to_owned(), content.into());
    if let Some(callback) = order.callback {
        body.insert("callback_url".to_owned(), callback.into());
    }
    body
}

/// Why nothing came of it. What is not the content policy's is the provider's own failure.
fn failure(error: Option<&Refused>) -> Failure {
    let verdict = error.map(|error| error.verdict(Class::Overloaded));
    let verdict = verdict.filter(|verdict| verdict.class == Class::Moderated);
    Failure::reported(verdict.unwrap_or_else(|| Verdict::of(Class::Overloaded)))
}

// === impl Made ===

impl Made {
    /// Under HTTP 200 there may be an error in the place of the pictures, or of one of them.
    fn started(self, id: &str) -> Result<Started, Failure> {
        let pictures = self.data.iter();
        let urls = pictures.filter_map(|one| one.url.clone());
        let urls: Vec<String> = urls.filter(|url| !url.is_empty()).collect();
        if !urls.is_empty() {
            // What they bill for a picture is nowhere in the answer.
            return Ok(at_once::placed(urls, None));
        }
        let mut errors = self.data.iter().filter_map(|one| one.error.as_ref());
        let Some(error) = self.error.as_ref().or_else(|| errors.next()) else {
            return Err(Failure::malformed("the answer to a submit has no pictures"));
        };
        let failure = failure(Some(error));
        if failure.class() == Class::Moderated {
            return Err(failure);
        }
        Ok(at_once::failed(id))
    }
}

// === impl Task ===

impl Task {
    fn progress(&self) -> Progress {
        match self.status.as_str() {
            "succeeded" => {
                let url = self.content.as_ref();
                let url = url.and_then(|content| content.video_url.clone());
                let url = url.filter(|url| !url.is_empty());
                Progress::Done {
                    files: url.into_iter().collect(),
                    about: Vec::new(),
                    cost: self.cost(),
                }
            }
            "failed" => Progress::Failed(failure(self.error.as_ref())),
            // It waited for longer than it might, or somebody cancelled it there.
            "expired" | "cancelled" => Progress::Failed(failure(None)),
            // `queued`, `running`, and whatever else they may add: it runs until the deadline. They tell no percentage.
            _ => Progress::Running {
                percent: None,
                position: None,
                clips: Vec::new(),
            },
        }
    }

    /// What it costs us, where the price of its model is known, and whether it has a sound.
    fn cost(&self) -> Option<Cost> {
        let (_, prices) = PRICES.iter().find(|(name, _)| self.model.contains(name))?;
        let [with_sound, without] = prices;
        let price = if self.generate_audio? {
            with_sound
        } else {
            without
        };
        let micro_usd = self.usage.completion_tokens?.checked_mul(*price)?;
        let micro_usd = micro_usd.checked_div(MILLION)?;
        (micro_usd > 0).then_some(Cost { micro_usd })
    }
}

#[cfg(test)]
mod tests;
