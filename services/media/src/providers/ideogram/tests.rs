//! Every answer they may give, over a real connection; and callbacks.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::*;
use crate::providers::for_tests::{answering, client, shown, stopped, told};

async fn submit(access: &Access, model: &str, sent: Value) -> Result<Started, Failure> {
    let parameters = sent.as_object().unwrap().clone();
    let order = Order {
        model,
        parameters: &parameters,
        callback: Some("https://us.example/c/1"),
    };
    Ideogram::new(client()).start(access, &order).await
}

async fn looked(status: u16, body: &str) -> String {
    let (access, _) = answering(status, body).await;
    shown(&Ideogram::new(client()).check(&access, "g-1").await)
}

#[tokio::test]
async fn a_text_goes_as_json_and_is_a_job() {
    let (access, asked) = answering(200, r#"{"generation_id":"g-1","seed":7}"#).await;
    let sent = json!({ "prompt": "a fox", "aspect_ratio": "16x9", "rendering_speed": "turbo" });
    let started = submit(&access, "generate/ideogram-3", sent).await.unwrap();
    assert_eq!((started.job.as_str(), started.files.len()), ("g-1", 0));
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/v2/image/generate/ideogram-3");
    assert_eq!(headers["api-key"], "k3y");
    assert_eq!(headers["content-type"], "application/json");
    assert!(!headers.contains_key("authorization"));
    let expected = json!({
        "prompt": "a fox", "aspect_ratio": "16x9", "rendering_speed": "turbo", "async": true, "webhook_url": "https://us.example/c/1",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn pictures_go_in_a_form() {
    let (access, asked) = answering(200, r#"{"generation_id":"g-1"}"#).await;
    let file = "data:image/png;base64,AAEC";
    for (model, sent) in [
        (
            "inpaint/ideogram-3",
            json!({ "prompt": "a fox", "image": file, "mask": file }),
        ),
        (
            "generate/ideogram-3",
            json!({ "prompt": "a fox", "style_reference_images": [file, file] }),
        ),
    ] {
        submit(&access, model, sent).await.unwrap();
        let (_, headers, _) = asked.lock().unwrap().pop().unwrap();
        let kind = headers["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    }
    let body = json!({ "prompt": "a fox", "async": true, "style_reference_images": [file, file] });
    let (_, written) = form(body.as_object().unwrap())
        .unwrap()
        .written(HeaderMap::new());
    let written = String::from_utf8(written).unwrap();
    assert!(
        written.contains("name=\"async\"\r\n\r\ntrue\r\n"),
        "{written}"
    );
    assert_eq!(
        written
            .matches("name=\"style_reference_images\"; filename=")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_job_stands_as_they_say() {
    for (status, body, expected) in [
        (
            200,
            r#"{"generation_id":"g-1","status":"pending","created":"2026-11-22T00:00:00Z"}"#,
            "running",
        ),
        (
            200,
            r#"{"generation_id":"g-1","status":"whatever"}"#,
            "running",
        ),
        (
            200,
            r#"{"generation_id":"g-1","status":"completed","response_type":"url","data":[{"object_type":"image.generation","url":"https://ideogram.example/1.png?exp=1&sig=2","prompt":"p","resolution":"1024x1024","is_image_safe":true,"seed":1}],"usage_cost_usd_micros":60000}"#,
            "done https://ideogram.example/1.png?exp=1&sig=2 60000",
        ),
        (
            200,
            r#"{"status":"completed","failure_reason":null,"data":[{"url":"https://ideogram.example/1.png","is_image_safe":null}],"usage_cost_usd_micros":null}"#,
            "done https://ideogram.example/1.png",
        ),
        (200, r#"{"status":"pending","data":null}"#, "running"),
        (
            200,
            r#"{"status":"completed","data":[{"url":"https://ideogram.example/1.png"}]}"#,
            "done https://ideogram.example/1.png",
        ),
        (
            200,
            r#"{"status":"completed","data":[{"url":null,"is_image_safe":false}],"usage_cost_usd_micros":60000}"#,
            "wasted 60000 moderated: the provider's content policy refused the request or its result",
        ),
        (
            200,
            r#"{"status":"completed","data":[{"url":"","is_image_safe":false}]}"#,
            "wasted moderated: the provider's content policy refused the request or its result",
        ),
        (200, r#"{"status":"completed","data":[]}"#, "done nothing"),
        (
            200,
            r#"{"status":"failed","failure_reason":"content_policy_violation"}"#,
            "failed moderated: the provider's content policy refused the request or its result",
        ),
        (200, r#"{"status":"failed"}"#, "failed overloaded"),
        (404, r#"{"error":"no such generation"}"#, "missing"),
        (404, "<html>", "unknown"),
        (429, r#"{"error":"slower"}"#, "rate_limited"),
        (200, "[", "malformed"),
    ] {
        assert_eq!(looked(status, body).await, expected, "{body}");
    }
    let (access, asked) = answering(200, r#"{"status":"pending"}"#).await;
    let ideogram = Ideogram::new(client());
    ideogram.check(&access, "a/b").await.unwrap();
    let (place, headers, _) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "GET /p/v2/generations/a%2Fb");
    assert_eq!(headers["api-key"], "k3y");
    assert_eq!(
        stopped(&ideogram.cancel(&access, "g-1").await),
        "impossible"
    );
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, body, expected) in [
        (
            400,
            r#"{"error":"resolution is none of theirs"}"#,
            "invalid: resolution is none of theirs",
        ),
        (401, r#"{"error":"bad key"}"#, "auth"),
        (
            402,
            r#"{"error":"Not enough credits","reject_reason":"insufficient_funds"}"#,
            "balance",
        ),
        (413, r#"{"error":"too large"}"#, "invalid: too large"),
        (
            422,
            r#"{"error":"Prompt failed the safety check"}"#,
            "moderated: Prompt failed the safety check",
        ),
        (
            429,
            r#"{"error":"m","reject_reason":"inflight_limit","max_inflight_requests":10}"#,
            "rate_limited",
        ),
        (500, r#"{"error":"m"}"#, "unknown"),
        (503, r#"{"error":"m"}"#, "overloaded"),
        (422, "<html>", "invalid"),
        (200, r#"{"generation_id":""}"#, "malformed"),
        (200, r#"{"data":[]}"#, "malformed"),
    ] {
        let (access, _) = answering(status, body).await;
        let failure = submit(&access, "generate/ideogram-4", json!({ "prompt": "x" }))
            .await
            .unwrap_err();
        assert_eq!(told(&failure), expected, "{body}");
    }
}

const NOW: i64 = 1_700_000_000;
const BODY: &[u8] = br#"{"generation_id":"g-1","data":[]}"#;
/// `openssl genpkey -algorithm ed25519`, and its public half.
const KEY: &str = "hJOX206-Z0JuaUwm8UG8ohfUkGvCKoTLAkvqPRz9f4c";
/// `openssl pkeyutl -sign -rawin` of `g-1`, `user-1`, [`NOW`] and the hash of [`BODY`], each in a line.
const SIGNATURE: &str = "d2f33ea1eaa8a28cddbaeb1307866b77e98592e9c2f98f8fa8c8f1fda9d199fa\
    b3941bfd273f5884fb04554c9af5d2b7efe0c4099ca40f40501722572913430d";
/// The same of `g-2`.
const OF_ANOTHER: &str = "22d77f0d2cc51cdabe4fee2d5b5d0b2529958f87cc6a7798f12e19965644b2e0\
    288d2df5cd85f20845a73061cedd0df1f9ed8f402685a7decced28e642ddcc0e";

fn signed(generation: &str, moment: &str, signature: &str) -> HeaderMap {
    let all = [
        ("x-ideogram-webhook-generation-id", generation),
        ("x-ideogram-webhook-user-id", "user-1"),
        ("x-ideogram-webhook-timestamp", moment),
        ("x-ideogram-webhook-key-id", "v1"),
        ("x-ideogram-webhook-signature", signature),
    ];
    let all = all.map(|(name, value)| {
        let value = HeaderValue::from_str(value).unwrap();
        (HeaderName::from_static(name), value)
    });
    all.into_iter().collect()
}

#[tokio::test]
async fn a_callback_is_theirs_by_the_keys_that_they_publish() {
    let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "v1", "x": KEY }] });
    let (access, asked) = answering(200, &set.to_string()).await;
    let ideogram = Ideogram::new(client());
    let moment = NOW.to_string();
    let right = signed("g-1", &moment, SIGNATURE);
    for (headers, body, now, expected) in [
        (&right, BODY, NOW, Heard::Signed),
        (&right, BODY, NOW + 301, Heard::Forged),
        (&right, &br#"{"data": []}"#[..], NOW, Heard::Forged),
        (
            &signed("g-1", "1700000001", SIGNATURE),
            BODY,
            NOW,
            Heard::Forged,
        ),
        // Signed by them, about another generation.
        (
            &signed("g-2", &moment, OF_ANOTHER),
            BODY,
            NOW,
            Heard::Forged,
        ),
        (
            &signed("g-1", &moment, OF_ANOTHER),
            BODY,
            NOW,
            Heard::Forged,
        ),
        (&signed("g-1", &moment, ""), BODY, NOW, Heard::Forged),
        (&HeaderMap::new(), BODY, NOW, Heard::Forged),
    ] {
        let callback = Callback {
            job: "g-1",
            path: "/c/1",
            headers,
            body,
            now,
        };
        let heard = ideogram.hears(&access, &callback).await;
        assert_eq!(heard, expected, "{headers:?} {now}");
    }
    let asked = asked.lock().unwrap();
    let (place, shown, _) = &asked[0];
    assert_eq!(
        (asked.len(), place.as_str()),
        (1, "GET /p/v1/.well-known/jwks.json")
    );
    assert!(!shown.contains_key("api-key"), "they need none");
}
