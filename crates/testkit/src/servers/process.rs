//! A server's process with everything it starts: killed as a whole, and by a watchdog when the test dies first.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::eventually;

/// How long processes that were killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// Waits for the end of its input, which nobody writes to and which ends with whoever holds the other end; then kills the
/// group `$1` and deletes the folder `$2`, again a second later for what its members still wrote.
const WATCHDOG: &str = r#"read -r _; kill -9 "-$1"; rm -rf -- "$2"; sleep 1; rm -rf -- "$2""#;

/// A running server.
pub(super) struct Process {
    name: &'static str,
    log: PathBuf,
    child: Child,
    watchdog: Child,
}

// === impl Process ===

impl Process {
    /// Starts a server that keeps what it has in `folder`; what it prints goes to a file there.
    pub(super) fn spawn(name: &'static str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        match watch(&child, folder) {
            Ok(watchdog) => Ok(Self {
                name,
                log,
                child,
                watchdog,
            }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// When the process ends first, or it takes too long; with what the server printed.
    pub(super) async fn ready(&mut self, condition: impl AsyncFn() -> bool) -> Result<()> {
        let name = self.name;
        let waited = eventually(&format!("{name} gets ready"), async || {
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ends with {status}");
            }
            Ok(condition().await.then_some(()))
        })
        .await;
        waited.with_context(|| self.printed())
    }

    /// What the server has printed.
    pub(super) fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Tells it to stop, and waits until it has.
    pub(super) async fn stop(mut self) -> Result<ExitStatus> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let child = &mut self.child;
        let stopped = eventually("the server stops", async || Ok(child.try_wait()?)).await;
        // Whatever outlived it goes with the rest.
        self.end()?;
        stopped
    }

    /// Sends a signal to it and to all it has started.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let root = Pid::from_child(&self.child);
        kill_process(root, signal)?;
        for pid in descendants(root)? {
            // It may have ended meanwhile.
            let _ = kill_process(pid, signal);
        }
        Ok(())
    }

    /// Kills it and all it has started, and waits until they are gone.
    pub(super) fn kill(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        // The watchdog first: the number of a group that is gone may be given to others.
        self.watchdog.kill()?;
        self.watchdog.wait()?;
        let root = Pid::from_child(&self.child);
        let family = descendants(root)?;
        self.child.kill()?;
        for pid in &family {
            // It may have followed its parent already.
            let _ = kill_process(*pid, Signal::KILL);
        }
        self.child.wait()?;
        let deadline = Instant::now() + GONE_WITHIN;
        while family.iter().any(|pid| test_kill_process(*pid).is_ok()) {
            if Instant::now() >= deadline {
                bail!("{} does not die", self.name);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // There is nobody to tell; after `kill` and `stop` nothing is left to do.
        if self.watchdog.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.end();
        }
    }
}

fn watch(child: &Child, folder: &Path) -> Result<Child> {
    let mut command = Command::new("sh");
    command
        .args(["-c", WATCHDOG, "watchdog"])
        .arg(child.id().to_string())
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C at the terminal is for the test, not for who cleans up after it.
        .process_group(0);
    command.spawn().context("cannot start the watchdog")
}

/// All processes that `root` has started, and those that they have started. A server's processes may leave its group, so the
/// group does not tell.
fn descendants(root: Pid) -> Result<Vec<Pid>> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // It may have ended since it was listed.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // 1 (name, which may hold anything) S 0 …
        let after = stat.rsplit_once(')').map(|(_, after)| after);
        let parent = after.and_then(|after| after.split_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut look = vec![root.as_raw_nonzero().get()];
    while let Some(parent) = look.pop() {
        let of_this = children.remove(&parent).unwrap_or_default();
        found.extend(of_this.iter().copied().filter_map(Pid::from_raw));
        look.extend(of_this);
    }
    Ok(found)
}
