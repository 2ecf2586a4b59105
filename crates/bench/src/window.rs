//! One window of load, put on by a process of its own.

use crate::{
    load::{Sample, Watched},
    process::{Core, Process, ourselves, pinned},
};
use anyhow::{Context, ensure};
use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
};
use tempfile::NamedTempFile;

/// What is sent, to whom, and how fast.
pub(crate) struct Window {
    /// Where the load generator runs.
    pub(crate) core: Core,
    pub(crate) address: SocketAddr,
    /// The whole request, head and body.
    pub(crate) request: String,
    pub(crate) connections: u32,
    /// Requests per second; 0 is a closed loop.
    pub(crate) rate: u32,
    pub(crate) warm_seconds: u32,
    pub(crate) seconds: u32,
    pub(crate) calls: Calls,
    /// The processes that are the program under test.
    pub(crate) under_test: Vec<Watched>,
    /// Those whose work is neither noise nor that of a program under test.
    pub(crate) beside: Vec<Watched>,
}

/// How often each connection asks.
#[derive(Clone, Copy)]
pub(crate) enum Calls {
    One,
    Many,
    /// Many, with a rest before each that is never the same.
    Rested,
}

/// A window of load that is under way beside another one. Dropping it ends it.
pub(crate) struct Background {
    pub(crate) process: Process,
    _request: NamedTempFile,
}

// === impl Window ===

impl Window {
    /// Puts the load on, and says what was seen.
    pub(crate) async fn run(&self) -> anyhow::Result<Sample> {
        let request = self.request()?;
        let mut command = tokio::process::Command::from(self.command(&request)?);
        let output = command.stderr(Stdio::inherit()).kill_on_drop(true).output();
        let output = output.await?;
        ensure!(output.status.success(), "the load generator failed");
        serde_json::from_slice(&output.stdout).context("the load generator says nothing")
    }

    /// Puts the load on, whatever comes of it.
    pub(crate) fn start(&self) -> anyhow::Result<Background> {
        let request = self.request()?;
        let mut command = self.command(&request)?;
        Ok(Background {
            process: Process::start(command.stdout(Stdio::null()))?,
            _request: request,
        })
    }

    fn request(&self) -> anyhow::Result<NamedTempFile> {
        let mut file = NamedTempFile::with_prefix("bench-")?;
        file.write_all(self.request.as_bytes())?;
        Ok(file)
    }

    fn command(&self, request: &NamedTempFile) -> anyhow::Result<Command> {
        let mut command = pinned(self.core, ourselves()?);
        command.arg("load");
        let mut option = |name: &str, value: String| {
            command.arg(name).arg(value);
        };
        option("--address", self.address.to_string());
        option("--request", request.path().display().to_string());
        option("--connections", self.connections.to_string());
        option("--rate", self.rate.to_string());
        option("--seconds", self.seconds.to_string());
        option("--warm-seconds", self.warm_seconds.to_string());
        for watched in &self.under_test {
            option("--under-test", watched.to_string());
        }
        for watched in &self.beside {
            option("--beside", watched.to_string());
        }
        match self.calls {
            Calls::One => {
                command.arg("--once");
            }
            Calls::Rested => {
                command.arg("--rests");
            }
            Calls::Many => {}
        }
        Ok(command)
    }
}
