//! Speech in OpenAI's shape that is heard while it is made: what arrives whole is the kept file, and was paid for once; what breaks off is free, and
//! nobody takes it for the whole.
//!
//! With several processes of media, a sound is heard only where the one that works on it is the one that was asked: then all of this is so for
//! answers that come once the sound is made.

use std::pin::Pin;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testkit::{Aio, Api, Role};

const SPEECH: &str = "/audio/speech";
/// Three seconds.
const TEXT: &str = "The quick brown fox jumps over the lazy dog.";
const FULL: i64 = 100_000_000;
/// A text this short costs a credit.
const COST: i64 = 1_000_000;

/// An answer, as it comes.
struct Sound {
    status: u16,
    headers: HeaderMap,
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
}

impl Sound {
    /// Asks for one with this directive.
    async fn of(api: &Api, model: &str, (format, directive): (&str, &str)) -> Result<Self> {
        let input = format!("{TEXT} [sandbox delay=10ms {directive}]");
        let body =
            json!({ "model": model, "voice": "alloy", "input": input, "response_format": format });
        let json = [("content-type", "application/json")];
        let answer = api.open(Method::POST, SPEECH, &json, body.to_string());
        let answer = answer.await?;
        Ok(Self {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            pieces: answer.bytes_stream().map(|piece| Ok(piece?)).boxed(),
        })
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }

    /// The task behind it.
    fn task(&self) -> String {
        self.header("x-aio-operation-id").replace("op_", "task_")
    }

    async fn next(&mut self) -> Result<Bytes> {
        self.pieces.next().await.context("nothing more comes")?
    }

    /// All that is left.
    ///
    /// # Errors
    /// When it breaks off.
    async fn rest(&mut self) -> Result<Vec<u8>> {
        let mut rest = Vec::new();
        while let Some(piece) = self.pieces.next().await {
            rest.extend_from_slice(&piece?);
        }
        Ok(rest)
    }
}

/// Whether a sound is heard before it is made.
fn hears(aio: &Aio) -> bool {
    aio.replicas(Role::Media) == 1
}

/// The kept file of a task.
async fn file(api: &Api, task: &Value) -> Result<Bytes> {
    let link = task["output"][0]["url"].as_str().context("no link")?;
    let (_, place) = link.split_once("/api/v1").context("not ours")?;
    Ok(api.with_key(None).get(place).await?.body)
}

#[tokio::test]
async fn what_arrives_is_the_kept_file() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for (model, format, kind) in [
        ("tts-1", "mp3", "audio/mpeg"),
        ("tts-1", "opus", "audio/ogg"),
        ("tts-1", "aac", "audio/aac"),
        ("tts-1", "flac", "audio/flac"),
        ("tts-1", "pcm", "audio/pcm"),
        ("elevenlabs-v3", "mp3", "audio/mpeg"),
        ("elevenlabs-v3", "opus", "audio/ogg"),
        ("elevenlabs-v3", "pcm", "audio/pcm"),
    ] {
        let mut sound = Sound::of(&api, model, (format, "chunk_delay=100ms")).await?;
        let what = format!("{model} {format}");
        assert_eq!(sound.status, 200, "{what}");
        assert_eq!(sound.header("content-type"), kind, "{what}");
        if hears(&aio) {
            // Its end, and so its length and its cost, are not known when it begins.
            assert_eq!(sound.header("content-length"), "", "{what}");
            assert_eq!(sound.header("x-aio-cost-credits"), "", "{what}");
        }
        let heard = sound.rest().await?;
        let task = api.ended(&sound.task()).await?;
        assert_eq!(task["status"], "completed", "{what}: {task}");
        let kept = file(&api, &task).await?;
        let kept = if format == "pcm" {
            &kept[44..]
        } else {
            &kept[..]
        };
        assert_eq!(Sha256::digest(&heard), Sha256::digest(kept), "{what}");
    }
    aio.finish().await
}

