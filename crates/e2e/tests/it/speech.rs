//! Speech: a dialogue is a task as any other, and a request in OpenAI's shape is answered with the sound itself, in every format, whole or
//! piece by piece.

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};
use testkit::{Account, Aio, Api, Reply, eventually};

use crate::models::probe;

const SPEECH: &str = "/audio/speech";
/// Three seconds, as the sandbox says it.
const TEXT: &str = "The quick brown fox jumps over the lazy dog.";
/// What is said at once.
const SOON: &str = "[sandbox delay=10ms]";

/// A model, a format, the content type of its answer, and how that begins.
type Row = (&'static str, &'static str, &'static str, &'static [u8]);

const FORMATS: [Row; 14] = [
    ("elevenlabs-v3", "mp3", "audio/mpeg", b"ID3"),
    ("elevenlabs-v3", "opus", "audio/ogg", b"OggS"),
    ("elevenlabs-v3", "wav", "audio/wav", b"RIFF"),
    ("tts-1", "mp3", "audio/mpeg", b"ID3"),
    ("tts-1", "opus", "audio/ogg", b"OggS"),
    ("tts-1", "aac", "audio/aac", b"\xff\xf1"),
    ("tts-1", "flac", "audio/flac", b"fLaC"),
    ("tts-1", "wav", "audio/wav", b"RIFF"),
    ("tts-1-hd", "mp3", "audio/mpeg", b"ID3"),
    ("gpt-4o-mini-tts", "mp3", "audio/mpeg", b"ID3"),
    ("gpt-4o-mini-tts", "opus", "audio/ogg", b"OggS"),
    ("gpt-4o-mini-tts", "aac", "audio/aac", b"\xff\xf1"),
    ("gpt-4o-mini-tts", "flac", "audio/flac", b"fLaC"),
    ("gpt-4o-mini-tts", "wav", "audio/wav", b"RIFF"),
];

/// A request in OpenAI's shape.
fn said(model: &str, more: &Value) -> Value {
    let mut body = json!({ "model": model, "voice": "alloy", "input": format!("{TEXT} {SOON}") });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more.clone());
    }
    body
}

async fn sound(api: &Api, body: &Value) -> Result<Reply> {
    let reply = api.post(SPEECH, body).await?;
    let told = String::from_utf8_lossy(&reply.body).into_owned();
    ensure!(reply.status == 200, "{body}: {told}");
    Ok(reply)
}

/// The task behind an answer.
async fn task(api: &Api, reply: &Reply) -> Result<Value> {
    let id = reply.header("x-aio-operation-id").replace("op_", "task_");
    api.task(&id).await
}

async fn receipt(api: &Api, task: &Value) -> Result<Value> {
    let id = task["task_id"].as_str().context("no id")?;
    let receipt = eventually("a receipt", async || {
        let found = api.get(&format!("/operations/{id}/receipt")).await?;
        Ok((found.status == 200).then_some(found))
    });
    receipt.await?.data(200)
}

#[tokio::test]
async fn every_format_is_a_sound_of_its_kind_and_of_the_length_that_is_told() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1_000).await?.api;
    for (model, format, kind, begins) in FORMATS {
        let body = said(model, &json!({ "response_format": format }));
        let reply = sound(&api, &body).await?;
        let what = format!("{model} {format}");
        assert_eq!(reply.header("content-type"), kind, "{what}");
        assert!(reply.body.starts_with(begins), "{what}");
        let task = task(&api, &reply).await?;
        let output = &task["output"][0];
        assert_eq!(output["content_type"], kind, "{what}");
        assert_eq!(output["bytes"], reply.body.len(), "{what}");
        let lasts = output["duration_seconds"].as_f64().context("no length")?;
        // Some have whole frames only.
        assert!((2.9..=3.0).contains(&lasts), "{what}: {lasts}");
        probe(&reply.body, Some(lasts)).await.context(what)?;
    }
    aio.finish().await
}

#[tokio::test]
async fn samples_are_those_of_the_file() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for model in ["elevenlabs-v3", "gpt-4o-mini-tts"] {
        let reply = sound(&api, &said(model, &json!({ "response_format": "pcm" }))).await?;
        assert_eq!(reply.header("content-type"), "audio/pcm");
        assert_eq!(reply.body.len(), 3 * 24_000 * 2);
        let task = task(&api, &reply).await?;
        assert_eq!(task["request"]["response_format"], "wav");
        let link = task["output"][0]["url"].as_str().context("no link")?;
        let (_, place) = link.split_once("/api/v1").context("not ours")?;
        let file = api.with_key(None).get(place).await?.body;
        assert_eq!(file.get(44..), Some(&reply.body[..]), "{model}");
    }
    aio.finish().await
}

