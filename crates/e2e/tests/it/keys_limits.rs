//! Limits of keys and accounts: equal on every paid route, and right with one process and with three.

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{Account, Aio, Api, eventually};

use crate::{
    say::{IMAGE, chat, image},
    songs::{silence, sung},
    uploads::upload,
};

/// A request to every paid route. That none is missing, the edge's tests see.
fn paid() -> Result<Vec<(String, Value)>> {
    let list: Value =
        serde_json::from_str(include_str!("../../../../services/edge/tests/it/paid.json"))?;
    let calls = list.as_array().context("no list")?.iter();
    let call = |call: &Value| Some((call["path"].as_str()?.to_owned(), call["body"].clone()));
    calls.map(|each| call(each).context("no call")).collect()
}

/// A key of the account with more in its body.
async fn bound(aio: &Aio, account: &Account, more: Value) -> Result<Api> {
    let mut body = json!({ "name": "bound", "mode": "test" });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let path = format!("/admin/accounts/{}/keys", account.id);
    let made = aio.admin().post(&path, &body).await?.data(201)?;
    Ok(aio.api(made["key"].as_str()))
}

/// What an account has that some of these requests name, by the words of the list.
async fn own(api: &Api) -> Result<Vec<(&'static str, Value)>> {
    let song = sung(api, "").await?;
    let sound = upload(api, "a.wav", &silence(10)).await?;
    Ok(vec![
        ("$song", song["task_id"].clone()),
        ("$clip", song["output"][0]["id"].clone()),
        ("$sound", json!(sound)),
    ])
}

async fn all_refuse(api: &Api, own: &[(&str, Value)], refusal: (u16, &str)) -> Result<()> {
    let (status, code) = refusal;
    for (path, mut body) in paid()? {
        for value in body.as_object_mut().context("no body")?.values_mut() {
            let meant = own.iter().find(|(word, _)| value == word);
            if let Some((_, meant)) = meant {
                *value = meant.clone();
            }
        }
        let reply = api.post(&path, &body).await?;
        reply.error(status, code).with_context(|| path.clone())?;
        ensure!(
            (status == 429) == reply.headers.contains_key("retry-after"),
            "{path}: {reply}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_paid_route_holds_credit_and_has_limits() -> Result<()> {
    let aio = Aio::start().await?;
    // All that it has goes into a song.
    let poor = aio.account(5).await?;
    let has = own(&poor.api).await?;
    poor.api.settled().await?;
    all_refuse(&poor.api, &has, (402, "insufficient_credits")).await?;

    let account = aio.account(1_000).await?;
    let has = own(&account.api).await?;
    let slow = bound(&aio, &account, json!({ "rpm": 1 })).await?;
    slow.get("/models").await?.json()?;
    all_refuse(&slow, &has, (429, "rate_limited")).await?;

    let narrow = bound(&aio, &account, json!({ "concurrency": 1 })).await?;
    let body = chat("Hello [sandbox tokens=6000 chunk_delay=100ms]");
    let mut open = narrow.stream(&body).await?;
    open.next().await?.context("no event")?;
    all_refuse(&narrow, &has, (429, "too_many_concurrent_requests")).await?;
    drop(open);
    account.api.settled().await?;
    for account in [&poor, &account] {
        assert_eq!(account.api.credits().await?.open_holds, 0);
    }
    aio.finish().await
}

#[tokio::test]
async fn an_accounts_limits_hold_for_its_keys_together() -> Result<()> {
    let aio = Aio::with(&[
        ("AIO_LIMITS__RATES__ACCOUNT_PER_MINUTE", "12"),
        ("AIO_LIMITS__RATES__ACCOUNT_CONCURRENCY", "3"),
    ])
    .await?;
    let account = aio.account(1_000).await?;
    let keys = [
        bound(&aio, &account, json!({})).await?,
        bound(&aio, &account, json!({})).await?,
        bound(&aio, &account, json!({ "rpm": 600 })).await?,
    ];
    let body = chat("Hello [sandbox tokens=6000 chunk_delay=100ms]");
    let mut open = Vec::new();
    for key in &keys {
        let mut stream = key.stream(&body).await?;
        stream.next().await?.context("no event")?;
        open.push(stream);
    }
    for key in &keys {
        let refused = key.get("/credits").await?;
        let error = refused.error(429, "too_many_concurrent_requests")?;
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("this account"), "{message}");
    }
    drop(open);
    // Three of the twelve are used: what was refused does not count, however often.
    let mut served = 0;
    eventually("the account's rate is used up", async || {
        let key = &keys[served % keys.len()];
        let reply = key.get("/credits").await?;
        if reply.status == 200 {
            served += 1;
            assert_eq!(reply.header("x-ratelimit-limit-requests"), "12");
            return Ok(None);
        }
        let refused = reply.json()?["error"]["code"] == "rate_limited";
        Ok(refused.then_some(()))
    })
    .await?;
    // On a slow machine one or two more have become due meanwhile: one every five seconds.
    assert!((9..=11).contains(&served), "{served}");
    let other = aio.account(10).await?;
    other.api.credits().await?;
    aio.finish().await
}

#[tokio::test]
async fn a_key_has_its_open_tasks() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(1_000).await?;
    let key = bound(&aio, &account, json!({ "max_open_tasks": 3 })).await?;
    let body = image("a fox [sandbox delay=3s]");
    let replies = join_all((0..20).map(|_| key.post("/images/generations", &body))).await;
    let mut tasks = Vec::new();
    for reply in replies {
        let reply = reply?;
        if reply.status == 202 {
            tasks.push(
                reply.data(202)?["task_id"]
                    .as_str()
                    .context("no task_id")?
                    .to_owned(),
            );
        } else {
            reply.error(429, "too_many_open_tasks")?;
            assert_eq!(reply.header("retry-after"), "1");
        }
    }
    assert_eq!(tasks.len(), 3);
    let credits = account.api.credits().await?;
    assert_eq!((credits.open_holds, credits.held), (3, 3 * IMAGE));
    // Another key of the account is not concerned.
    account
        .api
        .image(&image("a fox [sandbox delay=0s]"))
        .await?;
    for task in &tasks {
        assert_eq!(key.ended(task).await?["status"], "completed");
    }
    key.image(&body).await?;
    account.api.settled().await?;
    aio.finish().await
}

#[tokio::test]
async fn an_account_has_its_open_tasks() -> Result<()> {
    let aio = Aio::with(&[("AIO_LIMITS__MEDIA__SUBMIT__MAX_OPEN_TASKS", "2")]).await?;
    let account = aio.account(1_000).await?;
    let keys = [
        account.api.clone(),
        bound(&aio, &account, json!({ "max_open_tasks": 100 })).await?,
    ];
    let body = image("a fox [sandbox delay=3s]");
    let replies = join_all((0..10).map(|n| keys[n % 2].post("/images/generations", &body))).await;
    let mut accepted = 0;
    for reply in replies {
        let reply = reply?;
        if reply.status == 202 {
            accepted += 1;
        } else {
            reply.error(429, "too_many_open_tasks")?;
        }
    }
    assert_eq!(accepted, 2);
    aio.account(10).await?.api.image(&image("a fox")).await?;
    account.api.settled().await?;
    aio.finish().await
}
