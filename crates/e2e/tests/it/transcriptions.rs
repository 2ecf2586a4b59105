//! What is said in recordings: a form, as OpenAI's SDKs send it, answered in each of its shapes; exactly so many seconds are paid for, and
//! nothing where nothing is heard.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Api, Reply, eventually};

use crate::{songs::silence, uploads::upload};

const ROUTE: &str = "/audio/transcriptions";
const KIND: &str = "multipart/form-data; boundary=the-boundary";
/// What each costs a second, in micro-credits.
const PRICES: [(&str, i64); 4] = [
    ("whisper-1", 12_500),
    ("gpt-4o-transcribe", 12_500),
    ("gpt-4o-mini-transcribe", 6_250),
    ("scribe-v2", 16_667),
];
/// What each costs at least.
const LEAST: i64 = 250_000;
const SOON: &str = "[sandbox delay=10ms]";

/// A form with these fields behind a recording, if there is one.
fn form(recording: Option<(&str, &[u8])>, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut form = Vec::new();
    let head =
        |about: &str| format!("--the-boundary\r\ncontent-disposition: form-data; {about}\r\n\r\n");
    if let Some((name, bytes)) = recording {
        form.extend(head(&format!("name=\"file\"; filename=\"{name}\"")).bytes());
        form.extend(bytes);
        form.extend(b"\r\n");
    }
    for (name, value) in fields {
        form.extend(head(&format!("name=\"{name}\"")).bytes());
        form.extend(format!("{value}\r\n").bytes());
    }
    form.extend(b"--the-boundary--\r\n");
    form
}

async fn send(api: &Api, form: Vec<u8>, more: &[(&str, &str)]) -> Result<Reply> {
    let headers = [&[("content-type", KIND)], more].concat();
    api.send(Method::POST, ROUTE, &headers, form).await
}

/// Of a recording of so many seconds, which says itself what shall happen.
async fn asked(api: &Api, seconds: u32, fields: &[(&str, &str)]) -> Result<Reply> {
    let recording = [silence(seconds), SOON.into()].concat();
    send(api, form(Some(("a.wav", &recording)), fields), &[]).await
}

async fn files(api: &Api) -> Result<usize> {
    let listed = api.get("/files").await?.json()?;
    Ok(listed["data"].as_array().context("no list")?.len())
}

async fn receipt(api: &Api, operation: &str) -> Result<Value> {
    let receipt = eventually("a receipt", async || {
        let found = api.get(&format!("/operations/{operation}/receipt")).await?;
        Ok((found.status == 200).then_some(found))
    });
    receipt.await?.data(200)
}

#[tokio::test]
async fn every_shape_tells_what_is_said_for_what_the_seconds_cost() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let text = "This is the sandbox. It heard 41 seconds in en.";
    let mut paid = 0;
    for (model, price) in PRICES {
        let fields = [("model", model), ("language", "en")];
        let reply = asked(&api, 41, &fields).await?;
        ensure!(reply.status == 200, "{model}: {reply}");
        let usage = json!({ "type": "duration", "seconds": 41 });
        assert_eq!(reply.json()?, json!({ "text": text, "usage": usage }));
        let credits = testkit::micros(&serde_json::from_str(reply.header("x-aio-cost-credits"))?);
        assert_eq!(credits?, 41 * price, "{model}");
        paid += 41 * price;
        let receipt = receipt(&api, reply.header("x-aio-operation-id")).await?;
        assert_eq!(receipt["charged_microcredits"], json!(41 * price));
        assert_eq!(receipt["held_microcredits"], json!(41 * price), "{receipt}");
    }
    let short = "This is the sandbox. It heard 3 seconds in en.";
    for model in ["whisper-1", "scribe-v2"] {
        let wanted = |format| {
            [
                ("model", model),
                ("language", "en"),
                ("response_format", format),
            ]
        };
        let reply = asked(&api, 3, &wanted("text")).await?;
        assert_eq!(reply.body, format!("{short}\n"));
        let reply = asked(&api, 3, &wanted("srt")).await?;
        let srt = String::from_utf8(reply.body.to_vec())?;
        ensure!(
            srt.starts_with("1\n00:00:00,000 --> 00:00:01,") && srt.contains("\n\n2\n"),
            "{srt}"
        );
        let reply = asked(&api, 3, &wanted("vtt")).await?;
        let vtt = String::from_utf8(reply.body.to_vec())?;
        ensure!(
            vtt.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.")
                && vtt.contains("\nIt heard 3 seconds in en.\n"),
            "{vtt}"
        );
        let reply = asked(&api, 3, &wanted("verbose_json")).await?.json()?;
        assert_eq!(
            (&reply["text"], &reply["duration"]),
            (&json!(short), &json!(3.0))
        );
        let segments = reply["segments"].as_array().context("no segments")?;
        ensure!(segments[0]["avg_logprob"].is_number(), "{reply}");
        assert_eq!((segments.len(), reply.get("words")), (2, None), "{reply}");
        let words = [
            &wanted("verbose_json")[..],
            &[("timestamp_granularities[]", "word")],
        ]
        .concat();
        let reply = asked(&api, 3, &words).await?.json()?;
        let words = reply["words"].as_array().context("no words")?;
        assert_eq!((words.len(), reply.get("segments")), (10, None));
        paid += 5 * LEAST;
    }
    assert_eq!(api.settled().await?.posted, 100_000_000 - paid);
    assert_eq!(
        files(&api).await?,
        0,
        "recordings are gone with their tasks"
    );
    aio.finish().await
}

