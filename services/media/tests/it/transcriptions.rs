//! Transcripts: what a recording costs is counted by us when it is asked for, whoever hears it; and what it says of itself is held against what
//! is heard.

use axum::Router;
use domain::{FileId, TaskId};
use http::{Method, Uri};
use proto::{Fault, code};
use serde_json::{Value, json};

use crate::{
    at_once::serve,
    files::{id, upload},
    house::House,
    life::read_with_head,
    natives::{built_in, resellers, section, submit},
    sandboxed::{Bill, Sandboxed},
};

const ROUTE: &str = "audio/transcriptions";

/// A recording of so many samples, a hundred of which are a second.
fn recording(samples: u32) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend((36 + samples).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(100_u32.to_le_bytes());
    file.extend(100_u32.to_le_bytes());
    file.extend(b"\x01\0\x08\0data");
    file.extend(samples.to_le_bytes());
    file.extend((0..samples).map(|_| 0x80_u8));
    file
}

async fn asked(sandboxed: &Sandboxed, model: &str, samples: u32) -> Result<TaskId, Fault> {
    let file = upload(&sandboxed.running, &recording(samples)).await?;
    let body = json!({ "model": model, "file": id(&file).to_string() });
    submit(&sandboxed.running, ROUTE, &body).await
}

/// The one file of a task.
async fn heard(sandboxed: &Sandboxed, task: TaskId) -> Value {
    let (head, file) = read_with_head(&sandboxed.running, task, None).await;
    assert_eq!(head.content_type, "application/json");
    serde_json::from_slice(&file).unwrap()
}

#[tokio::test]
async fn every_model_costs_what_the_seconds_do() {
    let sandboxed = Sandboxed::new(built_in()).await;
    for (model, provider, micros, billed) in [
        ("whisper-1", "openai", 12_500, 6_100),
        // Two tokens that say it, ten of each second, ten that are heard.
        ("gpt-4o-transcribe", "openai", 12_500, 3_765),
        ("gpt-4o-mini-transcribe", "openai", 6_250, 1_882),
        ("scribe-v2", "elevenlabs", 16_667, 6_832),
    ] {
        let before = sandboxed.bill(provider).await;
        let task = asked(&sandboxed, model, 6_001).await.unwrap();
        let view = sandboxed.running.reaches(task, "completed").await;
        assert_eq!(view["type"], "transcription");
        assert_eq!(view["request"]["seconds"], 61, "{view}");
        sandboxed.settles(task, &[61 * micros]).await;
        let after = sandboxed.bill(provider).await;
        assert_eq!(after.billed - before.billed, billed, "{model}");
        let heard = heard(&sandboxed, task).await;
        let text = heard["text"].as_str().unwrap();
        assert!(text.contains("61 seconds"), "{heard}");
        let knows_moments = ["whisper-1", "scribe-v2"].contains(&model);
        assert_eq!(heard["words"] != json!([]), knows_moments, "{heard}");
    }
}

#[tokio::test]
async fn where_its_maker_is_not_who_resells_it_hears_the_same() {
    let sandboxed = Sandboxed::live(built_in(), resellers).await;
    let task = asked(&sandboxed, "scribe-v2", 200).await;
    // Who resells it fetches what it is given, and nobody reaches this house from outside: but it is in the same.
    let task = task.unwrap();
    sandboxed.running.reaches(task, "completed").await;
    sandboxed.settles(task, &[250_000]).await;
    let bill = sandboxed.bill("fal").await;
    assert_eq!(bill.jobs, 1);
}

