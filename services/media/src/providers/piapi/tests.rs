//! Every answer they may give, over a real connection.

use super::*;
use crate::providers::for_tests::{access, answering, client, shown, stopped, told};

fn adapter() -> PiApi {
    PiApi::new(client())
}

async fn submit(access: &Access, input: Value) -> Result<Started, Failure> {
    let order = Order {
        model: "Qubico/image-toolkit/face-swap",
        parameters: input.as_object().unwrap(),
        callback: Some("https://us.example/c/1"),
    };
    adapter().start(access, &order).await
}

fn pictures() -> Value {
    json!({ "target_image": "https://a/1", "swap_image": "data:image/png;base64,AAEC" })
}

/// As the documents have it.
const TAKEN: &str = r#"{"code":200,"message":"success","data":{"task_id":"7f1c-1","model":"Qubico/image-toolkit","task_type":"face-swap",
    "status":"pending","config":{"service_mode":"public"},"input":{},"output":null,"meta":{"usage":{"type":"point","frozen":0,"consume":0}},
    "detail":null,"logs":[],"error":{"code":0,"raw_message":"","message":"","detail":null}}}"#;

#[tokio::test]
async fn a_task_has_its_kind_its_pictures_and_where_to_call() {
    let (mut access, asked) = answering(200, TAKEN).await;
    let started = submit(&access, pictures()).await.unwrap();
    assert_eq!((started.job.as_str(), started.cost), ("7f1c-1", None));
    access.callback_secret = Some(Secret::new("s3cret"));
    submit(&access, pictures()).await.unwrap();
    let asked = asked.lock().unwrap();
    for ((place, headers, body), hook) in asked.iter().zip([
        json!({ "endpoint": "https://us.example/c/1" }),
        json!({ "endpoint": "https://us.example/c/1", "secret": "s3cret" }),
    ]) {
        assert_eq!(place, "POST /p/api/v1/task");
        assert_eq!(headers["x-api-key"], "k3y");
        assert_eq!(headers["content-type"], "application/json");
        let expected = json!({
            "model": "Qubico/image-toolkit", "task_type": "face-swap",
            "input": { "target_image": "https://a/1", "swap_image": "AAEC" }, "config": { "webhook_config": hook },
        });
        assert_eq!(*body, expected);
    }
    drop(asked);
    let without = json!({ "image": "https://a/1" });
    let order = Order {
        model: "Qubico/image-toolkit/upscale",
        parameters: without.as_object().unwrap(),
        callback: None,
    };
    let body = body(&access, &order);
    assert_eq!(
        (&body["task_type"], &body["config"]),
        (&json!("upscale"), &json!({}))
    );
}