#[tokio::test]
async fn a_stream_tells_it_piece_by_piece() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let fields = [("model", "gpt-4o-mini-transcribe"), ("stream", "true")];
    let reply = asked(&api, 2, &fields).await?;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    let events = String::from_utf8(reply.body.to_vec())?;
    ensure!(events.ends_with("data: [DONE]\n\n"), "{events}");
    let told: Vec<Value> = events
        .split("\n\n")
        .filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok())
        .collect();
    let (done, deltas) = told.split_last().context("no events")?;
    let text: String = deltas
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(done["type"], "transcript.text.done");
    assert_eq!(done["text"], json!(text));
    ensure!(deltas.len() > 1 && text.contains("2 seconds"), "{events}");
    aio.finish().await
}

/// A form that is refused: the status, the code, and the field that is named.
type Refused = (Vec<u8>, u16, &'static str, &'static str);

/// Recordings that are none, or may not come here, and fields that are wrong.
fn refused(wav: &[u8]) -> Vec<Refused> {
    let (whisper, recording) = (("model", "whisper-1"), Some(("a.wav", wav)));
    let large = vec![0; 100_001];
    vec![
        (
            form(Some(("a.wav", &large)), &[whisper]),
            413,
            "body_too_large",
            "file",
        ),
        (form(None, &[whisper]), 400, "missing_parameter", "file"),
        (
            form(Some(("a.wav", b"a text")), &[whisper]),
            400,
            "invalid_parameter",
            "file",
        ),
        (
            // A picture lasts no time.
            form(Some(("a.wav", crate::uploads::PNG)), &[whisper]),
            400,
            "invalid_parameter",
            "file",
        ),
        (form(recording, &[]), 400, "missing_parameter", "model"),
        (
            form(recording, &[("model", "flux-2")]),
            400,
            "unknown_model",
            "model",
        ),
        (
            form(recording, &[("model", "nobody")]),
            400,
            "unknown_model",
            "model",
        ),
        (
            form(recording, &[whisper, ("colour", "red")]),
            400,
            "unknown_parameter",
            "colour",
        ),
        (
            form(
                recording,
                &[("model", "gpt-4o-transcribe"), ("response_format", "srt")],
            ),
            400,
            "invalid_parameter",
            "response_format",
        ),
        (
            form(recording, &[whisper, ("temperature", "hot")]),
            400,
            "invalid_parameter",
            "temperature",
        ),
    ]
}

#[tokio::test]
async fn what_cannot_be_heard_is_refused_and_costs_nothing() -> Result<()> {
    let aio = Aio::with(&[("AIO_LIMITS__RECORDINGS__MAX_BYTES", "100000")]).await?;
    let account = aio.account(1).await?;
    let (api, poor) = (&account.api, aio.account(0).await?.api);
    let wav = silence(1);
    let recording = Some(("a.wav", &wav[..]));
    let whisper = ("model", "whisper-1");
    for (form, status, code, param) in refused(&wav) {
        let reply = send(api, form, &[]).await?;
        let error = reply
            .error(status, code)
            .with_context(|| param.to_owned())?;
        assert_eq!(error["param"], param, "{error}");
    }
    let refused = send(&poor, form(recording, &[whisper]), &[]).await?;
    refused.error(402, "insufficient_credits")?;
    let capped = [("x-aio-max-cost-credits", "0.249999")];
    let refused = send(api, form(recording, &[whisper]), &capped).await?;
    refused.error(400, "max_cost_exceeded")?;
    assert_eq!((files(api).await?, files(&poor).await?), (0, 0));
    assert_eq!(api.settled().await?.posted, 1_000_000);
    aio.finish().await
}

