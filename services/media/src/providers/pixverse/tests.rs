//! Every answer they may give, over a real connection.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::Request};
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::*;
use crate::providers::for_tests::{access, answering, client, shown, told};

const SUBMITTED: &str =
    r#"{"ErrCode":0,"ErrMsg":"success","Resp":{"video_id":332000000000000123,"credits":45}}"#;

fn adapter() -> PixVerse {
    PixVerse::new(client())
}

async fn submit(access: &Access, input: Value) -> Result<Started, Failure> {
    let order = Order {
        model: "v5.6",
        parameters: input.as_object().unwrap(),
        callback: Some("https://us.example/c/1"),
    };
    adapter().start(access, &order).await
}

#[tokio::test]
async fn a_film_is_asked_for_and_every_call_has_a_name_of_its_own() {
    let (access, asked) = answering(200, SUBMITTED).await;
    let input =
        json!({ "prompt": "a fox", "duration": 5, "quality": "720p", "aspect_ratio": "16:9" });
    let started = submit(&access, input.clone()).await.unwrap();
    // No number of theirs is rounded.
    assert_eq!(started.job, "332000000000000123");
    assert_eq!(started.cost.unwrap().micro_usd, 450_000);
    submit(&access, input).await.unwrap();
    let asked = asked.lock().unwrap();
    let (place, headers, body) = asked[0].clone();
    assert_eq!(place, "POST /p/openapi/v2/video/text/generate");
    assert_eq!(headers["api-key"], "k3y");
    let trace = headers["ai-trace-id"].to_str().unwrap();
    assert_eq!(trace.len(), 36);
    assert_eq!(trace.matches('-').count(), 4);
    // A UUID of chance.
    assert_eq!(&trace[14..15], "4");
    assert!(["8", "9", "a", "b"].contains(&&trace[19..20]), "{trace}");
    assert_ne!(trace, asked[1].1["ai-trace-id"].to_str().unwrap());
    assert_eq!(
        body,
        json!({ "prompt": "a fox", "duration": 5, "quality": "720p", "aspect_ratio": "16:9", "model": "v5.6" })
    );
}

#[tokio::test]
async fn a_text_that_they_would_refuse_is_not_sent() {
    let (access, asked) = answering(200, SUBMITTED).await;
    let long = "é".repeat(2_049);
    for (name, other) in [("prompt", "negative_prompt"), ("negative_prompt", "prompt")] {
        let mut input = json!({ "image": "data:image/png;base64,QUJD" });
        input[name] = json!(long);
        input[other] = json!("é".repeat(2_048));
        let refused = submit(&access, input).await.unwrap_err();
        assert!(refused.another_may_serve(), "{name}");
        assert_eq!(refused.param(), Some(name));
    }
    assert!(asked.lock().unwrap().is_empty(), "nobody was asked");
}

/// What was asked: the path, the type of the body, and the body.
type Asked = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

/// A provider that answers so to an upload.
async fn uploading(answer: &'static str) -> (Access, Asked) {
    let asked = Asked::default();
    let noted = asked.clone();
    let answer = move |request: Request| async move {
        let path = request.uri().path().to_owned();
        let kind = request.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        let is_upload = path.ends_with("/image/upload");
        noted
            .lock()
            .unwrap()
            .push((path, kind, body.unwrap().to_vec()));
        if is_upload { answer } else { SUBMITTED }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}/p/", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    (access(&origin), asked)
}

#[tokio::test]
async fn a_picture_is_uploaded_first() {
    for (picture, sent) in [
        (
            "data:image/png;base64,YSBmb3g=",
            "filename=\"image.png\"\r\nContent-Type: image/png\r\n\r\na fox\r\n",
        ),
        (
            "https://a.example/1.png",
            "name=\"image_url\"\r\n\r\nhttps://a.example/1.png\r\n",
        ),
    ] {
        let answer =
            r#"{"ErrCode":0,"ErrMsg":"success","Resp":{"img_id":77,"img_url":"https://media/1"}}"#;
        let (access, asked) = uploading(answer).await;
        let input = json!({ "prompt": "a fox", "image": picture });
        assert!(submit(&access, input).await.is_ok());
        let asked = asked.lock().unwrap();
        let (path, kind, body) = &asked[0];
        assert_eq!(path, "/p/openapi/v2/image/upload");
        assert!(kind.starts_with("multipart/form-data; boundary="));
        let body = String::from_utf8(body.clone()).unwrap();
        assert!(body.contains(sent), "{body}");
        let (path, _, body) = &asked[1];
        assert_eq!(path, "/p/openapi/v2/video/img/generate");
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(
            body,
            json!({ "prompt": "a fox", "model": "v5.6", "img_id": 77 })
        );
    }
    assert_eq!(adapter().takes(), Takes::Bytes);
}

