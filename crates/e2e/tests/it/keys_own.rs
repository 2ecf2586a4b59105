//! Keys as customers manage them: their own, never more than they have; rotated without a seam; and by the operator's command.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testkit::{Account, Aio, Api, Reply};

use crate::say::image;

async fn change(api: &Api, method: &str, path: &str, body: &Value) -> Result<Reply> {
    let json = [("content-type", "application/json")];
    api.send(method.parse()?, path, &json, body.to_string())
        .await
}

/// A key of the caller's own: its id and itself.
async fn make(api: &Api, body: &Value) -> Result<(String, String)> {
    let made = api.post("/keys", body).await?.data(201)?;
    Ok((text(&made, "key_id")?, text(&made, "key")?))
}

fn text(data: &Value, name: &str) -> Result<String> {
    let text = data[name].as_str();
    Ok(text.with_context(|| format!("no {name}"))?.to_owned())
}

async fn items(api: &Api) -> Result<Vec<Value>> {
    let data = api.get("/keys").await?.data(200)?;
    Ok(data["items"].as_array().context("no items")?.clone())
}

/// Waits until every process knows that a key opens nothing.
async fn dead(api: &Api) -> Result<()> {
    api.everywhere("the key is dead", async || {
        Ok(api.get("/credits").await?.status == 401)
    })
    .await
}

/// What became of a key, and which request revoked it, is told to its account and to the operator.
async fn logged(
    aio: &Aio,
    account: &Account,
    (id, key, request): (&str, &str, &str),
) -> Result<()> {
    let log = account.api.get("/audit-log?limit=4").await?.data(200)?;
    let log = log["items"].as_array().context("no list")?;
    let actions: Vec<_> = log.iter().map(|row| row["action"].as_str()).collect();
    let changes = ["key.revoke", "key.update", "key.update", "key.create"];
    assert_eq!(actions, changes.map(Some));
    assert!(log.iter().all(|row| row["subject"] == id));
    assert_eq!(
        (log[0]["request_id"].as_str(), &log[0]["detail"]),
        (Some(request), &json!({}))
    );
    let told = aio.command(&["accounts", "log", &account.id]).await?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("key.revoke") && !told.contains(key), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_customer_makes_lists_changes_and_revokes_keys() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(10).await?;
    let body = json!({
        "name": "ci", "scopes": ["read"], "models": ["flux-2"], "caps": {"day": 1.5, "month": 0.25}, "rpm": 600,
        "concurrency": 5, "max_open_tasks": 2, "ip_allow": ["127.0.0.1"], "expires_at": "2100-01-01T00:00:00Z",
    });
    let (id, key) = make(&account.api, &body).await?;
    assert!(key.starts_with("aio_test_"), "as its maker's mode");
    let api = aio.api(Some(&key));
    api.credits().await?;
    let listed = items(&account.api).await?;
    assert_eq!(listed.len(), 2, "{listed:?}");
    let shown = &listed[1];
    for (name, value) in body.as_object().into_iter().flatten() {
        if name != "caps" {
            assert_eq!(shown[name], *value, "{name}");
        }
    }
    assert_eq!(
        shown["caps"],
        json!({"day": 1.5, "month": 0.25, "total": null})
    );
    assert_eq!(shown["spent"], json!({"day": 0, "month": 0, "total": 0}));
    assert_eq!(shown["last_four"], key[key.len() - 4..]);
    let whole = account.api.get("/keys").await?.to_string();
    assert!(!whole.contains(&key[9..45]), "a key is shown once");

    let path = format!("/keys/{id}");
    let changed = json!({"name": "server", "caps": {"month": null, "total": 7}, "rpm": null, "expires_at": null});
    let after = change(&account.api, "PATCH", &path, &changed)
        .await?
        .data(200)?;
    assert_eq!(
        after["caps"],
        json!({"day": 1.5, "month": null, "total": 7})
    );
    assert_eq!(
        (&after["name"], &after["rpm"]),
        (&json!("server"), &json!(null))
    );
    assert_eq!(items(&account.api).await?[1], after);
    let bound = json!({"ip_allow": ["10.0.0.0/8"]});
    change(&account.api, "PATCH", &path, &bound)
        .await?
        .data(200)?;
    api.everywhere("the change is seen", async || {
        Ok(api.get("/credits").await?.status == 403)
    })
    .await?;

    let gone = account.api.send(Method::DELETE, &path, &[], "").await?;
    let request = gone.header("x-request-id").to_owned();
    assert_eq!(gone.data(200)?, json!({"key_id": id, "revoked": true}));
    dead(&api).await?;
    logged(&aio, &account, (&id, &key, &request)).await?;
    assert_eq!(items(&account.api).await?.len(), 1);
    let late = change(&account.api, "PATCH", &path, &json!({})).await?;
    late.error(404, "not_found")?;
    aio.finish().await
}

