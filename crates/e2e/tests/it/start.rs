//! The first start, later starts, and what is on the disk. What is about `aio up` itself runs in that shape always.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::{Aio, Api, Signal, micros};

use crate::say::{chat, image};

#[tokio::test]
async fn the_printed_line_works_as_it_stands() -> Result<()> {
    let aio = Aio::embedded().await?;
    let first = aio.first()?.clone();
    assert!(first.curl.contains(&first.key), "{}", first.curl);
    let answer = paste(&aio, &first.curl).await?;
    assert_eq!(answer["object"], "chat.completion", "{answer}");
    assert!(micros(&answer["credits_consumed"])? > 0, "{answer}");
    let last = aio.stdout()?.lines().last().map(str::to_owned);
    let expected = format!("ready  {base}  (API {base}/api/v1)", base = aio.base());
    assert_eq!(last, Some(expected), "the ready line comes last");
    aio.finish().await
}

/// Runs the line as a newcomer does; on a machine without curl, sends what it says.
async fn paste(aio: &Aio, line: &str) -> Result<Value> {
    let Output { status, stdout, .. } = Command::new("sh").args(["-c", line]).output()?;
    if status.success() {
        return Ok(serde_json::from_slice(&stdout)?);
    }
    ensure!(status.code() == Some(127), "curl ends with {status}");
    // Quoted: the two headers and the body; before them the URL.
    let quoted: Vec<&str> = line.split('\'').skip(1).step_by(2).collect();
    let url = line.split(' ').nth(1).context("no URL")?;
    let headers: Vec<(&str, &str)> = quoted.iter().filter_map(|q| q.split_once(": ")).collect();
    let body = quoted.last().context("no body")?.to_string();
    let nobody = aio.api(None);
    let reply = nobody.send(http::Method::POST, url, &headers, body);
    reply.await?.json()
}

#[tokio::test]
async fn a_second_start_keeps_everything_and_prints_no_key() -> Result<()> {
    let mut aio = Aio::embedded().await?;
    let key = aio.first()?.key.clone();
    let api = aio.api(Some(&key));
    let account = aio.account(50).await?;
    api.post("/chat/completions", &chat("Hello")).await?;
    let task = api.image(&image("a fox [sandbox delay=0s]")).await?;
    api.ended(&task).await?;
    let before = everything(&api, &task).await?;
    assert!(aio.stop().await?.success());
    aio.restart().await?;
    assert!(!aio.stdout()?.contains("aio_test_"), "{}", aio.stdout()?);
    assert_eq!(everything(&api, &task).await?, before);
    assert_eq!(account.api.credits().await?.available, 50_000_000);
    aio.finish().await
}

async fn everything(api: &Api, task: &str) -> Result<Vec<String>> {
    let mut all = vec![format!("{:?}", api.settled().await?)];
    for path in ["/webhooks/secret", "/models", &format!("/tasks/{task}")] {
        all.push(api.get(path).await?.to_string());
    }
    let file = api.get(&format!("/tasks/{task}/files/0")).await?;
    all.push(format!("{} {}", file.status, file.body.len()));
    Ok(all)
}

#[tokio::test]
async fn a_second_process_is_kept_off_the_data() -> Result<()> {
    let aio = Aio::embedded().await?;
    let output = aio.command(&["up", "--listen", "127.0.0.1:0"]).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("another aio runs on"), "{said}");
    assert!(said.contains("--data-dir"), "{said}");
    assert_eq!(
        aio.api(None)
            .get(&format!("{}/readyz", aio.base()))
            .await?
            .status,
        200
    );
    aio.finish().await
}

