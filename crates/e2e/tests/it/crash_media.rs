//! The process killed (SIGKILL) at three points of an image task: what was accepted comes to its end, paid once, told at least once.

use anyhow::{Context as _, Result};
use testkit::{Aio, Answer, Api, Sink};

use crate::{
    provider::unknown,
    say::{IMAGE, image_calling},
    webhooks::verify,
};

const FULL: i64 = 100_000_000;

/// A task came to its end, whichever it may be after a crash: paid if completed, else free and listed.
async fn check(aio: &Aio, api: &Api, sink: &Sink, id: &str) -> Result<()> {
    let task = api.ended(id).await?;
    let credits = api.settled().await?;
    if task["status"] == "completed" {
        assert_eq!(credits.posted, FULL - IMAGE, "{task}");
        assert_eq!(api.get(&format!("/tasks/{id}/files/0")).await?.status, 200);
    } else {
        assert_eq!(task["error"]["code"], "submit_outcome_unknown", "{task}");
        assert_eq!(credits.posted, FULL);
        assert_eq!(unknown(aio).await?, [id]);
    }
    let all = sink.wait_for(1).await?;
    for received in &all {
        assert_eq!(verify(api, received).await?["data"], task);
        assert_eq!(received.header("webhook-id"), all[0].header("webhook-id"));
    }
    Ok(())
}

#[tokio::test]
async fn killed_right_behind_the_202() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    let id = api
        .image(&image_calling(
            "a fox [sandbox delay=100ms]",
            &sink.url("/"),
        ))
        .await?;
    aio.kill()?;
    assert_eq!(aio.audit().await?["ok"], true);
    aio.restart().await?;
    check(&aio, &api, &sink, &id).await?;
    aio.finish().await
}

#[tokio::test]
async fn killed_while_the_provider_works() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    let id = api
        .image(&image_calling("a fox [sandbox delay=3s]", &sink.url("/")))
        .await?;
    api.reaches(&id, "processing").await?;
    for _ in 0..3 {
        aio.kill()?;
        assert_eq!(aio.audit().await?["ok"], true);
        aio.restart().await?;
    }
    check(&aio, &api, &sink, &id).await?;
    aio.finish().await
}

#[tokio::test]
async fn killed_between_the_end_and_its_webhook() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Hang).await?;
    let id = api
        .image(&image_calling("a fox [sandbox delay=0s]", &sink.url("/")))
        .await?;
    let task = api.ended(&id).await?;
    aio.kill()?;
    assert_eq!(task["status"], "completed");
    assert_eq!(aio.audit().await?["ok"], true);
    sink.answer(Answer::Status(200));
    let before = sink.received().len();
    aio.restart().await?;
    sink.wait_for(before + 1).await?;
    assert_eq!(api.task(&id).await?, task, "what was seen once stays so");
    check(&aio, &api, &sink, &id).await?;
    aio.finish().await
}

#[tokio::test]
async fn killed_while_many_submits_are_on_their_way() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    let body = image_calling("a fox [sandbox delay=100ms]", &sink.url("/"));
    let headers: Vec<[(&str, String); 1]> = (0..20)
        .map(|n| [("idempotency-key", format!("order-{n}"))])
        .collect();
    let submit = async |n: usize| {
        let headers = headers[n]
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        api.post_with("/images/generations", &headers, &body).await
    };
    let submits = futures::future::join_all((0..20).map(&submit));
    let some = testkit::eventually("a hold", async || {
        let looked = api.credits().await?;
        Ok((looked.open_holds > 0 || looked.posted < FULL).then_some(()))
    });
    // Whichever comes first: the point is to die somewhere in between.
    let mut first: Vec<_> = Vec::new();
    tokio::select! {
        replies = submits => first = replies,
        some = some => some?,
    }
    aio.kill()?;
    assert_eq!(aio.audit().await?["ok"], true);
    aio.restart().await?;
    // The customer sends all of it again, with the same keys, as often as it takes.
    let mut ids = Vec::new();
    for n in 0..20 {
        let accepted = testkit::eventually("the submit is answered", async || {
            let reply = submit(n).await?;
            Ok((reply.status == 202).then_some(reply))
        });
        let id = accepted.await?.data(202)?["task_id"].clone();
        if let Some(Ok(before)) = first.get(n) {
            assert_eq!(
                before.data(202)?["task_id"],
                id,
                "the same key, the same task"
            );
        }
        ids.push(id.as_str().context("no id")?.to_owned());
    }
    let mut consumed = 0;
    for id in &ids {
        let task = api.ended(id).await?;
        consumed += task["consumed_microcredits"].as_i64().context("no sum")?;
    }
    assert_eq!(api.settled().await?.posted, FULL - consumed);
    assert!(consumed <= 20 * IMAGE);
    aio.finish().await
}
