//! Every answer they may give, over a real connection; and callbacks.

use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;
use crate::providers::for_tests::{access, answering, client, shown, stopped, told};

fn adapter() -> Vidu {
    Vidu::new(client())
}

async fn submit(access: &Access, input: Value) -> Result<Started, Failure> {
    let order = Order {
        model: "viduq3-pro",
        parameters: input.as_object().unwrap(),
        callback: Some("https://us.example/c/1"),
    };
    adapter().start(access, &order).await
}

#[tokio::test]
async fn a_film_is_of_a_text_of_a_picture_or_between_two() {
    let answer = r#"{"task_id":"9","state":"created","model":"viduq3-pro","prompt":"a fox","images":[],"duration":5,"seed":1,"resolution":"720p",
        "movement_amplitude":"auto","payload":"","off_peak":false,"credits":100,"created_at":"2026-01-01T00:00:00Z"}"#;
    for (pictures, path) in [
        (json!(null), "text2video"),
        (json!([]), "text2video"),
        (json!(["https://a/1"]), "img2video"),
        (json!(["https://a/1", "https://a/2"]), "start-end2video"),
    ] {
        // Both are answers of theirs.
        let (access, asked) = answering(201, answer).await;
        let input = json!({ "prompt": "a fox", "images": pictures, "audio": true });
        let started = submit(&access, input).await.unwrap();
        assert_eq!(started.job, "9");
        assert_eq!(started.cost.unwrap().micro_usd, 500_000);
        let (place, headers, body) = asked.lock().unwrap()[0].clone();
        assert_eq!(place, format!("POST /p/ent/v2/{path}"));
        assert_eq!(headers["authorization"], "Token k3y");
        assert_eq!(
            (&body["model"], &body["audio"]),
            (&json!("viduq3-pro"), &json!(true))
        );
        assert_eq!(body["callback_url"], "https://us.example/c/1");
    }
}