#[tokio::test]
async fn nobody_hands_out_more_than_they_have() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(10).await?;
    let asked = json!({"name": "k", "scopes": ["inference", "admin"]});
    let error = account
        .api
        .post("/keys", &asked)
        .await?
        .error(403, "missing_scope")?;
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("`admin`"), "{message}");
    let (narrow, _) = account.key("test", &["manage"]).await?;
    narrow
        .post("/keys", &json!({"name": "k"}))
        .await?
        .error(403, "missing_scope")?;
    let (id, _) = make(&account.api, &json!({"name": "k"})).await?;
    for (method, path) in [
        ("POST", format!("/keys/{id}/rotate")),
        ("PATCH", format!("/keys/{id}")),
    ] {
        let refused = change(&narrow, method, &path, &json!({})).await?;
        refused.error(403, "missing_scope")?;
    }
    let without = account.key("test", &["inference", "read"]).await?.0;
    without.get("/keys").await?.error(403, "missing_scope")?;
    aio.finish().await
}

#[tokio::test]
async fn anothers_key_and_an_unknown_one_are_alike() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(10).await?;
    let stranger = aio.account(10).await?;
    let live = account.live(1).await?;
    let (id, key) = make(&account.api, &json!({"name": "k"})).await?;
    for (method, rest) in [("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")] {
        let mut answers = BTreeSet::new();
        for (api, id) in [
            (&stranger.api, id.as_str()),
            (&live, id.as_str()),
            (&account.api, "key_01h455vb4pex5vsknk084sn02q"),
            (&account.api, "key_nonsense"),
        ] {
            let reply = change(api, method, &format!("/keys/{id}{rest}"), &json!({})).await?;
            let request_id = reply.header("x-request-id").to_owned();
            answers.insert(reply.to_string().replace(&request_id, "ID"));
        }
        ensure!(answers.len() == 1, "{method}{rest}: {answers:?}");
        ensure!(
            answers.iter().all(|answer| answer.starts_with("404")),
            "{answers:?}"
        );
    }
    for other in [&stranger.api, &live] {
        let listed = items(other).await?;
        assert!(
            listed.iter().all(|key| key["key_id"] != id.as_str()),
            "{listed:?}"
        );
    }
    aio.api(Some(&key)).credits().await?;
    aio.finish().await
}

#[tokio::test]
async fn a_rotated_key_goes_on_with_another_secret() -> Result<()> {
    let mut aio = Aio::start().await?;
    let account = aio.account(10).await?;
    let (id, first) = make(&account.api, &json!({"name": "k", "caps": {"total": 5}})).await?;
    let path = format!("/keys/{id}/rotate");
    let rotate = async |body: Value| -> Result<(String, Value)> {
        let data = account.api.post(&path, &body).await?.data(200)?;
        ensure!(data["key_id"] == id.as_str(), "{data}");
        Ok((text(&data, "key")?, data["previous_expires_at"].clone()))
    };
    let (second, until) = rotate(json!({"overlap": "1h"})).await?;
    assert!(until.is_string());
    let api = |key: &str| aio.api(Some(key));
    let (one, two) = (api(&first), api(&second));
    one.credits().await?;
    two.credits().await?;
    let shown = items(&account.api).await?.remove(1);
    assert_eq!(shown["key_id"], id.as_str());
    assert_eq!(shown["last_four"], second[second.len() - 4..]);
    assert_eq!(shown["previous"]["last_four"], first[first.len() - 4..]);
    assert_eq!(shown["caps"]["total"], 5);

    let (third, _) = rotate(json!({"overlap": "1h"})).await?;
    let three = api(&third);
    dead(&one).await?;
    two.credits().await?;
    three.credits().await?;
    let (fourth, until) = rotate(json!({})).await?;
    let four = api(&fourth);
    assert!(until.is_null());
    dead(&two).await?;
    dead(&three).await?;
    four.credits().await?;
    for wrong in [json!({"overlap": "31d"}), json!({"overlap": "soon"})] {
        let error = account
            .api
            .post(&path, &wrong)
            .await?
            .error(400, "invalid_parameter")?;
        assert_eq!(error["param"], "overlap");
    }
    aio.restart().await?;
    three.get("/credits").await?.error(401, "invalid_key")?;
    four.credits().await?;
    aio.finish().await
}

