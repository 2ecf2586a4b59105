//! Suno, which has no interface of its own, as others serve it (docs.kie.ai and docs.sunoapi.org, API of November 2026): order two songs,
//! then look at their record. Both hosts speak one dialect; what some of their codes mean differs, and which host it is the address tells, where it is
//! one of theirs.
//!
//! A record fills up: first the words of both songs, then the one, then the other. Songs that go on from a song, and those made of a sound, are
//! ordered elsewhere and have the same record. The pictures of a song have one of their own (`cover.rs`), and its timed lyrics none: they are
//! answered at once (`lyrics.rs`).

mod cover;
mod lyrics;

use async_trait::async_trait;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use upstream::{Call, Class, Classify, Failure, ProviderAnswer, ProviderClient, Verdict};
use url::Url;

use super::{
    Access, Callback, Cancelled, Heard, MediaProvider, Order, Progress, Started,
    kie::{self, Envelope, FINE},
    policy, wire,
};
use crate::task::{About, FIRST_IS_THERE, TEXT_IS_THERE};

/// Where orders are taken and records kept, below the address.
const PREFIX: &str = "api/v1/";
const RECORD: &str = "api/v1/generate/record-info";
/// The order of a song's pictures, and that of its timed lyrics.
const COVER: &str = "suno/cover/generate";
const LYRICS: &str = "generate/get-timestamped-lyrics";
/// What begins the name of such a job. Between its parts are spaces, which their ids have not.
const COVER_JOB: &str = "cover ";
const LYRICS_JOB: &str = "lyrics ";
/// The songs of an order.
const SONGS: usize = 2;
/// They want an address to call back, and take one that leads nowhere.
const NOWHERE: &str = "https://callback.invalid/";
/// What the error codes of a record mean that are the content's: lyrics that are somebody's, a song that is known.
const POLICY: [i64; 2] = [400, 413];

/// What sunoapi.org's codes mean for a submit. There 429 is an account that is empty, and 405 and 430 ask for patience.
const CODES: &[(i64, Class)] = &[
    (400, Class::Invalid),
    (401, Class::Auth),
    (404, Class::Gone),
    (405, Class::RateLimited),
    (408, Class::Unknown),
    (409, Class::Unknown),
    (413, Class::Invalid),
    (422, Class::Invalid),
    (429, Class::Balance),
    (430, Class::RateLimited),
    (451, Class::Invalid),
    (455, Class::Overloaded),
    (500, Class::Unknown),
    (501, Class::Overloaded),
    (531, Class::Overloaded),
];

/// Who serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Kie,
    SunoApi,
}

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Suno {
    client: ProviderClient,
    host: Host,
}

/// The wire shape of an accepted order.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    task_id: String,
}

/// The wire shape of a record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    status: String,
    response: Option<Songs>,
    error_code: Option<Value>,
    error_message: Option<String>,
}

/// The wire shape of what a record holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Songs {
    suno_data: Option<Vec<Song>>,
}

/// The wire shape of a song. Its addresses are empty until it is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Song {
    id: Option<String>,
    audio_url: Option<String>,
    image_url: Option<String>,
    title: Option<String>,
    tags: Option<String>,
    prompt: Option<String>,
    model_name: Option<String>,
}

// === impl Host ===

impl Host {
    /// Who is at an address: one of the two by its name, else whom the adapter is for.
    fn at(self, base: &Url) -> Self {
        let host = base.host_str().unwrap_or_default();
        let is_of = |domain: &str| {
            let before = host.strip_suffix(domain);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        if is_of("kie.ai") {
            Self::Kie
        } else if is_of("sunoapi.org") {
            Self::SunoApi
        } else {
            self
        }
    }

    const fn codes(self) -> &'static [(i64, Class)] {
        match self {
            Self::Kie => kie::CODES,
            Self::SunoApi => CODES,
        }
    }

    /// How a refused submit is read, and an answer in the place of a record.
    const fn classify(self) -> (Classify, Classify) {
        match self {
            Self::Kie => (submit_to_kie, record_of_kie),
            Self::SunoApi => (submit_to_sunoapi, record_of_sunoapi),
        }
    }
}

fn submit_to_kie(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    Envelope::read(answer.body)?.verdict(kie::CODES)
}

fn submit_to_sunoapi(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    Envelope::read(answer.body)?.verdict(CODES)
}

fn record_of_kie(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    kie::record_verdict(answer, kie::CODES)
}

fn record_of_sunoapi(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    kie::record_verdict(answer, CODES)
}

// === impl Suno ===

impl Suno {
    pub(super) fn new(client: ProviderClient, host: Host) -> Self {
        Self { client, host }
    }

    fn host(&self, access: &Access) -> Host {
        self.host.at(&access.base_url)
    }