#[tokio::test]
async fn who_says_it_and_what_else_is_heard_are_told_where_they_are_asked_for() {
    let maker = Sandboxed::new(built_in()).await;
    let reseller = Sandboxed::live(built_in(), resellers).await;
    for sandboxed in [maker, reseller] {
        let file = upload(&sandboxed.running, &recording(200)).await.unwrap();
        for (asked, speaker, words) in [(false, json!(null), 10), (true, json!("speaker_0"), 11)] {
            let body = json!({
                "model": "scribe-v2", "file": id(&file).to_string(), "diarize": asked, "tag_audio_events": asked, "language": "de",
            });
            let task = submit(&sandboxed.running, ROUTE, &body).await.unwrap();
            sandboxed.running.reaches(task, "completed").await;
            let heard = heard(&sandboxed, task).await;
            assert_eq!(heard["words"][0]["speaker"], speaker, "{heard}");
            assert_eq!(heard["words"].as_array().map(Vec::len), Some(words));
            assert_eq!(heard["language"], "de");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_counted_is_refused() {
    let sandboxed = Sandboxed::new(built_in()).await;
    let running = &sandboxed.running;
    let film = include_bytes!("../files/live.webm");
    let mut cut = film.to_vec();
    cut.truncate(700);
    for (bytes, says) in [
        (
            include_bytes!("../files/picture.png").to_vec(),
            "file must be a sound or a video",
        ),
        (cut, "does not say how long it lasts"),
    ] {
        let file = upload(running, &bytes).await.unwrap();
        let body = json!({ "model": "whisper-1", "file": id(&file).to_string() });
        let fault = submit(running, ROUTE, &body).await.unwrap_err();
        assert_eq!(fault.code, code::INVALID_PARAMETER);
        assert!(fault.message.contains(says), "{}", fault.message);
        assert_eq!(fault.param.as_deref(), Some("file"));
    }
    let long = asked(&sandboxed, "gpt-4o-transcribe", 140_100).await;
    let long = long.unwrap_err();
    assert!(long.message.contains("lasts 1401"), "{}", long.message);
    for missing in [
        "file_01h455vb4pex5vsknk084sn02q",
        "https://example.com/a.mp3",
    ] {
        let body = json!({ "model": "whisper-1", "file": missing });
        let fault = submit(running, ROUTE, &body).await.unwrap_err();
        assert_eq!(fault.code, code::INVALID_PARAMETER, "{missing}");
    }
    assert_eq!(sandboxed.bill("openai").await, Bill::default());
    // A film as it comes out of a browser, without a length in its head.
    let file = upload(running, film).await.unwrap();
    let body = json!({ "model": "whisper-1", "file": id(&file).to_string() });
    let task = submit(running, ROUTE, &body).await.unwrap();
    sandboxed.running.reaches(task, "completed").await;
    sandboxed.settles(task, &[250_000]).await;
}

#[tokio::test]
async fn what_no_provider_of_a_model_takes_is_refused_before_it_costs_anything() {
    let sandboxed = Sandboxed::new(built_in()).await;
    let running = &sandboxed.running;
    let body = |model: &str, id: FileId| json!({ "model": model, "file": id.to_string() });
    // A film of a telephone is taken by another name.
    let sounding = include_bytes!("../files/sounding.mp4");
    let telephone = [&sounding[..8], b"qt  ", &sounding[12..]].concat();
    for (bytes, model, taken) in [
        (
            include_bytes!("../files/sound.aac").as_slice(),
            "whisper-1",
            false,
        ),
        (
            include_bytes!("../files/sound.aac"),
            "gpt-4o-transcribe",
            false,
        ),
        (include_bytes!("../files/sound.aac"), "scribe-v2", true),
        (sounding, "whisper-1", true),
        (&telephone, "whisper-1", true),
    ] {
        let file = id(&upload(running, bytes).await.unwrap());
        match submit(running, ROUTE, &body(model, file)).await {
            Ok(task) => {
                assert!(taken, "{model}");
                running.reaches(task, "completed").await;
            }
            Err(fault) => {
                assert!(!taken, "{model} {fault:?}");
                assert_eq!(
                    (fault.code, fault.param.as_deref()),
                    (code::INVALID_PARAMETER, Some("file"))
                );
                let told = format!(
                    "file must be of a kind that this model hears, which are flac, m4a, mp3, mp4, mpeg, mpga, ogg, wav, webm: {file} is audio/aac"
                );
                assert_eq!(fault.message, told);
            }
        }
    }
    let small = |house: House| house.with_files("inline_bytes = 99\ngiven_bytes = 99");
    let sandboxed = Sandboxed::of(built_in(), small).await;
    let fault = asked(&sandboxed, "whisper-1", 100).await.unwrap_err();
    assert_eq!(
        (fault.code, fault.param.as_deref()),
        (code::BODY_TOO_LARGE, Some("file"))
    );
    let told = "file must be a file of 99 bytes at most for this model: ";
    assert!(fault.message.starts_with(told), "{}", fault.message);
    // Who fetches it takes more.
    let task = asked(&sandboxed, "scribe-v2", 100).await.unwrap();
    sandboxed.running.reaches(task, "completed").await;
}

/// A provider that answers all with this, if need be by way of a queue.
async fn answering(answer: &Value) -> String {
    let answer = answer.to_string();
    let all = Router::new().fallback(move |method: Method, uri: Uri| async move {
        let (path, answer) = (uri.path(), answer.clone());
        if path.ends_with("/status") {
            json!({ "status": "COMPLETED" }).to_string()
        } else if path.starts_with("/fal-ai") && method == Method::POST {
            json!({ "request_id": "r1" }).to_string()
        } else {
            answer
        }
    });
    serve(all).await
}

#[tokio::test]
async fn a_recording_that_is_longer_than_it_says_is_nobodys() {
    let tokens = |count: u64| json!({ "text": "secret", "usage": { "input_token_details": { "audio_tokens": count } } });
    let words = |end: u64| json!({ "text": "secret", "words": [{ "text": "secret", "start": 0, "end": end, "type": "word" }] });
    for (model, provider, within, beyond) in [
        (
            "whisper-1",
            "openai",
            json!({ "text": "secret", "duration": 2.0 }),
            json!({ "text": "secret", "duration": 2.1 }),
        ),
        ("gpt-4o-transcribe", "openai", tokens(70), tokens(90)),
        ("gpt-4o-mini-transcribe", "openai", tokens(70), tokens(90)),
        ("scribe-v2", "elevenlabs", words(2), words(3)),
        ("scribe-v2", "fal", words(2), words(3)),
    ] {
        let at = answering(&within).await;
        let sections = move |_: &str| section(provider, &at);
        let sandboxed = Sandboxed::live(built_in(), sections).await;
        let task = asked(&sandboxed, model, 100).await.unwrap();
        sandboxed.running.reaches(task, "completed").await;
        let at = answering(&beyond).await;
        let sections = move |_: &str| section(provider, &at);
        let sandboxed = Sandboxed::live(built_in(), sections).await;
        let task = asked(&sandboxed, model, 100).await.unwrap();
        let view = sandboxed.fails(task, code::INVALID_PARAMETER).await;
        let told = view["error"]["message"].as_str().unwrap();
        let expected = "file lasts longer than it says: it is paid for 1 seconds";
        assert!(told.starts_with(expected), "{provider} {told}");
        assert_eq!(view["output"], json!([]), "{provider}");
    }
}
