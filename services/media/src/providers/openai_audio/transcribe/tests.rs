//! Answers as they are documented, and what is made of them.

use serde_json::{Map, json};

use super::*;
use crate::providers::for_tests::{answering, client, told};

fn parameters() -> Map<String, Value> {
    let parameters = json!({
        "file": "data:audio/x-wav;base64,AAEC", "language": "en", "prompt": "Foxes.", "temperature": 0, "seconds": 3,
    });
    parameters.as_object().unwrap().clone()
}

async fn asked(model: &str, status: u16, body: &str) -> Result<Started, Failure> {
    let (access, calls) = answering(status, body).await;
    let parameters = parameters();
    let order = Order {
        model,
        parameters: &parameters,
        callback: None,
    };
    let started = transcribe(&client(), &access, &order).await;
    let calls = calls.lock().unwrap();
    let (place, headers, _) = calls.first().unwrap();
    assert_eq!(place, "POST /p/audio/transcriptions");
    assert_eq!(headers["authorization"], "Bearer k3y");
    let kind = headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    started
}

fn text(started: &Started) -> Value {
    serde_json::from_str(started.text.as_ref().unwrap()).unwrap()
}

#[tokio::test]
async fn whisper_tells_the_moments_of_words_and_sentences() {
    let body = json!({
        "task": "transcribe", "language": "english", "duration": 2.94, "text": "Hi there.",
        "words": [{"word": "Hi", "start": 0.0, "end": 0.5}, {"word": "there", "start": 0.5, "end": 1.25}],
        "segments": [{"id": 0, "seek": 0, "start": 0.0, "end": 1.5, "text": " Hi there.", "tokens": [1, 2], "temperature": 0.0,
            "avg_logprob": -0.2, "compression_ratio": 1.0, "no_speech_prob": 0.01}],
        "usage": {"type": "duration", "seconds": 3},
    });
    let started = asked("whisper-1", 200, &body.to_string()).await.unwrap();
    assert_eq!(started.cost, Some(Cost { micro_usd: 300 }));
    let heard = text(&started);
    for (name, value) in heard.as_object().unwrap() {
        assert_eq!(*value, body[name], "{name}");
    }
    assert_eq!(heard.as_object().unwrap().len(), 5);
}

#[tokio::test]
async fn others_tell_the_text_alone() {
    let body = r#"{"text":"Hi.","usage":{"type":"tokens","total_tokens":42,"input_tokens":32,"input_token_details":{"text_tokens":2,"audio_tokens":30},"output_tokens":10}}"#;
    let started = asked("gpt-4o-transcribe", 200, body).await.unwrap();
    let heard = json!({"text": "Hi.", "words": [], "segments": []});
    assert_eq!(text(&started), heard);
    assert_eq!(started.cost, Some(Cost { micro_usd: 285 }));
    let plain = r#"{"text":"","language":null,"words":null,"segments":7,"usage":null}"#;
    let started = asked("gpt-4o-mini-transcribe", 200, plain).await.unwrap();
    let heard = json!({"text": "", "words": [], "segments": []});
    assert_eq!((text(&started), started.cost), (heard, None));
}

#[tokio::test]
async fn what_was_taken_says_how_long_it_is() {
    let body = r#"{"text":"Hi.","usage":{"type":"duration","seconds":3601}}"#;
    let started = asked("whisper-1", 200, body).await.unwrap();
    assert_eq!(started.lasts, Duration::from_secs(3_601));
    assert_eq!(started.cost, Some(Cost { micro_usd: 360_100 }));
    for (tokens, millis) in [(0, 0), (50, 0), (160, 10_000), (14_050, 1_272_727)] {
        let body = json!({"text": "Hi.", "usage": {"type": "tokens", "input_token_details": {"audio_tokens": tokens}}});
        let started = asked("gpt-4o-transcribe", 200, &body.to_string())
            .await
            .unwrap();
        assert_eq!(started.lasts.as_millis(), millis, "{tokens}");
    }
}

#[tokio::test]
async fn refusals_mean_what_their_words_say() {
    for (status, body, expected) in [
        (
            400,
            r#"{"error":{"message":"Invalid file format. Supported formats: ['flac', 'm4a']","type":"invalid_request_error","param":null,"code":null}}"#,
            "invalid: Invalid file format. Supported formats: ['flac', 'm4a']",
        ),
        (
            400,
            r#"{"error":{"message":"Audio file is too short. Minimum audio length is 0.1 seconds.","type":"invalid_request_error","param":"file","code":"audio_too_short"}}"#,
            "invalid: Audio file is too short. Minimum audio length is 0.1 seconds.",
        ),
        (
            401,
            r#"{"error":{"message":"no","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            "auth",
        ),
        (
            413,
            r#"{"error":{"message":"Maximum content size limit exceeded","type":"server_error"}}"#,
            "invalid: Maximum content size limit exceeded",
        ),
        (
            429,
            r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            "balance",
        ),
        (
            429,
            r#"{"error":{"message":"m","type":"requests","code":"rate_limit_exceeded"}}"#,
            "rate_limited",
        ),
        (503, "upstream connect error", "unknown"),
        (200, r#"{"words":[]}"#, "malformed"),
        (200, "<html>", "malformed"),
    ] {
        let failure = asked("whisper-1", status, body).await.unwrap_err();
        assert_eq!(told(&failure), expected, "{body}");
    }
    let broken = r#"{"error":{"message":"m","type":"server_error"}}"#;
    let started = asked("whisper-1", 500, broken).await.unwrap();
    assert!(started.job.starts_with("failed "), "{}", started.job);
}
