//! Installs what the black-box suite runs from PyPI and npm, anew when what is asked for has changed: SDKs into `target/sdk`, and what
//! drives a browser into `target/browser`.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

use super::install;
use crate::say::say;

/// Scripts of the suite, and what they need.
struct Scripts {
    /// The folder below `target`.
    name: &'static str,
    /// Where they are.
    source: &'static str,
    /// The files that say what is needed.
    wanted: &'static [&'static str],
}

const SDKS: Scripts = Scripts {
    name: "sdk",
    source: "crates/e2e/sdk",
    wanted: &["requirements.txt", "package.json", "package-lock.json"],
};
const BROWSER: Scripts = Scripts {
    name: "browser",
    source: "crates/e2e/browser",
    wanted: &["package.json", "package-lock.json"],
};
/// What Python needs, if something is for Python.
const REQUIREMENTS: &str = "requirements.txt";
/// What the machine needs for it, and to look at what models make: what has to work, and the package that has it.
const NEEDED: [(&[&str], &str); 4] = [
    (&["python3", "-c", "import ensurepip, venv"], "python3-venv"),
    (&["npm", "--version"], "npm"),
    (&["ffmpeg", "-version"], "ffmpeg"),
    (&["chromium", "--version"], "chromium"),
];

/// Installs what is missing below `target`.
pub(super) fn install(target: &Path) -> anyhow::Result<()> {
    let missing = NEEDED.iter().filter(|(words, _)| !works(words));
    let missing: Vec<String> = missing.map(|(_, package)| (*package).to_owned()).collect();
    install::packages(&missing)?;
    SDKS.install(target)?;
    BROWSER.install(target)
}

// === impl Scripts ===

impl Scripts {
    fn install(&self, target: &Path) -> anyhow::Result<()> {
        let place = target.join(self.name);
        let wanted = self.wanted()?;
        let installed = place.join("installed");
        if fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
            return self.copy(&place);
        }
        say(&format!(
            "test: installing what {} needs (at most half a minute)",
            self.source
        ));
        if place.exists() {
            fs::remove_dir_all(&place)
                .with_context(|| format!("cannot empty {}", place.display()))?;
        }
        fs::create_dir_all(place.join("scripts"))?;
        self.copy(&place)?;
        if self.wanted.contains(&REQUIREMENTS) {
            python(&place)?;
        }
        let scripts = text(&place.join("scripts"))?;
        let words = ["ci", "--silent", "--no-audit", "--no-fund", "--prefix"];
        run("npm", &[&words[..], &[&scripts]].concat())?;
        Ok(fs::write(installed, wanted)?)
    }

    /// The scripts stand beside what they import.
    fn copy(&self, place: &Path) -> anyhow::Result<()> {
        let source = self.source;
        for entry in fs::read_dir(source).with_context(|| format!("cannot read {source}"))? {
            let entry = entry?;
            fs::copy(entry.path(), place.join("scripts").join(entry.file_name()))?;
        }
        Ok(())
    }

    fn wanted(&self) -> anyhow::Result<String> {
        let read = |name: &&str| {
            let path = Path::new(self.source).join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        self.wanted.iter().map(read).collect()
    }
}

fn python(place: &Path) -> anyhow::Result<()> {
    let python = place.join("python");
    run("python3", &["-m", "venv", &text(&python)?])?;
    let requirements = text(&place.join("scripts").join(REQUIREMENTS))?;
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
    )
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
