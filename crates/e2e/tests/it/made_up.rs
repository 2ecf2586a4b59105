//! Requests that are made up out of the API's own document: none is a fault of ours, and every answer is one that the document knows. What is
//! behind the edge makes no difference to it, so that one shape is enough.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testkit::{Aio, Sandbox, Shape};
use tokio::process::Command;

use crate::{
    say::UNHURRIED,
    sdks::{PYTHON, installed},
};

/// How long it may take. It depends on how many there are, and on the machine.
const PATIENCE: Duration = Duration::from_secs(6 * 60);

#[tokio::test]
async fn whatever_is_made_up_is_answered_as_documented() -> Result<()> {
    if Shape::of_this_run()? != Shape::Embedded {
        return Ok(());
    }
    let place = installed()?;
    // With payments, and without haste: it is made up faster than a busy machine answers.
    let sandbox = Sandbox::start().await?;
    let stripe = format!("{}/stripe", sandbox.base());
    let settings = [
        ("AIO_ORDERS__STRIPE__BASE_URL", stripe.as_str()),
        ("STRIPE_API_KEY", "canary-of-the-payments"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_sandbox"),
        ("AIO_LIMITS__DEADLINES__WEBHOOKS", "60s"),
    ];
    let aio = Aio::embedded_with(&[&UNHURRIED[..], &settings[..]].concat()).await?;
    let account = aio.account(1_000_000).await?;
    // One that may do everything, so that nothing is refused before it is read.
    let path = format!("/admin/accounts/{}/keys", account.id);
    let scopes = ["inference", "read", "manage", "admin"];
    let key = json!({ "name": "all", "mode": "test", "scopes": scopes });
    let key = aio.admin().post(&path, &key).await?.data(201)?;
    let ran = Command::new(place.join(PYTHON))
        .arg(place.join("scripts/made_up.py"))
        .current_dir(&place)
        .env("AIO_URL", format!("{}/api/v1", aio.base()))
        .env("AIO_KEY", key["key"].as_str().context("no key")?)
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(PATIENCE, ran).await??;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(ran.status.success(), "{said}");
    aio.finish().await
}
