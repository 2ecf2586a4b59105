//! The storm on the ledger: billing's own program (`services/billing/examples/storm.rs`), which stands beside this one.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::Length;

/// Operations of a storm.
const FULL: u32 = 1_000_000;
const QUICK: u32 = 20_000;

/// What the ledger stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Runs it, and says what it came to.
pub(crate) async fn storm(engine: Engine, length: Length) -> Result<String> {
    let this = std::env::current_exe().context("who am I?")?;
    let folder = this.parent().unwrap_or_else(|| Path::new("."));
    let program = folder.join("examples/storm");
    let operations = match length {
        Length::Full => FULL,
        Length::Quick => QUICK,
    };
    let output = Command::new(&program)
        .args([engine.as_str(), &operations.to_string()])
        .output()
        .await
        .with_context(|| program.display().to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    let figure = |name: &str| told.get(name).map(ToString::to_string).unwrap_or_default();
    Ok(format!(
        "{} operations, {} sessions killed; {} negative balances, {} micro-credits of drift, {} ids granted twice",
        figure("operations"),
        figure("sessions_killed"),
        figure("negative_balances"),
        figure("drift_microcredits"),
        figure("ids_granted_twice"),
    ))
}

// === impl Engine ===

impl Engine {
    /// The word of its command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}
