//! Every refusal the API knows: status, type, code, parameter, and a message that helps.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Reply};

use crate::say::{chat, image};

const CHAT: &str = "/chat/completions";
const IMAGES: &str = "/images/generations";

/// One wrong request to a route of `POST`: the body, and code, parameter and a word of the message that it gets with 400.
type Wrong = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
);

const WRONG: [Wrong; 29] = [
    (CHAT, "", "invalid_json", None, "not valid JSON"),
    (CHAT, "{", "invalid_json", None, "line 1 column 1"),
    (
        CHAT,
        "{\"model\":\"gemini\",}",
        "invalid_json",
        None,
        "line 1",
    ),
    (CHAT, "[]", "invalid_json", None, "one JSON object"),
    (
        CHAT,
        r#"{"model":"gemini","model":"gemini","messages":[]}"#,
        "invalid_json",
        None,
        "twice",
    ),
    (
        CHAT,
        r#"{"messages":[{"role":"user","content":"a"}]}"#,
        "missing_parameter",
        Some("model"),
        "model is required",
    ),
    (
        CHAT,
        r#"{"model":"gemini"}"#,
        "missing_parameter",
        Some("messages"),
        "messages is required",
    ),
    (
        CHAT,
        r#"{"model":"gemini","messages":[]}"#,
        "invalid_parameter",
        Some("messages"),
        "messages must",
    ),
    (
        CHAT,
        r#"{"model":"gemini","messages":"hi"}"#,
        "invalid_parameter",
        Some("messages"),
        "messages must",
    ),
    (
        CHAT,
        r#"{"model":7,"messages":[{"role":"user","content":"a"}]}"#,
        "invalid_parameter",
        Some("model"),
        "name of a model",
    ),
    (
        CHAT,
        r#"{"model":"gpt-99","messages":[{"role":"user","content":"a"}]}"#,
        "unknown_model",
        Some("model"),
        "gemini",
    ),
    (
        CHAT,
        r#"{"model":"flux-2","messages":[{"role":"user","content":"a"}]}"#,
        "unknown_model",
        Some("model"),
        "images/generations",
    ),
    (
        CHAT,
        r#"{"model":"gemini","messages":[{"role":"user","content":"a"}],"stream":"yes"}"#,
        "invalid_parameter",
        Some("stream"),
        "true or false",
    ),
    (
        CHAT,
        r#"{"model":"gemini","messages":[{"role":"user","content":"a"}],"max_tokens":"5"}"#,
        "invalid_parameter",
        Some("max_tokens"),
        "whole number",
    ),
    (
        CHAT,
        r#"{"model":"gemini","messages":[{"role":"user","content":"a"}],"max_tokens":0}"#,
        "invalid_parameter",
        Some("max_tokens"),
        "at least 1",
    ),
    (
        CHAT,
        r#"{"model":"gemini","messages":[{"role":"user","content":"a"}],"max_tokens":1e309}"#,
        "invalid_parameter",
        Some("max_tokens"),
        "whole number",
    ),
    (
        CHAT,
        r#"{"model":"gemini","messages":[{"role":"user","content":"a"}],"max_tokens":9223372036854775807}"#,
        "invalid_parameter",
        Some("max_tokens"),
        "at most",
    ),
    (
        CHAT,
        r#"{"model":"gemini","messages":[{"role":"user","content":"a"}],"n":1000000}"#,
        "invalid_parameter",
        Some("n"),
        "from 1 to",
    ),
    (IMAGES, "", "invalid_json", None, "not valid JSON"),
    (IMAGES, "nonsense", "invalid_json", None, "line 1"),
    (IMAGES, "7", "invalid_json", None, "one JSON object"),
    (
        IMAGES,
        r#"{"model":"flux-2"}"#,
        "missing_parameter",
        Some("prompt"),
        "prompt is required",
    ),
    (
        IMAGES,
        r#"{"prompt":"a fox"}"#,
        "missing_parameter",
        Some("model"),
        "model is required",
    ),
    (
        IMAGES,
        r#"{"model":"flux-2","prompt":7}"#,
        "invalid_parameter",
        Some("prompt"),
        "3 to 5000",
    ),
    (
        IMAGES,
        r#"{"model":"flux-2","prompt":"a"}"#,
        "invalid_parameter",
        Some("prompt"),
        "it has 1",
    ),
    (
        IMAGES,
        r#"{"model":"flux-2","prompt":"a fox","colour":"red"}"#,
        "unknown_parameter",
        Some("colour"),
        "aspect_ratio",
    ),
    (
        IMAGES,
        r#"{"model":"flux-2","prompt":"a fox","seed":-1}"#,
        "invalid_parameter",
        Some("seed"),
        "from 0 to",
    ),
    (
        IMAGES,
        r#"{"model":"flux-3","prompt":"a fox"}"#,
        "unknown_model",
        Some("model"),
        "flux-2",
    ),
    (
        IMAGES,
        r#"{"model":"gemini","prompt":"a fox"}"#,
        "unknown_model",
        Some("model"),
        "flux-2",
    ),
];

