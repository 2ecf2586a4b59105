//! Every answer they may give, over a real connection.

use serde_json::json;

use super::*;
use crate::providers::for_tests::{answering, answering_with, client, shown, told};

const SOUND: &[u8] = b"ID3\x03\0 a sound";

fn order(parameters: &Map<String, Value>) -> Order<'_> {
    Order {
        model: "eleven_v3",
        parameters,
        callback: Some("https://us.example/c/1"),
    }
}

fn parameters(format: &str) -> Map<String, Value> {
    let lines = json!([{ "text": "Hi", "voice_id": "v1" }, { "text": "Oh", "voice_id": "v2" }]);
    let sent = json!({
        "inputs": lines, "settings": { "stability": 0.5 }, "language_code": "auto", "output_format": format,
    });
    sent.as_object().unwrap().clone()
}

async fn submit(access: &Access, format: &str) -> Result<Started, Failure> {
    let sent = parameters(format);
    ElevenLabs::new(client()).start(access, &order(&sent)).await
}

#[tokio::test]
async fn the_sound_is_the_answer() {
    let headers = [
        ("content-type", "audio/mpeg"),
        ("request-id", "r1"),
        ("character-cost", "4"),
    ];
    let (access, asked) = answering_with(200, &headers, SOUND).await;
    let started = submit(&access, "mp3_44100_128").await.unwrap();
    assert_eq!(
        started.files,
        ["data:application/octet-stream;base64,SUQzAwAgYSBzb3VuZA=="]
    );
    assert_eq!(started.cost, Some(Cost { micro_usd: 400 }));
    assert_eq!(started.job, "given r1");
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(
        place,
        "POST /p/v1/text-to-dialogue?output_format=mp3_44100_128"
    );
    assert_eq!(headers["xi-api-key"], "k3y");
    let lines = json!([{ "text": "Hi", "voice_id": "v1" }, { "text": "Oh", "voice_id": "v2" }]);
    let expected =
        json!({ "inputs": lines, "settings": { "stability": 0.5 }, "model_id": "eleven_v3" });
    assert_eq!(body, expected);
    // There is no second place to get it from.
    let looked = ElevenLabs::new(client()).check(&access, &started.job).await;
    assert_eq!(shown(&looked), "wasted malformed");
}

#[tokio::test]
async fn a_language_that_is_named_is_sent() {
    let (access, asked) = answering_with(200, &[("content-type", "audio/mpeg")], SOUND).await;
    let mut sent = parameters("opus_48000_128");
    sent.insert("language_code".to_owned(), json!("de"));
    let started = ElevenLabs::new(client())
        .start(&access, &order(&sent))
        .await;
    assert_eq!(started.unwrap().cost, None, "nobody said what it cost");
    let (place, _, body) = asked.lock().unwrap()[0].clone();
    assert!(place.ends_with("?output_format=opus_48000_128"), "{place}");
    assert_eq!(body["language_code"], "de");
}

#[tokio::test]
async fn samples_are_a_file_of_their_rate() {
    let headers = [("content-type", "audio/pcm"), ("character-cost", "none")];
    let (access, _) = answering_with(200, &headers, &[1, 0, 2, 0]).await;
    let started = submit(&access, "pcm_24000").await.unwrap();
    let file = wire::inline(&started.files[0]).unwrap();
    assert!(file.bytes.starts_with("UklGR"), "{}", file.bytes);
    assert!(file.bytes.ends_with("AAABAAIA"), "{}", file.bytes);
    assert_eq!(started.cost, None);
}

#[tokio::test]
async fn what_is_no_sound_is_none() {
    let json = [("content-type", "application/json")];
    for (headers, body) in [
        (&json[..], b"{\"id\":".as_slice()),
        (&[("content-type", "text/html")], b"<html>"),
        (&[("content-type", "audio/mpeg")], b""),
    ] {
        for format in ["mp3_44100_128", "pcm_24000"] {
            let (access, _) = answering_with(200, headers, body).await;
            let failure = submit(&access, format).await.unwrap_err();
            assert_eq!(told(&failure), "malformed", "{headers:?}");
            assert!(!failure.outcome_known());
        }
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, word, expected) in [
        (401, "quota_exceeded", "balance"),
        (401, "invalid_api_key", "auth"),
        (429, "too_many_concurrent_requests", "rate_limited"),
        (429, "system_busy", "overloaded"),
        (400, "voice_not_found", "invalid: m"),
    ] {
        let body = json!({ "detail": { "status": word, "message": "m" } }).to_string();
        let (access, _) = answering(status, &body).await;
        let failure = submit(&access, "mp3_44100_128").await.unwrap_err();
        assert_eq!(told(&failure), expected, "{body}");
        assert!(failure.outcome_known(), "{body}");
    }
    let (access, _) = answering(500, "").await;
    let failure = submit(&access, "mp3_44100_128").await.unwrap_err();
    assert_eq!(told(&failure), "unknown");
}

#[tokio::test]
async fn where_they_broke_the_job_has_failed_for_nothing() {
    let broken = r#"{"detail":{"status":"internal_server_error","message":"m"}}"#;
    let (access, _) = answering(500, broken).await;
    let started = submit(&access, "mp3_44100_128").await.unwrap();
    assert!(started.files.is_empty());
    let looked = ElevenLabs::new(client()).check(&access, &started.job).await;
    assert_eq!(shown(&looked), "failed overloaded");
}
