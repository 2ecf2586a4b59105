//! Installs the servers that are missing: by apt as root, else it says what to type. Only the programs are wanted: no service
//! of a package that was installed here is started, now or when the machine starts.

use crate::say::say;
use anyhow::{Context, bail, ensure};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

/// The file by which a machine's owner forbids packages to start services.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Nothing may be started.
const FORBID: &str = "#!/bin/sh\nexit 101\n";

/// Installs what `program missing` names.
pub(super) fn missing(program: &str) -> anyhow::Result<()> {
    packages(&names(program)?)?;
    let left = names(program)?;
    ensure!(
        left.is_empty(),
        "{} is still missing after apt-get install",
        left.join(" ")
    );
    Ok(())
}

/// Installs these packages.
pub(super) fn packages(packages: &[String]) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !is_root()? {
        bail!(
            "tests need what is not installed. As root:\n  \
             apt-get update && apt-get install --yes --no-install-recommends {list}"
        );
    }
    say(&format!("test: installing {list} (takes some minutes)"));
    let before = directories_of_nodes()?;
    let policy = Policy::forbid_starts()?;
    apt(&["update"])?;
    let words = ["install", "--yes", "--no-install-recommends"];
    let words: Vec<_> = words
        .into_iter()
        .chain(packages.iter().map(String::as_str))
        .collect();
    apt(&words)?;
    for package in packages {
        keep_stopped(package, &policy);
    }
    // RabbitMQ's package starts one to look for nodes.
    for pid in directories_of_nodes()?.difference(&before) {
        quietly("kill", &[pid]);
    }
    drop(policy);
    say("test: installed");
    Ok(())
}

fn names(program: &str) -> anyhow::Result<Vec<String>> {
    let output = Command::new(program)
        .arg("missing")
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim() == "0")
}

fn apt(words: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("apt-get")
        // Somebody else may be installing: that ends.
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("cannot start apt-get")?;
    ensure!(status.success(), "apt-get {} failed", words.join(" "));
    Ok(())
}

/// The package was not there before, so nobody needs its service.
fn keep_stopped(package: &str, policy: &Policy) {
    quietly("update-rc.d", &[package, "disable"]);
    if matches!(policy, Policy::Owners) {
        quietly("service", &[package, "stop"]);
    }
}

/// Runs what may well fail, as on a machine without an init system.
fn quietly(program: &str, words: &[&str]) {
    let _ = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// The processes called `epmd`.
fn directories_of_nodes() -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.trim() == "epmd" {
            found.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// Whose word on starting services holds while we install.
enum Policy {
    /// Ours, for as long as this value lives.
    Ours,
    /// That of the machine's owner, which we do not touch.
    Owners,
}

// === impl Policy ===

impl Policy {
    fn forbid_starts() -> anyhow::Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self::Owners);
        }
        fs::write(POLICY, FORBID).with_context(|| format!("cannot write {POLICY}"))?;
        let policy = Self::Ours;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if matches!(self, Self::Ours) {
            let _ = fs::remove_file(POLICY);
        }
    }
}