#[tokio::test]
async fn a_wrong_body_is_told_what_is_wrong() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for (path, body, code, param, word) in WRONG {
        let reply = api.send(Method::POST, path, &[], body).await?;
        let error = check(&reply, 400, code).with_context(|| format!("{path} {body}"))?;
        assert_eq!(error["param"].as_str(), param, "{body}: {error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(word), "{body}: {message}");
    }
    let credits = api.credits().await?;
    assert_eq!((credits.posted, credits.open_holds), (100_000_000, 0));
    aio.finish().await
}

/// The error object, whole and of the type that its status has.
fn check(reply: &Reply, status: u16, code: &str) -> Result<Value> {
    let error = reply.error(status, code)?;
    let kind = match status {
        400 | 405 => "bad_request",
        401 => "authentication_error",
        402 => "insufficient_credits",
        403 => "permission_error",
        404 => "not_found",
        413 => "payload_too_large",
        _ => "",
    };
    let id = error["request_id"].as_str().unwrap_or_default();
    let whole = error["type"] == kind && error.get("param").is_some() && id.starts_with("req_");
    anyhow::ensure!(whole, "not a whole error object: {reply}");
    anyhow::ensure!(
        reply.header("x-request-id") == id,
        "two request ids: {reply}"
    );
    anyhow::ensure!(
        reply.header("content-type") == "application/json",
        "no JSON: {reply}"
    );
    Ok(error)
}

#[tokio::test]
async fn everything_wrong_is_said_at_once() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let body = json!({
        "model": "flux-2", "type": "max", "seed": 1.5, "promt": "a", "input_urls": ["ftp://x"],
    });
    let error = check(&api.post(IMAGES, &body).await?, 400, "missing_parameter")?;
    let params = |error: &Value| {
        let violations = error["violations"].as_array().cloned().unwrap_or_default();
        let params = violations
            .iter()
            .filter_map(|v| v["param"].as_str().map(str::to_owned));
        params.collect::<Vec<_>>()
    };
    assert_eq!(
        params(&error),
        ["prompt", "type", "seed", "input_urls[0]", "promt"]
    );
    assert_eq!(error["param"], "prompt");
    let body = json!({ "model": 7, "stream": "yes", "n": 0 });
    let error = check(&api.post(CHAT, &body).await?, 400, "invalid_parameter")?;
    let mut named = params(&error);
    named.sort_unstable();
    assert_eq!(named, ["messages", "model", "n", "stream"], "{error}");
    aio.finish().await
}

#[tokio::test]
async fn without_credit_it_is_402() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(0).await?.api;
    for (path, body, word) in [
        (CHAT, chat("Hello"), "credits"),
        (IMAGES, image("a fox"), "5 credits"),
    ] {
        let error = check(&api.post(path, &body).await?, 402, "insufficient_credits")?;
        let message = error["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(word) && message.contains("0 are available"),
            "{message}"
        );
    }
    let credits = api.credits().await?;
    assert_eq!((credits.available, credits.open_holds), (0, 0));
    aio.finish().await
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() -> Result<()> {
    let env = [
        ("AIO_LIMITS__BODIES__CHAT", "100000"),
        ("AIO_LIMITS__BODIES__MEDIA", "50000"),
    ];
    let aio = Aio::with(&env).await?;
    let account = aio.account(100).await?;
    for (path, limit) in [(CHAT, "100000"), (IMAGES, "50000")] {
        let reply = account
            .api
            .send(Method::POST, path, &[], vec![b' '; 3_000_000])
            .await?;
        let error = check(&reply, 413, "body_too_large")?;
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(limit), "{message}");
    }
    let reply = aio
        .admin()
        .send(Method::POST, "/admin/accounts", &[], vec![b' '; 70_000])
        .await?;
    check(&reply, 413, "body_too_large")?;
    aio.finish().await
}

