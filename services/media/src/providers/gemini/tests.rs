//! Every answer they may give, over a real connection.

use std::time::Duration;

use super::*;
use crate::providers::for_tests::{answering, client, shown, told};

fn parameters() -> Map<String, Value> {
    let sent = json!({
        "prompt": "a fox", "images": ["data:image/png;base64,AAEC", "https://a.example/1"],
        "generationConfig": { "responseModalities": ["IMAGE"], "imageConfig": { "aspectRatio": "16:9", "imageSize": "2K" } },
    });
    sent.as_object().unwrap().clone()
}

async fn submit(access: &Access) -> Result<Started, Failure> {
    let parameters = parameters();
    let order = Order {
        model: "gemini-3-pro-image",
        parameters: &parameters,
        callback: None,
    };
    Gemini::new(client()).start(access, &order).await
}

#[tokio::test]
async fn a_picture_comes_inside_of_the_answer() {
    let answer = r#"{"candidates":[{"index":0,"content":{"role":"model","parts":[
        {"text":"Let me draw.","thought":true},{"inlineData":{"mimeType":"image/jpeg","data":"Zmlyc3Q="},"thought":true},
        {"text":"Here it is.","inlineData":null},{"inlineData":{"mimeType":"image/jpeg","data":"AAEC"},"thought":null,"thoughtSignature":"x"}]},
        "finishReason":"STOP","safetyRatings":[]}],
        "usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":1290,"thoughtsTokenCount":30,"totalTokenCount":1330},
        "modelVersion":"gemini-3-pro-image","responseId":"r1"}"#;
    let (access, asked) = answering(200, answer).await;
    let started = submit(&access).await.unwrap();
    assert_eq!(started.files, ["data:image/jpeg;base64,AAEC"]);
    assert_eq!((started.job.as_str(), started.cost), ("given r1", None));
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/models/gemini-3-pro-image:generateContent");
    assert_eq!(headers["x-goog-api-key"], "k3y");
    assert!(!headers.contains_key("authorization"));
    assert_eq!(
        body,
        json!({
            "contents": [{ "role": "user", "parts": [
                { "text": "a fox" },
                { "inlineData": { "mimeType": "image/png", "data": "AAEC" } },
                { "fileData": { "fileUri": "https://a.example/1" } },
            ] }],
            "generationConfig": { "responseModalities": ["IMAGE"], "imageConfig": { "aspectRatio": "16:9", "imageSize": "2K" } },
        })
    );
}

#[tokio::test]
async fn what_comes_without_a_picture_says_why() {
    let ended = |reason: &str| format!(r#"{{"candidates":[{{"finishReason":"{reason}"}}]}}"#);
    let refused = "moderated: the provider's content policy refused the result";
    for (answer, expected) in [
        (r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT","safetyRatings":[]}}"#.to_owned(),
         "moderated: the provider's content policy refused the request"),
        (ended("IMAGE_SAFETY"), refused),
        (ended("PROHIBITED_CONTENT"), refused),
        (ended("IMAGE_RECITATION"), refused),
        (r#"{"candidates":null,"promptFeedback":{"blockReason":"SAFETY"},"responseId":null}"#.to_owned(),
         "moderated: the provider's content policy refused the request"),
        (r#"{"candidates":[{"content":{"parts":null},"finishReason":"STOP"}]}"#.to_owned(),
         "moderated: the provider answered in words, without a picture"),
        (r#"{"candidates":[{"content":{"parts":[{"text":"I cannot draw that."}]},"finishReason":"STOP"}]}"#.to_owned(),
         "moderated: the provider answered in words, without a picture"),
        ("{}".to_owned(), "malformed"),
        ("[".to_owned(), "malformed"),
    ] {
        let (access, _) = answering(200, &answer).await;
        let failure = submit(&access).await.unwrap_err();
        assert_eq!(told(&failure), expected, "{answer}");
    }
    for reason in ["NO_IMAGE", "IMAGE_OTHER", "MAX_TOKENS", "WHATEVER_COMES"] {
        let (access, _) = answering(200, &ended(reason)).await;
        let started = submit(&access).await.unwrap();
        let looked = Gemini::new(client()).check(&access, &started.job).await;
        assert_eq!(shown(&looked), "failed overloaded", "{reason}");
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, body, expected) in [
        (
            400,
            r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"x","reason":"API_KEY_INVALID"}]}}"#,
            "auth",
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"User location is not supported","status":"FAILED_PRECONDITION"}}"#,
            "auth",
        ),
        (
            402,
            r#"{"error":{"code":402,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
            "balance",
        ),
        (
            404,
            r#"{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}"#,
            "gone",
        ),
        (
            503,
            r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#,
            "overloaded",
        ),
        (
            504,
            r#"{"error":{"code":504,"message":"m","status":"DEADLINE_EXCEEDED"}}"#,
            "unknown",
        ),
    ] {
        let (access, _) = answering(status, body).await;
        assert_eq!(
            told(&submit(&access).await.unwrap_err()),
            expected,
            "{body}"
        );
    }
    let slow = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"31s"}]}}"#;
    let (access, _) = answering(429, slow).await;
    let failure = submit(&access).await.unwrap_err();
    assert_eq!(told(&failure), "rate_limited");
    assert_eq!(failure.retry_after(), Some(Duration::from_secs(31)));
    let broken = r#"{"error":{"code":500,"message":"m","status":"INTERNAL"}}"#;
    let (access, _) = answering(500, broken).await;
    assert!(submit(&access).await.unwrap().job.starts_with("failed "));
}