    /// Sends an order, and hands over the answer, whatever its code is.
    async fn order(
        &self,
        access: &Access,
        path: &str,
        body: Map<String, Value>,
    ) -> Result<Envelope, Failure> {
        let url = access
            .base_url
            .join(&format!("{PREFIX}{path}"))
            .map_err(|_| Failure::reported(Verdict::of(Class::NotSent)))?;
        let headers = wire::with_json(wire::bearer(access));
        let (classify, _) = self.host(access).classify();
        let call = Call::submit(url, headers, Value::Object(body).to_string().into());
        let reply = self.client.send(call, classify).await?.bytes().await?;
        Envelope::read(&reply)
            .ok_or_else(|| Failure::malformed("the answer to a submit is no envelope"))
    }

    /// A record; nothing if there is none.
    async fn record<R: DeserializeOwned>(
        &self,
        access: &Access,
        path: &str,
        job: &str,
    ) -> Result<Option<R>, Failure> {
        let url = record_url(&access.base_url, path, job)
            .ok_or_else(|| Failure::malformed("the record's URL is not one"))?;
        let (_, classify) = self.host(access).classify();
        let call = Call::get(url, wire::bearer(access));
        let envelope = match self.client.send(call, classify).await {
            Ok(reply) => Envelope::read(&reply.bytes().await?)
                .ok_or_else(|| Failure::malformed("the answer to a poll is no envelope"))?,
            Err(failure) if failure.class() == Class::Gone => return Ok(None),
            Err(failure) => return Err(failure),
        };
        if envelope.has_no_record() {
            return Ok(None);
        }
        if envelope.code != FINE {
            return Err(envelope.refusal(self.host(access).codes()));
        }
        serde_json::from_value(envelope.data)
            .map(Some)
            .map_err(|_| Failure::malformed("the answer to a poll has no status"))
    }

    /// The timed lyrics of a song, as customers are answered. They are paid for with each answer.
    async fn lyrics(&self, access: &Access, of: Map<String, Value>) -> Result<String, Failure> {
        let envelope = self.order(access, LYRICS, of).await?;
        if envelope.code != FINE {
            return Err(envelope.refusal(self.host(access).codes()));
        }
        lyrics::read(envelope.data)
    }
}

#[async_trait]
impl MediaProvider for Suno {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let mut body = order.parameters.clone();
        if order.model == LYRICS {
            let names = [lyrics::TASK, lyrics::CLIP].map(|name| lyrics::named(&body, name));
            let [task, clip] = names;
            let text = self.lyrics(access, body).await?;
            return Ok(Started {
                text: Some(text),
                ..Started::taken(format!("{LYRICS_JOB}{task} {clip}"), None)
            });
        }
        let callback = order.callback.unwrap_or(NOWHERE);
        body.insert("callBackUrl".to_owned(), callback.into());
        let envelope = self.order(access, order.model, body).await?;
        let codes = self.host(access).codes();
        let (code, refusal) = (envelope.code, envelope.refusal(codes));
        let created: Option<Created> = serde_json::from_value(envelope.data).ok();
        let created = created.filter(|created| !created.task_id.is_empty());
        let is_cover = order.model == COVER;
        match created {
            // Of pictures that they have made before they say which those are.
            Some(Created { task_id }) if is_cover && [FINE, cover::MADE].contains(&code) => {
                Ok(Started::taken(format!("{COVER_JOB}{task_id}"), None))
            }
            Some(Created { task_id }) if code == FINE => Ok(Started::taken(task_id, None)),
            None if code == FINE => Err(Failure::malformed("the answer to a submit has no task")),
            Some(_) | None => Err(refusal),
        }
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        if let Some(id) = job.strip_prefix(COVER_JOB) {
            let record: Option<cover::Record> = self.record(access, cover::RECORD, id).await?;
            return record.map_or(Ok(Progress::Missing), |record| record.progress());
        }
        if job.starts_with(LYRICS_JOB) {
            // What they answered was lost before it was kept. They have no record of it, and asking again would be another order.
            let lost = Failure::reported(Verdict::of(Class::Overloaded));
            return Ok(Progress::Wasted(lost, None));
        }
        let record: Option<Record> = self.record(access, RECORD, job).await?;
        record.map_or(Ok(Progress::Missing), |record| record.progress())
    }

    /// kie signs the name of the job, as with any other of its jobs; sunoapi.org signs nothing.
    async fn hears(&self, access: &Access, callback: &Callback<'_>) -> Heard {
        let job = callback.job.strip_prefix(COVER_JOB);
        match self.host(access) {
            Host::Kie => kie::hears(access, callback, job.unwrap_or(callback.job)),
            Host::SunoApi => Heard::Unsigned,
        }
    }

    /// They have no such call.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::Impossible)
    }
}

