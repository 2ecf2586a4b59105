//! Every answer they may give, over a real connection.

use http::StatusCode;
use serde_json::json;

use super::*;
use crate::providers::for_tests::{Raw, answering, client, raw, shown, stopped, told};

fn given() -> Value {
    json!({ "source_image": "https://a/face", "target_image": "https://a/1", "image_format": "jpeg" })
}

async fn submit(access: &Access) -> Result<Started, Failure> {
    let given = given();
    let order = Order {
        model: "faceswap-v5",
        parameters: given.as_object().unwrap(),
        callback: Some("https://us.example/c/1"),
    };
    Segmind::new(client()).start(access, &order).await
}

#[tokio::test]
async fn a_model_answers_with_a_picture() {
    let jpeg = b"\xff\xd8\xff\xe0 and so on".to_vec();
    let answer = Raw::of(StatusCode::OK, "image/jpeg", jpeg).with("x-remaining-credits", "7.5");
    let (access, asked) = raw(answer).await;
    let started = submit(&access).await.unwrap();
    assert!(started.files[0].starts_with("data:image/jpeg;base64,/9j/"));
    assert_eq!(started.cost, None);
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/faceswap-v5");
    assert_eq!(headers["x-api-key"], "k3y");
    assert_eq!(headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, given());
    let adapter = Segmind::new(client());
    let looked = adapter.check(&access, &started.job).await;
    assert_eq!(shown(&looked), "wasted malformed");
    let cancelled = adapter.cancel(&access, &started.job).await;
    assert_eq!(stopped(&cancelled), "too late");
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, body, expected) in [
        (400, r#"{"error":"no face"}"#, "invalid: no face"),
        (
            400,
            r#"{"error":"NSFW content detected"}"#,
            "moderated: NSFW content detected",
        ),
        (401, r#"{"error":"key"}"#, "auth"),
        (403, r#"{"error":"key"}"#, "auth"),
        (404, r#"{"error":"no such model"}"#, "gone"),
        // What others mean by it is nothing of the kind.
        (406, r#"{"error":"Not enough credits"}"#, "balance"),
        (406, "", "balance"),
        (429, r#"{"error":"slower"}"#, "rate_limited"),
        // Whose word it is, nobody knows: a call may be lost that they have taken.
        (503, r#"{"error":"full"}"#, "unknown"),
        (503, r#"{"message":"Service Unavailable"}"#, "unknown"),
        (500, r#"{"error":"full"}"#, "unknown"),
        (500, "", "unknown"),
        (502, "", "unknown"),
        (504, r#"{"error":"late"}"#, "unknown"),
        (200, r#"{"image":"AAEC"}"#, "malformed"),
    ] {
        let (access, asked) = answering(status, body).await;
        let failure = submit(&access).await.unwrap_err();
        assert_eq!(told(&failure), expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap().len(), 1, "a submit is made once");
    }
}
