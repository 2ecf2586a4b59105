//! MiniMax (platform.minimax.io, v1, November 2026): of a film submit, look, and ask where the file is; a song is there when the call ends, which
//! takes minutes.
//!
//! Whatever goes wrong, HTTP says 200: what `base_resp` says, counts. They are given no address to call back: they would ask each new one to say
//! something back before they take the film, and refuse the film where it does not within seconds.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value};
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Access, Answers, Cancelled, MediaProvider, Order, PATIENCE, Progress, Started, at_once, jobs,
    refusal, signature, wire,
};

const SUBMIT: &str = "v1/video_generation";
const SONG: &str = "v1/music_generation";
/// What the models of songs begin with, and how a song is to be given: by a link that is good for a day.
const OF_SONGS: &str = "music-";
const FORM: (&str, &str) = ("output_format", "url");
const LOOK: &str = "v1/query/video_generation";
const FILE: &str = "v1/files/retrieve";
/// The longest prompt that they take.
const PROMPT: usize = 2_000;
/// The code of an answer that holds what was asked for.
const FINE: i64 = 0;
/// The code of a question that is wrong. With an id it is one that they do not have.
const WRONG: i64 = 2013;
/// What their codes mean. Their program for the command line reads 1002 and 1039 as the content policy's; their table does not.
const CODES: &[(i64, Class)] = &[
    // They may have taken the task before that.
    (1000, Class::Unknown),
    (1001, Class::Unknown),
    (1002, Class::RateLimited),
    (1004, Class::Auth),
    (1008, Class::Balance),
    (1013, Class::Unknown),
    (1024, Class::Unknown),
    (1026, Class::Moderated),
    (1027, Class::Moderated),
    (1028, Class::Balance),
    (1030, Class::Balance),
    (1033, Class::Unknown),
    (1039, Class::RateLimited),
    // Of connections. Whether it lasts, they do not say.
    (1041, Class::Overloaded),
    (1042, Class::Invalid),
    (WRONG, Class::Invalid),
    (2045, Class::RateLimited),
    (2049, Class::Auth),
    (2056, Class::Balance),
    (2061, Class::Auth),
];
/// What codes mean that are not among those.
const FAMILIES: &[(RangeInclusive<i64>, Class)] = &[(2000..=2099, Class::Invalid)];

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct MiniMax {
    client: ProviderClient,
}

/// The wire shape of every answer, as far as it is ours to read. Ids are texts in one answer and numbers in another.
#[derive(Deserialize)]
struct Answer {
    base_resp: Base,
    #[serde(default)]
    task_id: Value,
    #[serde(default, deserialize_with = "wire::lenient")]
    status: String,
    #[serde(default)]
    file_id: Value,
    #[serde(default, deserialize_with = "wire::lenient")]
    file: Option<File>,
    #[serde(default, deserialize_with = "wire::lenient")]
    data: Option<Song>,
}

/// The wire shape of a song: a link, by one name or another or by both, or its bytes in hex.
#[derive(Deserialize)]
struct Song {
    #[serde(default, deserialize_with = "wire::lenient")]
    audio: String,
    #[serde(default, deserialize_with = "wire::lenient")]
    audio_url: String,
}

/// The wire shape of what an answer is worth.
#[derive(Deserialize)]
struct Base {
    #[serde(deserialize_with = "wire::number")]
    status_code: i64,
    #[serde(default, deserialize_with = "wire::lenient")]
    status_msg: String,
}

/// The wire shape of where a file is.
#[derive(Deserialize)]
struct File {
    #[serde(default, deserialize_with = "wire::lenient")]
    download_url: String,
}

// === impl MiniMax ===

impl MiniMax {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    /// Asks for a song, and waits for it.
    async fn song(&self, access: &Access, body: Map<String, Value>) -> Result<Started, Failure> {
        let url = wire::place(&access.base_url, SONG)?;
        let headers = wire::with_json(wire::bearer(access));
        let call = Call::submit(url, headers, Value::Object(body).to_string().into());
        let call = call.first_byte_within(PATIENCE);
        let answer = self.client.send(call, classify_song).await?;
        let answer: Answer = jobs::read(&answer.bytes().await?)?;
        let code = answer.base_resp.status_code;
        match answer.verdict() {
            _ if code == FINE => {}
            // That they broke, in words of their own, says that there is no song.
            Some(Verdict {
                class: Class::Unknown,
                ..
            }) => return Ok(at_once::failed(&code.to_string())),
            verdict => return Err(jobs::refusal(verdict)),
        }
        let names = answer.data.map(|song| [song.audio_url, song.audio]);
        let mut names = names.into_iter().flatten();
        match names.find(|song| !song.is_empty()) {
            None => Err(Failure::malformed("the answer to a submit has no song")),
            Some(link) if link.starts_with("http") => Ok(at_once::placed(vec![link], None)),
            Some(hex) => {
                let bytes = STANDARD.encode(signature::of_hex(&hex));
                let file = wire::data_url("audio/mpeg", bytes);
                Ok(at_once::given(OF_SONGS, vec![file], None))
            }
        }
    }

