//! Answers as they are documented, and what is made of them.

use serde_json::json;

use super::*;
use crate::providers::for_tests::{answering, client, told};

fn parameters() -> Map<String, Value> {
    let parameters = json!({
        "file": "data:audio/mpeg;base64,AAEC", "language_code": "en", "diarize": true, "timestamps_granularity": "word", "seconds": 12,
    });
    parameters.as_object().unwrap().clone()
}

async fn asked(status: u16, body: &str) -> Result<Started, Failure> {
    let (access, calls) = answering(status, body).await;
    let parameters = parameters();
    let order = Order {
        model: "scribe_v2",
        parameters: &parameters,
        callback: None,
    };
    let started = transcribe(&client(), &access, &order).await;
    let calls = calls.lock().unwrap();
    let (place, headers, _) = calls.first().unwrap();
    assert_eq!(place, "POST /p/v1/speech-to-text");
    assert_eq!(headers["xi-api-key"], "k3y");
    let kind = headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    started
}

fn documented() -> Value {
    json!({
        "language_code": "eng", "language_probability": 0.98, "text": "Hi you!", "transcription_id": "t-1", "audio_duration_secs": 12.3,
        "words": [
            {"text": "Hi", "start": 0.0, "end": 0.2, "type": "word", "speaker_id": "speaker_0", "logprob": -0.1,
                "characters": [{"text": "H", "start": 0.0, "end": 0.1}]},
            {"text": " ", "start": 0.2, "end": 0.3, "type": "spacing", "speaker_id": "speaker_0"},
            {"text": "you!", "start": 0.3, "end": 0.75, "type": "word", "speaker_id": "speaker_1"},
        ],
        "additional_formats": [], "entities": [],
    })
}

fn kept() -> Value {
    json!({
        "text": "Hi you!", "language": "eng", "duration": 12.3,
        "words": [
            {"word": "Hi", "start": 0.0, "end": 0.2, "speaker": "speaker_0"},
            {"word": "you!", "start": 0.3, "end": 0.75, "speaker": "speaker_1"},
        ],
        "segments": [
            {"id": 0, "start": 0.0, "end": 0.2, "text": "Hi", "speaker": "speaker_0"},
            {"id": 1, "start": 0.3, "end": 0.75, "text": "you!", "speaker": "speaker_1"},
        ],
    })
}

#[tokio::test]
async fn what_is_said_is_kept_with_who_says_it() {
    let started = asked(200, &documented().to_string()).await.unwrap();
    let text: Value = serde_json::from_str(started.text.as_ref().unwrap()).unwrap();
    assert_eq!(text, kept());
    assert!(started.is_in_answer() && started.job.starts_with("given "));
    let result = documented().as_object().unwrap().clone();
    let text = resold(&result).unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), kept());
    let other = json!({"words": []}).as_object().unwrap().clone();
    assert!(resold(&other).is_none());
}

#[tokio::test]
async fn refusals_and_breaks_are_told_apart() {
    let failure = asked(401, r#"{"detail":{"status":"quota_exceeded"}}"#).await;
    assert_eq!(told(&failure.unwrap_err()), "balance");
    let failure = asked(200, r#"{"message":"accepted"}"#).await;
    assert_eq!(told(&failure.unwrap_err()), "malformed");
    let started = asked(500, r#"{"detail":{"status":"internal"}}"#).await;
    assert!(started.unwrap().job.starts_with("failed "));
}
