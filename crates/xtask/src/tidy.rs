//! `cargo xtask tidy`: the rules of the house that the compiler and clippy do not know. A rule is one small function from
//! what it looks at to findings. Rules read; none of them mends anything, and none of them knows another.

mod bans;
mod map;
mod members;
mod sizes;
mod source;
mod tables;
mod tree;

use crate::say::say;
use std::{fmt, process::ExitCode};

/// One place where the house is untidy.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the root of the repository.
    path: String,
    /// Counted from 1; 0 when the finding is about the whole file.
    line: usize,
    problem: String,
    allowed: String,
}

/// Prints every finding, or one line that says how much was looked at. Exits 1 if there was any finding.
pub(crate) fn tidy() -> anyhow::Result<ExitCode> {
    let house = tree::House::read()?;
    let mut findings = house.findings();
    findings.sort();
    for finding in &findings {
        say(&finding.to_string());
    }
    let (files, count) = (house.len(), findings.len());
    say(&format!("tidy: {files} files, {count} findings"));
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

// === impl Finding ===

impl Finding {
    fn new(
        path: &str,
        line: usize,
        problem: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            line,
            problem: problem.into(),
            allowed: allowed.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            problem,
            allowed,
        } = self;
        write!(f, "{path}:{line}: {problem} (allowed: {allowed})")
    }
}
