//! What an operator does over HTTP: accounts, credits, keys, the audit.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Answer, Sink, eventually};

use crate::{
    say::image_calling,
    uploads::{PNG, upload},
};

#[tokio::test]
async fn credits_are_given_and_taken_and_never_below_zero() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(json!(10.5)).await?;
    let admin = aio.admin();
    let path = format!("/admin/accounts/{}/credits", account.id);
    let book = async |credits: Value, mode: &str| {
        let body = json!({ "credits": credits, "mode": mode, "reason": "a test" });
        admin.post(&path, &body).await
    };
    assert_eq!(account.api.credits().await?.posted, 10_500_000);
    // The smallest amount, written as people write it; a JSON library would make 1e-6 of it.
    let smallest = r#"{"credits":0.000001,"mode":"test","reason":"a test"}"#;
    let balance = admin
        .send(Method::POST, &path, &[], smallest)
        .await?
        .data(200)?;
    assert_eq!(balance["posted_microcredits"], 10_500_001);
    assert_eq!(balance["account_id"], account.id.as_str());
    let balance = book(json!(-10), "test").await?.data(200)?;
    assert_eq!(balance["available_microcredits"], 500_001);
    for taken in [json!(-0.500_002), json!(-1), json!(-1_000_000)] {
        book(taken, "test")
            .await?
            .error(402, "insufficient_credits")?;
    }
    // The other balance of the account is another balance.
    book(json!(-0.1), "live")
        .await?
        .error(402, "insufficient_credits")?;
    assert_eq!(
        book(json!(3), "live").await?.data(200)?["posted_microcredits"],
        3_000_000
    );
    assert_eq!(account.api.credits().await?.posted, 500_001);
    aio.finish().await
}

#[tokio::test]
async fn what_is_no_amount_is_refused() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(1).await?;
    let path = format!("/admin/accounts/{}/credits", account.id);
    for amount in [
        "\"5\"",
        "1e309",
        "NaN",
        "0",
        "0.0000001",
        "9223372036854775807",
        "-9223372036854775808",
        "null",
        "true",
        "[1]",
    ] {
        let body = format!(r#"{{"credits":{amount},"mode":"test","reason":"a test"}}"#);
        let reply = aio.admin().send(Method::POST, &path, &[], body).await?;
        assert_eq!(reply.status, 400, "{amount}: {reply}");
    }
    let body = json!({ "credits": 1, "mode": "play", "reason": "", "why": 1 });
    let error = aio
        .admin()
        .post(&path, &body)
        .await?
        .error(400, "invalid_parameter")?;
    assert_eq!(
        error["violations"].as_array().map(Vec::len),
        Some(3),
        "{error}"
    );
    assert_eq!(account.api.credits().await?.posted, 1_000_000);
    aio.finish().await
}

#[tokio::test]
async fn a_repeated_gift_is_given_once() -> Result<()> {
    let mut aio = Aio::start().await?;
    let account = aio.account(0).await?;
    let path = format!("/admin/accounts/{}/credits", account.id);
    let admin = aio.admin();
    let give = async |credits: i64, key: &str| {
        let body = json!({ "credits": credits, "mode": "test", "reason": "order 7" });
        admin
            .post_with(&path, &[("idempotency-key", key)], &body)
            .await
    };
    let gifts = (0..20).map(|_| give(10, "order-7"));
    for gift in futures::future::try_join_all(gifts).await? {
        gift.data(200)?;
    }
    assert_eq!(account.api.credits().await?.posted, 10_000_000);
    give(11, "order-7")
        .await?
        .error(422, "idempotency_mismatch")?;
    aio.restart().await?;
    give(10, "order-7").await?.data(200)?;
    assert_eq!(account.api.credits().await?.posted, 10_000_000);
    give(10, "order-8").await?.data(200)?;
    assert_eq!(account.api.credits().await?.posted, 20_000_000);
    aio.finish().await
}

#[tokio::test]
async fn accounts_are_made_and_listed() -> Result<()> {
    let aio = Aio::start().await?;
    let admin = aio.admin();
    let made = admin
        .post("/admin/accounts", &json!({ "name": "Ödön & Söhne" }))
        .await?
        .data(201)?;
    let list = admin.get("/admin/accounts").await?.data(200)?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let found = items
        .iter()
        .find(|item| item["account_id"] == made["account_id"]);
    assert_eq!(
        found.map(|item| &item["name"]),
        Some(&made["name"]),
        "{list}"
    );
    let first = admin.get("/admin/accounts?limit=1").await?.data(200)?;
    let cursor = first["next_cursor"].as_str().unwrap_or_default();
    let next = admin
        .get(&format!("/admin/accounts?limit=1&cursor={cursor}"))
        .await?
        .data(200)?;
    assert_ne!(first["items"], next["items"]);
    for body in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": "a", "test_credits": -1 }),
        json!({ "name": "a", "x": 1 }),
    ] {
        let reply = admin.post("/admin/accounts", &body).await?;
        assert_eq!(reply.status, 400, "{body}: {reply}");
    }
    let nowhere = format!("/admin/accounts/acct_{}/keys", "0".repeat(26));
    let body = json!({ "name": "a", "mode": "test" });
    admin.post(&nowhere, &body).await?.error(404, "not_found")?;
    aio.finish().await
}

