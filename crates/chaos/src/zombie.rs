//! A process of media stands still in the middle of its looks, for longer than its lease. Others complete its tasks. Then it wakes up, with
//! the answers that it was waiting for: they change nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::{Aio, Role, Shape, eventually};

use crate::customer::Customer;

/// Tasks in flight.
const TASKS: usize = 12;
/// What the account begins with: credits, and the same in micro-credits.
const CREDITS: i64 = 100;
const CREDIT: i64 = CREDITS * 1_000_000;
/// How long a process has a task without a sign of life, as it is told below.
const LEASE: Duration = Duration::from_secs(2);
/// Longer than from one look at a job to the next, as is told below.
const A_LOOK: Duration = Duration::from_secs(1);
/// By when every job is done, which takes 7 seconds.
const DONE: Duration = Duration::from_secs(8);
/// Jobs are looked at often, and what nobody hears of is rung for again soon.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("AIO_LIMITS__MEDIA__LEASE", "2s"),
    ("AIO_LIMITS__MEDIA__RING_AGAIN", "2s"),
    ("AIO_LIMITS__MEDIA__POLL__FIRST", "200ms"),
    ("AIO_LIMITS__MEDIA__POLL__LONGEST", "300ms"),
    ("AIO_TELEMETRY__LOG", "info,media::moves=debug"),
];
/// What a process says that comes to a task too late.
const TOO_LATE: &str = "a move came too late";

pub(crate) async fn zombie() -> Result<String> {
    let aio = Aio::private_with(Shape::Split3, &ENVIRONMENT).await?;
    let mut customer = Customer::new(aio.account(CREDITS).await?.api).await?;
    for _ in 0..TASKS {
        customer.image_that_takes("7s").await;
    }
    let begun = Instant::now();
    eventually("every image is being made", async || {
        let tasks = customer.tasks().await?;
        let is_made = |task: &Value| task.get("started_at").is_some_and(Value::is_string);
        let all = tasks.len() == TASKS && tasks.iter().all(is_made);
        Ok(all.then_some(()))
    })
    .await?;

    // What the others had, the first one has when their leases are over: all of it, and it is in the middle of looking.
    aio.pause(Role::Media, 2)?;
    aio.pause(Role::Media, 3)?;
    tokio::time::sleep(LEASE.saturating_add(A_LOOK)).await;
    aio.pause(Role::Sandbox, 1)?;
    tokio::time::sleep(A_LOOK).await;
    aio.pause(Role::Media, 1)?;
    // The answers that it waits for say that the jobs are done.
    tokio::time::sleep(DONE.saturating_sub(begun.elapsed())).await;
    aio.go_on(Role::Sandbox, 1)?;
    aio.go_on(Role::Media, 2)?;
    aio.go_on(Role::Media, 3)?;
    eventually("the others complete all", async || {
        let tasks = customer.tasks().await?;
        let status = |task: &Value| {
            task.get("status")
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let all = tasks
            .iter()
            .all(|task| status(task).as_deref() == Some("completed"));
        Ok(all.then_some(()))
    })
    .await?;

    let before = too_late(&aio)?;
    aio.go_on(Role::Media, 1)?;
    let stale = eventually("its answers come too late", async || {
        let stale = too_late(&aio)?.saturating_sub(before);
        Ok((stale > 0).then_some(stale))
    });
    let stale = stale.await?;
    let seen = customer.check(CREDIT, 0).await?;
    let submits = customer.submitted_once(&aio).await?;
    ensure!(
        submits.starts_with(&TASKS.to_string()),
        "{TASKS} images, and {submits}"
    );
    aio.finish().await?;
    Ok(format!(
        "{stale} stale answers or more dropped; {seen}; {submits}"
    ))
}

/// How often a process said so.
fn too_late(aio: &Aio) -> Result<usize> {
    Ok(aio.stderr()?.matches(TOO_LATE).count())
}
