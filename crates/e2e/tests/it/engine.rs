//! A task while a provider has it, as its customer sees it: cancelled there, or told of by the provider's callback.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Aio, Api, eventually};

use crate::say::{IMAGE, image};

/// What an image of a model costs that its provider can stop, in micro-credits.
const STOPPABLE: i64 = 1_000_000;
const FULL: i64 = 100_000_000;
/// Nobody looks at a job before it is told to.
const NO_LOOKS: [(&str, &str); 2] = [
    ("AIO_LIMITS__MEDIA__POLL__FIRST", "10m"),
    ("AIO_LIMITS__MEDIA__POLL__LONGEST", "10m"),
];
/// What is said of each callback.
const HEARD: (&str, &str) = ("AIO_TELEMETRY__LOG", "info,media::callback=debug");

fn stoppable(prompt: &str) -> Value {
    json!({ "model": "z-image", "prompt": prompt })
}

async fn cancel(api: &Api, id: &str) -> Result<testkit::Reply> {
    api.post(&format!("/tasks/{id}/cancel"), &Value::Null).await
}

#[tokio::test]
async fn a_task_is_stopped_at_its_provider() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let id = api.image(&stoppable("a fox [sandbox delay=1h]")).await?;
    eventually("it waits in the provider's queue", async || {
        let task = api.task(&id).await?;
        Ok((task["queue_position"] == 0).then_some(()))
    })
    .await?;
    let task = cancel(&api, &id).await?.data(200)?;
    assert_eq!(
        (&task["status"], &task["error"]["code"]),
        (&json!("failed"), &json!("cancelled")),
        "{task}"
    );
    assert_eq!(
        (&task["consumed_microcredits"], &task["queue_position"]),
        (&json!(0), &Value::Null)
    );
    let credits = api.settled().await?;
    assert_eq!((credits.posted, credits.available), (FULL, FULL));
    let receipt = format!("/operations/{}/receipt", id.replace("task_", "op_"));
    let receipt = eventually("the receipt is there", async || {
        let reply = api.get(&receipt).await?;
        Ok(if reply.status == 200 {
            Some(reply.data(200)?)
        } else {
            None
        })
    });
    assert_eq!(
        receipt.await?["receipt"]["attempts"],
        json!([{ "provider": "fal", "outcome": "cancelled" }])
    );
    aio.finish().await
}

#[tokio::test]
async fn cancelling_and_completing_have_one_winner() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut completed = 0;
    for round in 0..12_u32 {
        let id = api.image(&stoppable("a fox [sandbox delay=400ms]")).await?;
        // The job is done at about the same time, sooner or later.
        let mut answer = cancel(&api, &id).await?;
        for _ in 0..round * 4 {
            if answer.status == 200 {
                break;
            }
            answer = cancel(&api, &id).await?;
        }
        let task = api.ended(&id).await?;
        if task["status"] == "completed" {
            completed += 1;
            assert_eq!(task["consumed_microcredits"], STOPPABLE);
            cancel(&api, &id).await?.error(409, "not_cancellable")?;
        } else {
            assert_eq!(task["error"]["code"], "cancelled", "{task}");
            assert_eq!(task["consumed_microcredits"], 0);
            assert_eq!(cancel(&api, &id).await?.data(200)?, task);
        }
        assert_eq!(api.task(&id).await?, task, "the first end is the last");
    }
    assert_eq!(api.settled().await?.posted, FULL - completed * STOPPABLE);
    assert_eq!(aio.audit().await?["ok"], true);
    aio.finish().await
}

