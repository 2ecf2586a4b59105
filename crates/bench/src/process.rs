//! Processes that a benchmark starts: each on its core, each killed when its guard is dropped.

use anyhow::Context;
use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// Which core a process runs on: the program under test has one for itself.
#[derive(Clone, Copy)]
pub(crate) enum Core {
    UnderTest,
    Surroundings,
}

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
}

/// A part of the benchmark that serves HTTP.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// A command that will run on `core`, or anywhere where `taskset` is missing.
pub(crate) fn pinned(core: Core, program: impl Into<OsString>) -> Command {
    if !can_pin() {
        return Command::new(program.into());
    }
    let mut command = Command::new("taskset");
    let core = match core {
        Core::UnderTest => "0",
        Core::Surroundings => "1",
    };
    command.args(["-c", core]).arg(program.into());
    command
}

/// Whether processes can be kept on a core each.
pub(crate) fn can_pin() -> bool {
    let check = Command::new("taskset")
        .args(["-c", "1", "true"])
        .stderr(Stdio::null())
        .status();
    check.is_ok_and(|status| status.success())
}

/// This program: its parts are subcommands.
pub(crate) fn ourselves() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find our own program")
}

// === impl Process ===

impl Process {
    /// Starts `command`.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn();
        let child =
            child.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// `taskset` becomes the program it starts, so this is the program's own id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Server ===

impl Server {
    /// Starts the part `arguments` of this program and waits until it says where it listens. It stops when we do, even if
    /// we are killed, because its standard input closes then.
    pub(crate) fn start(core: Core, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = pinned(core, ourselves()?);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let stdout = process
            .child
            .stdout
            .take()
            .context("a part without output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse();
        let address = address.with_context(|| format!("{arguments:?} did not start: {line:?}"))?;
        Ok(Self { process, address })
    }
}
