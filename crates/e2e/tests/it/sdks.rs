//! SDKs that customers use, unmodified, each by a script of `crates/e2e/sdk`: base URL and key are all that is changed. `cargo xtask
//! test` installs them into `target/sdk`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testkit::{Aio, Role};
use tokio::process::Command;

pub(crate) const PYTHON: &str = "python/bin/python";
pub(crate) const NODE: &str = "node";

/// Where the SDKs are.
pub(crate) fn installed() -> Result<PathBuf> {
    place("sdk")
}

/// Where `cargo xtask test` has put what a folder of scripts needs, and the scripts.
pub(crate) fn place(name: &str) -> Result<PathBuf> {
    // target/<profile>/deps/it-0123456789abcdef
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).context("no target folder")?;
    let place = target.join(name);
    ensure!(
        place.join("installed").exists(),
        "{} is not there: `cargo xtask test` makes it",
        place.display()
    );
    Ok(place)
}

/// Runs a script with keys of its own: one that has credit, one that has none, and one that may ask once a minute.
async fn run(program: &str, script: &str) -> Result<()> {
    let place = installed()?;
    let aio = Aio::start().await?;
    let account = aio.account(10_000).await?;
    let poor = aio.account(0).await?;
    let slow = json!({ "name": "slow", "rpm": 1 });
    let slow = account.api.post("/keys", &slow).await?.data(201)?;
    let program = match program {
        NODE => PathBuf::from(NODE),
        python => place.join(python),
    };
    let ran = Command::new(&program)
        .arg(place.join("scripts").join(script))
        .env("AIO_URL", format!("{}/api/v1", aio.base()))
        .env("AIO_KEY", &account.key)
        .env("AIO_POOR_KEY", &poor.key)
        .env("AIO_SLOW_KEY", slow["key"].as_str().context("no key")?)
        .env("AIO_MEDIA", aio.replicas(Role::Media).to_string())
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(testkit::PATIENCE, ran).await??;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(ran.status.success(), "{script}: {said}");
    aio.finish().await
}

#[tokio::test]
async fn openai_for_python() -> Result<()> {
    run(PYTHON, "openai_python.py").await
}

#[tokio::test]
async fn anthropic_for_python() -> Result<()> {
    run(PYTHON, "anthropic_python.py").await
}

#[tokio::test]
async fn langchain_for_python() -> Result<()> {
    run(PYTHON, "langchain_python.py").await
}

#[tokio::test]
async fn a_validator_of_openapi_documents() -> Result<()> {
    run(PYTHON, "openapi_document.py").await
}

#[tokio::test]
async fn openai_and_anthropic_for_node() -> Result<()> {
    run(NODE, "openai_node.mjs").await
}

#[tokio::test]
async fn vercels_ai_sdk() -> Result<()> {
    run(NODE, "vercel_ai.mjs").await
}
