//! The pages in a real browser: Debian's Chromium, driven by the scripts of `crates/e2e/browser`, each of which tells one story and fails
//! for whatever a page says to the console, too. `cargo xtask test` installs the browser, and what drives it into `target/browser`.

use std::{io::Write as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::{
    sdks::{NODE, place},
    tenant::{PASSWORD, Town},
};

/// How long a story may take: that of every page looks at a hundred of them, twice each.
const PATIENCE: Duration = Duration::from_secs(400);

/// Has a script told before these pages, with more of what it needs to know.
async fn told(town: &mut Town, script: &str, more: &[(&str, String)]) -> Result<()> {
    let scripts: PathBuf = place("browser")?.join("scripts");
    let pages = town.aio.pages().await?;
    let ran = Command::new(NODE)
        .arg(scripts.join(script))
        .env("AIO_PAGES", pages)
        .env("AIO_PASSWORD", PASSWORD)
        .envs(more.iter().map(|(name, value)| (*name, value.as_str())))
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(PATIENCE, ran).await;
    let ran = ran.with_context(|| format!("{script} does not end"))??;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    // For whoever runs it by hand: figures of Lighthouse.
    std::io::stdout().write_all(&ran.stdout)?;
    ensure!(ran.status.success(), "{script}: {said}");
    Ok(())
}

/// A town in which somebody has lived for a while, and what a script that opens every page must know of it.
async fn lived_in() -> Result<(Town, Vec<(&'static str, String)>)> {
    let mut town = Town::embedded().await?;
    let tenant = town.settle("ann").await?;
    town.live_through(&tenant, "ann").await?;
    let operator = town.operator().await?;
    let routes: Vec<&str> = dashboard::paths().map(|route| route.path).collect();
    let more = vec![
        ("AIO_ROUTES", json!(routes).to_string()),
        ("AIO_COOKIE", tenant.web.cookie()),
        ("AIO_OPERATOR_COOKIE", operator.cookie()),
        ("AIO_STRIPE", town.stripe.clone()),
    ];
    Ok((town, more))
}

/// The only thing a newcomer is told beforehand is the address.
#[tokio::test]
async fn a_newcomer_finds_the_way() -> Result<()> {
    let mut town = Town::embedded().await?;
    let more = [
        ("AIO_STRIPE", town.stripe.clone()),
        ("AIO_HOOK", town.sink.url("/hook")),
    ];
    told(&mut town, "newcomer.mjs", &more).await?;
    town.aio.finish().await
}

#[tokio::test]
async fn no_page_keeps_anybody_out() -> Result<()> {
    let (mut town, more) = lived_in().await?;
    told(&mut town, "barriers.mjs", &more).await?;
    town.aio.finish().await
}

#[tokio::test]
#[ignore = "by hand: pictures of every page in target/browser/shots, for somebody to look at"]
async fn every_page_has_its_picture_taken() -> Result<()> {
    let (mut town, mut more) = lived_in().await?;
    let shots = place("browser")?.join("shots");
    more.push(("AIO_SHOTS", shots.to_string_lossy().into_owned()));
    told(&mut town, "shots.mjs", &more).await?;
    town.aio.finish().await
}

#[tokio::test]
#[ignore = "by hand, on a machine at rest: Lighthouse, which lighthouse.mjs says how to install"]
async fn lighthouse_finds_little_to_say() -> Result<()> {
    let (mut town, mut more) = lived_in().await?;
    told(&mut town, "lighthouse.mjs", &more).await?;
    more.push(("AIO_FORM", "desktop".to_owned()));
    told(&mut town, "lighthouse.mjs", &more).await?;
    town.aio.finish().await
}

#[tokio::test]
async fn a_keyboard_is_enough() -> Result<()> {
    let mut town = Town::embedded().await?;
    told(&mut town, "keyboard.mjs", &[]).await?;
    town.aio.finish().await
}

#[tokio::test]
async fn nothing_needs_a_script_but_the_playground() -> Result<()> {
    let mut town = Town::embedded().await?;
    told(&mut town, "plain.mjs", &[]).await?;
    town.aio.finish().await
}

/// Pages on somebody's own machine have a name as well as a number; no browser keeps a passkey for a number.
#[tokio::test]
async fn a_device_is_enough_to_come_in() -> Result<()> {
    let mut town = Town::embedded().await?;
    let number = town.aio.pages().await?;
    let more = [
        ("AIO_PAGES", number.replace("127.0.0.1", "localhost")),
        ("AIO_NUMBER", number),
    ];
    told(&mut town, "passkey.mjs", &more).await?;
    town.aio.finish().await
}
