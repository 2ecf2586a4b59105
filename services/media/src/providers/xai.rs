//! xAI's pictures and films (docs.x.ai, API of November 2026). A picture is made, or edited, in one call, which answers where it is; a film
//! is a job.
//!
//! They have no call to make a picture larger: it is edited into itself, at twice the size, from where it was made.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use upstream::{Call, Class, Failure, ProviderClient, Verdict};

use super::{
    Access, Answers, Cancelled, Cost, MediaProvider, Order, Progress, Started,
    at_once::{self, Answer},
    jobs, moderated, policy,
    refusal::{classify, classify_state},
    wire,
};

const GENERATIONS: &str = "images/generations";
const EDITS: &str = "images/edits";
const FILMS: &str = "videos/generations";
const FILM: &str = "videos";
/// What the name of a model holds that makes films.
const OF_FILMS: &str = "video";
/// Inputs as the catalogue names them: one picture, or several that a film only resembles.
const IMAGE: &str = "image";
const REFERENCES: &str = "reference_images";
/// Their ticks in a millionth of a US dollar.
const TICKS: i64 = 10_000;
/// What a picture that their policy holds back says.
const HELD_BACK: &str = "the provider's content policy refused the result";

/// Of a picture that is to be made larger, and that they do not take from where they made it.
const NOT_TAKEN: &str =
    "the provider did not take the picture of this task, which it keeps for a while only";

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Xai {
    client: ProviderClient,
}

/// The wire shape of an answer with pictures.
#[derive(Deserialize)]
struct Made {
    data: Vec<Picture>,
    #[serde(default, deserialize_with = "wire::lenient")]
    usage: Usage,
}

/// The wire shape of a picture.
#[derive(Deserialize)]
struct Picture {
    #[serde(default, deserialize_with = "wire::lenient")]
    url: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient")]
    respect_moderation: Option<bool>,
}

/// The wire shape of an accepted film.
#[derive(Deserialize)]
struct Created {
    request_id: String,
}

/// The wire shape of a film's state. One that is there needs no word for it.
#[derive(Deserialize)]
struct State {
    status: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient")]
    video: Option<Picture>,
    #[serde(default)]
    progress: Value,
    #[serde(default, deserialize_with = "wire::lenient")]
    usage: Usage,
    #[serde(default)]
    error: Value,
}

/// The wire shape of what they bill.
#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default, deserialize_with = "wire::lenient_number")]
    cost_in_usd_ticks: Option<i64>,
}

// === impl Xai ===

impl Xai {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    async fn film(&self, call: Call) -> Result<Started, Failure> {
        let reply = self.client.send(call, classify).await?.bytes().await?;
        let wrong = "the answer to a submit has no request";
        let created: Created = wire::read(&reply, wrong)?;
        if created.request_id.is_empty() {
            return Err(Failure::malformed(wrong));
        }
        Ok(Started::taken(created.request_id, None))
    }

    async fn picture(&self, call: Call) -> Result<Started, Failure> {
        let answer = match at_once::submit(&self.client, call).await? {
            Answer::Made(answer, _) => answer,
            Answer::Failed(started) => return Ok(started),
        };
        let wrong = "the answer to a submit has no pictures";
        let made: Made = wire::read(&answer, wrong)?;
        if made
            .data
            .iter()
            .any(|one| one.respect_moderation == Some(false))
        {
            return Err(moderated(HELD_BACK));
        }
        let urls = made.data.into_iter().filter_map(|one| one.url);
        let urls: Vec<String> = urls.filter(|url| !url.is_empty()).collect();
        if urls.is_empty() {
            return Err(Failure::malformed(wrong));
        }
        Ok(at_once::placed(urls, made.usage.cost()))
    }
}

