//! Callbacks: delivered, verified by the public library, tried again, and the same as a poll.

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::{Aio, Answer, Api, Received, Sink, eventually};

use crate::say::{IMAGE, SOON, image, image_calling};

/// Checks a delivery as a customer does: by the public library and the secret.
pub(crate) async fn verify(api: &Api, received: &Received) -> Result<Value> {
    let secret = api.get("/webhooks/secret").await?.data(200)?;
    let secret = secret["secret"].as_str().context("no secret")?;
    anyhow::ensure!(secret.starts_with("whsec_"), "not a secret");
    let library = Webhook::new(secret)?;
    library.verify(&received.body, &received.headers)?;
    received.json()
}

#[tokio::test]
async fn the_end_of_a_task_is_told_once_and_verifiably() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(204)).await?;
    for (outcome, kind) in [("success", "task.completed"), ("fail", "task.failed")] {
        let prompt = format!("a fox [sandbox outcome={outcome} delay=100ms]");
        let before = sink.received().len();
        let id = api
            .image(&image_calling(&prompt, &sink.url("/hook?mine=1")))
            .await?;
        let received = sink.wait_for(before + 1).await?.pop().context("nothing")?;
        assert_eq!(received.path, "/hook?mine=1");
        assert_eq!(received.header("content-type"), "application/json");
        assert!(received.header("webhook-id").starts_with("evt_"));
        let event = verify(&api, &received).await?;
        assert_eq!(event["type"], kind);
        assert!(event["timestamp"].is_string());
        assert_eq!(event["data"], api.task(&id).await?, "what a poll says");
        assert_eq!(event["data"]["callback"]["url"], sink.url("/hook?mine=1"));
    }
    // Another account's secret verifies nothing of this.
    let stranger = aio.account(1).await?.api;
    let received = sink.received();
    assert!(
        verify(&stranger, received.first().context("nothing")?)
            .await
            .is_err()
    );
    // By the time a third is there, no second copy of the others has come.
    api.image(&image_calling(
        "a bear [sandbox delay=0s]",
        &sink.url("/third"),
    ))
    .await?;
    let all = sink.wait_for(3).await?;
    let mut ids: Vec<&str> = all.iter().map(|r| r.header("webhook-id")).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
    aio.finish().await
}

#[tokio::test]
async fn a_failing_endpoint_is_tried_again_with_the_same_id() -> Result<()> {
    let aio = Aio::with(&[SOON]).await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    sink.script([
        Answer::Status(500),
        Answer::Status(404),
        Answer::Status(500),
    ]);
    let id = api
        .image(&image_calling("a fox [sandbox delay=0s]", &sink.url("/")))
        .await?;
    let all = sink.wait_for(4).await?;
    let first = all.first().context("nothing")?;
    for received in &all {
        assert_eq!(received.header("webhook-id"), first.header("webhook-id"));
        assert_eq!(received.body, first.body);
        assert_eq!(
            verify(&api, received).await?["data"]["task_id"],
            id.as_str()
        );
    }
    aio.finish().await
}

#[tokio::test]
async fn an_endpoint_that_hangs_holds_up_nobody_else() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(500).await?.api;
    let hanging = Sink::start(Answer::Hang).await?;
    let good = Sink::start(Answer::Status(200)).await?;
    for _ in 0..10 {
        api.image(&image_calling(
            "a fox [sandbox delay=0s]",
            &hanging.url("/"),
        ))
        .await?;
    }
    hanging.wait_for(1).await?;
    let id = api
        .image(&image_calling("a fox [sandbox delay=0s]", &good.url("/")))
        .await?;
    let received = good.wait_for(1).await?.pop().context("nothing")?;
    assert_eq!(
        verify(&api, &received).await?["data"]["task_id"],
        id.as_str()
    );
    // What hangs is cut, and goes on at the next start.
    let mut aio = aio;
    aio.kill()?;
    aio.finish().await
}