/// Answers to a submit, and what is read: the id, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (201, r#"{"code":200,"data":{"task_id":"9"}}"#, "9"),
    (200, r#"{"code":"200","data":{"task_id":9}}"#, "9"),
    (200, r#"{"code":200,"data":{"task_id":""}}"#, "malformed"),
    (200, r#"{"code":200,"data":null}"#, "malformed"),
    (200, "{", "malformed"),
    // HTTP says that all is well.
    (
        200,
        r#"{"code":400,"message":"invalid input"}"#,
        "invalid: invalid input",
    ),
    (200, r#"{"code":401,"message":"key"}"#, "auth"),
    (200, r#"{"code":429,"message":"slower"}"#, "rate_limited"),
    (
        200,
        r#"{"code":500,"message":"insufficient credits"}"#,
        "balance",
    ),
    (
        200,
        r#"{"code":10000,"message":"Insufficient quota"}"#,
        "balance",
    ),
    (200, r#"{"code":10000,"message":"new"}"#, "malformed"),
    (
        400,
        r#"{"code":400,"message":"target_image is required","data":null}"#,
        "invalid: target_image is required",
    ),
    (
        400,
        r#"{"code":10000,"message":"invalid request"}"#,
        "invalid: invalid request",
    ),
    (
        400,
        r#"{"code":400,"message":"the picture was flagged by moderation"}"#,
        "moderated: the picture was flagged by moderation",
    ),
    (401, r#"{"code":401,"message":"invalid api key"}"#, "auth"),
    (402, r#"{"code":402,"message":"top up"}"#, "balance"),
    (
        403,
        r#"{"code":403,"message":"insufficient points"}"#,
        "balance",
    ),
    (
        429,
        r#"{"code":429,"message":"insufficient rate"}"#,
        "rate_limited",
    ),
    (500, r#"{"code":500,"message":"oops"}"#, "unknown"),
    // Of other things there may be too little, and what broke may have taken it.
    (
        400,
        r#"{"code":400,"message":"insufficient image quality"}"#,
        "invalid: insufficient image quality",
    ),
    (
        500,
        r#"{"code":500,"message":"insufficient credits"}"#,
        "unknown",
    ),
    (
        500,
        r#"{"code":10000,"message":"insufficient quota"}"#,
        "unknown",
    ),
    (503, r#"{"code":503,"message":"full"}"#, "overloaded"),
    (502, "<html>", "unknown"),
    (400, "<html>", "invalid"),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let read = match submit(&access, pictures()).await {
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
        r#"{"code":200,"data":{"status":"pending"}}"#,
        "running",
    ),
    (200, r#"{"code":200,"data":{"status":"Staged"}}"#, "running"),
    (
        200,
        r#"{"code":200,"data":{"status":"Processing","output":null}}"#,
        "running",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"in_progress"}}"#,
        "running",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"dreaming"}}"#,
        "running",
    ),
    (
        200,
        r#"{"code":200,"message":"success","data":{"task_id":"9","status":"completed","output":{"image_url":"https://p/1.png","image_urls":null},
           "meta":{"usage":{"type":"point","frozen":0,"consume":100000}},"error":{"code":0,"message":""}}}"#,
        "done https://p/1.png",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"Completed","output":{"image_url":"","image_urls":["https://p/1.png","https://p/2.png"]}}}"#,
        "done https://p/1.png https://p/2.png",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"SUCCESS","output":{"temporary_image_urls":["https://p/1.png"]}}}"#,
        "done https://p/1.png",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"completed","output":{"video_url":"https://p/1.mp4"}}}"#,
        "done https://p/1.mp4",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"completed","output":{}}}"#,
        "done nothing",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"Failed","error":{"code":10000,"raw_message":"x","message":"failed to run"}}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"failed","error":null}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"failed","error":{"code":10000,"message":"No face detected in the target image"}}}"#,
        "failed invalid: No face detected in the target image",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"failed","error":{"code":7,"raw_message":"nsfw content","message":""}}}"#,
        "failed moderated: nsfw content",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"failed","error":{"message":"insufficient GPU memory"}}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"failed","error":{"message":"failed to download the model"}}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"code":200,"data":{"status":"failed","error":{"message":"failed to download the image"}}}"#,
        "failed invalid: failed to download the image",
    ),
    // Where it is, is nobody's to read.
    (
        200,
        r#"{"code":200,"data":{"status":"failed","error":{"message":"cannot download image https://us.example/f?s=1"}}}"#,
        "failed invalid: cannot download image [link]",
    ),
    // What has become of it, it says itself, whatever stands beside it.
    (
        200,
        r#"{"code":10000,"message":"x","data":{"status":"failed","error":{"message":"no face detected"}}}"#,
        "failed invalid: no face detected",
    ),
    (
        500,
        r#"{"code":500,"message":"x","data":{"status":"Failed","error":{"message":"failed to run"}}}"#,
        "failed overloaded",
    ),
    (
        400,
        r#"{"code":10000,"message":"x","data":{"status":"failed","error":{"message":"nsfw content"}}}"#,
        "failed moderated: nsfw content",
    ),
    (
        200,
        r#"{"code":10000,"data":{"status":"completed","output":{"image_url":"https://p/1.png"}}}"#,
        "done https://p/1.png",
    ),
    (
        500,
        r#"{"code":500,"message":"oops","data":{"status":"processing"}}"#,
        "unknown",
    ),
    (
        200,
        r#"{"code":10000,"message":"oops","data":{"status":"processing"}}"#,
        "malformed",
    ),
    (404, r#"{"code":404,"message":"task not found"}"#, "missing"),
    (200, r#"{"code":404,"message":"task not found"}"#, "missing"),
    (404, "<html>", "unknown"),
    (200, r#"{"code":429,"message":"slower"}"#, "rate_limited"),
    (429, "", "rate_limited"),
    (401, r#"{"code":401,"message":"key"}"#, "auth"),
    (200, r#"{"code":200,"data":null}"#, "malformed"),
    (200, "[", "malformed"),
];

#[tokio::test]
async fn a_task_is_read() {
    for &(status, body, expected) in LOOKS {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().check(&access, "9/8").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
        let (place, headers, _) = asked.lock().unwrap()[0].clone();
        assert_eq!(place, "GET /p/api/v1/task/9%2F8");
        assert_eq!(headers["x-api-key"], "k3y");
    }
    let none = access("http://127.0.0.1:1/");
    let outcome = adapter().cancel(&none, "9").await;
    assert_eq!(stopped(&outcome), "impossible");
}

#[tokio::test]
async fn a_callback_shows_the_secret_that_it_was_given() {
    let mut access = access("http://127.0.0.1:1/");
    for (secret, shown, heard) in [
        (None, Some("s3cret"), Heard::Unsigned),
        (Some("s3cret"), Some("s3cret"), Heard::Signed),
        (Some("s3cret"), Some("s3cre"), Heard::Forged),
        (Some("s3cret"), Some(""), Heard::Forged),
        (Some("s3cret"), None, Heard::Forged),
    ] {
        access.callback_secret = secret.map(Secret::new);
        let mut headers = HeaderMap::new();
        if let Some(shown) = shown {
            headers.insert(SECRET, shown.parse().unwrap());
        }
        let callback = Callback {
            job: "9",
            path: "/c/1",
            headers: &headers,
            body: br#"{"timestamp":1,"data":{}}"#,
            now: 0,
        };
        assert_eq!(
            adapter().hears(&access, &callback).await,
            heard,
            "{shown:?}"
        );
    }
}
