//! The servers of a run, held by a child process that stops them when we let go of it, or are gone ourselves.

use anyhow::Context;
use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// How many lines of `NAME=value` are told.
const TOLD: usize = 2;

/// Running servers.
pub(super) struct Servers {
    /// What tests are told of them.
    pub(super) environment: Vec<(String, String)>,
    child: Child,
}

// === impl Servers ===

impl Servers {
    /// Starts them and waits until they are ready.
    pub(super) fn start(program: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at the terminal is for us; they follow.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let output = child.stdout.take().context("no output")?;
        let mut servers = Self {
            environment: Vec::new(),
            child,
        };
        for line in BufReader::new(output).lines().take(TOLD) {
            let line = line?;
            let (name, value) = line.split_once('=').context(line.clone())?;
            servers
                .environment
                .push((name.to_owned(), value.to_owned()));
        }
        let all = servers.environment.len() == TOLD;
        anyhow::ensure!(all, "the servers do not start; the reason stands above");
        Ok(servers)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // It ends with its input. There is nobody to tell that it did so badly.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
