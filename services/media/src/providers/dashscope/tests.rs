//! Every answer they may give, over a real connection.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use serde_json::Map;
use tokio::sync::Notify;
use upstream::{UpstreamConfig, Wait};

use super::*;
use crate::providers::for_tests::{access, answering, client, shown, stopped, told};

fn adapter() -> DashScope {
    DashScope::new(client())
}

fn film() -> Value {
    json!({
        "input": { "prompt": "a fox", "img_url": "https://a/1" },
        "parameters": { "resolution": "720P", "duration": 5 },
    })
}

fn picture() -> Value {
    json!({
        "input": { "messages": [{ "role": "user", "content": [{ "image": "https://a/1" }, { "text": "a fox" }] }] },
        "parameters": { "size": "1328*1328" },
    })
}

async fn submit(access: &Access, model: &str, input: Value) -> Result<Started, Failure> {
    let order = Order {
        model,
        parameters: input.as_object().unwrap(),
        callback: Some("https://us.example/c/1"),
    };
    adapter().start(access, &order).await
}

#[tokio::test]
async fn a_film_is_a_task() {
    let answer = r#"{"output":{"task_status":"PENDING","task_id":"0385"},"request_id":"r"}"#;
    let (access, asked) = answering(200, answer).await;
    let started = submit(&access, "wan2.6-i2v", film()).await.unwrap();
    assert_eq!((started.job.as_str(), started.files.len()), ("0385", 0));
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(
        place,
        "POST /p/api/v1/services/aigc/video-generation/video-synthesis"
    );
    assert_eq!(headers["authorization"], "Bearer k3y");
    assert_eq!(headers["x-dashscope-async"], "enable");
    let mut expected = film();
    expected["model"] = json!("wan2.6-i2v");
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_picture_is_there_at_once_and_is_found_again() {
    let answer = r#"{"output":{"choices":[{"finish_reason":"stop","message":{"role":"assistant","content":[{"image":"https://i/1.png?Expires=1"},{"text":"a fox, said otherwise"}]}}],
        "task_metric":{"FAILED":0,"SUCCEEDED":1,"TOTAL":1}},"usage":{"width":1328,"height":1328,"image_count":1},"request_id":"r"}"#;
    let (access, asked) = answering(200, answer).await;
    let started = submit(&access, "qwen-image-plus", picture()).await.unwrap();
    assert_eq!(started.files, ["https://i/1.png?Expires=1"]);
    let (place, headers, _) = asked.lock().unwrap()[0].clone();
    assert_eq!(
        place,
        "POST /p/api/v1/services/aigc/multimodal-generation/generation"
    );
    assert!(!headers.contains_key("x-dashscope-async"));
    assert_eq!(adapter().answers("qwen-image-plus"), Answers::AtOnce);
    assert_eq!(adapter().answers("wan2.6-t2v"), Answers::Later);
    let outcome = adapter().check(&access, &started.job).await;
    assert_eq!(shown(&outcome), "done https://i/1.png?Expires=1");
    let outcome = adapter().cancel(&access, &started.job).await;
    assert_eq!(stopped(&outcome), "too late");
    assert_eq!(asked.lock().unwrap().len(), 1, "nobody is asked for that");
}