#[tokio::test]
async fn a_sound_may_come_piece_by_piece() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    // 65 characters, of which the directive is not said.
    for (model, format, cost) in [
        ("elevenlabs-v3", "mp3", json!(1.82)),
        ("tts-1", "pcm", json!(1)),
    ] {
        let wanted = json!({ "response_format": format, "stream_format": "sse" });
        let mut stream = api
            .events(Method::POST, SPEECH, &said(model, &wanted))
            .await?;
        let mut heard = Vec::new();
        let mut events = stream.rest().await?;
        let done = events.pop().context("no events")?.json()?;
        assert_eq!(done["type"], "speech.audio.done");
        assert_eq!(done["usage"]["total_tokens"], 0);
        assert_eq!(done["credits_consumed"], cost, "{model}");
        for event in events {
            let delta = event.json()?;
            assert_eq!(delta["type"], "speech.audio.delta");
            heard.extend(STANDARD.decode(delta["audio"].as_str().context("no audio")?)?);
        }
        let is_it = match format {
            "mp3" => heard.starts_with(b"ID3") && heard.len() > 1_000,
            _ => heard.len() == 3 * 24_000 * 2,
        };
        assert!(is_it, "{model}: {}", heard.len());
    }
    aio.finish().await
}

/// What is documented of `POST /audio/speech`.
#[tokio::test]
async fn a_dialogue_is_a_task_of_its_maker() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let lines = json!([
        { "text": "[whispers] Are you there? [sandbox delay=10ms]", "voice": "narrator" },
        { "text": "I am.", "voice": "user" },
    ]);
    let body = json!({ "model": "elevenlabs-v3", "stability": 0.5, "language_code": "en", "dialogue": lines });
    let accepted = api.post(SPEECH, &body).await?.data(202)?;
    assert_eq!(accepted["status"], "IN_PROGRESS");
    let task = api
        .ended(accepted["task_id"].as_str().context("no id")?)
        .await?;
    ensure!(task["status"] == "completed", "{task}");
    assert_eq!(
        (&task["type"], &task["output"][0]["content_type"]),
        (&json!("speech"), &json!("audio/mpeg"))
    );
    assert_eq!(task["request"]["dialogue"][1]["voice"], "Jessica");
    let receipt = receipt(&api, &task).await?;
    // 51 characters.
    assert_eq!(receipt["charged_microcredits"], 51 * 28_000);
    let attempts = &receipt["receipt"]["attempts"];
    assert_eq!(attempts[0]["provider"], "elevenlabs", "{receipt}");
    assert_eq!(attempts.as_array().map(Vec::len), Some(1));
    aio.finish().await
}

#[tokio::test]
async fn a_sound_costs_its_characters_and_a_credit_at_least() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1_000).await?.api;
    let long = "a fox ".repeat(500);
    let mut spent = 0;
    for (model, text, cost) in [
        ("tts-1", "Hi.", 1_000_000),
        ("tts-1", long.trim_end(), 2_999 * 3_000),
        ("tts-1-hd", long.trim_end(), 2_999 * 6_000),
        ("gpt-4o-mini-tts", long.trim_end(), 2_999 * 8_000),
        ("elevenlabs-v3", long.trim_end(), 2_999 * 28_000),
    ] {
        let reply = sound(&api, &said(model, &json!({ "input": text }))).await?;
        let task = task(&api, &reply).await?;
        assert_eq!(task["consumed_microcredits"], cost, "{model}");
        // A sound that has begun to come before it was made says nothing of its cost.
        let told = reply.header("x-aio-cost-credits");
        let consumed = task["consumed_credits"].to_string();
        assert!(told.is_empty() || told == consumed, "{told} of {consumed}");
        let receipt = receipt(&api, &task).await?;
        assert_eq!(receipt["charged_microcredits"], cost, "{receipt}");
        spent += cost;
    }
    let settled = api.settled().await?;
    assert_eq!(settled.posted, 1_000_000_000 - spent);
    // It is told before, for nothing.
    let quote = json!({ "route": "audio/speech", "body": said("tts-1", &json!({ "input": long.trim_end(), "response_format": "pcm" })) });
    let quote = api.post("/quote", &quote).await?.data(200)?;
    assert_eq!(quote["expected_microcredits"], 2_999 * 3_000, "{quote}");
    aio.finish().await
}

