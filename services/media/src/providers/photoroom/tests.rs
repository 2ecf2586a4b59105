//! Every answer they may give, over a real connection.

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::*;
use crate::providers::for_tests::{Raw, answering, client, raw, shown, stopped, told};

async fn submit(access: &Access, sent: Value) -> Result<Started, Failure> {
    let order = Order {
        model: "segment",
        parameters: sent.as_object().unwrap(),
        callback: Some("https://us.example/c/1"),
    };
    Photoroom::new(client()).start(access, &order).await
}

fn given() -> Value {
    json!({ "image_file": "data:image/jpeg;base64,AAEC", "format": "png" })
}

#[tokio::test]
async fn a_pictures_bytes_are_answered_with_bytes() {
    let webp = b"RIFF\x08\0\0\0WEBPVP8L\0\0\0\0/\0\0\0\x10".to_vec();
    // What it is, its bytes say.
    let answer = Raw::of(StatusCode::OK, "image/png", webp).with("x-uncertainty-score", "-1");
    let (access, asked) = raw(answer).await;
    let adapter = Photoroom::new(client());
    assert_eq!(adapter.takes(), Takes::Bytes);
    let started = submit(&access, given()).await.unwrap();
    assert!(started.files[0].starts_with("data:image/webp;base64,"));
    assert_eq!(started.cost, None);
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/segment");
    assert_eq!(headers["x-api-key"], "k3y");
    let kind = headers[header::CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    let file = "name=\"image_file\"; filename=\"image_file.jpeg\"\r\nContent-Type: image/jpeg\r\n\r\n\0\u{1}\u{2}\r\n";
    assert!(body.contains(file), "{body}");
    assert!(body.contains("name=\"format\"\r\n\r\npng\r\n"), "{body}");
    let looked = adapter.check(&access, &started.job).await;
    assert_eq!(shown(&looked), "wasted malformed");
    let cancelled = adapter.cancel(&access, &started.job).await;
    assert_eq!(stopped(&cancelled), "too late");
    let broken = submit(&access, json!({ "image_file": "data:image/png;base64,~" }));
    assert_eq!(broken.await.unwrap_err().param(), Some("image_file"));
}

#[tokio::test]
async fn refusals_are_told_apart_whatever_their_shape() {
    for (status, body, expected) in [
        (400, r#"{"detail":"no subject"}"#, "invalid: no subject"),
        (
            400,
            r#"{"error":{"message":"no subject"}}"#,
            "invalid: no subject",
        ),
        (400, r#"{"message":"no subject"}"#, "invalid: no subject"),
        (400, "no subject", "invalid"),
        (
            400,
            r#"{"detail":"against our usage policy"}"#,
            "moderated: against our usage policy",
        ),
        (401, r#"{"detail":"key"}"#, "auth"),
        (402, r#"{"detail":"used up"}"#, "balance"),
        (403, r#"{"detail":"key"}"#, "auth"),
        (429, "", "rate_limited"),
        // Whose word it is, nobody knows: a call may be lost that they have taken.
        (503, r#"{"detail":"full"}"#, "unknown"),
        (503, r#"{"message":"Service Unavailable"}"#, "unknown"),
        (500, r#"{"detail":"full"}"#, "unknown"),
        (503, "", "unknown"),
        (500, "", "unknown"),
        (504, "", "unknown"),
        (200, r#"{"detail":"no picture"}"#, "malformed"),
    ] {
        let (access, asked) = answering(status, body).await;
        let failure = submit(&access, given()).await.unwrap_err();
        assert_eq!(told(&failure), expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap().len(), 1, "a submit is made once");
    }
}
