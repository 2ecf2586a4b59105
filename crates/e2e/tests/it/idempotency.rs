//! `Idempotency-Key`: one effect, however often it is asked for.

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use testkit::{Aio, Api, Reply, eventually};

use crate::say::{IMAGE, UNHURRIED, image};

const FULL: i64 = 100_000_000;

async fn submit(api: &Api, key: &str, prompt: &str) -> Result<Reply> {
    let headers = [("idempotency-key", key)];
    api.post_with("/images/generations", &headers, &image(prompt))
        .await
}

#[tokio::test]
async fn the_same_request_gives_the_same_task() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let first = submit(&api, "one", "a fox [sandbox delay=0s]").await?;
    let id = first.data(202)?["task_id"].clone();
    assert_eq!(first.header("idempotent-replayed"), "");
    let again = submit(&api, "one", "a fox [sandbox delay=0s]").await?;
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = submit(&api, "one", "a wolf").await?;
    other.error(422, "idempotency_mismatch")?;
    let fresh = submit(&api, "two", "a fox [sandbox delay=0s]").await?;
    assert_ne!(fresh.data(202)?["task_id"], id);
    // Another account's key of the same name is another key.
    let stranger = aio.account(100).await?.api;
    let theirs = submit(&stranger, "one", "a wolf [sandbox delay=0s]").await?;
    assert_ne!(theirs.data(202)?["task_id"], id);
    // Before the crash: one that met a paid submit would leave its outcome unknown, and the task free.
    for task in [id, fresh.data(202)?["task_id"].clone()] {
        api.ended(task.as_str().context("no task")?).await?;
    }
    aio.restart().await?;
    let later = submit(&api, "one", "a fox [sandbox delay=0s]").await?;
    assert_eq!(later.body, first.body, "it holds across a crash");
    assert_eq!(api.settled().await?.posted, FULL - 2 * IMAGE);
    aio.finish().await
}

#[tokio::test]
async fn fifty_at_once_make_one_task_and_one_hold() -> Result<()> {
    let aio = Aio::with(&UNHURRIED).await?;
    let api = aio.account(100).await?.api;
    let prompt = "a fox [sandbox delay=1h]";
    let replies = try_join_all((0..50).map(|_| submit(&api, "one", prompt))).await?;
    let mut ids = Vec::new();
    for reply in &replies {
        if reply.status == 202 {
            ids.push(reply.data(202)?["task_id"].to_string());
        } else {
            reply.error(409, "idempotency_in_progress")?;
            assert!(
                reply.header("retry-after").parse::<u32>().is_ok(),
                "{reply}"
            );
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let credits = api.credits().await?;
    assert_eq!((credits.held, credits.open_holds), (IMAGE, 1));
    aio.finish().await
}

#[tokio::test]
async fn a_refusal_frees_the_key() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(4).await?;
    let api = &account.api;
    let poor = submit(api, "one", "a fox [sandbox delay=0s]").await?;
    poor.error(402, "insufficient_credits")?;
    let body = serde_json::json!({ "credits": 6, "mode": "test", "reason": "more" });
    let path = format!("/admin/accounts/{}/credits", account.id);
    aio.admin().post(&path, &body).await?.data(200)?;
    // Another body, too: nothing is left of the refused request.
    let rich = submit(api, "one", "a wolf [sandbox delay=0s]").await?;
    rich.data(202)?;
    let wrong = submit(api, "two", "a").await?;
    wrong.error(400, "invalid_parameter")?;
    submit(api, "two", "a bear [sandbox delay=0s]")
        .await?
        .data(202)?;
    let spent = eventually("both are done", async || {
        let credits = api.credits().await?;
        Ok((credits.open_holds == 0).then_some(credits))
    });
    assert_eq!(spent.await?.posted, 0);
    aio.finish().await
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for key in ["", &"k".repeat(256)] {
        let reply = submit(&api, key, "a fox").await?;
        let error = reply.error(400, "invalid_parameter")?;
        assert_eq!(error["param"], "Idempotency-Key");
    }
    assert_eq!(api.credits().await?.open_holds, 0);
    aio.finish().await
}