#[tokio::test]
async fn an_undelivered_callback_is_delivered_after_a_restart() -> Result<()> {
    // A process that starts waits for as long as a lease lasts before it takes what another may still be at.
    let short = [
        ("AIO_WEBHOOKS__TIMEOUT", "4s"),
        ("AIO_WEBHOOKS__LEASE", "6s"),
        ("AIO_WEBHOOKS__SWEEP", "1s"),
    ];
    let mut aio = Aio::with(&[&short[..], &[SOON]].concat()).await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Hang).await?;
    let id = api
        .image(&image_calling("a fox [sandbox delay=0s]", &sink.url("/")))
        .await?;
    sink.wait_for(1).await?;
    aio.kill()?;
    sink.answer(Answer::Status(200));
    aio.restart().await?;
    let all = sink.wait_for(2).await?;
    assert_eq!(all[0].header("webhook-id"), all[1].header("webhook-id"));
    assert_eq!(verify(&api, &all[1]).await?["data"]["task_id"], id.as_str());
    aio.finish().await
}

#[tokio::test]
async fn a_balance_that_runs_low_is_told_once_to_the_accounts_endpoints() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    let wanted = json!({ "url": sink.url("/account"), "events": ["balance.low"] });
    let endpoint = api.post("/webhooks/endpoints", &wanted).await?.data(201)?;
    let alert = json!({ "below_credits": 99.5 });
    let credits = api.send(Method::PUT, "/credits/alert", &[], alert.to_string());
    assert_eq!(credits.await?.data(200)?["alert_below_credits"], 99.5);

    let id = api.image(&image("a fox [sandbox delay=0s]")).await?;
    let task = api.ended(&id).await?;
    let received = sink.wait_for(1).await?.pop().context("nothing")?;
    let secret = endpoint["secret"].as_str().context("no secret")?;
    Webhook::new(secret)?.verify(&received.body, &received.headers)?;
    let event = received.json()?;
    assert_eq!(event["type"], "balance.low");
    let left = 100_000_000 - task["consumed_microcredits"].as_i64().context("free")?;
    assert_eq!(event["data"]["posted_microcredits"], left);
    assert_eq!(event["data"]["below_credits"], 99.5);

    // A second image does not make it fall again.
    let id = api.image(&image("a bear [sandbox delay=0s]")).await?;
    api.ended(&id).await?;
    let listed = api.get("/webhooks/endpoints").await?.data(200)?;
    assert_eq!(listed["items"][0]["endpoint_id"], endpoint["endpoint_id"]);
    assert!(listed["items"][0]["secret"].is_null(), "it is shown once");
    let path = format!(
        "/webhooks/endpoints/{}",
        endpoint["endpoint_id"].as_str().context("no id")?
    );
    api.send(Method::DELETE, &path, &[], "").await?.data(200)?;
    api.send(Method::DELETE, &path, &[], "")
        .await?
        .error(404, "not_found")?;
    assert_eq!(sink.received().len(), 1);
    aio.finish().await
}

#[tokio::test]
async fn endpoints_are_told_of_tasks_with_and_without_an_address() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    for (path, events) in [
        ("/all", json!(null)),
        ("/ends", json!(["task.completed", "task.failed"])),
        ("/failures", json!(["task.failed"])),
        ("/money", json!(["balance.low", "order.paid"])),
    ] {
        let mut wanted = json!({ "url": sink.url(path) });
        if !events.is_null() {
            wanted["events"] = events;
        }
        api.post("/webhooks/endpoints", &wanted).await?.data(201)?;
    }
    let good = image("a fox [sandbox delay=0s]");
    let bad = "a fox [sandbox outcome=fail delay=0s]";
    let bad = image_calling(bad, &sink.url("/own"));
    let mut count = 0;
    for (body, kind, paths) in [
        (good, "task.completed", &["/all", "/ends"][..]),
        (bad, "task.failed", &["/all", "/ends", "/failures", "/own"]),
    ] {
        let id = api.image(&body).await?;
        let task = api.ended(&id).await?;
        let mut told = sink.wait_for(count + paths.len()).await?.split_off(count);
        count += paths.len();
        told.sort_by(|one, other| one.path.cmp(&other.path));
        let told_at: Vec<&str> = told.iter().map(|told| told.path.as_str()).collect();
        assert_eq!(told_at, paths);
        for one in &told {
            let event = one.json()?;
            assert_eq!((&event["type"], &event["data"]), (&json!(kind), &task));
            let first = told.first().context("nothing")?;
            assert_eq!(one.header("webhook-id"), first.header("webhook-id"));
        }
    }
    aio.finish().await
}

