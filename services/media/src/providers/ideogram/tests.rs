//! Every answer they may give, over a real connection.

use serde_json::json;

use super::*;
use crate::providers::for_tests::{answering, client, shown, stopped, told};

async fn submit(access: &Access, model: &str, sent: Value) -> Result<Started, Failure> {
    let parameters = sent.as_object().unwrap().clone();
    let order = Order {
        model,
        parameters: &parameters,
        callback: Some("https://us.example/c/1"),
    };
    Ideogram::new(client()).start(access, &order).await
}

async fn looked(status: u16, body: &str) -> String {
    let (access, _) = answering(status, body).await;
    shown(&Ideogram::new(client()).check(&access, "g-1").await)
}

#[tokio::test]
async fn a_text_goes_as_json_and_is_a_job() {
    let (access, asked) = answering(200, r#"{"generation_id":"g-1","seed":7}"#).await;
    let sent = json!({ "prompt": "a fox", "aspect_ratio": "16x9", "rendering_speed": "turbo" });
    let started = submit(&access, "generate/ideogram-3", sent).await.unwrap();
    assert_eq!((started.job.as_str(), started.files.len()), ("g-1", 0));
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/v2/image/generate/ideogram-3");
    assert_eq!(headers["api-key"], "k3y");
    assert_eq!(headers["content-type"], "application/json");
    assert!(!headers.contains_key("authorization"));
    let expected = json!({
        "prompt": "a fox", "aspect_ratio": "16x9", "rendering_speed": "turbo", "async": true, "webhook_url": "https://us.example/c/1",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn pictures_go_in_a_form() {
    let (access, asked) = answering(200, r#"{"generation_id":"g-1"}"#).await;
    let file = "data:image/png;base64,AAEC";
    for (model, sent) in [
        (
            "inpaint/ideogram-3",
            json!({ "prompt": "a fox", "image": file, "mask": file }),
        ),
        (
            "generate/ideogram-3",
            json!({ "prompt": "a fox", "style_reference_images": [file, file] }),
        ),
    ] {
        submit(&access, model, sent).await.unwrap();
        let (_, headers, _) = asked.lock().unwrap().pop().unwrap();
        let kind = headers["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    }
    let body = json!({ "prompt": "a fox", "async": true, "style_reference_images": [file, file] });
    let (_, written) = form(body.as_object().unwrap())
        .unwrap()
        .written(http::HeaderMap::new());
    let written = String::from_utf8(written).unwrap();
    assert!(
        written.contains("name=\"async\"\r\n\r\ntrue\r\n"),
        "{written}"
    );
    assert_eq!(
        written
            .matches("name=\"style_reference_images\"; filename=")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_job_stands_as_they_say() {
    for (status, body, expected) in [
        (
            200,
            r#"{"generation_id":"g-1","status":"pending","created":"2026-11-22T00:00:00Z"}"#,
            "running",
        ),
        (
            200,
            r#"{"generation_id":"g-1","status":"whatever"}"#,
            "running",
        ),
        (
            200,
            r#"{"generation_id":"g-1","status":"completed","response_type":"url","data":[{"object_type":"image.generation","url":"https://ideogram.example/1.png?exp=1&sig=2","prompt":"p","resolution":"1024x1024","is_image_safe":true,"seed":1}],"usage_cost_usd_micros":60000}"#,
            "done https://ideogram.example/1.png?exp=1&sig=2 60000",
        ),
        (
            200,
            r#"{"status":"completed","failure_reason":null,"data":[{"url":"https://ideogram.example/1.png","is_image_safe":null}],"usage_cost_usd_micros":null}"#,
            "done https://ideogram.example/1.png",
        ),
        (200, r#"{"status":"pending","data":null}"#, "running"),
        (
            200,
            r#"{"status":"completed","data":[{"url":"https://ideogram.example/1.png"}]}"#,
            "done https://ideogram.example/1.png",
        ),
        (
            200,
            r#"{"status":"completed","data":[{"url":null,"is_image_safe":false}],"usage_cost_usd_micros":60000}"#,
            "wasted 60000 moderated: the provider's content policy refused the request or its result",
        ),
        (
            200,
            r#"{"status":"completed","data":[{"url":"","is_image_safe":false}]}"#,
            "wasted moderated: the provider's content policy refused the request or its result",
        ),
        (200, r#"{"status":"completed","data":[]}"#, "done nothing"),
        (
            200,
            r#"{"status":"failed","failure_reason":"content_policy_violation"}"#,
            "failed moderated: the provider's content policy refused the request or its result",
        ),
        (200, r#"{"status":"failed"}"#, "failed overloaded"),
        (404, r#"{"error":"no such generation"}"#, "missing"),
        (404, "<html>", "unknown"),
        (429, r#"{"error":"slower"}"#, "rate_limited"),
        (200, "[", "malformed"),
    ] {
        assert_eq!(looked(status, body).await, expected, "{body}");
    }
    let (access, asked) = answering(200, r#"{"status":"pending"}"#).await;
    let ideogram = Ideogram::new(client());
    ideogram.check(&access, "a/b").await.unwrap();
    let (place, headers, _) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "GET /p/v2/generations/a%2Fb");
    assert_eq!(headers["api-key"], "k3y");
    assert_eq!(
        stopped(&ideogram.cancel(&access, "g-1").await),
        "impossible"
    );
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, body, expected) in [
        (
            400,
            r#"{"error":"resolution is none of theirs"}"#,
            "invalid: resolution is none of theirs",
        ),
        (401, r#"{"error":"bad key"}"#, "auth"),
        (
            402,
            r#"{"error":"Not enough credits","reject_reason":"insufficient_funds"}"#,
            "balance",
        ),
        (413, r#"{"error":"too large"}"#, "invalid: too large"),
        (
            422,
            r#"{"error":"Prompt failed the safety check"}"#,
            "moderated: Prompt failed the safety check",
        ),
        (
            429,
            r#"{"error":"m","reject_reason":"inflight_limit","max_inflight_requests":10}"#,
            "rate_limited",
        ),
        (500, r#"{"error":"m"}"#, "unknown"),
        (503, r#"{"error":"m"}"#, "overloaded"),
        (422, "<html>", "invalid"),
        (200, r#"{"generation_id":""}"#, "malformed"),
        (200, r#"{"data":[]}"#, "malformed"),
    ] {
        let (access, _) = answering(status, body).await;
        let failure = submit(&access, "generate/ideogram-4", json!({ "prompt": "x" }))
            .await
            .unwrap_err();
        assert_eq!(told(&failure), expected, "{body}");
    }
}