#[tokio::test]
async fn health_is_told_on_both_listeners_and_metrics_on_the_admins() -> Result<()> {
    let aio = Aio::start().await?;
    let nobody = aio.api(None);
    let admin = admin_listener(&aio)?;
    for base in [&aio.base(), &admin] {
        for path in ["/healthz", "/readyz"] {
            let reply = nobody.get(&format!("{base}{path}")).await?;
            assert_eq!(reply.status, 200, "{base}{path}");
        }
    }
    let account = aio.account(10).await?;
    account
        .api
        .post("/chat/completions", &chat("Hello"))
        .await?
        .json()?;
    let metrics = nobody.get(&format!("{admin}/metrics")).await?;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert_eq!(metrics.status, 200);
    assert!(text.lines().any(|line| line.starts_with("aio_")), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(!text.contains(&account.key) && !text.contains("Hello"));
    let public = nobody.get(&format!("{}/metrics", aio.base())).await?;
    assert_eq!(public.status, 404, "no figures for everybody");
    aio.finish().await
}

/// Where the admin listener is: it had any port, so only the log knows.
fn admin_listener(aio: &Aio) -> Result<String> {
    let log = aio.stderr()?;
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut told = events.filter(|event: &Value| event["message"] == "health and metrics");
    let event = told.next().context("the log does not say where")?;
    let address = event["address"].as_str().context("no address")?;
    Ok(format!("http://{address}"))
}

#[tokio::test]
async fn what_is_on_the_disk_is_the_owners_alone() -> Result<()> {
    let aio = Aio::embedded().await?;
    let data = aio.data_dir();
    assert_eq!(mode(&data)?, 0o700);
    for name in ["secrets.toml", "aio.sock"] {
        assert_eq!(mode(&data.join(name))?, 0o600, "{name}");
    }
    aio.finish().await
}

fn mode(path: &Path) -> Result<u32> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    Ok(metadata.permissions().mode() & 0o777)
}

#[tokio::test]
async fn the_operators_key_is_the_one_of_the_first_start() -> Result<()> {
    let mut aio = Aio::start().await?;
    let operator = aio.admin();
    operator.get("/admin/ledger/audit").await?.data(200)?;
    let refused = operator.post("/chat/completions", &chat("Hello")).await?;
    refused.error(403, "missing_scope")?;
    assert!(aio.stop().await?.success());
    let other = "aio_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4JxuOd";
    aio.set("AIO_BOOTSTRAP_KEY", other);
    aio.restart().await?;
    operator.get("/admin/ledger/audit").await?.data(200)?;
    let stranger = aio.api(Some(other)).get("/admin/ledger/audit").await?;
    stranger.error(401, "invalid_key")?;
    assert!(aio.stderr()?.contains("it is ignored"), "{}", aio.stderr()?);
    aio.finish().await
}

#[tokio::test]
async fn a_setting_that_cannot_be_read_is_named() -> Result<()> {
    for (name, value, said) in [
        ("AIO_LIMITS__MEDIA__MAX_STEPS", "many", "max_steps"),
        ("AIO_LIMITS__MEDIA__MAX_STEP", "1", "max_step"),
        ("AIO_BOOTSTRAP_KEY", "aio_mistyped", "AIO_BOOTSTRAP_KEY"),
    ] {
        let Err(error) = Aio::with(&[(name, value)]).await else {
            anyhow::bail!("it starts with {name}={value}");
        };
        let printed = format!("{error:#}");
        let named = printed.to_lowercase().contains(&said.to_lowercase());
        assert!(named, "{name}={value}: {printed}");
    }
    Ok(())
}

#[tokio::test]
async fn commands_work_whether_it_runs_or_not() -> Result<()> {
    let mut aio = Aio::embedded().await?;
    let made = aio
        .command(&["accounts", "create", "Somebody", "--json"])
        .await?;
    let account: Value = serde_json::from_slice(&made.stdout)?;
    let id = account["account_id"].as_str().context("no account")?;
    aio.signal(Signal::Terminate)?;
    assert!(aio.exited().await?.success());
    for words in [
        vec!["credits", "add", id, "2.5", "--mode", "test", "--json"],
        vec!["keys", "create", id, "--mode", "test", "--json"],
        vec!["ledger", "audit"],
    ] {
        let output = aio.command(&words).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
    }
    let made = aio
        .command(&["keys", "create", id, "--mode", "test", "--json"])
        .await?;
    let key: Value = serde_json::from_slice(&made.stdout)?;
    aio.restart().await?;
    let api = aio.api(key["key"].as_str());
    assert_eq!(api.credits().await?.available, 10_002_500_000);
    aio.finish().await
}
