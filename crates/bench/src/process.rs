//! Processes that a benchmark starts: each on its core, each killed when its guard is dropped.

use anyhow::{Context, anyhow, ensure};
use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// Open files of a process: ten thousand customers, and as many providers.
const CONNECTIONS: u32 = 65_536;

/// Which core a process runs on.
#[derive(Clone, Copy)]
pub(crate) enum Core {
    /// The one that a program under test has for itself.
    UnderTest,
    /// The other one.
    Surroundings,
    /// Whichever is free: a program of many processes shares all cores with its surroundings.
    Any,
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
    let core = match core {
        Core::UnderTest => "0",
        Core::Surroundings => "1",
        Core::Any => return Command::new(program.into()),
    };
    if !can_pin() {
        return Command::new(program.into());
    }
    let mut command = Command::new("taskset");
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

/// Which build of `aio`.
#[derive(Clone, Copy)]
pub(crate) enum Build {
    /// As it is shipped.
    Release,
    /// Without the ledger: nothing is charged.
    Unbilled,
}

/// `aio`, built like this program and beside it, with no setting of whoever runs the benchmark.
pub(crate) fn aio(core: Core, build: Build) -> anyhow::Result<Command> {
    let name = match build {
        Build::Release => "aio",
        Build::Unbilled => "aio-unbilled",
    };
    let program = ourselves()?.with_file_name(name);
    ensure!(
        program.exists(),
        "build {name} first, as cargo xtask bench does: {} is missing",
        program.display()
    );
    let mut command = pinned(core, &program);
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.to_string_lossy().starts_with("AIO_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    Ok(command)
}

/// Has every temporary file made beside the programs: the system's folder for them may be memory, where fsync costs nothing.
pub(crate) fn keep_files_on_disk() -> anyhow::Result<()> {
    let program = ourselves()?;
    let folder = program.parent().context("no folder")?;
    let before = tempfile::env::override_temp_dir(folder);
    before.map_err(|before| anyhow!("temporary files are in {} already", before.display()))
}

/// Lets this process and those it starts have as many connections open as the benchmarks ask for, where the system allows it.
pub(crate) fn have_room_for_connections() -> bool {
    let raised = Command::new("prlimit")
        .arg(format!("--pid={}", std::process::id()))
        .arg(format!("--nofile={CONNECTIONS}:{CONNECTIONS}"))
        .stderr(Stdio::null())
        .status();
    raised.is_ok_and(|status| status.success())
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

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // It may have ended already; then there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
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