#[tokio::test]
async fn another_tenants_task_and_none_at_all_are_the_same() -> Result<()> {
    let aio = Aio::start().await?;
    let owner = aio.account(100).await?;
    let stranger = aio.account(100).await?.api;
    let (other_mode, _) = owner.key("live", &["inference", "read"]).await?;
    let task = owner.api.image(&image("a fox [sandbox delay=0s]")).await?;
    owner.api.ended(&task).await?;
    let unknown = format!("task_{}", "0".repeat(26));
    for (method, suffix) in [
        ("GET", ""),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("GET", "/files/0"),
    ] {
        let ask = async |id: &str, api: &testkit::Api| {
            let path = format!("/tasks/{id}{suffix}");
            let reply = api.send(method.parse()?, &path, &[], Bytes::new()).await?;
            let error = check(&reply, 404, "not_found")?;
            let id = error["request_id"].as_str().unwrap_or_default().to_owned();
            // Everything but what is new for every request.
            let body = String::from_utf8_lossy(&reply.body).replace(&id, "req");
            let mut headers = reply.headers.clone();
            let new = [
                "request-id",
                "x-request-id",
                "x-ratelimit-remaining-requests",
                "date",
            ];
            for name in new {
                headers.remove(name);
            }
            anyhow::Ok((body, format!("{headers:?}")))
        };
        let none = ask(&unknown, &stranger).await?;
        assert_eq!(ask(&task, &stranger).await?, none, "{method} {suffix}");
        assert_eq!(ask(&task, &other_mode).await?, none, "{method} {suffix}");
        assert_eq!(
            ask("nonsense", &stranger).await?.0,
            none.0,
            "{method} {suffix}"
        );
    }
    assert_eq!(owner.api.task(&task).await?["status"], "completed");
    aio.finish().await
}

#[tokio::test]
async fn routes_and_methods_that_are_not_there_say_so() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1).await?.api;
    let base = aio.base();
    for path in [
        "/nonsense".to_owned(),
        format!("{base}/api/v2/models"),
        // What does not stand below the API is for pages to say: `pages.rs`.
        format!("{base}/v1/nonsense"),
    ] {
        let error = check(&api.get(&path).await?, 404, "unknown_route")?;
        assert!(
            !error["message"].as_str().unwrap_or_default().is_empty(),
            "{path}"
        );
    }
    for (method, path, allowed) in [("GET", CHAT, "POST"), ("DELETE", "/credits", "GET")] {
        let reply = api.send(method.parse()?, path, &[], Bytes::new()).await?;
        check(&reply, 405, "method_not_allowed")?;
        assert!(
            reply.header("allow").contains(allowed),
            "{path}: {:?}",
            reply.headers
        );
    }
    aio.finish().await
}

#[tokio::test]
async fn what_is_no_utf8_or_no_http_breaks_nothing() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1).await?.api;
    let bytes: &[u8] =
        b"{\"model\":\"gemini\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}";
    for path in [CHAT, IMAGES] {
        let reply = api.send(Method::POST, path, &[], bytes).await?;
        check(&reply, 400, "invalid_json")?;
    }
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for path in [CHAT, IMAGES] {
        let body = format!(r#"{{"model":"gemini","messages":{deep},"prompt":{deep}}}"#);
        let reply = api.send(Method::POST, path, &[], body).await?;
        assert_eq!(reply.status, 400, "{path}: {}", reply.status);
    }
    api.credits().await?;
    aio.finish().await
}
