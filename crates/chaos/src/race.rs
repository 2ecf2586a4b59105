//! Customers cancel their tasks at about the time when these are done: each task has one end, which is what was answered, and costs what
//! that end costs.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use testkit::{Aio, Api, Shape, eventually, servers::free_port};

use crate::Length;

/// Races, and how many are run at once.
const FULL: u64 = 1_000;
const QUICK: u64 = 100;
const AT_ONCE: usize = 16;
/// What an image costs that its provider can stop, in micro-credits.
const PRICE: i64 = 1_000_000;
/// What the account begins with: credits, and the same in micro-credits.
const CREDITS: i64 = 2_000;
const CREDIT: i64 = CREDITS * 1_000_000;
/// A cancel comes up to so many milliseconds after its submit was answered; the job itself takes a third of that.
const WITHIN: u64 = 900;
/// Of a hundred cancels at most so many are answered as unknown or too many, however busy the machine is.
const UNKNOWN: usize = 50;
/// So that the moments of the cancels are spread over that.
const STEP: u64 = 37;

pub(crate) async fn cancel_race(shape: Shape, length: Length) -> Result<String> {
    let count = match length {
        Length::Full => FULL,
        Length::Quick => QUICK,
    };
    let sandbox = format!("127.0.0.1:{}", free_port()?);
    let aio = Aio::private_with(shape, &[("AIO_SANDBOX__LISTEN", sandbox.as_str())]).await?;
    let api = aio.account(CREDITS).await?.api;
    let races = stream::iter(0..count).map(|number| race(&api, number));
    let races = races.buffer_unordered(AT_ONCE);
    let ends: Vec<Ended> = races.try_collect().await?;
    let credits = api.settled().await?;
    for Ended { id, end, .. } in &ends {
        let now = api.task(id).await?;
        ensure!(now == *end, "the first end is not the last: {end} {now}");
    }
    check_answers(&ends)?;
    let completed = ends.iter().filter(|race| has_completed(&race.end)).count();
    let cancelled = ends.len().saturating_sub(completed);
    ensure!(
        completed > 0 && cancelled > 0,
        "no race: {completed} completed, {cancelled} cancelled"
    );
    let charged = i64::try_from(completed)?.saturating_mul(PRICE);
    ensure!(
        credits.posted == CREDIT.saturating_sub(charged) && credits.held == 0,
        "{completed} tasks completed, and the balance is {credits:?}"
    );
    let submits = submits(&aio, completed, ends.len()).await?;
    aio.finish().await?;
    Ok(format!(
        "{completed} completed and charged, {cancelled} cancelled and free, {submits} submits on the provider's bill"
    ))
}

/// A task that has ended, and the status that its cancel was answered with.
struct Ended {
    id: String,
    end: Value,
    status: u16,
}

/// Cancels are answered, and not only made true later by whoever looks.
fn check_answers(ends: &[Ended]) -> Result<()> {
    let count = |statuses: &[u16]| {
        let those = ends.iter().filter(|race| statuses.contains(&race.status));
        those.count()
    };
    let (races, told, unknown) = (ends.len(), count(&[200]), count(&[502, 503]));
    ensure!(
        told > 0 && unknown.saturating_mul(100) <= races.saturating_mul(UNKNOWN),
        "of {races} cancels {told} were answered with 200, {unknown} with 502 or 503"
    );
    Ok(())
}

/// One task, cancelled at some moment, to its end.
async fn race(api: &Api, number: u64) -> Result<Ended> {
    let id = submit(api, number).await?;
    let moment = number.saturating_mul(STEP).checked_rem(WITHIN);
    tokio::time::sleep(Duration::from_millis(moment.unwrap_or_default())).await;
    let cancel = format!("/tasks/{id}/cancel");
    let answer = api.post(&cancel, &Value::Null).await?;
    let end = api.ended(&id).await?;
    let spent = end.get("consumed_microcredits").and_then(Value::as_i64);
    if has_completed(&end) {
        ensure!(spent == Some(PRICE), "a completed task costs {spent:?}");
    } else {
        let code = end.pointer("/error/code").and_then(Value::as_str);
        ensure!(code == Some("cancelled") && spent == Some(0), "{end}");
    }
    let status = answer.status;
    match status {
        200 => ensure!(answer.data(200)? == end, "told otherwise: {answer} {end}"),
        // It goes on, as far as anybody knew; or nobody knew, or its provider was asked too much.
        409 | 502 | 503 => {}
        _ => bail!("{answer}"),
    }
    Ok(Ended { id, end, status })
}

/// As often as it takes: a machine may have too much to do.
async fn submit(api: &Api, number: u64) -> Result<String> {
    let prompt = format!("fox {number} [sandbox delay={}ms]", WITHIN / 3);
    let body = json!({ "model": "z-image", "prompt": prompt });
    let key = format!("race-{number}");
    let key = [("idempotency-key", key.as_str())];
    let accepted = eventually("a submit is accepted", async || {
        let reply = api.post_with("/images/generations", &key, &body).await?;
        Ok((reply.status == 202).then_some(reply))
    });
    let data = accepted.await?.data(202)?;
    let id = data.get("task_id").and_then(Value::as_str);
    Ok(id.context("no task_id")?.to_owned())
}

fn has_completed(end: &Value) -> bool {
    end.get("status").and_then(Value::as_str) == Some("completed")
}

/// None was submitted twice, or passed on after it was cancelled.
async fn submits(aio: &Aio, completed: usize, tasks: usize) -> Result<usize> {
    let jobs = aio.jobs().await?;
    let prompt = |job: &Value| {
        let hash = job.get("prompt_hash").and_then(Value::as_str);
        hash.map(str::to_owned).context("no prompt_hash")
    };
    let prompts: BTreeSet<String> = jobs.iter().map(prompt).collect::<Result<_>>()?;
    let by_fal = |job: &Value| job.get("provider").and_then(Value::as_str) == Some("fal");
    ensure!(
        prompts.len() == jobs.len() && jobs.iter().all(by_fal),
        "a task was submitted twice"
    );
    ensure!(
        (completed..=tasks).contains(&jobs.len()),
        "{completed} of {tasks} tasks completed, and {} were submitted",
        jobs.len()
    );
    Ok(jobs.len())
}
