//! Every answer they may give, over a real connection.

use super::*;
use crate::providers::for_tests::{access, answering, client, shown, told};

const JOB: &str = "models/veo-3.1-generate-preview/operations/o1";

fn adapter() -> Veo {
    Veo::new(client())
}

async fn submit(access: &Access, input: Value) -> Result<Started, Failure> {
    let order = Order {
        model: "veo-3.1-generate-preview",
        parameters: input.as_object().unwrap(),
        callback: None,
    };
    adapter().start(access, &order).await
}

#[tokio::test]
async fn pictures_travel_inside() {
    let (access, asked) = answering(200, &json!({ "name": JOB }).to_string()).await;
    let input = json!({
        "instances": [{ "prompt": "a fox", "image": "data:image/jpeg;base64,QUJD", "lastFrame": "https://a.example/2" }],
        "parameters": { "aspectRatio": "16:9", "durationSeconds": 8 },
    });
    assert_eq!(submit(&access, input).await.unwrap().job, JOB);
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(
        place,
        "POST /p/models/veo-3.1-generate-preview:predictLongRunning"
    );
    assert_eq!(headers["x-goog-api-key"], "k3y");
    assert_eq!(
        body,
        json!({
            "instances": [{
                "prompt": "a fox",
                "image": { "bytesBase64Encoded": "QUJD", "mimeType": "image/jpeg" },
                "lastFrame": { "gcsUri": "https://a.example/2", "mimeType": "image/png" },
            }],
            "parameters": { "aspectRatio": "16:9", "durationSeconds": 8 },
        })
    );
    assert_eq!(adapter().takes(), Takes::Bytes);
}

#[test]
fn a_file_is_for_the_key_alone() {
    let access = access("http://127.0.0.1:1/p/");
    let headers = adapter().file_headers(&access);
    assert_eq!(headers["x-goog-api-key"], "k3y");
    assert!(headers["x-goog-api-key"].is_sensitive());
}

/// Answers to a submit, and what is read: the name, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (
        200,
        r#"{"name":"models/v/operations/1"}"#,
        "models/v/operations/1",
    ),
    (200, r#"{"name":"models/../operations/1"}"#, "malformed"),
    (200, r#"{"name":"https://elsewhere/"}"#, "malformed"),
    (200, "{}", "malformed"),
    (200, "<h1>Sorry</h1>", "malformed"),
    (
        400,
        r#"{"error":{"code":400,"message":"durationSeconds is wrong","status":"INVALID_ARGUMENT"}}"#,
        "invalid: durationSeconds is wrong",
    ),
    // Ours, said as if the request were wrong.
    (
        400,
        r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#,
        "auth",
    ),
    (
        400,
        r#"{"error":{"code":400,"message":"User location is not supported","status":"FAILED_PRECONDITION"}}"#,
        "auth",
    ),
    (
        400,
        r#"{"error":{"code":400,"message":"The prompt violates our usage policies","status":"INVALID_ARGUMENT"}}"#,
        "moderated: The prompt violates our usage policies",
    ),
    (
        403,
        r#"{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}"#,
        "auth",
    ),
    (
        404,
        r#"{"error":{"code":404,"message":"no","status":"NOT_FOUND"}}"#,
        "gone",
    ),
    (
        429,
        r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}"#,
        "rate_limited",
    ),
    (
        500,
        r#"{"error":{"code":500,"message":"oops","status":"INTERNAL"}}"#,
        "unknown",
    ),
    (
        503,
        r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#,
        "overloaded",
    ),
    (
        504,
        r#"{"error":{"code":504,"message":"late","status":"DEADLINE_EXCEEDED"}}"#,
        "unknown",
    ),
    (400, "<h1>Bad Request</h1>", "invalid"),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let read = match submit(&access, json!({ "instances": [{ "prompt": "a fox" }] })).await {
            Ok(started) => started.job,
            Err(failure) => told(&failure),
        };
        assert_eq!(read, expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap().len(), 1, "a submit is made once");
    }
}

/// Answers to a look, and what is read.
const LOOKS: &[(u16, &str, &str)] = &[
    (200, r#"{"name":"o"}"#, "running"),
    (
        200,
        r#"{"name":"o","done":false,"metadata":{"@type":"x"}}"#,
        "running",
    ),
    (
        200,
        r#"{"name":"o","done":true,"response":{"@type":"x","generateVideoResponse":{"generatedSamples":[{"video":{"uri":"https://g/v1beta/files/1:download?alt=media"}}]}}}"#,
        "done https://g/v1beta/files/1:download?alt=media",
    ),
    // What is nothing loses nothing.
    (
        200,
        r#"{"name":null,"done":true,"error":null,"response":{"generateVideoResponse":{"generatedSamples":[{"video":{"uri":"https://g/1"}},{"video":null}],
           "generatedVideos":null,"raiMediaFilteredCount":null,"raiMediaFilteredReasons":null}}}"#,
        "done https://g/1",
    ),
    (200, r#"{"name":"o","done":null}"#, "running"),
    (
        200,
        r#"{"name":"o","done":true,"error":{"code":13,"message":null}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"name":"o","done":true,"response":{"generateVideoResponse":{"raiMediaFilteredCount":"1"}}}"#,
        "failed moderated: the provider's content policy refused the request or its result",
    ),
    (
        200,
        r#"{"name":"o","done":true,"response":{"generatedVideos":[{"video":{"uri":"https://g/1"}}]}}"#,
        "done https://g/1",
    ),
    (
        200,
        r#"{"name":"o","done":true,"response":{"generateVideoResponse":{"raiMediaFilteredCount":1,"raiMediaFilteredReasons":["We could not make it: the sound was refused."]}}}"#,
        "failed moderated: We could not make it: the sound was refused.",
    ),
    (
        200,
        r#"{"name":"o","done":true,"response":{"generateVideoResponse":{"raiMediaFilteredCount":1}}}"#,
        "failed moderated: the provider's content policy refused the request or its result",
    ),
    (
        200,
        r#"{"name":"o","done":true,"response":{}}"#,
        "failed overloaded",
    ),
    (200, r#"{"name":"o","done":true}"#, "failed overloaded"),
    (
        200,
        r#"{"name":"o","done":true,"error":{"code":3,"message":"the picture is too small"}}"#,
        "failed invalid: the picture is too small",
    ),
    (
        200,
        r#"{"name":"o","done":true,"error":{"code":3,"message":"The prompt is against our usage policies"}}"#,
        "failed moderated: The prompt is against our usage policies",
    ),
    (
        200,
        r#"{"name":"o","done":true,"error":{"code":13,"message":"internal"}}"#,
        "failed overloaded",
    ),
    (
        404,
        r#"{"error":{"code":404,"message":"no","status":"NOT_FOUND"}}"#,
        "missing",
    ),
    (404, "<h1>Not Found</h1>", "unknown"),
    (
        429,
        r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}"#,
        "rate_limited",
    ),
    (200, "{", "malformed"),
];

#[tokio::test]
async fn an_operation_is_read() {
    for &(status, body, expected) in LOOKS {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().check(&access, JOB).await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap()[0].0, format!("GET /p/{JOB}"));
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_not_asked_for() {
    let (access, asked) = answering(200, "{}").await;
    for job in [
        "",
        "models/v/operations/..",
        "models/v",
        "files/1/2/3",
        "models/v/operations/1/2",
    ] {
        let outcome = adapter().check(&access, job).await;
        assert_eq!(shown(&outcome), "malformed", "{job}");
    }
    assert!(asked.lock().unwrap().is_empty());
}