#[tokio::test]
async fn what_a_key_has_spent_counts_whatever_its_secret() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(1_000).await?;
    let (id, first) = make(
        &account.api,
        &json!({"name": "k", "scopes": ["inference", "read"], "caps": {"total": 12}}),
    )
    .await?;
    let fox = image("a fox [sandbox delay=0s]");
    let old = aio.api(Some(&first));
    old.ended(&old.image(&fox).await?).await?;
    let rotated = account
        .api
        .post(&format!("/keys/{id}/rotate"), &json!({"overlap": "1h"}))
        .await?;
    let new = aio.api(Some(&text(&rotated.data(200)?, "key")?));
    new.ended(&new.image(&fox).await?).await?;
    account.api.settled().await?;
    for api in [&old, &new] {
        let refused = api.post("/images/generations", &fox).await?;
        refused.error(402, "key_cap_exceeded")?;
    }
    let shown = items(&account.api).await?.remove(1);
    assert_eq!(shown["spent"], json!({"day": 10, "month": 10, "total": 10}));
    let raised = json!({"caps": {"total": 15}});
    change(&account.api, "PATCH", &format!("/keys/{id}"), &raised)
        .await?
        .data(200)?;
    old.image(&fox).await?;
    account.api.settled().await?;
    aio.finish().await
}

#[tokio::test]
async fn an_operator_does_the_same_by_command() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(10).await?;
    let made = run(
        &aio,
        &[
            "keys",
            "create",
            &account.id,
            "--mode",
            "test",
            "--cap-day",
            "0.000001",
            "--max-open-tasks",
            "3",
        ],
    )
    .await?;
    let (id, key) = (text(&made, "key_id")?, text(&made, "key")?);
    let api = aio.api(Some(&key));
    api.credits().await?;
    let shown = listed(&aio, &account, &id).await?;
    // A JSON library would make a float of it.
    let caps = aio
        .command(&["keys", "list", &account.id, "--json"])
        .await?;
    let caps = String::from_utf8_lossy(&caps.stdout).into_owned();
    assert!(caps.contains("0.000001") || caps.contains("1e-6"), "{caps}");
    assert_eq!(
        (&shown["mode"], &shown["max_open_tasks"]),
        (&json!("test"), &json!(3))
    );
    let updated = run(
        &aio,
        &[
            "keys",
            "update",
            &id,
            "--name",
            "renamed",
            "--cap-day",
            "none",
            "--cap-total",
            "2.5",
            "--rpm",
            "7",
        ],
    )
    .await?;
    assert_eq!(
        updated["caps"],
        json!({"day": null, "month": null, "total": 2.5})
    );
    assert_eq!(
        (&updated["name"], &updated["rpm"]),
        (&json!("renamed"), &json!(7))
    );
    let rotated = run(&aio, &["keys", "rotate", &id, "--overlap", "24h"]).await?;
    let new = aio.api(Some(&text(&rotated, "key")?));
    new.credits().await?;
    api.credits().await?;
    run(&aio, &["keys", "revoke", &id]).await?;
    dead(&api).await?;
    dead(&new).await?;
    let wrong = aio
        .command(&["keys", "update", "key_nonsense", "--rpm", "1"])
        .await?;
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("no such key"));
    aio.finish().await
}

#[tokio::test]
async fn a_command_rotates_a_key_when_nothing_runs() -> Result<()> {
    let mut aio = Aio::start().await?;
    let account = aio.account(10).await?;
    aio.stop().await?;
    let made = run(&aio, &["keys", "create", &account.id, "--mode", "test"]).await?;
    let rotated = run(&aio, &["keys", "rotate", &text(&made, "key_id")?]).await?;
    aio.restart().await?;
    let (old, new) = (text(&made, "key")?, text(&rotated, "key")?);
    let refused = aio.api(Some(&old)).get("/credits").await?;
    refused.error(401, "invalid_key")?;
    aio.api(Some(&new)).credits().await?;
    aio.finish().await
}

/// What a command says to machines.
async fn run(aio: &Aio, words: &[&str]) -> Result<Value> {
    let words = [words, &["--json"]].concat();
    let output = aio.command(&words).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{words:?}: {said}{why}");
    serde_json::from_str(&said).with_context(|| format!("{words:?}: {said}"))
}

async fn listed(aio: &Aio, account: &Account, id: &str) -> Result<Value> {
    let list = run(aio, &["keys", "list", &account.id]).await?;
    let items = list["items"].as_array().into_iter().flatten();
    let mut found = items.filter(|key| key["key_id"] == id);
    found
        .next()
        .cloned()
        .with_context(|| format!("{id} is not in {list}"))
}
