//! What the program holds at one moment: what the kernel says of its processes, what the API says of its customers, and how large its
//! databases are.
#![expect(
    clippy::float_arithmetic,
    reason = "statistics over what the kernel says: no money is computed here"
)]

use std::{fmt, fs, path::Path};

use tokio::time::Instant;

use super::load::Load;

/// One moment. What could not be found out is not a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) minute: f64,
    /// Memory that is really there, of all processes.
    pub(super) rss_mb: f64,
    /// Files and connections that are open, of all processes.
    pub(super) files: f64,
    pub(super) threads: f64,
    pub(super) holds: f64,
    pub(super) tasks: f64,
    pub(super) database_mb: f64,
}

// === impl Look ===

impl Look {
    pub(super) async fn take(begun: Instant, load: &Load, database: &Path) -> Self {
        let holds = load.holds().await;
        let pids = ours();
        let sum = |of: fn(u32) -> u64| pids.iter().map(|pid| of(*pid)).sum::<u64>();
        Self {
            minute: begun.elapsed().as_secs_f64() / 60.0,
            rss_mb: ::report::number(sum(|pid| status(pid, "VmRSS"))) / 1024.0,
            files: ::report::number(sum(files)),
            threads: ::report::number(sum(|pid| status(pid, "Threads"))),
            holds: holds
                .and_then(|holds| u64::try_from(holds).ok())
                .map_or(f64::NAN, ::report::number),
            tasks: ::report::number(u64::try_from(load.open_tasks()).unwrap_or(u64::MAX)),
            database_mb: ::report::number(size(database)) / (1024.0 * 1024.0),
        }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} min: {:.0} MB, {:.0} files, {:.0} threads, {:.0} holds, {:.0} tasks open, {:.0} MB in databases",
            self.minute,
            self.rss_mb,
            self.files,
            self.threads,
            self.holds,
            self.tasks,
            self.database_mb
        )
    }
}

/// The processes of the program: those that we have started and that are called so.
fn ours() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is_ours(*pid)).collect()
}

fn is_ours(pid: u32) -> bool {
    // 1 (name, which may hold anything) S parent …
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((before, after)) = stat.rsplit_once(')') else {
        return false;
    };
    let parent = after.split_whitespace().nth(1);
    let parent = parent.and_then(|parent| parent.parse::<u32>().ok());
    before.ends_with("(aio") && parent == Some(std::process::id())
}

/// A number that the kernel tells of a process; 0 if it is gone.
fn status(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(own, _)| *own == name);
    let value = found.and_then(|(_, value)| value.split_whitespace().next());
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

fn files(pid: u32) -> u64 {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    entries.map_or(0, |entries| {
        u64::try_from(entries.count()).unwrap_or(u64::MAX)
    })
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        // It went since it was listed.
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_and_the_disk_say_is_read() {
        let me = std::process::id();
        assert!(status(me, "VmRSS") > 0 && status(me, "Threads") > 0 && files(me) > 2);
        assert_eq!(status(u32::MAX, "VmRSS"), 0);
        assert!(!is_ours(me));
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/file"), [0; 300]).unwrap();
        assert_eq!(size(folder.path()), 300);
    }
}