#[tokio::test]
async fn a_header_that_says_how_long_a_sound_is_waits_for_its_end() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut sound = Sound::of(&api, "tts-1", ("wav", "chunk_delay=10ms")).await?;
    assert_eq!(sound.header("x-aio-cost-credits"), "1");
    let length: usize = sound.header("content-length").parse()?;
    assert_eq!(sound.rest().await?.len(), length);
    aio.finish().await
}

#[tokio::test]
async fn who_leaves_pays_for_a_sound_that_is_made() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut sound = Sound::of(&api, "tts-1", ("mp3", "chunk_delay=100ms")).await?;
    assert!(sound.next().await?.starts_with(b"ID3"));
    let id = sound.task();
    if hears(&aio) {
        let task = api.task(&id).await?;
        assert_eq!(task["status"], "processing", "{task}");
    }
    drop(sound);
    let task = api.ended(&id).await?;
    assert_eq!(task["status"], "completed", "{task}");
    assert_eq!(task["consumed_microcredits"], COST);
    assert_eq!(api.settled().await?.posted, FULL - COST);
    let kept = file(&api, &task).await?;
    assert!(kept.starts_with(b"ID3"));
    aio.finish().await
}

#[tokio::test]
async fn what_its_provider_cuts_breaks_off_and_is_free() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for format in ["mp3", "pcm"] {
        let cut = (format, "chunk_delay=50ms after=5 outcome=cut");
        let mut sound = Sound::of(&api, "tts-1", cut).await?;
        if hears(&aio) {
            assert_eq!(sound.status, 200);
            let broken = sound.rest().await;
            ensure!(broken.is_err(), "a cut sound came to an end");
            let task = api.ended(&sound.task()).await?;
            assert_eq!(task["error"]["code"], "submit_outcome_unknown", "{task}");
        } else {
            ensure!(sound.status >= 500 || sound.rest().await.is_err());
        }
    }
    let settled = api.settled().await?;
    assert_eq!((settled.posted, settled.available), (FULL, FULL));
    aio.finish().await
}

#[tokio::test]
async fn a_process_that_dies_in_the_middle_of_a_sound_breaks_it_off() -> Result<()> {
    let mut aio = Aio::start().await?;
    if !hears(&aio) {
        return aio.finish().await;
    }
    let api = aio.account(100).await?.api;
    // The provider says nothing more until the process is gone.
    let hangs = ("mp3", "chunk_delay=1ms after=5 outcome=hang");
    let mut sound = Sound::of(&api, "tts-1", hangs).await?;
    assert!(sound.next().await?.starts_with(b"ID3"));
    let id = sound.task();
    assert_eq!(api.task(&id).await?["status"], "processing");
    assert_eq!(api.credits().await?.held, COST);
    aio.kill_role(Role::Media)?;
    assert_eq!(aio.audit().await?["ok"], true);
    aio.restart_role(Role::Media).await?;
    ensure!(sound.rest().await.is_err(), "half a sound came to an end");
    let task = api.ended(&id).await?;
    assert_eq!(task["error"]["code"], "submit_outcome_unknown", "{task}");
    let settled = api.settled().await?;
    assert_eq!((settled.posted, settled.available), (FULL, FULL));
    aio.finish().await
}

#[tokio::test]
async fn a_repeat_with_its_key_hears_what_is_kept() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let input = format!("{TEXT} [sandbox delay=10ms chunk_delay=20ms]");
    let body = json!({ "model": "tts-1", "voice": "alloy", "input": input });
    let key = [("idempotency-key", "said-once")];
    let first = api.post_with(SPEECH, &key, &body).await?;
    let second = api.post_with(SPEECH, &key, &body).await?;
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.header("idempotent-replayed"), "");
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(second.header("x-aio-cost-credits"), "1");
    assert_eq!(first.body, second.body);
    assert_eq!(api.settled().await?.posted, FULL - COST);
    aio.finish().await
}
