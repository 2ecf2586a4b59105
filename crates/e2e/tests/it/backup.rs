//! Backups: of a program that goes on meanwhile, with tasks in every state, and brought back to an empty place. What had ended can be
//! read, what had not ends, customers are told, and the books are right.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join;
use serde_json::Value;
use testkit::{Aio, Answer, Api, Received, Role, Shape, Sink, eventually};

use crate::{
    crash_storm::{check_ends, ended},
    say::{IMAGE, SOON, UNHURRIED, image_calling},
    webhooks::verify,
};

/// Tasks that are accepted before the backup.
const BEFORE: usize = 24;
const CREDITS: i64 = 2_000;

#[tokio::test]
async fn a_busy_data_directory_is_copied_and_brought_back() -> Result<()> {
    let mut aio = Aio::embedded_with(&[&UNHURRIED[..], &[SOON]].concat()).await?;
    let api = aio.account(CREDITS).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    let ids = submit(&api, &sink).await?;
    let first = &ids[0];
    assert_eq!(api.ended(first).await?["status"], "completed");
    let picture = api.get(&format!("/tasks/{first}/files/0")).await?.body;
    let home = aio.data_dir().parent().context("no home")?.to_owned();
    let done = Cell::new(false);
    // Customers do not wait for a backup.
    let copied = async {
        for place in ["copies/plain", "copies/one.tar"] {
            let output = aio.command(&["backup", "--to", place]).await?;
            said(&output)?;
        }
        done.set(true);
        Ok(())
    };
    let (late, ()) = try_join(until(&api, &sink, &done), copied).await?;
    ensure!(late > 0, "nothing was accepted meanwhile");
    check_copies(&aio, &home).await?;
    aio.kill()?;
    fs::rename(aio.data_dir(), home.join("lost"))?;
    let before = sink.received().len();
    let output = aio
        .command(&["restore", "--from", "copies/one.tar"])
        .await?;
    said(&output)?;
    let audit = aio.audit().await?;
    assert_eq!(audit["ok"], true, "{audit:#}");
    aio.restart().await?;
    let again = api.get(&format!("/tasks/{first}/files/0")).await?;
    assert!(
        again.status == 200 && again.body == picture,
        "{first} is another"
    );
    let tasks = ended(&api, &ids).await?;
    check_ends(&tasks)?;
    check_told(&api, &sink, &tasks, before).await?;
    check_sum(&api).await?;
    aio.finish().await
}

