//! Every answer they may give, over a real connection.

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::*;
use crate::providers::{
    Cost,
    for_tests::{Raw, answering, client, raw, shown, stopped, told},
};

fn png() -> Raw {
    let head: Vec<u8> = [&b"\x89PNG\r\n\x1a\n"[..], &[0, 0, 0, 13], b"IHDR", &[6; 13]].concat();
    Raw::of(StatusCode::OK, "image/png", head)
}

async fn submit(access: &Access, sent: Value) -> Result<Started, Failure> {
    let order = Order {
        model: "removebg",
        parameters: sent.as_object().unwrap(),
        callback: Some("https://us.example/c/1"),
    };
    RemoveBg::new(client()).start(access, &order).await
}

#[tokio::test]
async fn a_picture_is_answered_as_its_bytes_and_its_credits_as_a_header() {
    for (credits, micro_usd) in [("1", Some(200_000)), ("0.25", Some(50_000)), ("", None)] {
        let answer = png()
            .with("x-credits-charged", credits)
            .with("x-type", "person");
        let (access, asked) = raw(answer).await;
        let sent = json!({ "image_url": "https://a/1", "size": "auto", "format": "png" });
        let started = submit(&access, sent).await.unwrap();
        let file = started.files.first().unwrap();
        assert!(
            file.starts_with("data:image/png;base64,iVBORw0KGgo"),
            "{file}"
        );
        let cost = micro_usd.map(|micro_usd| Cost { micro_usd });
        assert_eq!(started.cost, cost, "{credits}");
        assert!(started.is_in_answer());
        let (place, headers, body) = asked.lock().unwrap()[0].clone();
        assert_eq!(place, "POST /p/removebg");
        assert_eq!(headers["x-api-key"], "k3y");
        let kind = headers[header::CONTENT_TYPE].to_str().unwrap();
        assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
        for field in [
            "name=\"image_url\"\r\n\r\nhttps://a/1\r\n",
            "name=\"size\"\r\n\r\nauto\r\n",
            "name=\"format\"\r\n\r\npng\r\n",
        ] {
            assert!(body.contains(field), "{field}");
        }
        // There is no second place to get it from.
        let adapter = RemoveBg::new(client());
        let looked = adapter.check(&access, &started.job).await;
        assert_eq!(shown(&looked), "wasted malformed");
        let cancelled = adapter.cancel(&access, &started.job).await;
        assert_eq!(stopped(&cancelled), "too late");
    }
}

#[tokio::test]
async fn a_picture_that_is_here_is_sent_itself() {
    let (access, asked) = raw(png()).await;
    let file = "data:image/png;base64,AAEC";
    submit(&access, json!({ "image_url": file })).await.unwrap();
    let (_, _, body) = asked.lock().unwrap()[0].clone();
    let field = "name=\"image_file\"; filename=\"image_file.png\"\r\nContent-Type: image/png\r\n\r\n\0\u{1}\u{2}\r\n";
    assert!(
        body.contains(field) && !body.contains("image_url"),
        "{body}"
    );
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, body, expected) in [
        (
            400,
            r#"{"errors":[{"title":"Could not identify foreground in image.","code":"unknown_foreground","detail":"For supported images see the docs"}]}"#,
            "invalid: Could not identify foreground in image.",
        ),
        (
            400,
            r#"{"errors":[{"title":"File too large","code":"file_too_large"}]}"#,
            "invalid: File too large",
        ),
        (
            400,
            r#"{"errors":[{"title":"No image given","code":"missing_source"}]}"#,
            "invalid: No image given",
        ),
        (
            402,
            r#"{"errors":[{"title":"Insufficient credits","code":"insufficient_credits"}]}"#,
            "balance",
        ),
        (
            403,
            r#"{"errors":[{"title":"API Key invalid","code":"auth_failed"}]}"#,
            "auth",
        ),
        (
            429,
            r#"{"errors":[{"title":"Rate limit exceeded","code":"rate_limit_exceeded"}]}"#,
            "rate_limited",
        ),
        (503, r#"{"errors":[{"title":"Unavailable"}]}"#, "overloaded"),
        // Whoever stands before them lost the call, or broke.
        (503, "<h1>Unavailable</h1>", "unknown"),
        (
            503,
            r#"{"message":"Service Unavailable","errors":[]}"#,
            "unknown",
        ),
        (500, r#"{"message":"Internal server error"}"#, "unknown"),
        (500, "", "unknown"),
        (502, "", "unknown"),
        (400, "<html>", "invalid"),
        // No picture.
        (200, r#"{"data":{"result_b64":"AAEC"}}"#, "malformed"),
        (200, "", "malformed"),
    ] {
        let (access, asked) = answering(status, body).await;
        let sent = json!({ "image_url": "https://a/1" });
        let failure = submit(&access, sent).await.unwrap_err();
        assert_eq!(told(&failure), expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap().len(), 1, "a submit is made once");
    }
}

#[tokio::test]
async fn how_long_to_wait_is_told_by_a_header() {
    let body = br#"{"errors":[{"title":"Rate limit exceeded"}]}"#.to_vec();
    let answer = Raw::of(StatusCode::TOO_MANY_REQUESTS, "application/json", body);
    let (access, _) = raw(answer.with("retry-after", "7")).await;
    let failure = submit(&access, json!({ "image_url": "https://a/1" }))
        .await
        .unwrap_err();
    let wait = std::time::Duration::from_secs(7);
    assert_eq!(failure.retry_after(), Some(wait));
}

#[tokio::test]
async fn where_they_broke_the_job_has_failed_for_nothing() {
    let broken = r#"{"errors":[{"title":"Something went wrong","code":"internal_error"}]}"#;
    let (access, _) = answering(500, broken).await;
    let started = submit(&access, json!({ "image_url": "https://a/1" }))
        .await
        .unwrap();
    assert!(started.files.is_empty());
    let looked = RemoveBg::new(client()).check(&access, &started.job).await;
    assert_eq!(shown(&looked), "failed overloaded");
}