#[async_trait]
impl MediaProvider for Xai {
    fn answers(&self, model: &str) -> Answers {
        if model.contains(OF_FILMS) {
            Answers::Later
        } else {
            Answers::AtOnce
        }
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let (path, body) = body(order.model, order.parameters);
        let url = wire::place(&access.base_url, path)?;
        let headers = wire::with_json(wire::bearer(access));
        let call = Call::submit(url, headers, Value::Object(body).to_string().into());
        match self.answers(order.model) {
            Answers::Later => self.film(call).await,
            Answers::AtOnce => match self.picture(call).await {
                Err(failure) if failure.class() == Class::Invalid && is_of_a_job(order) => {
                    Err(Failure::unsupported("task_id", NOT_TAKEN))
                }
                outcome => outcome,
            },
        }
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        if let Some(progress) = at_once::check(job) {
            return Ok(progress);
        }
        let url = wire::named(&access.base_url, FILM, job)
            .ok_or_else(|| Failure::malformed("the film's URL is not one"))?;
        let call = Call::get(url, wire::bearer(access));
        let answer = match self.client.send(call, classify_state).await {
            Ok(reply) => reply.bytes().await?,
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        let state: State = wire::read(&answer, "the answer to a poll has no state")?;
        Ok(state.progress())
    }

    /// They have no such call.
    async fn cancel(&self, _: &Access, job: &str) -> Result<Cancelled, Failure> {
        Ok(match at_once::check(job) {
            Some(_) => Cancelled::TooLate,
            None => Cancelled::Impossible,
        })
    }
}

/// Whether it is a picture that they made before.
fn is_of_a_job(order: &Order<'_>) -> bool {
    let image = order.parameters.get(IMAGE).and_then(Value::as_str);
    image.is_some_and(|image| at_once::first_place(image).is_some())
}

/// Where to, and what.
fn body(model: &str, parameters: &Map<String, Value>) -> (&'static str, Map<String, Value>) {
    let mut body = parameters.clone();
    body.insert("model".to_owned(), model.into());
    let image = wire::take_texts(&mut body, IMAGE).into_iter().next();
    let references = wire::take_texts(&mut body, REFERENCES);
    if !references.is_empty() {
        let references = references.into_iter().map(|url| json!({ "url": url }));
        body.insert(REFERENCES.to_owned(), references.collect());
    }
    let is_film = model.contains(OF_FILMS);
    let is_edit = !is_film && image.is_some();
    if let Some(image) = image {
        // Of a picture that was made here its job is known, which says where it is.
        let url = at_once::first_place(&image).unwrap_or(&image);
        let mut image = json!({ "url": url });
        if let Some(image) = image.as_object_mut().filter(|_| is_edit) {
            image.insert("type".to_owned(), "image_url".into());
        }
        body.insert(IMAGE.to_owned(), image);
    }
    if is_film {
        return (FILMS, body);
    }
    // What they answer with otherwise has to be kept at once, and cannot be made larger.
    body.insert("response_format".to_owned(), "url".into());
    (if is_edit { EDITS } else { GENERATIONS }, body)
}

// === impl State ===

impl State {
    fn progress(&self) -> Progress {
        let cost = self.usage.cost();
        let video = self.video.as_ref();
        let is_held_back = video.is_some_and(|video| video.respect_moderation == Some(false));
        let url = video.and_then(|video| video.url.clone());
        let url = url.filter(|url| !url.is_empty());
        match (self.status.as_deref(), url) {
            (Some("done"), _) | (None, Some(_)) if is_held_back => {
                Progress::over(moderated(HELD_BACK), cost)
            }
            (Some("done"), url) | (None, url @ Some(_)) => {
                jobs::done(url.into_iter().collect(), cost)
            }
            (Some("failed" | "expired"), _) => Progress::over(self.failure(), cost),
            // `pending`, and whatever else they may add: it runs until the deadline.
            (Some(_), _) | (None, None) => Progress::Running {
                percent: percent(&self.progress),
                position: None,
                clips: Vec::new(),
            },
        }
    }

    /// What is not the content policy's is the provider's own failure.
    fn failure(&self) -> Failure {
        let words = self.error.get("message").unwrap_or(&self.error);
        let words = words.as_str().unwrap_or_default();
        let code = self.error.get("code").and_then(Value::as_str);
        if policy::tells_surely(words) || policy::names_us(words) && policy::tells(words) {
            moderated(jobs::REFUSED)
        } else if policy::tells(words) {
            moderated(words)
        } else if code.is_some_and(policy::tells) {
            moderated(HELD_BACK)
        } else {
            Failure::reported(Verdict::of(Class::Overloaded))
        }
    }
}

// === impl Usage ===

impl Usage {
    fn cost(&self) -> Option<Cost> {
        let micro_usd = self.cost_in_usd_ticks?.checked_div(TICKS)?;
        (micro_usd > 0).then_some(Cost { micro_usd })
    }
}

/// They count from 0 to 100; how, the documents do not say.
fn percent(progress: &Value) -> Option<i64> {
    let text = progress.as_number()?.to_string();
    let (whole, _) = text.split_once('.').unwrap_or((&text, ""));
    whole
        .parse()
        .ok()
        .filter(|percent| (0..=100).contains(percent))
}

#[cfg(test)]
mod tests;
