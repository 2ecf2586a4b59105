//! What every private server has: a folder, a port, and the user it runs as.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// Below the ports that the system gives to clients: such a port can be had again after a restart.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// How many ports a server tries, as another program may take one between our look and the start.
pub(super) const TRIES: u32 = 5;

/// What keeps other tests from the ports that this process was given: nobody listens there while a server is killed and started again.
static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port of loopback that nobody listens on, and that no other test is given as long as this process runs.
///
/// # Errors
/// When there is none, or the folder in which ports are taken cannot be written.
pub fn free_port() -> Result<u16> {
    let whose = rustix::process::getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("aio-ports-{whose}"));
    fs::create_dir_all(&folder)?;
    for _ in 0..1_000 {
        let port = rand::random_range(PORTS);
        let file = File::create(folder.join(port.to_string()))?;
        // Taken by somebody else, or by ourselves before.
        if file.try_lock().is_err() {
            continue;
        }
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
            taken.push(file);
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// A fresh folder for a server.
pub(super) fn folder(name: &str) -> Result<TempDir> {
    let prefix = format!("aio-{name}-");
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir()?)
}

/// A command in an environment that holds nothing but where programs are.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    command.env_clear().env("PATH", path).env("LANG", "C.UTF-8");
    command
}

/// Who runs a server that refuses to run as root.
#[derive(Clone, Copy, Debug)]
pub(super) enum User {
    /// Whoever runs the test.
    Same,
    /// Somebody else, by numbers.
    Other { user: u32, group: u32 },
}

// === impl User ===

impl User {
    /// `name` when root runs the test, and otherwise who runs it.
    pub(super) fn instead_of_root(name: &str) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Same);
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let ids = users.lines().find_map(|line| {
            let mut fields = line.strip_prefix(name)?.strip_prefix(':')?.split(':');
            let user = fields.nth(1)?.parse().ok()?;
            Some((user, fields.next()?.parse().ok()?))
        });
        let (user, group) = ids.with_context(|| format!("there is no user {name}"))?;
        Ok(Self::Other { user, group })
    }

    /// Makes the folder this user's.
    pub(super) fn give(self, folder: &Path) -> Result<()> {
        if let Self::Other { user, group } = self {
            chown(folder, Some(user), Some(group))?;
        }
        Ok(())
    }

    /// Lets this user run the command.
    pub(super) fn runs(self, command: &mut Command) {
        if let Self::Other { user, group } = self {
            command.uid(user).gid(group);
        }
    }
}
