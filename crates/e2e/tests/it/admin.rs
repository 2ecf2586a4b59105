//! What an operator does over HTTP: accounts, credits, keys, the audit.

use anyhow::Result;
use serde_json::{Value, json};
use testkit::Aio;

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
        .send(http::Method::POST, &path, &[], smallest)
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
        let reply = aio
            .admin()
            .send(http::Method::POST, &path, &[], body)
            .await?;
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