    async fn ask(
        &self,
        access: &Access,
        path: &str,
        about: (&str, &str),
    ) -> Result<Answer, Failure> {
        let from = jobs::asking(&access.base_url, path, about)?;
        jobs::get(&self.client, (from, wire::bearer(access)), classify_look).await
    }

    /// Where a file is, for an hour.
    async fn file(&self, access: &Access, id: &str) -> Result<Progress, Failure> {
        let answer = self.ask(access, FILE, ("file_id", id)).await?;
        if answer.base_resp.status_code != FINE {
            // The film is there, and paid: it may be told another time.
            let verdict = answer.verdict().filter(|v| v.class != Class::Invalid);
            return Err(jobs::refusal(verdict));
        }
        let url = answer.file.map(|file| file.download_url);
        let files = url.into_iter().filter(|url| !url.is_empty());
        Ok(jobs::done(files.collect(), None))
    }
}

#[async_trait]
impl MediaProvider for MiniMax {
    fn answers(&self, model: &str) -> Answers {
        if model.starts_with(OF_SONGS) {
            Answers::AtOnce
        } else {
            Answers::Later
        }
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let mut body = order.parameters.clone();
        let prompt = body.get("prompt").and_then(Value::as_str);
        jobs::fits(("prompt", prompt), PROMPT)?;
        body.insert("model".to_owned(), order.model.into());
        if self.answers(order.model) == Answers::AtOnce {
            let (name, word) = FORM;
            body.insert(name.to_owned(), word.into());
            return self.song(access, body).await;
        }
        let to = wire::place(&access.base_url, SUBMIT)?;
        let at = (to, wire::bearer(access));
        let body = Value::Object(body);
        let answer = jobs::submit(&self.client, at, &body, classify).await?;
        let answer: Answer = jobs::read(&answer)?;
        if answer.base_resp.status_code != FINE {
            return Err(jobs::refusal(answer.verdict()));
        }
        let job = jobs::id(&answer.task_id);
        let job = job.ok_or_else(|| Failure::malformed("the answer to a submit has no task"))?;
        Ok(Started::taken(job, None))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        if let Some(progress) = at_once::check(job) {
            return Ok(progress);
        }
        let answer = match self.ask(access, LOOK, ("task_id", job)).await {
            Ok(answer) => answer,
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        // In capitals in one answer, and not in another.
        match answer.status.to_lowercase().as_str() {
            "success" => match jobs::id(&answer.file_id) {
                Some(file) => self.file(access, &file).await,
                None => Ok(jobs::done(Vec::new(), None)),
            },
            "fail" | "failed" => Ok(Progress::Failed(answer.failure())),
            "unknown" => Ok(Progress::Missing),
            "" => match answer.base_resp.status_code {
                FINE => Err(Failure::malformed("the answer to a poll has no status")),
                WRONG => Ok(Progress::Missing),
                _ => Err(jobs::refusal(answer.verdict())),
            },
            // `preparing`, `queueing`, `processing`, and whatever else they may add: it runs until the deadline.
            _ => Ok(jobs::running()),
        }
    }

    /// The first version of their API has no such call.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::Impossible)
    }
}

fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let answer: Answer = serde_json::from_slice(answer.body).ok()?;
    answer.verdict()
}

/// As [`classify`], for a song, which is answered when it is there.
fn classify_song(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    match serde_json::from_slice::<Answer>(answer.body) {
        Ok(told) => told.verdict(),
        Err(_) => refusal::without_words(answer.status),
    }
}

/// As [`classify`], for a look.
fn classify_look(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    Some(jobs::looked(classify(answer), answer.status))
}

// === impl Answer ===

impl Answer {
    fn words(&self) -> &str {
        &self.base_resp.status_msg
    }

    fn verdict(&self) -> Option<Verdict> {
        let code = self.base_resp.status_code;
        let known = jobs::verdict(CODES, code, self.words());
        known.or_else(|| jobs::of_family(FAMILIES, code, self.words()))
    }

    /// Why a task failed: the content's, or an input that they could not use, or their own doing, whatever its number is.
    fn failure(&self) -> Failure {
        let verdict = jobs::verdict(CODES, self.base_resp.status_code, self.words());
        let is_the_customers =
            |verdict: &Verdict| matches!(verdict.class, Class::Moderated | Class::Invalid);
        let verdict = verdict.filter(is_the_customers);
        Failure::reported(verdict.unwrap_or_else(|| Verdict::of(Class::Overloaded)))
    }
}

#[cfg(test)]
mod tests;
