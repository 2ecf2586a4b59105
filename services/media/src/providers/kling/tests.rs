//! Every answer they may give, over a real connection, in both generations.

use serde_json::json;

use super::*;
use crate::providers::for_tests::{access, answering, client, shown, told};

const NEW: &str = "text-to-video/kling-3.0";
const OLD_MODEL: &str = "videos/image2video";

fn adapter() -> Kling {
    Kling::new(client())
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
async fn the_new_generation_is_asked_by_its_path() {
    let answer = r#"{"code":0,"message":"SUCCEED","request_id":"r","data":{"id":"8","status":"submitted","create_time":1,"update_time":1,"external_id":""}}"#;
    let (access, asked) = answering(200, answer).await;
    let input = json!({
        "prompt": "a fox", "settings": { "audio": "native", "duration": 5 },
        "contents": [{ "type": "first_frame", "url": "data:image/png;base64,QUJD" }],
    });
    assert_eq!(submit(&access, NEW, input).await.unwrap().job, "8");
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/text-to-video/kling-3.0");
    assert_eq!(headers["authorization"], "Bearer k3y");
    assert_eq!(
        body,
        json!({
            "prompt": "a fox", "settings": { "audio": "native", "duration": 5 },
            "contents": [{ "type": "first_frame", "url": "QUJD" }],
            "options": { "callback_url": "https://us.example/c/1" },
        })
    );
}

#[tokio::test]
async fn the_old_generation_is_asked_by_the_name_in_the_body_and_a_pair_of_keys_opens_it_alone() {
    let answer = r#"{"code":0,"message":"","request_id":"r","data":{"task_id":"8","task_status":"submitted","task_info":{},"created_at":1,"updated_at":1}}"#;
    let (mut access, asked) = answering(200, answer).await;
    access.key = Some(Secret::new("ak:s3cret"));
    let input = json!({ "model_name": "kling-v3", "prompt": "a fox", "image": "https://a/1" });
    let started = submit(&access, OLD_MODEL, input).await.unwrap();
    assert_eq!(started.job, "videos/image2video 8");
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/v1/videos/image2video");
    let token = headers["authorization"].to_str().unwrap();
    assert!(token.starts_with("Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."));
    assert_eq!(body["callback_url"], "https://us.example/c/1");
    assert_eq!(body["image"], "https://a/1");
    assert!(adapter().can(&access, OLD_MODEL) && adapter().can(&access, "images/omni-image"));
    assert!(!adapter().can(&access, NEW));
    access.key = Some(Secret::new("k3y"));
    assert!(adapter().can(&access, NEW) && adapter().can(&access, "images/omni-image"));
    assert!(!adapter().can(&access, OLD_MODEL));
}

/// Answers to a submit, and what is read: the id, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (200, r#"{"code":0,"data":{"id":8}}"#, "8"),
    // Whatever stands beside the id.
    (
        200,
        r#"{"code":"0","message":7,"data":{"id":"8","task_id":"8","status":null,"message":{"a":1}}}"#,
        "8",
    ),
    (200, r#"{"code":"1101","message":null}"#, "balance"),
    (200, r#"{"code":0,"data":{"id":""}}"#, "malformed"),
    (200, r#"{"code":0}"#, "malformed"),
    (200, "<h1>Sorry</h1>", "malformed"),
    // Failures under a status that says all is well.
    (200, r#"{"code":1101,"message":"arrears"}"#, "balance"),
    (200, r#"{"code":1303,"message":"too many"}"#, "rate_limited"),
    (200, r#"{"code":9999,"message":"new"}"#, "malformed"),
    // Codes that are new, among those that are known.
    (200, r#"{"code":1009,"message":"new"}"#, "auth"),
    (200, r#"{"code":1177,"message":"new"}"#, "auth"),
    (200, r#"{"code":1277,"message":"new"}"#, "invalid"),
    (200, r#"{"code":1377,"message":"new"}"#, "rate_limited"),
    (200, r#"{"code":1100,"message":"account"}"#, "auth"),
    (401, r#"{"code":1000,"message":"no key"}"#, "auth"),
    (401, r#"{"code":1001,"message":"empty"}"#, "auth"),
    (401, r#"{"code":1002,"message":"wrong"}"#, "auth"),
    (401, r#"{"code":1003,"message":"too early"}"#, "auth"),
    (401, r#"{"code":1004,"message":"expired"}"#, "auth"),
    // A status that asks for patience, where only an operator helps.
    (429, r#"{"code":1100,"message":"account"}"#, "auth"),
    (429, r#"{"code":1102,"message":"pack used up"}"#, "balance"),
    (429, r#"{"code":1304,"message":"IP"}"#, "auth"),
    (429, r#"{"code":1302,"message":"too fast"}"#, "rate_limited"),
    (403, r#"{"code":1103,"message":"no right"}"#, "auth"),
    (
        400,
        r#"{"code":1201,"message":"duration is wrong"}"#,
        "invalid: duration is wrong",
    ),
    (
        400,
        r#"{"code":1301,"message":"Failure to pass the risk control system"}"#,
        "moderated: Failure to pass the risk control system",
    ),
    (404, r#"{"code":1203,"message":"no model"}"#, "gone"),
    (500, r#"{"code":5000,"message":"internal"}"#, "unknown"),
    (
        503,
        r#"{"code":5001,"message":"maintenance"}"#,
        "overloaded",
    ),
    (504, r#"{"code":5002,"message":"timeout"}"#, "unknown"),
    (502, "<h1>Bad Gateway</h1>", "unknown"),
    (500, "oops", "unknown"),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let read = match submit(&access, NEW, json!({ "prompt": "a fox" })).await {
            Ok(started) => started.job,
            Err(failure) => told(&failure),
        };
        assert_eq!(read, expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap().len(), 1, "a submit is made once");
    }
}

/// Answers to a look at task 8, and what is read.
const LOOKS: &[(u16, &str, &str)] = &[
    (
        200,
        r#"{"code":0,"data":[{"id":"8","status":"submitted"}]}"#,
        "running",
    ),
    (
        200,
        r#"{"code":0,"data":[{"id":"8","status":"dreaming"}]}"#,
        "running",
    ),
    (
        200,
        r#"{"code":0,"data":[{"id":"8","status":"succeeded","outputs":[{"type":"video","id":"1","url":"https://v/1.mp4","duration":"5.1"}],
           "billing":[{"charge_type":"cash","cash_type":"","amount":"0.42","currency":"USD"},{"charge_type":"unit","amount":"1"}]}]}"#,
        "done https://v/1.mp4 560000",
    ),
    // Yuan are not told in dollars.
    (
        200,
        r#"{"code":0,"data":[{"id":"8","status":"succeeded","outputs":[{"url":"https://v/1.mp4"}],
           "billing":[{"charge_type":"cash","amount":"3","currency":"CNY"}]}]}"#,
        "done https://v/1.mp4",
    ),
    (
        200,
        r#"{"code":0,"data":[{"id":"8","status":"succeeded","outputs":[]}]}"#,
        "done nothing",
    ),
    (
        200,
        r#"{"code":0,"data":[{"id":"8","status":"failed","message":"Failure to pass the risk control system"}]}"#,
        "failed moderated: Failure to pass the risk control system",
    ),
    // What is nothing loses nothing.
    (
        200,
        r#"{"code":0,"data":[{"id":"8","task_id":"8","status":"succeeded","task_status":"succeed","message":null,"task_result":null,
           "outputs":[{"url":null},{"url":"https://v/1.mp4"}],"billing":[{"charge_type":"unit","amount":"1","currency":null}]}]}"#,
        "done https://v/1.mp4 140000",
    ),
    (
        200,
        r#"{"code":0,"data":[{"id":"8","status":null,"outputs":null,"billing":null}]}"#,
        "running",
    ),
    (
        200,
        r#"{"code":0,"data":[{"id":"8","status":"failed","message":"engine"}]}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"code":0,"data":[{"id":"9","status":"failed"}]}"#,
        "missing",
    ),
    (200, r#"{"code":0,"data":[]}"#, "missing"),
    (200, r#"{"code":1203,"message":"not found"}"#, "missing"),
    (404, r#"{"code":1203,"message":"not found"}"#, "missing"),
    (404, "<h1>Not Found</h1>", "unknown"),
    (429, r#"{"code":1302,"message":"too fast"}"#, "rate_limited"),
    (401, r#"{"code":1004,"message":"expired"}"#, "auth"),
    (403, r#"{"code":1103,"message":"no right"}"#, "auth"),
    (200, r#"{"code":1303,"message":"too many"}"#, "rate_limited"),
    // It failed, and was billed all the same.
    (
        200,
        r#"{"code":0,"data":[{"id":"8","status":"failed","message":"engine","billing":[{"charge_type":"unit","amount":"1"}]}]}"#,
        "wasted 140000 overloaded",
    ),
    (
        200,
        r#"{"code":0,"data":[{"id":"8","status":"failed","message":"engine","billing":[{"charge_type":"unit","amount":"0"}]}]}"#,
        "failed overloaded",
    ),
    (200, r#"{"code":0,"data":7}"#, "malformed"),
    (200, "{", "malformed"),
];

#[tokio::test]
async fn a_task_of_the_new_generation_is_read() {
    for &(status, body, expected) in LOOKS {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().check(&access, "8").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap()[0].0, "GET /p/tasks?task_ids=8");
    }
}

#[tokio::test]
async fn a_task_of_the_old_generation_is_read() {
    for (body, expected) in [
        (
            r#"{"code":0,"data":{"task_id":"8","task_status":"succeed","task_status_msg":"","final_unit_deduction":"4.5",
               "task_result":{"videos":[{"id":"1","url":"https://v/1.mp4","watermark_url":"https://v/w.mp4","duration":"5.1"}]}}}"#,
            "done https://v/1.mp4 630000",
        ),
        (
            r#"{"code":0,"data":{"task_id":"8","task_status":"succeed","task_result":{"images":[{"index":0,"url":"https://i/0.png"},{"index":1,"url":"https://i/1.png"}]}}}"#,
            "done https://i/0.png https://i/1.png",
        ),
        (
            r#"{"code":0,"data":{"task_id":"8","task_status":"processing"}}"#,
            "running",
        ),
        (
            r#"{"code":0,"data":{"task_id":"8","task_status":"failed","task_status_msg":"the prompt is sensitive"}}"#,
            "failed moderated: the prompt is sensitive",
        ),
    ] {
        let (access, asked) = answering(200, body).await;
        let outcome = adapter().check(&access, "videos/text2video 8").await;
        assert_eq!(shown(&outcome), expected, "{body}");
        assert_eq!(asked.lock().unwrap()[0].0, "GET /p/v1/videos/text2video/8");
    }
}

#[tokio::test]
async fn a_callback_is_theirs_where_a_secret_is_known() {
    let mut access = access("http://127.0.0.1:1/p/");
    let headers = HeaderMap::new();
    let callback = Callback {
        job: "8",
        path: "/c/1",
        headers: &headers,
        body: b"{}",
        now: 1_700_000_000,
    };
    assert_eq!(adapter().hears(&access, &callback).await, Heard::Unsigned);
    access.callback_secret = Some(Secret::new("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"));
    assert_eq!(adapter().hears(&access, &callback).await, Heard::Forged);
}
