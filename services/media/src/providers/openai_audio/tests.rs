//! Every answer they may give, over a real connection.

use serde_json::{Map, json};

use super::*;
use crate::providers::for_tests::{answering, answering_with, client, shown, told};

const SOUND: &[u8] = b"ID3\x03\0 a sound";

fn parameters(format: &str) -> Map<String, Value> {
    let sent = json!({ "input": "Hi", "voice": "alloy", "response_format": format, "speed": 1.5 });
    sent.as_object().unwrap().clone()
}

async fn submit(access: &Access, format: &str) -> Result<Started, Failure> {
    let parameters = parameters(format);
    let order = Order {
        model: "tts-1",
        parameters: &parameters,
        callback: Some("https://us.example/c/1"),
    };
    OpenAiAudio::new(client()).start(access, &order).await
}

#[tokio::test]
async fn the_sound_is_the_answer() {
    let headers = [("content-type", "audio/mpeg"), ("x-request-id", "r1")];
    let (access, asked) = answering_with(200, &headers, SOUND).await;
    let started = submit(&access, "mp3").await.unwrap();
    assert_eq!(
        started.files,
        ["data:application/octet-stream;base64,SUQzAwAgYSBzb3VuZA=="]
    );
    assert_eq!((started.job.as_str(), started.cost), ("given r1", None));
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/audio/speech");
    assert_eq!(headers["authorization"], "Bearer k3y");
    let expected = json!({ "input": "Hi", "voice": "alloy", "response_format": "mp3", "speed": 1.5, "model": "tts-1" });
    assert_eq!(body, expected);
    // There is no second place to get it from.
    let looked = OpenAiAudio::new(client())
        .check(&access, &started.job)
        .await;
    assert_eq!(shown(&looked), "wasted malformed");
}

#[tokio::test]
async fn samples_are_a_file() {
    let (access, _) = answering_with(200, &[("content-type", "audio/pcm")], &[1, 0, 2, 0]).await;
    let started = submit(&access, "pcm").await.unwrap();
    let file = wire::inline(&started.files[0]).unwrap();
    assert!(file.bytes.starts_with("UklGR"), "{}", file.bytes);
    assert!(file.bytes.ends_with("AAABAAIA"), "{}", file.bytes);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, body, expected) in [
        (
            400,
            r#"{"error":{"message":"Rejected by the safety system.","code":"content_policy_violation"}}"#,
            "moderated: Rejected by the safety system.",
        ),
        (
            400,
            r#"{"error":{"message":"input is too long","type":"invalid_request_error","param":"input","code":null}}"#,
            "invalid: input is too long",
        ),
        (
            401,
            r#"{"error":{"message":"m","code":"invalid_api_key"}}"#,
            "auth",
        ),
        (
            429,
            r#"{"error":{"message":"m","type":"insufficient_quota"}}"#,
            "balance",
        ),
        (
            429,
            r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#,
            "rate_limited",
        ),
        (
            404,
            r#"{"error":{"message":"m","code":"model_not_found"}}"#,
            "gone",
        ),
        (
            503,
            r#"{"error":{"message":"m","code":"slow_down"}}"#,
            "overloaded",
        ),
        (500, "", "unknown"),
    ] {
        let (access, _) = answering(status, body).await;
        let failure = submit(&access, "mp3").await.unwrap_err();
        assert_eq!(told(&failure), expected, "{body}");
    }
    let (access, _) = answering_with(200, &[("content-type", "application/json")], b"{}").await;
    let failure = submit(&access, "mp3").await.unwrap_err();
    assert_eq!(told(&failure), "malformed");
}

#[tokio::test]
async fn where_they_broke_the_job_has_failed_for_nothing() {
    let broken = r#"{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#;
    let (access, _) = answering(500, broken).await;
    let started = submit(&access, "mp3").await.unwrap();
    assert!(started.files.is_empty());
    let looked = OpenAiAudio::new(client())
        .check(&access, &started.job)
        .await;
    assert_eq!(shown(&looked), "failed overloaded");
}
