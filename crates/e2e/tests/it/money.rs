//! Credit under many hands at once: never below zero, never twice.

use anyhow::{Context as _, Result};
use futures::future::{join_all, try_join};
use testkit::{Aio, Api, micros};

use crate::say::{IMAGE, UNHURRIED, chat, image};

/// Looks at the balance until `done`, at least once; it must never be below zero.
async fn watch(api: &Api, done: &std::cell::Cell<bool>) -> Result<usize> {
    let mut looks = 0;
    loop {
        let last = done.get();
        let credits = api.credits().await?;
        anyhow::ensure!(credits.available >= 0 && credits.held >= 0, "{credits:?}");
        looks += 1;
        if last {
            return Ok(looks);
        }
    }
}

#[tokio::test]
async fn a_hundred_at_once_with_credit_for_ten() -> Result<()> {
    let aio = Aio::with(&UNHURRIED).await?;
    let api = aio.account(50).await?.api;
    let done = std::cell::Cell::new(false);
    let submits = async {
        let body = image("a fox");
        let replies = join_all((0..100).map(|_| api.post("/images/generations", &body))).await;
        done.set(true);
        replies.into_iter().collect::<Result<Vec<_>>>()
    };
    let (replies, looks) = try_join(submits, watch(&api, &done)).await?;
    let mut accepted = Vec::new();
    let mut refused = 0;
    for reply in &replies {
        if reply.status == 202 {
            accepted.push(reply.data(202)?["task_id"].clone());
        } else {
            reply.error(402, "insufficient_credits")?;
            refused += 1;
        }
    }
    assert_eq!((accepted.len(), refused), (10, 90));
    assert!(looks > 0);
    assert_eq!(api.credits().await?.available, 0);
    for id in &accepted {
        let task = api.ended(id.as_str().context("no id")?).await?;
        assert_eq!(
            (&task["status"], &task["consumed_microcredits"]),
            (&"completed".into(), &IMAGE.into())
        );
    }
    let credits = api.settled().await?;
    assert_eq!((credits.posted, credits.held, credits.available), (0, 0, 0));
    aio.finish().await
}

#[tokio::test]
async fn many_chats_on_little_credit() -> Result<()> {
    let aio = Aio::with(&UNHURRIED).await?;
    // One chat asks for two and a half credits; with less, its answer is bounded; with next to nothing it is refused.
    let api = aio.account(5).await?.api;
    let done = std::cell::Cell::new(false);
    let chats = async {
        let body = chat("Hello [sandbox tokens=50 delay=300ms]");
        let replies = join_all((0..40).map(|_| api.post("/chat/completions", &body))).await;
        done.set(true);
        replies.into_iter().collect::<Result<Vec<_>>>()
    };
    let (replies, _) = try_join(chats, watch(&api, &done)).await?;
    let (mut served, mut consumed) = (0, 0);
    for reply in &replies {
        if reply.status == 200 {
            consumed += micros(&reply.json()?["credits_consumed"])?;
            served += 1;
        } else {
            reply.error(402, "insufficient_credits")?;
        }
    }
    assert!((2..40).contains(&served), "{served} of 40 were served");
    let credits = api.settled().await?;
    assert_eq!(credits.posted, 5_000_000 - consumed);
    assert_eq!(credits.available, credits.posted);
    aio.finish().await
}

#[tokio::test]
async fn gifts_spending_and_failures_at_once_add_up() -> Result<()> {
    let aio = Aio::with(&UNHURRIED).await?;
    let account = aio.account(200).await?;
    let (api, admin) = (&account.api, aio.admin());
    let path = format!("/admin/accounts/{}/credits", account.id);
    let gift = serde_json::json!({ "credits": 1, "mode": "test", "reason": "a gift" });
    let good = image("a fox [sandbox delay=100ms]");
    let bad = image("a fox [sandbox outcome=fail delay=100ms]");
    let gifts = join_all((0..20).map(|_| admin.post(&path, &gift)));
    let goods = join_all((0..20).map(|_| api.image(&good)));
    let bads = join_all((0..20).map(|_| api.image(&bad)));
    let (gifts, goods, bads) = tokio::join!(gifts, goods, bads);
    for gift in gifts {
        gift?.data(200)?;
    }
    for (ids, status) in [(goods, "completed"), (bads, "failed")] {
        for id in ids {
            assert_eq!(api.ended(&id?).await?["status"], status);
        }
    }
    assert_eq!(api.settled().await?.posted, 220_000_000 - 20 * IMAGE);
    aio.finish().await
}

#[tokio::test]
async fn an_answer_is_bounded_by_what_is_there() -> Result<()> {
    let aio = Aio::start().await?;
    // Enough for some 300 tokens, and not for the 8192 that a request may otherwise have.
    let api = aio.account(serde_json::json!(0.1)).await?.api;
    let body = chat("Hello [sandbox tokens=5000 chunk_delay=0ms]");
    let answer = api.post("/chat/completions", &body).await?.json()?;
    assert_eq!(answer["choices"][0]["finish_reason"], "length", "{answer}");
    let tokens = answer["usage"]["completion_tokens"]
        .as_i64()
        .context("no usage")?;
    assert!((256..334).contains(&tokens), "{tokens}");
    let credits = api.credits().await?;
    assert!((0..100_000).contains(&credits.available), "{credits:?}");
    let poor = api.post("/chat/completions", &body).await?;
    poor.error(402, "insufficient_credits")?;
    aio.finish().await
}
