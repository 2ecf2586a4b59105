//! Every answer they may give, over a real connection.

use domain::Secret;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde_json::{Map, json};
use upstream::Failure;

use super::*;
use crate::providers::for_tests::{answering, client, shown, stopped, told};

const OFFICIAL: &str = "google/nano-banana-pro";
const VERSION: &str = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa";

fn input() -> Map<String, Value> {
    let input = json!({ "prompt": "a fox", "image_input": ["https://a.example/1"] });
    input.as_object().unwrap().clone()
}

async fn submit(access: &Access, model: &str) -> Result<Started, Failure> {
    let parameters = input();
    let order = Order {
        model,
        parameters: &parameters,
        callback: None,
    };
    Replicate::new(client()).start(access, &order).await
}

#[tokio::test]
async fn a_model_is_asked_by_its_name_or_by_its_version() {
    let of_another = format!("lucataco/face:{VERSION}");
    for (model, place, version) in [
        (
            OFFICIAL,
            "POST /p/v1/models/google/nano-banana-pro/predictions",
            None,
        ),
        // A name is a name, whatever stands in it.
        ("a/b?c", "POST /p/v1/models/a/b%3Fc/predictions", None),
        (VERSION, "POST /p/v1/predictions", Some(VERSION)),
        (&of_another, "POST /p/v1/predictions", Some(&*of_another)),
    ] {
        let (access, asked) = answering(201, r#"{"id":"p1","status":"starting"}"#).await;
        assert_eq!(submit(&access, model).await.unwrap().job, "p1");
        let (asked_at, headers, body) = asked.lock().unwrap()[0].clone();
        assert_eq!(asked_at, place);
        assert_eq!(headers["authorization"], "Bearer k3y");
        assert!(!headers.contains_key("prefer"));
        assert_eq!(body["input"], json!(input()));
        assert_eq!(body.get("version").and_then(Value::as_str), version);
        assert!(body.get("webhook").is_none());
    }
    let (access, asked) = answering(201, "{}").await;
    let failure = submit(&access, "no-owner").await.unwrap_err();
    assert_eq!(failure.class(), Class::NotSent);
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn it_is_told_where_to_call_back_when_all_is_over() {
    let (access, asked) = answering(201, r#"{"id":"p1","status":"starting"}"#).await;
    let parameters = input();
    let order = Order {
        model: OFFICIAL,
        parameters: &parameters,
        callback: Some("https://us.example/c/1"),
    };
    Replicate::new(client())
        .start(&access, &order)
        .await
        .unwrap();
    let body = asked.lock().unwrap()[0].2.clone();
    assert_eq!(body["webhook"], "https://us.example/c/1");
    assert_eq!(body["webhook_events_filter"], json!(["completed"]));
}

#[tokio::test]
async fn the_operators_headers_stand_in_the_place_of_ours() {
    let (mut access, asked) = answering(401, "").await;
    let own = HeaderValue::from_static("Token own");
    access.headers.insert(AUTHORIZATION, own);
    submit(&access, OFFICIAL).await.unwrap_err();
    assert_eq!(asked.lock().unwrap()[0].1["authorization"], "Token own");
}

/// Answers to a submit, and what is read: the id, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (201, r#"{"id":"p1","status":"starting"}"#, "p1"),
    (202, r#"{"id":"p1","status":"processing"}"#, "p1"),
    (201, r#"{"id":"","status":"starting"}"#, "malformed"),
    (201, r#"{"status":"starting"}"#, "malformed"),
    (201, "<h1>Sorry</h1>", "malformed"),
    (
        422,
        r#"{"title":"Input validation failed","detail":"- input.prompt: Invalid type","status":422}"#,
        "invalid: - input.prompt: Invalid type",
    ),
    (400, r#"{"detail":"no JSON"}"#, "invalid: no JSON"),
    (
        422,
        r#"{"title":"Invalid version or not permitted","detail":"there is none","status":422}"#,
        "gone",
    ),
    (
        422,
        r#"{"detail":"The prompt was flagged as sensitive (E005)"}"#,
        "moderated: The prompt was flagged as sensitive (E005)",
    ),
    (401, r#"{"detail":"no token"}"#, "auth"),
    (403, r#"{"detail":"no access"}"#, "auth"),
    (
        402,
        r#"{"title":"Insufficient credit","detail":"top up"}"#,
        "balance",
    ),
    (404, r#"{"detail":"not found"}"#, "gone"),
    (
        413,
        r#"{"detail":"the body is too large"}"#,
        "invalid: the body is too large",
    ),
    (429, r#"{"detail":"throttled"}"#, "rate_limited"),
    (500, r#"{"detail":"oops"}"#, "unknown"),
    (502, "<h1>Bad Gateway</h1>", "unknown"),
    (503, r#"{"detail":"busy"}"#, "overloaded"),
    (422, "oops", "invalid"),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let read = match submit(&access, OFFICIAL).await {
            Ok(started) => started.job,
            Err(failure) => told(&failure),
        };
        assert_eq!(read, expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap().len(), 1, "a submit is made once");
    }
}

#[tokio::test]
async fn a_throttled_request_waits_as_long_as_the_words_say() {
    for (words, seconds) in [
        (
            "Request was throttled. Your rate limit resets in ~30s.",
            Some(30),
        ),
        ("Request was throttled.", None),
        ("resets in ~soon", None),
    ] {
        let body = json!({ "detail": words, "status": 429 }).to_string();
        let (access, _) = answering(429, &body).await;
        let failure = submit(&access, OFFICIAL).await.unwrap_err();
        assert_eq!(failure.class(), Class::RateLimited);
        assert_eq!(failure.retry_after(), seconds.map(Duration::from_secs));
    }
}

/// Answers to a look, and what is read.
const LOOKS: &[(u16, &str, &str)] = &[
    (
        200,
        r#"{"id":"p","status":"starting","output":null,"error":null}"#,
        "running",
    ),
    (200, r#"{"id":"p","status":"processing"}"#, "running"),
    (200, r#"{"id":"p","status":"queued"}"#, "running"),
    (
        200,
        r#"{"id":"p","status":"succeeded","output":"https://x/1.png","metrics":{"predict_time":1.5}}"#,
        "done https://x/1.png",
    ),
    (
        200,
        r#"{"id":"p","status":"succeeded","output":["https://x/1.png","https://x/2.png"]}"#,
        "done https://x/1.png https://x/2.png",
    ),
    (
        200,
        r#"{"id":"p","status":"succeeded","output":null,"data_removed":true}"#,
        "failed malformed",
    ),
    (
        200,
        r#"{"id":"p","status":"succeeded","output":"a text"}"#,
        "failed malformed",
    ),
    (
        200,
        r#"{"id":"p","status":"succeeded","output":{"url":"https://x/1"}}"#,
        "failed malformed",
    ),
    (
        200,
        r#"{"id":"p","status":"succeeded","output":["data:image/png;base64,AA"]}"#,
        "failed malformed",
    ),
    (
        200,
        r#"{"id":"p","status":"failed","error":"CUDA out of memory"}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"id":"p","status":"failed","error":null}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"id":"p","status":"failed","error":"The output was flagged as sensitive. (E005)"}"#,
        "failed moderated: The output was flagged as sensitive. (E005)",
    ),
    (
        200,
        r#"{"id":"p","status":"canceled"}"#,
        "wasted overloaded",
    ),
    (200, r#"{"id":"p","status":"aborted"}"#, "failed overloaded"),
    (200, r#"{"id":"p"}"#, "malformed"),
    (200, "oops", "malformed"),
    (
        404,
        r#"{"detail":"The requested resource could not be found.","status":404}"#,
        "missing",
    ),
    // Something in between says nothing about a prediction that is paid.
    (404, "<h1>Not Found</h1>", "unknown"),
    (401, r#"{"detail":"no token"}"#, "auth"),
    (429, r#"{"detail":"throttled"}"#, "rate_limited"),
    (500, "", "overloaded"),
];

#[tokio::test]
async fn answers_to_a_look_are_read() {
    for &(status, body, expected) in LOOKS {
        let (access, asked) = answering(status, body).await;
        let outcome = Replicate::new(client()).check(&access, "a b/c").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
        let place = asked.lock().unwrap()[0].0.clone();
        assert_eq!(place, "GET /p/v1/predictions/a%20b%2Fc");
    }
}

#[tokio::test]
async fn a_prediction_that_is_not_over_can_be_stopped() {
    for (status, body, expected) in [
        (200, r#"{"id":"p","status":"aborted"}"#, "stopped"),
        // It may have run for a while, or run on.
        (200, r#"{"id":"p","status":"canceled"}"#, "asked"),
        (200, r#"{"id":"p","status":"processing"}"#, "asked"),
        (200, r#"{"id":"p","status":"succeeded"}"#, "too late"),
        (200, r#"{"id":"p","status":"failed"}"#, "too late"),
        (404, r#"{"detail":"not found"}"#, "too late"),
        (404, "", "unknown"),
        (200, "", "malformed"),
        (503, "", "overloaded"),
    ] {
        let (access, asked) = answering(status, body).await;
        let outcome = Replicate::new(client()).cancel(&access, "p1").await;
        assert_eq!(stopped(&outcome), expected, "{status} {body}");
        let place = asked.lock().unwrap()[0].0.clone();
        assert_eq!(place, "POST /p/v1/predictions/p1/cancel");
    }
}

#[tokio::test]
async fn a_callback_is_heard_by_its_signature_where_its_secret_is_known() {
    let mut access = crate::providers::for_tests::access("https://api.replicate.com/");
    let headers = HeaderMap::new();
    let callback = Callback {
        job: "p1",
        path: "/c/1",
        headers: &headers,
        body: b"{}",
        now: 0,
    };
    let replicate = Replicate::new(client());
    assert_eq!(replicate.hears(&access, &callback).await, Heard::Unsigned);
    access.callback_secret = Some(Secret::new("whsec_AAAA"));
    assert_eq!(replicate.hears(&access, &callback).await, Heard::Forged);
}
