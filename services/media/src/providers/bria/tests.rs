//! Every answer they may give, over a real connection; and callbacks.

use http::HeaderValue;
use serde_json::json;

use super::*;
use crate::providers::for_tests::{access, answering, client, shown, stopped, told};

const CUT_OUT: &str = "image/edit/remove_background";
const FILM: &str = "video/edit/remove_background";

fn adapter() -> Bria {
    Bria::new(client())
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
async fn a_film_is_submitted_as_the_catalogue_says() {
    let answer =
        r#"{"request_id":"r1","status_url":"https://engine.prod.bria-api.com/v2/status/r1"}"#;
    let (access, asked) = answering(202, answer).await;
    let input = json!({
        "video": "https://a/1.mp4", "background_color": "Transparent", "output_container_and_codec": "webm_vp9", "preserve_audio": true,
    });
    let started = submit(&access, FILM, input.clone()).await.unwrap();
    // It is where they say that it is.
    assert_eq!(started.job, "https://engine.prod.bria-api.com/v2/status/r1");
    assert_eq!((started.cost, started.is_done()), (None, false));
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, format!("POST /p/{FILM}"));
    assert_eq!(headers["api_token"], "k3y");
    assert!(!headers.contains_key("authorization"));
    let mut sent = input;
    sent["webhook_url"] = json!("https://us.example/c/1");
    assert_eq!(body, sent);
}