#[tokio::test]
async fn the_audit_is_told_with_its_figures() -> Result<()> {
    let aio = Aio::start().await?;
    aio.account(10).await?;
    let over_http = aio.admin().get("/admin/ledger/audit").await?.data(200)?;
    assert_eq!(over_http["ok"], true);
    let checks = over_http["checks"].as_array().cloned().unwrap_or_default();
    assert!(checks.len() > 5, "{over_http}");
    for check in &checks {
        assert!(
            check["name"].is_string() && check["figure"].is_i64(),
            "{check}"
        );
        assert_eq!(check["ok"], true, "{check}");
    }
    assert_eq!(aio.audit().await?, over_http, "the command says the same");
    aio.finish().await
}

#[tokio::test]
async fn an_operator_sees_what_a_customer_was_told_of_a_task() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(503)).await?;
    let url = sink.url("/hook?secret=1");
    let task = api
        .image(&image_calling("a fox [sandbox delay=0s]", &url))
        .await?;
    let told = sink.wait_for(1).await?.pop().context("nothing")?;
    let admin = aio.admin();
    let path = format!("/admin/tasks/{task}");
    let story = eventually("an attempt that failed", async || {
        let story = admin.get(&path).await?.data(200)?;
        let delivery = &story["deliveries"][0];
        Ok((delivery["last_status"] == 503 && delivery["state"] == "due").then_some(story))
    })
    .await?;
    let delivery = &story["deliveries"][0];
    for (field, value) in [
        ("event_id", json!(told.header("webhook-id"))),
        ("type", json!("task.completed")),
        ("endpoint_id", Value::Null),
        ("ended_at", Value::Null),
    ] {
        ensure!(delivery[field] == value, "{delivery}");
    }
    ensure!(delivery["attempts"].as_u64() >= Some(1), "{delivery}");
    ensure!(delivery["next_at"].is_string(), "{delivery}");
    ensure!(!story.to_string().contains("secret"), "{story}");
    let shown = aio.command(&["tasks", "show", &task, "--json"]).await?;
    let shown: Value = serde_json::from_slice(&shown.stdout)?;
    let event = &shown["deliveries"][0]["event_id"];
    ensure!(*event == delivery["event_id"], "{shown}");
    let shown = aio.command(&["tasks", "show", &task]).await?;
    let shown = String::from_utf8(shown.stdout)?;
    let line = format!(
        "{}: task.completed to its callback_url: ",
        told.header("webhook-id")
    );
    ensure!(shown.contains(&line), "{shown}");
    aio.finish().await
}

#[tokio::test]
async fn an_account_keeps_its_files_as_long_as_an_operator_says() -> Result<()> {
    let aio = Aio::start().await?;
    let (account, other) = (aio.account(100).await?, aio.account(100).await?);
    let api = &account.api;
    let admin = aio.admin();
    let path = format!("/admin/accounts/{}/retention", account.id);
    let put = async |said: &Value| admin.send(Method::PUT, &path, &[], said.to_string()).await;
    let said = admin.get(&path).await?.data(200)?;
    ensure!(said["outputs_seconds"].is_null() && said["files_seconds"].is_null());
    let image = json!({ "model": "flux-2", "prompt": "a fox [sandbox delay=0s]" });
    let before = api.ended(&api.image(&image).await?).await?;
    let kept = upload(api, "a.png", PNG).await?;

    for wrong in [
        json!({ "outputs": "long" }),
        json!({ "outputs": "500ms" }),
        json!({ "files": 7 }),
        json!({ "files": "9000d" }),
        json!({ "colour": "red" }),
    ] {
        let refused = put(&wrong).await?;
        ensure!(refused.status == 400, "{wrong}: {refused}");
    }
    let words = [
        "accounts",
        "retention",
        &account.id,
        "--outputs",
        "5s",
        "--files",
        "5s",
    ];
    let said = aio.command(&words).await?;
    let shown = String::from_utf8(said.stdout)?;
    ensure!(shown.contains("outputs_seconds: 5"), "{shown}");
    let said = admin.get(&path).await?.data(200)?;
    ensure!(
        said["outputs_seconds"] == 5 && said["files_seconds"] == 5,
        "{said}"
    );

    // What comes from now on goes soon; its links die with it, and what was there before stays, as do those of others.
    let soon = api.ended(&api.image(&image).await?).await?;
    let link = soon["response"][0].as_str().context("no link")?;
    let (_, link) = link.split_once("/api/v1").context("not ours")?;
    let file = upload(api, "b.png", PNG).await?;
    let nobody = aio.api(None);
    let gone = async |path: &str| anyhow::Ok(nobody.get(path).await?.status == 404);
    eventually("the output's link is dead", async || {
        Ok(gone(link).await?.then_some(()))
    })
    .await?;
    eventually("the file is gone", async || {
        let found = api.get(&format!("/files/{file}")).await?;
        Ok((found.status == 404).then_some(()))
    })
    .await?;
    let id = before["task_id"].as_str().context("no id")?;
    ensure!(api.get(&format!("/tasks/{id}/files/0")).await?.status == 200);
    ensure!(api.get(&format!("/files/{kept}")).await?.status == 200);
    let theirs = other.api.ended(&other.api.image(&image).await?).await?;
    let days = |task: &Value| task["output"][0]["expires_at"].as_str().map(str::to_owned);
    ensure!(days(&theirs) > days(&before), "{theirs}");

    // What is not named stays as it was.
    let said = put(&json!({ "files": null })).await?.data(200)?;
    ensure!(said["outputs_seconds"] == 5 && said["files_seconds"].is_null());
    let said = put(&json!({ "outputs": null })).await?.data(200)?;
    ensure!(said["outputs_seconds"].is_null() && said["files_seconds"].is_null());
    let after = api.ended(&api.image(&image).await?).await?;
    ensure!(days(&after) > days(&before), "{after}");
    aio.finish().await
}