fn record_url(base: &Url, path: &str, job: &str) -> Option<Url> {
    let mut url = base.join(path).ok()?;
    url.query_pairs_mut().append_pair("taskId", job);
    Some(url)
}

/// A text that says something.
fn some(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

// === impl Record ===

impl Record {
    fn progress(&self) -> Result<Progress, Failure> {
        Ok(match self.status.as_str() {
            "SUCCESS" => self.done()?,
            // They could not call back: the songs may be there all the same, or come.
            "CALLBACK_EXCEPTION" if self.is_whole() => self.done()?,
            "TEXT_SUCCESS" => self.running(TEXT_IS_THERE),
            "FIRST_SUCCESS" => self.running(FIRST_IS_THERE),
            "CREATE_TASK_FAILED" | "GENERATE_AUDIO_FAILED" | "SENSITIVE_WORD_ERROR" => {
                Progress::Failed(self.failure())
            }
            // `PENDING`, and whatever else they may add: it runs until the deadline.
            _ => Progress::Running {
                percent: None,
                position: None,
                clips: Vec::new(),
            },
        })
    }

    /// So far, with what is known of the songs.
    fn running(&self, percent: i64) -> Progress {
        let clips = self.songs().iter().map(|song| {
            let is_there = some(song.audio_url.as_ref()).is_some();
            let status = if is_there { "first" } else { "text" };
            let mut facts = song.facts();
            facts.insert("status".to_owned(), status.into());
            facts
        });
        Progress::Running {
            percent: Some(percent),
            position: None,
            clips: clips.collect(),
        }
    }

    fn done(&self) -> Result<Progress, Failure> {
        if !self.is_whole() {
            return Err(Failure::malformed(
                "a finished order has not all of its songs",
            ));
        }
        let (files, about) = self.results().into_iter().unzip();
        Ok(Progress::Done {
            files,
            about,
            cost: None,
        })
    }

    fn songs(&self) -> &[Song] {
        let songs = self.response.as_ref();
        let songs = songs.and_then(|songs| songs.suno_data.as_deref());
        songs.unwrap_or_default()
    }

    /// Whether every song that is paid for is there.
    fn is_whole(&self) -> bool {
        let there = |song: &&Song| some(song.audio_url.as_ref()).is_some();
        self.songs().iter().filter(there).count() >= SONGS
    }

    /// Where the files are, and what is known of each: the songs first, then the pictures that they have.
    fn results(&self) -> Vec<(String, About)> {
        let there = |song: &&Song| some(song.audio_url.as_ref()).is_some();
        let songs: Vec<&Song> = self.songs().iter().filter(there).collect();
        let mut pictures = Vec::new();
        let mut results = Vec::new();
        for song in &songs {
            let number = songs.len().saturating_add(pictures.len());
            let picture = some(song.image_url.as_ref());
            let about = About {
                facts: song.facts(),
                picture: picture.and_then(|_| u32::try_from(number).ok()),
                is_part: false,
            };
            results.push((song.audio_url.clone().unwrap_or_default(), about));
            pictures.extend(picture.map(str::to_owned));
        }
        let part = About {
            is_part: true,
            ..About::default()
        };
        results.extend(pictures.into_iter().map(|url| (url, part.clone())));
        results
    }

    fn failure(&self) -> Failure {
        failed(
            &self.status,
            self.error_code.as_ref(),
            self.error_message.as_ref(),
        )
    }
}

/// Why a record says that nothing will come.
fn failed(status: &str, code: Option<&Value>, words: Option<&String>) -> Failure {
    let words = some(words).unwrap_or_default();
    let code = code.and_then(|code| {
        let text = code.as_str().and_then(|text| text.parse().ok());
        text.or_else(|| code.as_i64())
    });
    let is_policy = status == "SENSITIVE_WORD_ERROR"
        || code.is_some_and(|code: i64| POLICY.contains(&code))
        || policy::tells(words);
    let verdict = match (is_policy, words) {
        (true, "") => {
            let words = "the provider's content policy refused the request or its result";
            Verdict::with_detail(Class::Moderated, words)
        }
        (true, words) => Verdict::with_detail(Class::Moderated, words),
        (false, _) => Verdict::of(Class::Overloaded),
    };
    Failure::reported(verdict)
}

// === impl Song ===

impl Song {
    /// What customers read of it, by the names that they know.
    fn facts(&self) -> Map<String, Value> {
        let told = [
            ("id", &self.id),
            ("title", &self.title),
            ("tags", &self.tags),
            ("lyrics", &self.prompt),
            ("model_name", &self.model_name),
        ];
        told.into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), some(text.as_ref())?.into())))
            .collect()
    }
}

#[cfg(test)]
mod tests;