#[tokio::test]
async fn what_fails_is_free() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1).await?.api;
    for (model, outcome, status, code) in [
        ("whisper-1", "moderated", 400, "content_moderated"),
        ("gpt-4o-transcribe", "fail", 502, "upstream_failed"),
        ("scribe-v2", "moderated", 400, "content_moderated"),
        ("whisper-1", "malformed", 502, "submit_outcome_unknown"),
    ] {
        let says = format!("[sandbox outcome={outcome} delay=10ms]");
        let recording = [silence(1), says.into()].concat();
        let form = form(Some(("a.wav", &recording)), &[("model", model)]);
        let reply = send(&api, form, &[]).await?;
        reply
            .error(status, code)
            .with_context(|| format!("{model} {outcome}"))?;
    }
    assert_eq!(api.settled().await?.posted, 1_000_000);
    assert_eq!(files(&api).await?, 0);
    aio.finish().await
}

#[tokio::test]
async fn where_its_maker_fails_who_resells_it_is_asked() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1).await?.api;
    // Whoever is asked then says the same.
    let says = "[sandbox outcome=fail delay=10ms]";
    let recording = [silence(2), says.into()].concat();
    let file = upload(&api, "a.wav", &recording).await?;
    let body = json!({ "model": "scribe-v2", "file": file });
    let accepted = api.post(ROUTE, &body).await?.data(202)?;
    let id = accepted["task_id"].as_str().context("no task_id")?;
    let task = api.ended(id).await?;
    assert_eq!(task["error"]["code"], "upstream_failed", "{task}");
    let receipt = receipt(&api, id).await?;
    let asked = receipt["receipt"]["attempts"].as_array();
    let asked: Vec<&str> = asked
        .context("no attempts")?
        .iter()
        .filter_map(|one| one["provider"].as_str())
        .collect();
    assert_eq!(asked, ["elevenlabs", "fal"], "{receipt}");
    assert_eq!(api.settled().await?.posted, 1_000_000);
    aio.finish().await
}

#[tokio::test]
async fn a_form_that_comes_again_is_answered_again_and_paid_once() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1).await?.api;
    let recording = [silence(1), SOON.into()].concat();
    let whisper = [("model", "whisper-1")];
    let again = async |recording: &[u8]| {
        let form = form(Some(("a.wav", recording)), &whisper);
        send(&api, form, &[("idempotency-key", "k")]).await
    };
    let (first, second) = (again(&recording).await?, again(&recording).await?);
    assert_eq!(first.json()?, second.json()?);
    assert_eq!(
        (
            first.header("idempotent-replayed"),
            second.header("idempotent-replayed")
        ),
        ("", "true")
    );
    assert_eq!(
        first.header("x-aio-operation-id"),
        second.header("x-aio-operation-id")
    );
    let other = again(&silence(2)).await?;
    other.error(422, "idempotency_mismatch")?;
    assert_eq!(api.settled().await?.posted, 1_000_000 - LEAST);
    assert_eq!(files(&api).await?, 0);
    aio.finish().await
}

#[tokio::test]
async fn a_file_that_was_uploaded_is_a_task_like_any_other() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1).await?.api;
    let recording = [silence(4), SOON.into()].concat();
    let file = upload(&api, "a.wav", &recording).await?;
    let body = json!({ "model": "whisper-1", "file": file });
    let quoted = json!({ "route": "audio/transcriptions", "body": body });
    let quote = api.post("/quote", &quoted).await?.data(200)?;
    assert_eq!(quote["max_microcredits"], LEAST);
    assert_eq!(quote["resolved"]["seconds"], 4);
    let accepted = api.post(ROUTE, &body).await?.data(202)?;
    let task = api
        .ended(accepted["task_id"].as_str().context("no task_id")?)
        .await?;
    assert_eq!(
        (
            &task["status"],
            &task["type"],
            &task["consumed_microcredits"]
        ),
        (&json!("completed"), &json!("transcription"), &json!(LEAST)),
        "{task}"
    );
    let link = task["response"][0].as_str().context("no link")?;
    let (_, place) = link.split_once("/api/v1").context("not ours")?;
    // What its file holds, the document of the API does not say.
    let nobody = api.with_key(None);
    let kept = nobody.open(Method::GET, place, &[], "").await?;
    let heard: Value = serde_json::from_slice(&kept.bytes().await?)?;
    assert_eq!(heard["words"].as_array().map(Vec::len), Some(10));
    let mut verbose = body.clone();
    verbose["response_format"] = json!("verbose_json");
    let reply = api.post(ROUTE, &verbose).await?.json()?;
    assert_eq!(reply["usage"], json!({ "type": "duration", "seconds": 4 }));
    // It is the customer's, and stays.
    assert_eq!(files(&api).await?, 1);
    let sent = json!({ "model": "whisper-1", "file": file, "seconds": 1 });
    let refused = api.post(ROUTE, &sent).await?;
    assert_eq!(refused.error(400, "unknown_parameter")?["param"], "seconds");
    aio.finish().await
}