/// What was copied is whole and its owner's alone, says what it is, and is put nowhere where something is.
async fn check_copies(aio: &Aio, home: &Path) -> Result<()> {
    let plain = home.join("copies/plain");
    for (name, mode) in [("", 0o700), ("billing.db", 0o600), ("secrets.toml", 0o600)] {
        let metadata = fs::metadata(plain.join(name))?;
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
    let archive = fs::metadata(home.join("copies/one.tar"))?;
    assert_eq!(archive.permissions().mode() & 0o777, 0o600);
    let left = fs::read_dir(home.join("copies"))?.count();
    assert_eq!(left, 2, "something unfinished is left");
    let manifest: Value = serde_json::from_slice(&fs::read(plain.join("manifest.json"))?)?;
    assert_eq!(manifest["format"], 1, "{manifest:#}");
    let rows = &manifest["databases"]["media"]["rows"]["task"];
    assert!(
        rows.as_u64() >= Some(u64::try_from(BEFORE)?),
        "{manifest:#}"
    );
    assert!(
        manifest["files"]["count"].as_u64() > Some(0),
        "{manifest:#}"
    );
    let sums = std::process::Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(&plain)
        .output()?;
    said(&sums)?;
    for refused in [
        vec!["restore", "--from", "copies/plain"],
        vec!["backup", "--to", "copies/plain"],
    ] {
        let output = aio.command(&refused).await?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{refused:?}");
        assert!(
            text.contains("is not empty") || text.contains("is there already"),
            "{text}"
        );
    }
    Ok(())
}

/// Every task is told of, whichever side of the copy that was on; what was told since then is what the task says now.
async fn check_told(
    api: &Api,
    sink: &Sink,
    tasks: &BTreeMap<String, Value>,
    before: usize,
) -> Result<()> {
    let told = eventually("all are told", async || {
        let mut told: BTreeMap<String, (usize, Received)> = BTreeMap::new();
        for (number, received) in sink.received().into_iter().enumerate() {
            let event = received.json()?;
            let id = event["data"]["task_id"].as_str().context("no task")?;
            told.insert(id.to_owned(), (number, received));
        }
        let all = tasks.keys().all(|id| told.contains_key(id));
        Ok(all.then_some(told))
    })
    .await?;
    let since = told
        .iter()
        .filter(|(id, (number, _))| *number >= before && tasks.contains_key(*id));
    let mut last = None;
    for (id, (_, received)) in since {
        ensure!(
            received.json()?["data"] == tasks[id],
            "{id} was told otherwise"
        );
        last = Some(received);
    }
    verify(api, last.context("nobody was told after the restore")?).await?;
    Ok(())
}

/// What all tasks cost together is what is missing of the credit.
async fn check_sum(api: &Api) -> Result<()> {
    let posted = api.settled().await?.posted;
    let mut path = "/tasks?limit=100".to_owned();
    let mut paid = 0;
    loop {
        let page = api.get(&path).await?.data(200)?;
        for task in page["items"].as_array().context("no tasks")? {
            let id = task["task_id"].as_str().context("no id")?;
            // Those that were accepted during the backup end as well.
            let task = api.ended(id).await?;
            paid += task["consumed_microcredits"].as_i64().context("no sum")?;
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/tasks?limit=100&cursor={cursor}"),
            None => break,
        }
    }
    let settled = api.settled().await?;
    ensure!(settled.posted <= posted && settled.held == 0, "{settled:?}");
    assert_eq!(settled.posted, CREDITS * 1_000_000 - paid);
    assert_eq!(paid % IMAGE, 0);
    Ok(())
}

/// Some end soon, some late, so that the copy meets tasks in every state.
async fn submit(api: &Api, sink: &Sink) -> Result<Vec<String>> {
    let delays = ["10ms", "1s", "3s", "8s"];
    let mut ids = Vec::new();
    for number in 0..BEFORE {
        let delay = delays[number % delays.len()];
        let prompt = format!("fox {number} [sandbox delay={delay}]");
        ids.push(
            api.image(&image_calling(&prompt, &sink.url("/hook")))
                .await?,
        );
    }
    Ok(ids)
}

/// Submits one after another until `done`, and says how many.
async fn until(api: &Api, sink: &Sink, done: &Cell<bool>) -> Result<usize> {
    let mut count = 0;
    while !done.get() {
        let prompt = format!("late fox {count} [sandbox delay=100ms]");
        api.image(&image_calling(&prompt, &sink.url("/hook")))
            .await?;
        count += 1;
    }
    Ok(count)
}

/// That a command went well, and what it printed.
fn said(output: &Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {text}{error}", output.status);
    Ok(text)
}

/// P28 of the shape with servers: a dump of PostgreSQL, the files and the secrets are all that is needed. The broker and the cache are
/// empty, and everything goes on.
#[tokio::test]
async fn a_dump_beside_an_empty_broker_and_an_empty_cache_goes_on() -> Result<()> {
    let shape = match Shape::of_this_run()? {
        Shape::Embedded | Shape::Split => Shape::Split,
        Shape::Split3 => Shape::Split3,
    };
    let mut aio = Aio::private_with(shape, &[&UNHURRIED[..], &[SOON]].concat()).await?;
    let api = aio.account(CREDITS).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    let ids = submit(&api, &sink).await?;
    let first = &ids[0];
    assert_eq!(api.ended(first).await?["status"], "completed");
    let picture = api.get(&format!("/tasks/{first}/files/0")).await?.body;
    let dump: PathBuf = aio.data_dir().with_extension("dump");
    aio.dump(&dump).await?;
    // What comes after the dump is lost with the database.
    let lost = api
        .image(&image_calling("lost", &sink.url("/hook")))
        .await?;
    aio.kill()?;
    let servers = aio.servers()?;
    servers.rabbit.stop().await?;
    servers.rabbit.wipe()?;
    servers.rabbit.restart().await?;
    servers.redis.flush().await?;
    aio.load(&dump).await?;
    let before = sink.received().len();
    aio.restart().await?;
    api.get(&format!("/tasks/{lost}"))
        .await?
        .error(404, "not_found")?;
    let again = api.get(&format!("/tasks/{first}/files/0")).await?;
    assert!(
        again.status == 200 && again.body == picture,
        "{first} is another"
    );
    let tasks = ended(&api, &ids).await?;
    check_ends(&tasks)?;
    check_told(&api, &sink, &tasks, before).await?;
    check_sum(&api).await?;
    // The roles may do what they may, and no more: a second migration finds nothing to do.
    let doctor = aio.command_of(Role::Billing, &["doctor", "--json"]).await?;
    let told: Value = serde_json::from_str(&said(&doctor)?)?;
    assert_eq!(told["ok"], true, "{told:#}");
    aio.finish().await
}