#[tokio::test]
async fn a_callback_hastens_a_look_and_its_copies_change_nothing() -> Result<()> {
    let aio = Aio::with(&[&NO_LOOKS[..], &[HEARD]].concat()).await?;
    let api = aio.account(100).await?.api;
    let prompt = "a fox [sandbox outcome=duplicate_callback delay=500ms]";
    let of = |model: &str| json!({ "model": model, "prompt": prompt });
    for (route, body, price) in [
        ("/images/generations", image(prompt), IMAGE),
        ("/images/generations", stoppable(prompt), STOPPABLE),
        // Two that sign: one with keys that they publish, one with ours.
        ("/images/generations", of("ideogram-v3"), 8_000_000),
        ("/videos/generations", of("vidu-q3"), 50_000_000),
    ] {
        let before = api.settled().await?.posted;
        let accepted = api.post(route, &body).await?.data(202)?;
        let id = accepted["task_id"].as_str().context("no task")?.to_owned();
        let task = api.ended(&id).await?;
        assert_eq!(task["status"], "completed", "{task}");
        eventually("its copies have come", async || {
            Ok((heard(&aio, &id)?.len() >= 3).then_some(()))
        })
        .await?;
        let is_forged = |outcome: &String| outcome == "forged";
        assert!(!heard(&aio, &id)?.iter().any(is_forged), "{body}");
        // Of several processes the logs are not in one order.
        let hastened = |outcome: &&String| *outcome == "hastened";
        let count = heard(&aio, &id)?.iter().filter(hastened).count();
        assert!(count > 0, "none hastened a look");
        assert_eq!(api.task(&id).await?, task);
        assert_eq!(api.settled().await?.posted, before - price);
    }
    aio.finish().await
}

#[tokio::test]
async fn a_callback_after_the_end_changes_nothing() -> Result<()> {
    let aio = Aio::with(&[HEARD]).await?;
    let api = aio.account(100).await?.api;
    let prompt = "a fox [sandbox outcome=late_callback delay=100ms]";
    let id = api.image(&image(prompt)).await?;
    let task = api.ended(&id).await?;
    assert_eq!(task["status"], "completed", "{task}");
    eventually("it has come", async || {
        Ok((heard(&aio, &id)? == ["no_effect"]).then_some(()))
    })
    .await?;
    assert_eq!(api.task(&id).await?, task);
    assert_eq!(api.settled().await?.posted, FULL - IMAGE);
    aio.finish().await
}

#[tokio::test]
async fn nobody_else_can_call_back() -> Result<()> {
    let aio = Aio::with(&NO_LOOKS).await?;
    let api = aio.account(100).await?.api;
    let id = api.image(&image("a fox [sandbox delay=10ms]")).await?;
    api.reaches(&id, "processing").await?;
    let nobody = aio.api(None);
    for token in [
        id.clone(),
        format!("{id}."),
        format!("{id}.{}", "0".repeat(32)),
    ] {
        let reply = nobody
            .post(&format!("/callbacks/{token}"), &json!({}))
            .await?;
        reply.error(404, "unknown_route")?;
    }
    assert_eq!(api.task(&id).await?["status"], "processing");
    cancel(&api, &id).await?.error(409, "not_cancellable")?;
    aio.finish().await
}

/// What came of the callbacks about a task, in their order.
fn heard(aio: &Aio, id: &str) -> Result<Vec<String>> {
    let log = aio.stderr()?;
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["message"] == "a provider called back" && event["task.id"] == id);
    events
        .map(|event| {
            let outcome = event["outcome"].as_str().map(str::to_owned);
            outcome.context("no outcome")
        })
        .collect()
}

#[tokio::test]
async fn a_provider_that_bills_more_than_it_should_is_noticed() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let id = api
        .image(&image("a fox [sandbox outcome=overreport delay=10ms]"))
        .await?;
    assert_eq!(api.ended(&id).await?["consumed_microcredits"], IMAGE);
    eventually("it is in the log", async || {
        let words = "a provider billed more than the customer pays";
        Ok(aio.stderr()?.contains(words).then_some(()))
    })
    .await?;
    assert_eq!(api.settled().await?.posted, FULL - IMAGE);
    aio.finish().await
}
