//! Live keys, and a provider of our own that is as slow or as broken as the test wants.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Role, Sink};

use crate::say::{IMAGE, image};

const FULL: i64 = 100_000_000;

/// The program with this provider and one step at a time, and a live key with 100 credits.
async fn live(provider: &Sink, more: &[(&str, &str)]) -> Result<(Aio, Api)> {
    let url = provider.url("");
    let env = [
        ("BFL_API_KEY", "canary-of-the-provider"),
        ("AIO_PROVIDERS__BFL__BASE_URL", url.as_str()),
        ("AIO_LIMITS__MEDIA__MAX_STEPS", "1"),
    ];
    let aio = Aio::with(&[&env, more].concat()).await?;
    let api = aio.account(0).await?.live(100).await?;
    Ok((aio, api))
}

#[tokio::test]
async fn a_queued_task_can_be_cancelled_and_a_started_one_cannot() -> Result<()> {
    let provider = Sink::start(Answer::Hang).await?;
    let (mut aio, api) = live(&provider, &[]).await?;
    // Each media process takes one step at a time.
    let busy = aio.replicas(Role::Media);
    let started = api.image(&image("a fox")).await?;
    for _ in 1..busy {
        api.image(&image("a fox")).await?;
    }
    provider.wait_for(busy).await?;
    let queued = api.image(&image("a wolf")).await?;
    assert_eq!(api.task(&queued).await?["status"], "queued");
    let reply = api
        .post(&format!("/tasks/{queued}/cancel"), &Value::Null)
        .await?;
    let task = reply.data(200)?;
    assert_eq!(
        (&task["status"], &task["error"]["code"]),
        (&json!("failed"), &json!("cancelled"))
    );
    assert_eq!(task["consumed_microcredits"], 0);
    assert_eq!(api.task(&queued).await?, task);
    let again = api
        .post(&format!("/tasks/{queued}/cancel"), &Value::Null)
        .await?;
    assert_eq!(again.data(200)?, task, "it is answered as it is");
    let late = api
        .post(&format!("/tasks/{started}/cancel"), &Value::Null)
        .await?;
    late.error(409, "not_cancellable")?;
    let credits = testkit::eventually("the hold of the cancelled task ends", async || {
        let credits = api.credits().await?;
        Ok((credits.open_holds == i64::try_from(busy)?).then_some(credits))
    });
    assert_eq!(
        credits.await?.available,
        FULL - IMAGE * i64::try_from(busy)?
    );
    // What was cancelled never reaches the provider. The submit hangs on; stopping would wait for it.
    assert_eq!(provider.received().len(), busy);
    aio.kill()?;
    aio.finish().await
}

#[tokio::test]
async fn a_submit_whose_answer_is_lost_is_free_and_listed() -> Result<()> {
    let provider = Sink::start(Answer::Hang).await?;
    let (mut aio, api) = live(&provider, &[]).await?;
    let task = api.image(&image("a fox")).await?;
    provider.wait_for(1).await?;
    aio.kill()?;
    assert_eq!(
        aio.audit().await?["ok"],
        true,
        "the ledger holds while nothing runs"
    );
    aio.restart().await?;
    let ended = api.ended(&task).await?;
    assert_eq!(ended["error"]["code"], "submit_outcome_unknown", "{ended}");
    let credits = api.settled().await?;
    assert_eq!((credits.posted, credits.available), (FULL, FULL));
    assert_eq!(unknown(&aio).await?, [task]);
    assert_eq!(
        provider.received().len(),
        1,
        "it was not submitted a second time"
    );
    aio.finish().await
}

/// The tasks that `aio tasks unknown` lists.
pub(crate) async fn unknown(aio: &Aio) -> Result<Vec<String>> {
    let output = aio.command(&["tasks", "unknown", "--json"]).await?;
    let list: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let items = list["items"].as_array().context("no list")?;
    let ids = items.iter().filter_map(|item| item["task_id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

#[tokio::test]
async fn a_providers_refusal_of_our_account_is_ours() -> Result<()> {
    let provider = Sink::start(Answer::Status(402)).await?;
    let (aio, api) = live(&provider, &[]).await?;
    for status in [401, 402, 403] {
        provider.answer(Answer::Status(status));
        let id = api.image(&image("a fox")).await?;
        let task = api.ended(&id).await?;
        assert_eq!(task["error"]["code"], "upstream_failed", "{status}: {task}");
    }
    assert_eq!(api.settled().await?.posted, FULL);
    let received = provider.received();
    let keys: Vec<&str> = received.iter().map(|r| r.header("x-key")).collect();
    assert_eq!(keys, ["canary-of-the-provider"; 3]);
    assert!(!aio.stderr()?.contains("canary-of-the-provider"));
    aio.finish().await
}

#[tokio::test]
async fn a_provider_cannot_lead_us_inside() -> Result<()> {
    // The real policy: nothing is open. What a finished job names is fetched through the guard.
    let victim = Sink::start(Answer::Status(200)).await?;
    let provider = Sink::start(Answer::Status(500)).await?;
    let (aio, api) = live(&provider, &[("AIO_EGRESS__ALLOW", "")]).await?;
    let sample = json!({ "sample": victim.url("/secret.png") });
    provider.script([Answer::Json(json!({ "id": "job" }))]);
    provider.answer(Answer::Json(
        json!({ "id": "job", "status": "Ready", "result": sample }),
    ));
    let id = api.image(&image("a fox")).await?;
    let task = api.ended(&id).await?;
    assert_eq!(task["status"], "failed", "{task}");
    assert_eq!(victim.received().len(), 0);
    assert_eq!(api.settled().await?.posted, FULL);
    aio.finish().await
}