#[tokio::test]
async fn what_cannot_be_is_said_with_what_can() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for (model, more, param, told) in [
        (
            "elevenlabs-v3",
            json!({ "response_format": "aac" }),
            "response_format",
            "mp3, opus, wav, pcm",
        ),
        (
            "elevenlabs-v3",
            json!({ "response_format": "flac" }),
            "response_format",
            "mp3, opus, wav, pcm",
        ),
        (
            "tts-1",
            json!({ "response_format": "ogg" }),
            "response_format",
            "mp3, opus, aac, flac, wav, pcm",
        ),
        ("tts-1", json!({ "voice": "ballad" }), "voice", "alloy, ash"),
        (
            "tts-1",
            json!({ "voice": { "id": "voice_1" } }),
            "voice",
            "alloy, ash",
        ),
        ("tts-1", json!({ "speed": 5 }), "speed", "0.25 to 4"),
        (
            "elevenlabs-v3",
            json!({ "speed": 0.5 }),
            "speed",
            "must be 1",
        ),
        (
            "tts-1",
            json!({ "stream_format": "raw" }),
            "stream_format",
            "audio or sse",
        ),
        (
            "tts-1",
            json!({ "input": "x".repeat(4_097) }),
            "input",
            "1 to 4096 characters",
        ),
        (
            "tts-1",
            json!({ "instructions": "Slowly." }),
            "instructions",
            "not a parameter of tts-1",
        ),
    ] {
        let refused = api.post(SPEECH, &said(model, &more)).await?;
        let code = if param == "instructions" {
            "unknown_parameter"
        } else {
            "invalid_parameter"
        };
        let error = refused.error(400, code)?;
        assert_eq!(error["param"], param, "{error}");
        let message = error["message"].as_str().context("no message")?;
        assert!(message.contains(told), "{message}");
    }
    aio.finish().await
}

#[tokio::test]
async fn what_fails_is_free_and_openais_error() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let moderated = said(
        "tts-1",
        &json!({ "input": "Hi [sandbox outcome=moderated delay=10ms]" }),
    );
    api.post(SPEECH, &moderated)
        .await?
        .error(400, "content_moderated")?;
    let failed = said(
        "elevenlabs-v3",
        &json!({ "input": "Hi [sandbox outcome=out_of_balance]" }),
    );
    let error = api
        .post(SPEECH, &failed)
        .await?
        .error(502, "upstream_failed")?;
    let message = error["message"].as_str().context("no message")?;
    assert!(!message.contains("quota"), "{message}");
    let settled = api.settled().await?;
    assert_eq!((settled.posted, settled.held), (100_000_000, 0));
    aio.finish().await
}

#[tokio::test]
async fn each_of_openais_voices_is_heard_and_others_by_their_ids() -> Result<()> {
    let aio = Aio::start().await?;
    let Account { api, .. } = aio.account(1_000).await?;
    let voices = api
        .get("/audio/voices?model=gpt-4o-mini-tts")
        .await?
        .data(200)?;
    let voices = voices["items"].as_array().context("no voices")?.clone();
    assert_eq!(voices.len(), 13);
    for voice in &voices {
        for model in ["gpt-4o-mini-tts", "elevenlabs-v3"] {
            sound(&api, &said(model, &json!({ "voice": voice["id"] }))).await?;
        }
    }
    let by_id = json!({ "voice": { "id": "JBFqnCBsd6RMkjVDRZzb" } });
    let reply = sound(&api, &said("elevenlabs-v3", &by_id)).await?;
    let task = task(&api, &reply).await?;
    assert_eq!(task["request"]["dialogue"][0]["voice"], "George");
    let all = api.get("/audio/voices").await?.data(200)?;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(18 + 9 + 9 + 13));
    assert_eq!(all["next_cursor"], Value::Null);
    let refused = api.get("/audio/voices?model=nobody").await?;
    assert_eq!(refused.error(400, "unknown_model")?["param"], "model");
    api.get("/audio/voices?modle=tts-1")
        .await?
        .error(400, "unknown_parameter")?;
    // A key hears those of its own models alone.
    let key = json!({ "name": "one", "models": ["tts-1"] });
    let key = api.post("/keys", &key).await?.data(201)?;
    let one = api.with_key(key["key"].as_str());
    let its = one.get("/audio/voices").await?.data(200)?;
    assert_eq!(its["items"].as_array().map(Vec::len), Some(9));
    one.get("/audio/voices?model=elevenlabs-v3")
        .await?
        .error(403, "model_not_allowed")?;
    aio.finish().await
}
