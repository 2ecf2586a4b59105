//! Installs the SDKs that the black-box suite runs, from PyPI and npm, into `target/sdk`. Anew when what is asked for has changed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

use super::install;
use crate::say::say;

/// Where the scripts are, and what they need.
const SOURCE: &str = "crates/e2e/sdk";
/// The files that say what is needed.
const WANTED: [&str; 3] = ["requirements.txt", "package.json", "package-lock.json"];
/// What the machine needs for it, and to look at what models make: what has to work, and the package that has it.
const NEEDED: [(&[&str], &str); 3] = [
    (&["python3", "-c", "import ensurepip, venv"], "python3-venv"),
    (&["npm", "--version"], "npm"),
    (&["ffmpeg", "-version"], "ffmpeg"),
];

/// Installs what is missing below `target`.
pub(super) fn install(target: &Path) -> anyhow::Result<()> {
    let missing = NEEDED.iter().filter(|(words, _)| !works(words));
    let missing: Vec<String> = missing.map(|(_, package)| (*package).to_owned()).collect();
    install::packages(&missing)?;
    let place = target.join("sdk");
    let wanted = wanted()?;
    let installed = place.join("installed");
    if fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return copy(&place);
    }
    say("test: installing SDKs for Python and Node (half a minute)");
    if place.exists() {
        fs::remove_dir_all(&place).context("cannot empty target/sdk")?;
    }
    fs::create_dir_all(place.join("scripts"))?;
    copy(&place)?;
    let python = place.join("python");
    run("python3", &["-m", "venv", &text(&python)?])?;
    let requirements = text(&place.join("scripts/requirements.txt"))?;
    let pip = text(&python.join("bin/pip"))?;
    run(
        &pip,
        &[
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
            &requirements,
        ],
    )?;
    let scripts = text(&place.join("scripts"))?;
    run(
        "npm",
        &[
            "ci",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--prefix",
            &scripts,
        ],
    )?;
    Ok(fs::write(installed, wanted)?)
}

/// The scripts stand beside what they import.
fn copy(place: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(SOURCE).with_context(|| format!("cannot read {SOURCE}"))? {
        let entry = entry?;
        fs::copy(entry.path(), place.join("scripts").join(entry.file_name()))?;
    }
    Ok(())
}

fn wanted() -> anyhow::Result<String> {
    let read = |name: &str| {
        let path = Path::new(SOURCE).join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    WANTED.into_iter().map(read).collect()
}

fn works(words: &[&str]) -> bool {
    let Some((program, words)) = words.split_first() else {
        return false;
    };
    let status = Command::new(program)
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn run(program: &str, words: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program} {} failed", words.join(" "));
    Ok(())
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().context("the path of target is not text")?;
    Ok(text.to_owned())
}
