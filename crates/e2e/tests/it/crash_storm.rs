//! Two hundred tasks in flight, and the process killed three times: all come to their end, each paid at most once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use testkit::{Aio, Answer, Api, Received, Sink, eventually};

use crate::{
    provider::unknown,
    say::{IMAGE, SOON, UNHURRIED, image_calling},
    webhooks::verify,
};

const TASKS: usize = 200;
const FULL: i64 = 2_000_000_000;

#[tokio::test]
async fn two_hundred_tasks_survive_three_kills() -> Result<()> {
    let mut aio = Aio::with(&[&UNHURRIED[..], &[SOON]].concat()).await?;
    let api = aio.account(2_000).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    let ids = submit(&api, &sink).await?;
    assert!(api.credits().await?.open_holds > 0, "nothing is in flight");
    for paid in [0, 40, 90] {
        // In flight: some have ended, most have not.
        eventually("some are paid", async || {
            let credits = api.credits().await?;
            Ok((credits.posted <= FULL - paid * IMAGE).then_some(()))
        })
        .await?;
        aio.kill()?;
        let audit = aio.audit().await?;
        assert_eq!(audit["ok"], true, "{audit:#}");
        aio.restart().await?;
    }
    let tasks = ended(&api, &ids).await?;
    let lost = check_ends(&tasks)?;
    let credits = api.settled().await?;
    let paid = i64::try_from(TASKS - lost.len())? * IMAGE;
    assert_eq!((credits.posted, credits.held), (FULL - paid, 0));
    let listed: BTreeSet<String> = unknown(&aio).await?.into_iter().collect();
    assert!(lost.is_subset(&listed), "{lost:?} {listed:?}");
    let told = told(&sink, TASKS).await?;
    check_webhooks(&api, &tasks, &told).await?;
    let webhooks: usize = told.values().map(Vec::len).sum();
    assert!(webhooks >= TASKS);
    aio.finish().await
}

async fn submit(api: &Api, sink: &Sink) -> Result<Vec<String>> {
    // Some end soon, some late, so that every kill meets tasks in every state.
    let delays = ["100ms", "2s", "4s", "8s"];
    let bodies = (0..TASKS).map(|n| {
        let prompt = format!("fox {n} [sandbox delay={}]", delays[n % delays.len()]);
        image_calling(&prompt, &sink.url("/hook"))
    });
    let submits = stream::iter(bodies).map(|body| async move { api.image(&body).await });
    submits.buffer_unordered(20).try_collect().await
}

/// How each task ended.
pub(crate) async fn ended(api: &Api, ids: &[String]) -> Result<BTreeMap<String, Value>> {
    let mut tasks = BTreeMap::new();
    for id in ids {
        tasks.insert(id.clone(), api.ended(id).await?);
    }
    ensure!(tasks.len() == ids.len(), "ids come twice");
    Ok(tasks)
}

/// Completed and paid, or failed for the one reason there may be, and free. Gives those.
pub(crate) fn check_ends(tasks: &BTreeMap<String, Value>) -> Result<BTreeSet<String>> {
    let mut lost = BTreeSet::new();
    for (id, task) in tasks {
        let consumed = task["consumed_microcredits"].as_i64().context("no sum")?;
        if task["status"] == "completed" {
            ensure!(consumed == IMAGE, "{task}");
        } else {
            ensure!(task["error"]["code"] == "submit_outcome_unknown", "{task}");
            ensure!(consumed == 0, "{task}");
            lost.insert(id.clone());
        }
    }
    Ok(lost)
}

/// What the endpoint was told, by task. Waits until it has heard of all of them.
pub(crate) async fn told(sink: &Sink, tasks: usize) -> Result<BTreeMap<String, Vec<Received>>> {
    eventually("all tasks are told", async || {
        let mut told: BTreeMap<String, Vec<Received>> = BTreeMap::new();
        for received in sink.received() {
            let event = received.json()?;
            let id = event["data"]["task_id"].as_str().context("no task")?;
            told.entry(id.to_owned()).or_default().push(received);
        }
        Ok((told.len() >= tasks).then_some(told))
    })
    .await
}

/// At least once, always with one id, always with what a poll says.
pub(crate) async fn check_webhooks(
    api: &Api,
    tasks: &BTreeMap<String, Value>,
    told: &BTreeMap<String, Vec<Received>>,
) -> Result<()> {
    ensure!(told.keys().eq(tasks.keys()), "told of other tasks");
    let mut all_ids = BTreeSet::new();
    for (id, deliveries) in told {
        let ids: BTreeSet<&str> = deliveries.iter().map(|r| r.header("webhook-id")).collect();
        ensure!(ids.len() == 1, "{id} has the ids {ids:?}");
        all_ids.extend(ids);
        let first = deliveries.first().context("nothing")?;
        ensure!(
            first.json()?["data"] == tasks[id],
            "{id} was told otherwise"
        );
    }
    ensure!(all_ids.len() == tasks.len(), "two tasks have one id");
    let some = told.values().next().and_then(|all| all.first());
    verify(api, some.context("nothing")?).await?;
    Ok(())
}