#[tokio::test]
async fn an_upload_that_fails_leaves_nothing_in_doubt() {
    for (answer, expected) in [
        (r#"{"ErrCode":500032,"ErrMsg":"format"}"#, "invalid: format"),
        (r#"{"ErrCode":500054,"ErrMsg":"no"}"#, "moderated: no"),
        (r#"{"ErrCode":500090,"ErrMsg":"balance"}"#, "balance"),
        (r#"{"ErrCode":99999,"ErrMsg":"unknown"}"#, "overloaded"),
        (r#"{"ErrCode":0,"Resp":{}}"#, "overloaded"),
        ("{", "overloaded"),
    ] {
        let (access, asked) = uploading(answer).await;
        let input = json!({ "prompt": "a fox", "image": "data:image/png;base64,QUJD" });
        let failure = submit(&access, input).await.unwrap_err();
        assert_eq!(told(&failure), expected, "{answer}");
        assert_eq!(asked.lock().unwrap().len(), 1, "no film was asked for");
    }
}

/// Answers to a submit, and what is read: the id, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (200, r#"{"ErrCode":0,"Resp":{"video_id":"7"}}"#, "7"),
    (
        200,
        r#"{"ErrCode":"0","ErrMsg":null,"Resp":{"video_id":7,"credits":null}}"#,
        "7",
    ),
    (200, r#"{"ErrCode":"500090","ErrMsg":null}"#, "balance"),
    (200, r#"{"ErrCode":0,"Resp":{}}"#, "malformed"),
    (200, r#"{"ErrCode":0}"#, "malformed"),
    (200, "<h1>Sorry</h1>", "malformed"),
    // All of these under a status that says all is well.
    (200, r#"{"ErrCode":10005,"ErrMsg":"key"}"#, "auth"),
    (200, r#"{"ErrCode":400012,"ErrMsg":"account"}"#, "auth"),
    (200, r#"{"ErrCode":500090,"ErrMsg":"balance"}"#, "balance"),
    (
        200,
        r#"{"ErrCode":400017,"ErrMsg":"duration"}"#,
        "invalid: duration",
    ),
    (
        200,
        r#"{"ErrCode":500063,"ErrMsg":"refused"}"#,
        "moderated: refused",
    ),
    (
        200,
        r#"{"ErrCode":500063}"#,
        "moderated: the provider's content policy refused the request or its result",
    ),
    (
        200,
        r#"{"ErrCode":500044,"ErrMsg":"at once"}"#,
        "overloaded",
    ),
    (200, r#"{"ErrCode":500069,"ErrMsg":"load"}"#, "overloaded"),
    (200, r#"{"ErrCode":99999,"ErrMsg":"unknown"}"#, "unknown"),
    (200, r#"{"ErrCode":4711,"ErrMsg":"new"}"#, "malformed"),
    (
        200,
        r#"{"ErrCode":400018,"ErrMsg":"prompt"}"#,
        "invalid: prompt",
    ),
    (
        200,
        r#"{"ErrCode":400019,"ErrMsg":"negative"}"#,
        "invalid: negative",
    ),
    (200, r#"{"ErrCode":500041,"ErrMsg":"busy"}"#, "overloaded"),
    (200, r#"{"ErrCode":500060,"ErrMsg":"plan"}"#, "balance"),
    (200, r#"{"ErrCode":500064,"ErrMsg":"none"}"#, "gone"),
    (200, r#"{"ErrCode":500070,"ErrMsg":"template"}"#, "gone"),
    (
        200,
        r#"{"ErrCode":500071,"ErrMsg":"effect"}"#,
        "invalid: effect",
    ),
    // Codes that are new, among those that are known.
    (200, r#"{"ErrCode":10001,"ErrMsg":"key"}"#, "auth"),
    (200, r#"{"ErrCode":400099,"ErrMsg":"new"}"#, "invalid"),
    (
        400,
        r#"{"ErrCode":400011,"ErrMsg":"empty"}"#,
        "invalid: empty",
    ),
    (500, r#"{"ErrCode":500100,"ErrMsg":"db"}"#, "unknown"),
    (429, "", "rate_limited"),
    (502, "<h1>Bad Gateway</h1>", "unknown"),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let read = match submit(&access, json!({ "prompt": "a fox" })).await {
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
        r#"{"ErrCode":0,"Resp":{"id":7,"status":5,"url":""}}"#,
        "running",
    ),
    // A place that is told too early is not read.
    (
        200,
        r#"{"ErrCode":0,"Resp":{"id":7,"status":9,"url":"https://v/1.mp4"}}"#,
        "running",
    ),
    (
        200,
        r#"{"ErrCode":0,"ErrMsg":"success","Resp":{"id":7,"status":1,"url":"https://v/1.mp4","prompt":"a fox","negative_prompt":"","seed":0,
           "size":1234,"outputWidth":1280,"outputHeight":720,"resolution_ratio":1,"style":"","create_time":"t","modify_time":"t"}}"#,
        "done https://v/1.mp4",
    ),
    (
        200,
        r#"{"ErrCode":"0","Resp":{"id":7,"status":"5","url":null}}"#,
        "running",
    ),
    (
        200,
        r#"{"ErrCode":0,"Resp":{"id":7,"status":1,"url":""}}"#,
        "done nothing",
    ),
    (
        200,
        r#"{"ErrCode":0,"Resp":{"id":7,"status":7}}"#,
        "failed moderated: the provider's content policy refused the request or its result",
    ),
    (
        200,
        r#"{"ErrCode":0,"Resp":{"id":7,"status":8}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"ErrCode":0,"Resp":{"id":7,"status":6}}"#,
        "failed overloaded",
    ),
    (200, r#"{"ErrCode":500008,"ErrMsg":"none"}"#, "missing"),
    (404, r#"{"ErrCode":500008,"ErrMsg":"none"}"#, "missing"),
    (404, "<h1>Not Found</h1>", "unknown"),
    (200, r#"{"ErrCode":10005,"ErrMsg":"key"}"#, "auth"),
    (200, r#"{"ErrCode":0,"Resp":{"id":7}}"#, "malformed"),
    (200, "{", "malformed"),
];

#[tokio::test]
async fn a_film_is_read() {
    for &(status, body, expected) in LOOKS {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().check(&access, "7").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
        assert_eq!(
            asked.lock().unwrap()[0].0,
            "GET /p/openapi/v2/video/result/7"
        );
    }
}
