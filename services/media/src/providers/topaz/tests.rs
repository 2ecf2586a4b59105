//! Every answer they may give, over a real connection.

use http::header;
use serde_json::json;

use super::*;
use crate::providers::for_tests::{
    Raw, answering, answering_by_place, client, raw, shown, stopped, told,
};

fn adapter() -> Topaz {
    Topaz::new(client())
}

async fn submit(access: &Access, input: Value) -> Result<Started, Failure> {
    let order = Order {
        model: "enhance",
        parameters: input.as_object().unwrap(),
        callback: Some("https://us.example/c/1"),
    };
    adapter().start(access, &order).await
}

fn picture() -> Value {
    json!({ "model": "Standard V2", "source_url": "https://a/1", "output_format": "png" })
}

#[tokio::test]
async fn a_picture_goes_in_a_form() {
    let taken = br#"{"process_id":"7f1c-1","source_id":"s","eta":30}"#.to_vec();
    let answer = Raw::of(StatusCode::OK, "application/json", taken).with("x-eta", "30");
    let (access, asked) = raw(answer).await;
    let started = submit(&access, picture()).await.unwrap();
    assert_eq!((started.job.as_str(), started.cost), ("7f1c-1", None));
    let file = json!({ "model": "Standard V2", "source_url": "data:image/png;base64,AAEC" });
    submit(&access, file).await.unwrap();
    let asked = asked.lock().unwrap();
    let (place, headers, body) = &asked[0];
    assert_eq!(place, "POST /p/image/v1/enhance/async");
    assert_eq!(headers["x-api-key"], "k3y");
    let kind = headers[header::CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    for field in [
        "name=\"model\"\r\n\r\nStandard V2\r\n",
        "name=\"source_url\"\r\n\r\nhttps://a/1\r\n",
        "name=\"output_format\"\r\n\r\npng\r\n",
        "name=\"webhook_url\"\r\n\r\nhttps://us.example/c/1\r\n",
    ] {
        assert!(body.contains(field), "{field}");
    }
    let (_, _, body) = &asked[1];
    assert!(
        body.contains("name=\"image\"; filename=\"image.png\"\r\n"),
        "{body}"
    );
    assert!(!body.contains("source_url"), "{body}");
}

/// Answers to a submit, and what is read: the id, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (202, r#"{"process_id":9}"#, "9"),
    (200, r#"{"process_id":""}"#, "malformed"),
    (200, r#"{"source_id":"s"}"#, "malformed"),
    (
        400,
        r#"{"code":400,"message":"bad width"}"#,
        "invalid: bad width",
    ),
    (401, r#"{"code":401,"message":"key"}"#, "auth"),
    (402, r#"{"code":402,"message":"funds"}"#, "balance"),
    (403, r#"{"code":403,"message":"no"}"#, "auth"),
    (404, r#"{"code":404,"message":"no such model"}"#, "gone"),
    (409, r#"{"code":409,"message":"m"}"#, "unknown"),
    (412, r#"{"code":412,"message":"m"}"#, "invalid: m"),
    (
        413,
        r#"{"code":413,"message":"too large"}"#,
        "invalid: too large",
    ),
    (
        415,
        r#"{"code":415,"message":"no picture"}"#,
        "invalid: no picture",
    ),
    (
        422,
        r#"{"code":422,"message":"the picture violates our content policy"}"#,
        "moderated: the picture violates our content policy",
    ),
    // Credits that were ordered are on their way.
    (
        425,
        r#"{"code":425,"message":"credit order in progress"}"#,
        "overloaded",
    ),
    // Whatever stands in it, nothing was taken.
    (425, "", "overloaded"),
    (425, "<html>", "overloaded"),
    (429, r#"{"code":429,"message":"slower"}"#, "rate_limited"),
    (500, r#"{"code":500,"message":"oops"}"#, "unknown"),
    (503, "", "overloaded"),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let read = match submit(&access, picture()).await {
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
        r#"{"process_id":"9","status":"Pending","progress":0,"credits":1}"#,
        "running 0%",
    ),
    (
        200,
        r#"{"status":"Processing","progress":41.7,"eta":3}"#,
        "running 41%",
    ),
    (200, r#"{"status":"Processing","progress":null}"#, "running"),
    (200, r#"{"status":"Processing","progress":700}"#, "running"),
    (200, r#"{"status":"Dreaming"}"#, "running"),
    (
        200,
        r#"{"status":"Failed","progress":50}"#,
        "failed overloaded",
    ),
    (200, r#"{"status":"Cancelled"}"#, "failed overloaded"),
    (
        200,
        r#"{"status":"Failed","message":"content policy"}"#,
        "failed moderated: content policy",
    ),
    (
        404,
        r#"{"code":404,"message":"no such process"}"#,
        "missing",
    ),
    (404, "<html>", "unknown"),
    (429, r#"{"code":429,"message":"slower"}"#, "rate_limited"),
    (401, r#"{"code":401,"message":"key"}"#, "auth"),
    (200, r#"{"process_id":"9"}"#, "malformed"),
    (200, "{", "malformed"),
];

#[tokio::test]
async fn a_process_is_read() {
    for &(status, body, expected) in LOOKS {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().check(&access, "9/8").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
        let (place, headers, _) = asked.lock().unwrap()[0].clone();
        assert_eq!(place, "GET /p/image/v1/status/9%2F8");
        assert_eq!(headers["x-api-key"], "k3y");
    }
}

#[tokio::test]
async fn where_a_file_is_its_download_says() {
    let done = r#"{"status":"completed","progress":100,"credits":2}"#;
    for (status, body, expected) in [
        (
            200,
            r#"{"download_url":"https://t/1.png?sig=1","head_url":"https://t/1.png?sig=2","expiry":1790000000}"#,
            "done https://t/1.png?sig=1 160000",
        ),
        // Not everywhere yet.
        (
            409,
            r#"{"code":409,"message":"not completed"}"#,
            "running 100%",
        ),
        (404, r#"{"code":404,"message":"gone"}"#, "gone"),
        (500, r#"{"code":500,"message":"oops"}"#, "unknown"),
        (200, r#"{"expiry":1790000000}"#, "malformed"),
    ] {
        let places = [
            ("/p/image/v1/status/9", 200, done),
            ("/p/image/v1/download/9", status, body),
        ];
        let access = answering_by_place(places).await;
        let outcome = adapter().check(&access, "9").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
    }
}

#[tokio::test]
async fn a_process_is_asked_to_stop() {
    for (status, body, expected) in [
        (200, "{}", "asked"),
        (404, r#"{"code":404,"message":"none"}"#, "too late"),
        (409, r#"{"code":409,"message":"it is over"}"#, "too late"),
        (400, r#"{"code":400,"message":"it is over"}"#, "too late"),
        (404, "<html>", "unknown"),
        (429, r#"{"code":429,"message":"slower"}"#, "rate_limited"),
    ] {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().cancel(&access, "9").await;
        assert_eq!(stopped(&outcome), expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap()[0].0, "DELETE /p/image/v1/cancel/9");
    }
}
