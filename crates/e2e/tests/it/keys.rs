//! Keys: what opens nothing, what a key may do, and that it can be taken away.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Account, Aio, Api, eventually};

use crate::say::{chat, image};

#[tokio::test]
async fn what_is_no_key_opens_nothing() -> Result<()> {
    let aio = Aio::start().await?;
    let good = aio.account(10).await?.key;
    let mistyped = mistype(&good);
    let shouted = good.to_uppercase();
    for (key, code, word) in [
        (None, "missing_key", "Authorization"),
        (Some("sk-123"), "invalid_key", "aio_"),
        (Some(""), "missing_key", "Bearer aio_"),
        (Some(mistyped.as_str()), "invalid_key", "checksum"),
        (Some(shouted.as_str()), "invalid_key", ""),
        (
            Some("aio_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4JxuOd"),
            "invalid_key",
            "",
        ),
        (Some(&*"a".repeat(10_000)), "invalid_key", ""),
    ] {
        let api = aio.api(key);
        for path in [
            "/credits",
            "/models",
            "/tasks/task_1",
            "/admin/accounts",
            "/webhooks/secret",
        ] {
            let error = api.get(path).await?.error(401, code)?;
            assert_eq!(error["type"], "authentication_error");
            let message = error["message"].as_str().unwrap_or_default();
            assert!(message.contains(word), "{key:?}: {message}");
            let quoted = key.is_some_and(|key| key.len() > 5 && message.contains(key));
            assert!(!quoted, "a key is not said back: {message}");
        }
    }
    let basic = [("authorization", "Basic YTpi")];
    let reply = aio
        .api(None)
        .post_with("/chat/completions", &basic, &chat("Hello"))
        .await?;
    reply.error(401, "missing_key")?;
    aio.finish().await
}

/// Changes one character in the middle: the checksum no longer fits.
fn mistype(key: &str) -> String {
    let (before, after) = key.split_at(20);
    let changed = if after.starts_with('A') { 'B' } else { 'A' };
    format!("{before}{changed}{}", &after[1..])
}

#[tokio::test]
async fn a_revoked_key_is_dead_at_once_and_after_a_restart() -> Result<()> {
    let mut aio = Aio::start().await?;
    let account = aio.account(10).await?;
    let (api, id) = account.key("test", &["read"]).await?;
    api.credits().await?;
    let delete = http::Method::DELETE;
    let path = format!("/admin/keys/{id}");
    aio.admin()
        .send(delete.clone(), &path, &[], "")
        .await?
        .data(200)?;
    api.get("/credits").await?.error(401, "invalid_key")?;
    account.api.credits().await?;
    aio.restart().await?;
    api.get("/credits").await?.error(401, "invalid_key")?;
    // By the command, too; the process that serves hears of it.
    let (api, id) = account.key("test", &["read"]).await?;
    api.credits().await?;
    assert!(
        aio.command(&["keys", "revoke", &id])
            .await?
            .status
            .success()
    );
    api.everywhere("the key is dead", async || {
        Ok(api.get("/credits").await?.status == 401)
    })
    .await?;
    let nothing = aio
        .admin()
        .send(delete, "/admin/keys/key_nonsense", &[], "")
        .await?;
    nothing.error(404, "not_found")?;
    aio.finish().await
}

#[tokio::test]
async fn a_key_may_do_what_its_scopes_say() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let task = account
        .api
        .image(&image("a fox [sandbox delay=0s]"))
        .await?;
    let routes = [
        ("inference", "POST", "/chat/completions".to_owned()),
        ("inference", "POST", "/images/generations".to_owned()),
        ("inference", "POST", format!("/tasks/{task}/cancel")),
        ("read", "GET", "/credits".to_owned()),
        ("read", "GET", format!("/tasks/{task}")),
        ("read", "GET", format!("/tasks/{task}/events")),
        ("read", "GET", format!("/tasks/{task}/files/0")),
        ("manage", "GET", "/webhooks/secret".to_owned()),
        ("admin", "GET", "/admin/accounts".to_owned()),
        ("admin", "POST", "/admin/accounts".to_owned()),
        ("admin", "GET", "/admin/ledger/audit".to_owned()),
        ("admin", "GET", "/admin/tasks/unknown".to_owned()),
    ];
    account.api.ended(&task).await?;
    for scope in ["inference", "read", "manage"] {
        let (api, _) = account.key("test", &[scope]).await?;
        for (needs, method, path) in &routes {
            let reply = api.send(method.parse()?, path, &[], "").await?;
            if *needs == scope {
                assert!(
                    !matches!(reply.status, 401 | 403),
                    "{scope} {path}: {reply}"
                );
            } else {
                let error = reply.error(403, "missing_scope")?;
                let message = error["message"].as_str().unwrap_or_default();
                assert!(
                    message.contains(&format!("`{needs}`")),
                    "{scope} {path}: {message}"
                );
            }
        }
        api.get("/models").await?.json()?;
    }
    aio.finish().await
}

#[tokio::test]
async fn a_key_may_be_bound_to_models_and_addresses() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let only_chat = bound(&aio, &account, json!({ "models": ["gemini"] })).await?;
    let reply = only_chat
        .post("/images/generations", &image("a fox"))
        .await?;
    let error = reply.error(403, "model_not_allowed")?;
    assert_eq!(error["param"], "model");
    assert_eq!(
        only_chat
            .post("/chat/completions", &chat("Hello"))
            .await?
            .status,
        200
    );
    let list = only_chat.get("/models").await?.json()?;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{list}");
    let elsewhere = bound(&aio, &account, json!({ "ip_allow": ["10.0.0.0/8"] })).await?;
    let reply = elsewhere.get("/credits").await?;
    reply.error(403, "address_not_allowed")?;
    let here = bound(
        &aio,
        &account,
        json!({ "ip_allow": ["10.0.0.0/8", "127.0.0.1"] }),
    )
    .await?;
    here.credits().await?;
    aio.finish().await
}

#[tokio::test]
async fn a_key_has_its_rate() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let slow = bound(&aio, &account, json!({ "rpm": 3 })).await?;
    let mut refused = None;
    for _ in 0..5 {
        let reply = slow.get("/credits").await?;
        if reply.status != 200 {
            refused = Some(reply);
        }
    }
    let refused = refused.context("five of three requests are served")?;
    let error = refused.error(429, "rate_limited")?;
    assert_eq!(error["type"], "rate_limit_error");
    assert!(
        refused.header("retry-after").parse::<u32>().is_ok(),
        "{refused}"
    );
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    aio.finish().await
}

#[tokio::test]
async fn a_key_has_its_open_requests() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let api = bound(&aio, &account, json!({ "concurrency": 1 })).await?;
    let body = chat("Hello [sandbox tokens=6000 chunk_delay=100ms]");
    let mut open = api.stream(&body).await?;
    open.next().await?.context("no event")?;
    let refused = api.get("/credits").await?;
    refused.error(429, "too_many_concurrent_requests")?;
    drop(open);
    eventually("the slot is given back", async || {
        Ok((api.get("/credits").await?.status == 200).then_some(()))
    })
    .await?;
    aio.finish().await
}

/// A test key of the account with more in its body.
async fn bound(aio: &Aio, account: &Account, more: Value) -> Result<Api> {
    let mut body = json!({ "name": "bound", "mode": "test" });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let path = format!("/admin/accounts/{}/keys", account.id);
    let made = aio.admin().post(&path, &body).await?.data(201)?;
    Ok(aio.api(made["key"].as_str()))
}