#[tokio::test]
async fn a_key_that_has_spent_its_cap_is_told_once() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let sink = Sink::start(Answer::Status(200)).await?;
    let wanted = json!({ "url": sink.url("/"), "events": ["key.cap_reached"] });
    account
        .api
        .post("/webhooks/endpoints", &wanted)
        .await?
        .data(201)?;
    let path = format!("/admin/accounts/{}/keys", account.id);
    let capped = json!({ "name": "capped", "mode": "test", "caps": { "total": 6 } });
    let key = aio.admin().post(&path, &capped).await?.data(201)?;
    let api = aio.api(key["key"].as_str());
    let id = api.image(&image("a fox [sandbox delay=0s]")).await?;
    api.ended(&id).await?;
    let refused = async || {
        let reply = api.post("/images/generations", &image("a bear")).await?;
        reply.error(402, "key_cap_exceeded")
    };
    // Once what is held is spent: what is held does not count.
    let mut told = Vec::new();
    eventually("it is told", async || {
        refused().await?;
        told = sink.received();
        Ok((!told.is_empty()).then_some(()))
    })
    .await?;
    let event = told.first().context("nothing")?.json()?;
    assert_eq!(event["type"], "key.cap_reached");
    assert_eq!(event["data"]["key_id"], key["key_id"]);
    assert_eq!(
        (&event["data"]["cap"], &event["data"]["cap_credits"]),
        (&json!("total"), &json!(6))
    );
    assert_eq!(event["data"]["spent_microcredits"], IMAGE);
    // A cap that was raised and is spent is told next: and no copy of the first is before it.
    let raised = json!({ "caps": { "total": 11 } });
    let path = format!("/keys/{}", key["key_id"].as_str().context("no id")?);
    let raised = account
        .api
        .send(Method::PATCH, &path, &[], raised.to_string());
    raised.await?.data(200)?;
    let id = api.image(&image("a fox [sandbox delay=0s]")).await?;
    api.ended(&id).await?;
    eventually("it is told anew", async || {
        refused().await?;
        told = sink.received();
        Ok((told.len() > 1).then_some(()))
    })
    .await?;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].json()?["data"]["cap_credits"], 11);
    aio.finish().await
}

#[tokio::test]
async fn what_is_no_endpoint_is_refused() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1).await?.api;
    for (body, code) in [
        (json!({}), "missing_parameter"),
        (
            json!({ "url": "https://169.254.169.254/" }),
            "forbidden_url",
        ),
        (
            json!({ "url": "https://example.com/", "events": ["task.ended"] }),
            "invalid_parameter",
        ),
        (
            json!({ "url": "https://example.com/", "color": "red" }),
            "unknown_parameter",
        ),
    ] {
        api.post("/webhooks/endpoints", &body)
            .await?
            .error(400, code)?;
    }
    for (body, code) in [
        (json!({}), "missing_parameter"),
        (json!({ "below_credits": 0 }), "invalid_parameter"),
        (json!({ "below_credits": "5" }), "invalid_parameter"),
    ] {
        let set = api.send(Method::PUT, "/credits/alert", &[], body.to_string());
        set.await?.error(400, code)?;
    }
    aio.finish().await
}