#[tokio::test]
async fn a_picture_may_stand_in_the_request() {
    let (access, asked) = answering(202, r#"{"request_id":"r1"}"#).await;
    let input = json!({ "image": "data:image/png;base64,QUJD" });
    submit(&access, CUT_OUT, input).await.unwrap();
    assert_eq!(asked.lock().unwrap()[0].2["image"], "QUJD");
}

#[test]
fn a_job_is_found_again() {
    let base = Url::parse("https://here.example/p/v2/").unwrap();
    for (id, place, reference) in [
        (
            "r1",
            "https://here.example/p/v2/status/r1",
            Some("status/r1"),
        ),
        ("r1", "", Some("status/r1")),
        ("a/../b", "", Some("status/a%2F..%2Fb")),
        (
            "",
            "https://engine.prod.bria-api.com/v2/status/r1",
            Some("https://engine.prod.bria-api.com/v2/status/r1"),
        ),
        // Nobody is sent anywhere else.
        ("r1", "http://169.254.169.254/latest", Some("status/r1")),
        (
            "r1",
            "https://other.example/v2/status/r1",
            Some("status/r1"),
        ),
        ("", "https://other.example/v2/status/r1", None),
        ("", "", None),
    ] {
        let submitted = Submitted {
            request_id: id.to_owned(),
            status_url: place.to_owned(),
        };
        let found = submitted.reference(&base);
        assert_eq!(found.as_deref(), reference, "{id} {place}");
    }
}

#[test]
fn only_they_are_asked_and_shown_the_key() {
    let base = Url::parse("http://here.example/p/").unwrap();
    for (place, may) in [
        ("http://here.example/other", true),
        ("https://engine.prod.bria-api.com/v2/status/r1", true),
        ("http://engine.prod.bria-api.com/v2/status/r1", false),
        ("https://bria-api.com.example/v2/status/r1", false),
    ] {
        let place = Url::parse(place).unwrap();
        assert_eq!(is_theirs(&base, &place), may, "{place}");
    }
}

/// Answers to a submit, and what is read: the job, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (202, r#"{"request_id":"r1"}"#, "status/r1"),
    (200, r#"{"request_id":"r1","status_url":null}"#, "status/r1"),
    (202, r#"{"request_id":""}"#, "malformed"),
    (202, r#"{"status_url":7}"#, "malformed"),
    (202, "[]", "malformed"),
    (
        400,
        r#"{"error":{"code":400,"message":"video is missing","details":""},"request_id":"r1"}"#,
        "invalid: video is missing",
    ),
    (
        401,
        r#"{"error":{"code":401,"message":"who?"},"request_id":"r1"}"#,
        "auth",
    ),
    (
        403,
        r#"{"error":{"code":403,"message":"not in your plan"}}"#,
        "auth",
    ),
    (404, r#"{"error":{"code":404,"message":"none"}}"#, "gone"),
    (
        413,
        r#"{"error":{"code":413,"message":"the picture has more than 12 MB"}}"#,
        "invalid: the picture has more than 12 MB",
    ),
    (
        415,
        r#"{"error":{"code":"415","message":null,"details":"no picture"}}"#,
        "invalid: no picture",
    ),
    (
        422,
        r#"{"error":{"code":422,"message":"mp4_h264 has no alpha channel","details":null}}"#,
        "invalid: mp4_h264 has no alpha channel",
    ),
    // Of content it is the words that tell.
    (
        422,
        r#"{"error":{"code":422,"message":"The input did not pass content moderation"}}"#,
        "moderated: The input did not pass content moderation",
    ),
    // Where it is, is nobody's to read.
    (
        460,
        r#"{"error":{"code":460,"message":"cannot download https://us.example/secret"}}"#,
        "invalid: the provider could not download the input",
    ),
    (
        429,
        r#"{"error":{"code":429,"message":"slow"}}"#,
        "rate_limited",
    ),
    (500, r#"{"error":{"code":500,"message":"oops"}}"#, "unknown"),
    (
        506,
        r#"{"error":{"code":506,"message":"full"}}"#,
        "overloaded",
    ),
    (506, r#"{"error":{"message":"full"}}"#, "overloaded"),
    (500, "<h1>oops</h1>", "unknown"),
    (503, "busy", "overloaded"),
    (502, "", "unknown"),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let input = json!({ "image": "https://a/1" });
        let read = match submit(&access, CUT_OUT, input).await {
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
        r#"{"status":"IN_PROGRESS","request_id":"r1"}"#,
        "running",
    ),
    (200, r#"{"status":"DREAMING"}"#, "running"),
    (
        200,
        r#"{"status":"COMPLETED","result":{"image_url":"https://v/1.png","seed":null},"request_id":"r1"}"#,
        "done https://v/1.png",
    ),
    (
        200,
        r#"{"status":"COMPLETED","result":{"video_url":"https://v/1.webm","image_url":null}}"#,
        "done https://v/1.webm",
    ),
    (
        200,
        r#"{"status":"COMPLETED","result":null}"#,
        "done nothing",
    ),
    (
        200,
        r#"{"status":"ERROR","error":{"code":422,"message":"the film lasts more than 60 seconds"}}"#,
        "failed invalid: the film lasts more than 60 seconds",
    ),
    (
        200,
        r#"{"status":"ERROR","error":{"code":422,"message":"the result was flagged"}}"#,
        "failed moderated: the result was flagged",
    ),
    (
        200,
        r#"{"status":"ERROR","error":{"code":460,"message":"https://us.example/secret"}}"#,
        "failed invalid: the provider could not download the input",
    ),
    (
        200,
        r#"{"status":"ERROR","error":{"code":400,"message":"wrong"}}"#,
        "failed invalid: wrong",
    ),
    (
        200,
        r#"{"status":"ERROR","error":{"code":500,"message":"oops"}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"status":"ERROR","error":{"code":506,"message":"full"}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"status":"ERROR","error":"oops"}"#,
        "failed overloaded",
    ),
    (200, r#"{"status":"ERROR"}"#, "failed overloaded"),
    (200, r#"{"status":"UNKNOWN"}"#, "failed overloaded"),
    (
        404,
        r#"{"error":{"code":404,"message":"there is no such request"}}"#,
        "missing",
    ),
    (404, "<h1>Not Found</h1>", "unknown"),
    (
        429,
        r#"{"error":{"code":429,"message":"slow"}}"#,
        "rate_limited",
    ),
    (401, r#"{"error":{"code":401,"message":"who?"}}"#, "auth"),
    (200, r#"{"result":null}"#, "malformed"),
    (200, "{", "malformed"),
];

#[tokio::test]
async fn a_status_is_read() {
    for &(status, body, expected) in LOOKS {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().check(&access, "status/r1").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
        let (place, headers, _) = asked.lock().unwrap()[0].clone();
        assert_eq!(place, "GET /p/status/r1");
        assert_eq!(headers["api_token"], "k3y");
    }
}

#[tokio::test]
async fn a_status_that_is_elsewhere_is_looked_at_without_the_key() {
    let (there, asked) = answering(200, r#"{"status":"IN_PROGRESS"}"#).await;
    let here = access("http://127.0.0.1:1/p/");
    let place = there.base_url.join("status/r1").unwrap();
    let outcome = adapter().check(&here, place.as_str()).await;
    assert_eq!(shown(&outcome), "running");
    assert!(!asked.lock().unwrap()[0].1.contains_key("api_token"));
}

#[tokio::test]
async fn nobody_can_stop_a_job() {
    let access = access("http://127.0.0.1:1/p/");
    let outcome = adapter().cancel(&access, "status/r1").await;
    assert_eq!(stopped(&outcome), "impossible");
}

const NOW: i64 = 1_700_000_000;
const BODY: &[u8] = br#"{"request_id":"r1","status":"COMPLETED"}"#;
/// The key is made by `printf bria-webhook-signing-v1 | openssl dgst -sha256 -hmac k3y`, and this with it by
/// `printf 'msg_1.1700000000.{"request_id":"r1","status":"COMPLETED"}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:… -binary | base64`.
const SIGNATURE: &str = "l2rivpq9/ZQAOlZiaBdIaJuf8IDKlL/jqRa4IAgH/Z4=";

async fn heard(
    access: &Access,
    headers: &[(&'static str, &str)],
    (body, now): (&[u8], i64),
) -> Heard {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    let callback = Callback {
        job: "status/r1",
        path: "/c/1",
        headers: &map,
        body,
        now,
    };
    adapter().hears(access, &callback).await
}

/// Headers, a body, the moment, and whose word it is.
type Case<'a> = (&'a [(&'static str, &'a str)], &'a [u8], i64, Heard);

#[tokio::test]
async fn a_callback_is_theirs_by_a_key_that_is_made_of_ours() {
    let mut access = access("http://127.0.0.1:1/p/");
    let (right, wrong) = (format!("v1={SIGNATURE}"), format!("v2={SIGNATURE}"));
    let several = format!("v1=eA== {right}");
    let signed = |signature| {
        [
            ("bria-webhook-id", "msg_1"),
            ("bria-webhook-timestamp", "1700000000"),
            ("bria-webhook-signature", signature),
        ]
    };
    let cases: [Case<'_>; 9] = [
        (&signed(&right), BODY, NOW, Heard::Signed),
        (&signed(&several), BODY, NOW + 300, Heard::Signed),
        (&signed(&right), BODY, NOW + 301, Heard::Forged),
        (&signed(&right), b"{}", NOW, Heard::Forged),
        (&signed(&wrong), BODY, NOW, Heard::Forged),
        (&signed(SIGNATURE), BODY, NOW, Heard::Forged),
        (&signed("v1="), BODY, NOW, Heard::Forged),
        (&signed(&right)[1..], BODY, NOW, Heard::Forged),
        (&[], BODY, NOW, Heard::Forged),
    ];
    for (headers, body, now, expected) in cases {
        let heard = heard(&access, headers, (body, now)).await;
        assert_eq!(heard, expected, "{headers:?} {now}");
    }
    // Another key signs otherwise, and none at all cannot be asked.
    access.key = Some(domain::Secret::new("other"));
    let heard_by_other = heard(&access, &signed(&right), (BODY, NOW)).await;
    assert_eq!(heard_by_other, Heard::Forged);
    access.key = None;
    let heard_by_nobody = heard(&access, &signed(&right), (BODY, NOW)).await;
    assert_eq!(heard_by_nobody, Heard::Unsigned);
}