#[tokio::test]
async fn a_picture_may_take_longer_than_a_film_takes_to_be_taken() {
    let done = Arc::new(Notify::new());
    let waits = done.clone();
    let answer = move |request: Request| async move {
        if request.uri().path().ends_with("/video-synthesis") {
            std::future::pending::<()>().await;
        }
        waits.notified().await;
        r#"{"output":{"choices":[{"message":{"content":[{"image":"https://i/1.png"}]}}]}}"#
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let access = access(&format!("http://{}/p/", listener.local_addr().unwrap()));
    let router = Router::new().fallback(answer);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    let patience = UpstreamConfig {
        first_byte_timeout: Duration::from_millis(200),
        ..UpstreamConfig::default()
    };
    let adapter = DashScope::new(ProviderClient::new(&patience).unwrap());
    let (film, picture) = (film(), picture());
    let of_film = Order {
        model: "wan2.6-t2v",
        parameters: film.as_object().unwrap(),
        callback: None,
    };
    let of_picture = Order {
        model: "qwen-image-plus",
        parameters: picture.as_object().unwrap(),
        callback: None,
    };
    let drawn = adapter.start(&access, &of_picture);
    let given_up = async {
        let failure = adapter.start(&access, &of_film).await.unwrap_err();
        done.notify_one();
        failure
    };
    let (started, failure) = tokio::join!(drawn, given_up);
    assert_eq!(failure.wait(), Some(Wait::FirstByte));
    assert_eq!(started.unwrap().files, ["https://i/1.png"]);
}

#[tokio::test]
async fn a_picture_that_is_refused_is_not_there() {
    for (status, body, expected) in [
        (500, "<h1>Sorry</h1>", "unknown"),
        (503, "upstream connect error", "unknown"),
        (
            503,
            r#"{"code":"ServiceUnavailable","message":"busy"}"#,
            "overloaded",
        ),
        (
            400,
            r#"{"code":"DataInspectionFailed","message":"inappropriate"}"#,
            "moderated: inappropriate",
        ),
        (200, r#"{"output":{"choices":[]}}"#, "malformed"),
    ] {
        let (access, _) = answering(status, body).await;
        let failure = submit(&access, "z-image-turbo", picture()).await;
        assert_eq!(told(&failure.unwrap_err()), expected, "{body}");
    }
}

#[tokio::test]
async fn a_picture_that_they_broke_at_has_failed_for_nothing() {
    let broken = r#"{"code":"InternalError.Algo","message":"oops"}"#;
    let (access, _) = answering(500, broken).await;
    let started = submit(&access, "z-image-turbo", picture()).await.unwrap();
    assert!(started.files.is_empty());
    let outcome = adapter().check(&access, &started.job).await;
    assert_eq!(shown(&outcome), "failed overloaded");
    // Of a film nobody knows.
    let failure = submit(&access, "wan2.6-t2v", film()).await.unwrap_err();
    assert_eq!(told(&failure), "unknown");
}

#[tokio::test]
async fn a_prompt_that_they_would_cut_is_not_sent() {
    let (access, asked) = answering(200, "{}").await;
    let mut long = film();
    long["input"]["prompt"] = json!("é".repeat(1_501));
    let refused = submit(&access, "wan2.6-t2v", long).await.unwrap_err();
    assert!(refused.another_may_serve());
    let mut long = picture();
    long["input"]["messages"][0]["content"][1]["text"] = json!("é".repeat(801));
    for model in ["z-image-turbo", "qwen-image-edit-plus"] {
        let refused = submit(&access, model, long.clone()).await.unwrap_err();
        assert!(refused.another_may_serve(), "{model}");
    }
    assert!(asked.lock().unwrap().is_empty());
    // Of other models nothing is known.
    assert_eq!(
        told(&submit(&access, "wan9", long).await.unwrap_err()),
        "malformed"
    );
}

/// Answers to a submit, and what is read: the id, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (200, r#"{"output":{"task_id":"0385"}}"#, "0385"),
    (200, r#"{"output":{}}"#, "malformed"),
    (200, r#"{"request_id":"r"}"#, "malformed"),
    (
        400,
        r#"{"code":"InvalidParameter","message":"size is wrong","request_id":"r"}"#,
        "invalid: size is wrong",
    ),
    (
        400,
        r#"{"code":"InvalidParameter.DataInspection","message":"Unable to download the media resource"}"#,
        "invalid: Unable to download the media resource",
    ),
    (
        400,
        r#"{"code":"DataInspectionFailed","message":"Input data may contain inappropriate content."}"#,
        "moderated: Input data may contain inappropriate content.",
    ),
    (
        400,
        r#"{"code":"Arrearage","message":"overdue"}"#,
        "balance",
    ),
    (401, r#"{"code":"InvalidApiKey","message":null}"#, "auth"),
    (
        403,
        r#"{"code":"AccessDenied.Unpurchased","message":"no"}"#,
        "auth",
    ),
    (404, r#"{"code":"ModelNotFound","message":"no"}"#, "gone"),
    (
        429,
        r#"{"code":"Throttling.RateQuota","message":"slow"}"#,
        "rate_limited",
    ),
    (
        429,
        r#"{"code":"Throttling.AllocationQuota","message":"quota"}"#,
        "rate_limited",
    ),
    (
        400,
        r#"{"code":"BadRequest.TooLarge","message":"too large"}"#,
        "invalid: too large",
    ),
    (
        400,
        r#"{"code":"IPInfringementSuspect","message":"a known character"}"#,
        "moderated: a known character",
    ),
    (
        500,
        r#"{"code":"InternalError.Algo","message":"oops"}"#,
        "unknown",
    ),
    (
        503,
        r#"{"code":"ServiceUnavailable","message":"busy"}"#,
        "overloaded",
    ),
    (502, "<h1>Bad Gateway</h1>", "unknown"),
    (
        400,
        r#"{"code":"Brand.New","message":"words of theirs"}"#,
        "invalid",
    ),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let read = match submit(&access, "wan2.6-t2v", film()).await {
            Ok(started) => started.job,
            Err(failure) => told(&failure),
        };
        assert_eq!(read, expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap().len(), 1, "a submit is made once");
    }
}

/// Answers to a look, and what is read.
const LOOKS: &[(u16, &str, &str)] = &[
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"PENDING"}}"#,
        "running",
    ),
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"SUSPENDED"}}"#,
        "running",
    ),
    (
        200,
        r#"{"request_id":"r","output":{"task_id":"1","task_status":"SUCCEEDED","submit_time":"2026-01-01 10:00:00.000","orig_prompt":"a fox","video_url":"https://v/1.mp4?Expires=1"},
           "usage":{"duration":5,"output_video_duration":5,"size":"1280*720","SR":720,"video_count":1}}"#,
        "done https://v/1.mp4?Expires=1",
    ),
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"SUCCEEDED","results":[{"url":"https://i/1.png"},{"code":"InternalError","message":"one failed"}]}}"#,
        "done https://i/1.png",
    ),
    // What is nothing loses nothing, and a file may have two names.
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"SUCCEEDED","video_url":null,"choices":null,"code":null,
           "results":[{"url":"https://i/1.png","image":null},{"image":"https://i/2.png"}]}}"#,
        "done https://i/1.png https://i/2.png",
    ),
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"SUCCEEDED"}}"#,
        "done nothing",
    ),
    // A failure under a status that says all is well.
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"FAILED","code":"DataInspectionFailed","message":"Output data may contain inappropriate content."}}"#,
        "failed moderated: Output data may contain inappropriate content.",
    ),
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"FAILED","code":"InvalidURL","message":"the URL cannot be read"}}"#,
        "failed invalid: the URL cannot be read",
    ),
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"FAILED","code":"InternalError.Timeout","message":"oops"}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"FAILED","code":"Arrearage","message":"overdue"}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"CANCELED"}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"output":{"task_id":"1","task_status":"UNKNOWN"}}"#,
        "missing",
    ),
    (200, r#"{"output":{"task_id":"1"}}"#, "malformed"),
    (404, "<h1>Not Found</h1>", "unknown"),
    (
        401,
        r#"{"code":"InvalidApiKey","message":"no key"}"#,
        "auth",
    ),
    (
        429,
        r#"{"code":"Throttling","message":"slow"}"#,
        "rate_limited",
    ),
    (200, "{", "malformed"),
];

#[tokio::test]
async fn a_task_is_read() {
    for &(status, body, expected) in LOOKS {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().check(&access, "1").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap()[0].0, "GET /p/api/v1/tasks/1");
    }
}

#[tokio::test]
async fn a_task_leaves_their_queue_and_nothing_else() {
    for (status, body, expected) in [
        (200, r#"{"request_id":"r"}"#, "stopped"),
        (
            400,
            r#"{"code":"UnsupportedOperation","message":"it runs"}"#,
            "too late",
        ),
        (404, r#"{"code":"ModelNotFound","message":""}"#, "too late"),
        (429, r#"{"code":"Throttling","message":""}"#, "rate_limited"),
        (502, "", "unknown"),
    ] {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().cancel(&access, "1").await;
        assert_eq!(stopped(&outcome), expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap()[0].0, "POST /p/api/v1/tasks/1/cancel");
    }
}

#[test]
fn a_prompt_is_found_where_it_stands() {
    assert_eq!(prompt(&film()["input"]), Some("a fox"));
    assert_eq!(prompt(&picture()["input"]), Some("a fox"));
    assert_eq!(prompt(&Value::Object(Map::new())), None);
}