/// Answers to a submit, and what is read: the id, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (200, r#"{"task_id":9}"#, "9"),
    (200, r#"{"task_id":""}"#, "malformed"),
    (200, r#"{"state":"created"}"#, "malformed"),
    (
        400,
        r#"{"code":400,"reason":"FieldInvalid","message":"duration is wrong","metadata":{"trace_id":"t"}}"#,
        "invalid: duration is wrong",
    ),
    (
        400,
        r#"{"code":400,"reason":"ImageDownloadFailure","message":"no picture"}"#,
        "invalid: no picture",
    ),
    (
        400,
        r#"{"code":400,"reason":"TaskPromptPolicyViolation","message":"the prompt is refused"}"#,
        "moderated: the prompt is refused",
    ),
    (
        400,
        r#"{"code":400,"reason":"AuditSubmitIllegal","message":""}"#,
        "moderated: the provider's content policy refused the request or its result",
    ),
    // What is ours comes as a wrong request.
    (
        400,
        r#"{"code":400,"reason":"CreditInsufficient","message":"top up"}"#,
        "balance",
    ),
    (
        400,
        r#"{"code":400,"reason":"CreditInsufficient","message":null}"#,
        "balance",
    ),
    (
        400,
        r#"{"code":400,"reason":"ModelUnavailable","message":"none"}"#,
        "gone",
    ),
    (
        400,
        r#"{"code":400,"reason":"OperationInProcess","message":"wait"}"#,
        "overloaded",
    ),
    (
        401,
        r#"{"code":401,"reason":"Unauthorized","message":"no"}"#,
        "auth",
    ),
    (
        403,
        r#"{"code":403,"reason":"Forbidden","message":"no"}"#,
        "auth",
    ),
    (
        409,
        r#"{"code":409,"reason":"Conflict","message":"m"}"#,
        "overloaded",
    ),
    (409, "<h1>Conflict</h1>", "unknown"),
    (
        499,
        r#"{"code":499,"reason":"Canceled","message":"the client went away"}"#,
        "unknown",
    ),
    (
        429,
        r#"{"code":429,"reason":"QuotaExceeded","message":"5 at once"}"#,
        "rate_limited",
    ),
    (
        500,
        r#"{"code":500,"reason":"InternalServiceFailure","message":"oops"}"#,
        "unknown",
    ),
    (503, "busy", "overloaded"),
    (400, "<h1>Bad Request</h1>", "invalid"),
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
        r#"{"id":"9","state":"queueing","err_code":"","credits":0}"#,
        "running",
    ),
    (200, r#"{"id":"9","state":"dreaming"}"#, "running"),
    (
        200,
        r#"{"id":"9","state":"success","err_code":"","credits":100,"payload":"","bgm":false,"off_peak":false,
           "creations":[{"id":"1","url":"https://v/1.mp4","cover_url":"https://v/1.png","watermarked_url":"https://v/w.mp4"}]}"#,
        "done https://v/1.mp4 500000",
    ),
    (
        200,
        r#"{"id":"9","state":"success","err_code":null,"credits":null,"creations":[{"url":null},{"url":"https://v/1.mp4"}]}"#,
        "done https://v/1.mp4",
    ),
    (
        200,
        r#"{"id":"9","state":"queueing","creations":null}"#,
        "running",
    ),
    (
        200,
        r#"{"id":"9","state":"success","creations":[]}"#,
        "done nothing",
    ),
    (
        200,
        r#"{"id":"9","state":"failed","err_code":"CreationPolicyViolation","credits":100}"#,
        "failed moderated: the provider's content policy refused the request or its result",
    ),
    (
        200,
        r#"{"id":"9","state":"failed","err_code":"BrandNewPolicyViolation"}"#,
        "failed moderated: the provider's content policy refused the request or its result",
    ),
    (
        200,
        r#"{"id":"9","state":"failed","err_code":"UserCancelled"}"#,
        "failed overloaded",
    ),
    (200, r#"{"id":"9","state":"failed"}"#, "failed overloaded"),
    (
        404,
        r#"{"code":404,"reason":"TaskNotFound","message":"none"}"#,
        "missing",
    ),
    (404, "<h1>Not Found</h1>", "unknown"),
    (
        429,
        r#"{"code":429,"reason":"TooManyRequests","message":"slow"}"#,
        "rate_limited",
    ),
    (
        401,
        r#"{"code":401,"reason":"Unauthorized","message":"no"}"#,
        "auth",
    ),
    (
        403,
        r#"{"code":403,"reason":"Forbidden","message":"no"}"#,
        "auth",
    ),
    (200, r#"{"id":"9"}"#, "malformed"),
    (200, "{", "malformed"),
];

#[tokio::test]
async fn a_task_is_read() {
    for &(status, body, expected) in LOOKS {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().check(&access, "9").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
        assert_eq!(
            asked.lock().unwrap()[0].0,
            "GET /p/ent/v2/tasks/9/creations"
        );
    }
}

#[tokio::test]
async fn a_task_is_asked_to_stop() {
    for (status, body, expected) in [
        (200, "{}", "asked"),
        (
            404,
            r#"{"code":404,"reason":"TaskNotFound","message":""}"#,
            "too late",
        ),
        (
            400,
            r#"{"code":400,"reason":"BadRequest","message":"it is over"}"#,
            "too late",
        ),
        (404, "<h1>Not Found</h1>", "unknown"),
        (
            429,
            r#"{"code":429,"reason":"TooManyRequests","message":""}"#,
            "rate_limited",
        ),
    ] {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().cancel(&access, "9").await;
        assert_eq!(stopped(&outcome), expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap()[0].0, "POST /p/ent/v2/tasks/9/cancel");
    }
}

const NOW: i64 = 1_700_000_000;
const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
/// `openssl dgst -sha256 -hmac k3y -binary | base64` of `POST`, `/c/1`, nothing, `vidu`, [`DATE`], `Date:` with it and `x-request-nonce:n1`, each
/// with the end of a line.
const SIGNATURE: &str = "CtLnbmIV9JFn+gp6cS8MmhyvLnEUsH0xShmEv6cfIB8=";
/// The same of the first five.
const BARE: &str = "rsgVqVDVoKJ2YZcCWht15IrNJtfHLKFVI0CLndmhQOs=";

/// The headers of a right one, but for one of them.
fn with(changed: &str, to: &str) -> HeaderMap {
    let all = [
        ("date", DATE),
        ("x-request-nonce", "n1"),
        ("x-hmac-algorithm", "hmac-sha256"),
        ("x-hmac-access-key", "vidu"),
        ("x-hmac-signed-headers", "Date;x-request-nonce"),
        ("x-hmac-signature", SIGNATURE),
    ];
    let all = all.map(|(name, value)| {
        let value = if name == changed { to } else { value };
        let value = HeaderValue::from_str(value).unwrap();
        (HeaderName::from_static(name), value)
    });
    all.into_iter().collect()
}

async fn heard(access: &Access, headers: &HeaderMap, (path, now): (&str, i64)) -> Heard {
    let callback = Callback {
        job: "9",
        path,
        headers,
        body: br#"{"id":"9","state":"success"}"#,
        now,
    };
    adapter().hears(access, &callback).await
}

#[tokio::test]
async fn a_callback_is_theirs_by_the_key_that_its_task_was_made_with() {
    let mut access = access("http://127.0.0.1:1/p/");
    let right = with("", "");
    let mut bare = with("x-hmac-signature", BARE);
    bare.remove("x-hmac-signed-headers");
    for (headers, path, now, expected) in [
        (&right, "/c/1", NOW, Heard::Signed),
        (&right, "/c/1", NOW + 300, Heard::Signed),
        (&right, "/c/1", NOW - 300, Heard::Signed),
        (&bare, "/c/1", NOW, Heard::Signed),
        (&right, "/c/1", NOW + 301, Heard::Forged),
        (&right, "/c/1", NOW - 301, Heard::Forged),
        (&right, "/c/2", NOW, Heard::Forged),
        (&with("x-request-nonce", "n2"), "/c/1", NOW, Heard::Forged),
        (&with("date", "soon"), "/c/1", NOW, Heard::Forged),
        (
            &with("date", "Tue, 14 Nov 2023 22:13:21 GMT"),
            "/c/1",
            NOW,
            Heard::Forged,
        ),
        (
            &with("x-hmac-algorithm", "none"),
            "/c/1",
            NOW,
            Heard::Forged,
        ),
        (
            &with("x-hmac-algorithm", "hmac-sha1"),
            "/c/1",
            NOW,
            Heard::Forged,
        ),
        (&with("x-hmac-access-key", "us"), "/c/1", NOW, Heard::Forged),
        (
            &with("x-hmac-signed-headers", "x-request-nonce"),
            "/c/1",
            NOW,
            Heard::Forged,
        ),
        (&with("x-hmac-signature", BARE), "/c/1", NOW, Heard::Forged),
        (&with("x-hmac-signature", ""), "/c/1", NOW, Heard::Forged),
        (&HeaderMap::new(), "/c/1", NOW, Heard::Forged),
    ] {
        let heard = heard(&access, headers, (path, now)).await;
        assert_eq!(heard, expected, "{headers:?} {path} {now}");
    }
    // Another account's key signs otherwise, and without one nobody can tell.
    access.key = Some(Secret::new("other"));
    assert_eq!(heard(&access, &right, ("/c/1", NOW)).await, Heard::Forged);
    access.key = None;
    assert_eq!(heard(&access, &right, ("/c/1", NOW)).await, Heard::Unsigned);
}
