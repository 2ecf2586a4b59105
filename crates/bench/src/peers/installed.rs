//! Where peers come from: each is fetched once, by the program of its registry, into a folder of its own. Nothing is installed in the
//! system.

use crate::{kept::FOLDER, progress};
use anyhow::{Context as _, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::process::Command;

/// LiteLLM, with what its proxy needs.
const LITELLM: &str = "litellm[proxy]>=1.106,<2";
/// Portkey, and the newest server below it that streams.
const PORTKEY: [&str; 2] = ["@portkey-ai/gateway@1.15.2", "@hono/node-server@1.3.3"];

/// nginx: the system's, or Debian's package unpacked.
pub(super) async fn nginx() -> anyhow::Result<PathBuf> {
    let places = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
    if let Some(own) = places.into_iter().map(PathBuf::from).find(|p| p.is_file()) {
        return Ok(own);
    }
    let folder = folder("nginx")?;
    let program = folder.join("usr/sbin/nginx");
    if !program.is_file() {
        progress("peers: fetching nginx from the system's archive");
        let why =
            "nginx is not installed, and its package cannot be fetched: apt-get install nginx";
        run(&folder, "apt-get", &["download", "nginx"])
            .await
            .context(why)?;
        let package = packages(&folder)?;
        let package = package.to_string_lossy();
        run(&folder, "dpkg", &["-x", &package, "."])
            .await
            .context(why)?;
    }
    ensure!(
        program.is_file(),
        "the package brings no {}",
        program.display()
    );
    Ok(program)
}

/// LiteLLM's program, in an environment of Python of its own.
pub(super) async fn litellm() -> anyhow::Result<PathBuf> {
    let folder = folder("litellm")?;
    let program = folder.join("venv/bin/litellm");
    if !program.is_file() {
        progress("peers: fetching LiteLLM from PyPI (takes some minutes)");
        run(&folder, "python3", &["-m", "venv", "venv"])
            .await
            .context("no environment of Python can be made: apt-get install python3-venv")?;
        let words = ["install", "--quiet", "--disable-pip-version-check", LITELLM];
        run(&folder, "venv/bin/pip", &words)
            .await
            .context("LiteLLM cannot be fetched: is PyPI reached?")?;
    }
    ensure!(
        program.is_file(),
        "the package brings no {}",
        program.display()
    );
    Ok(program)
}

/// Portkey's program for Node.
pub(super) async fn portkey() -> anyhow::Result<PathBuf> {
    let folder = folder("portkey")?;
    let program = folder.join("node_modules/@portkey-ai/gateway/build/start-server.js");
    if !program.is_file() {
        progress("peers: fetching Portkey from npm");
        // A manifest of its own, so that npm does not look for one above.
        fs::write(folder.join("package.json"), "{\"private\":true}\n")?;
        let words = ["install", "--no-audit", "--no-fund", PORTKEY[0], PORTKEY[1]];
        run(&folder, "npm", &words)
            .await
            .context("Portkey cannot be fetched: is npm installed, and its registry reached?")?;
    }
    ensure!(
        program.is_file(),
        "the package brings no {}",
        program.display()
    );
    Ok(program)
}

/// The folder of a peer, from the root.
pub(super) fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let folder = std::env::current_dir()?
        .join(FOLDER)
        .join("peers")
        .join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The package that was fetched.
fn packages(folder: &Path) -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(folder)?;
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let package = files.find(|file| file.extension().is_some_and(|ending| ending == "deb"));
    package.context("no package was fetched")
}

async fn run(folder: &Path, program: &str, words: &[&str]) -> anyhow::Result<()> {
    // A program in the folder is named from there.
    let place = folder.join(program);
    let name = if place.is_file() {
        place
    } else {
        program.into()
    };
    let output = Command::new(&name)
        .args(words)
        .current_dir(folder)
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    ensure!(
        output.status.success(),
        "{program}: {}: {last}",
        output.status
    );
    Ok(())
}
