//! What the kernel says about processes. A process that is gone counts as nothing.

use std::{collections::BTreeMap, fs};

/// The kernel shows times in hundredths of a second.
const TICK_NS: u64 = 10_000_000;

/// All processes at one moment.
pub(crate) struct Processes(BTreeMap<u32, Entry>);

struct Entry {
    parent: u32,
    /// Of all its threads, and of all its children that have ended and that it knows have.
    cpu_ns: u64,
}

/// Memory of a process that is really there (resident), in megabytes.
pub(crate) fn rss_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes = kilobytes.and_then(|kilobytes| kilobytes.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1024.0
}

/// How many files and connections this process may have open; those it starts may have as many.
pub(crate) fn open_files() -> u32 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.and_then(|soft| soft.parse().ok()).unwrap_or(u32::MAX)
}

/// Time that all cores together have been busy since boot, time stolen by other machines included, in nanoseconds.
pub(crate) fn busy_ns() -> u64 {
    /// Columns of `/proc/stat`: user, nice, system, irq, softirq, steal. Those between are idle and waiting.
    const BUSY: [usize; 6] = [0, 1, 2, 5, 6, 7];
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    ticks(line.split_whitespace().skip(1), &BUSY) * TICK_NS
}

// === impl Processes ===

impl Processes {
    /// Looks at all there are. Takes about a millisecond.
    pub(crate) fn look() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(
            pids.filter_map(|pid| Some((pid, Entry::read(pid)?)))
                .collect(),
        )
    }

    /// CPU time of a process and of all that it and its children have started, in nanoseconds. What has ended counts as long as
    /// its parent runs.
    pub(crate) fn family_cpu_ns(&self, pid: u32) -> u64 {
        let own = self.0.get(&pid).map_or(0, |entry| entry.cpu_ns);
        let children = self.children(pid).map(|child| self.family_cpu_ns(child));
        own + children.sum::<u64>()
    }

    /// What a process has started and still runs.
    pub(crate) fn children(&self, pid: u32) -> impl Iterator<Item = u32> {
        let children = self.0.iter().filter(move |(_, entry)| entry.parent == pid);
        children.map(|(child, _)| *child)
    }
}

// === impl Entry ===

impl Entry {
    fn read(pid: u32) -> Option<Self> {
        /// Columns of `/proc/PID/stat` after the name, which is in parentheses: the parent; then user and system time, of
        /// the process and of its children that have ended.
        const PARENT: usize = 1;
        const CPU: [usize; 4] = [11, 12, 13, 14];
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, columns) = stat.rsplit_once(')')?;
        let columns = columns.split_whitespace();
        Some(Self {
            parent: columns.clone().nth(PARENT)?.parse().ok()?,
            cpu_ns: ticks(columns, &CPU) * TICK_NS,
        })
    }
}

fn ticks<'c>(columns: impl Iterator<Item = &'c str>, wanted: &[usize]) -> u64 {
    let wanted = columns
        .enumerate()
        .filter(|(number, _)| wanted.contains(number));
    wanted
        .filter_map(|(_, ticks)| ticks.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu_ns(pid: u32) -> u64 {
        Processes::look().family_cpu_ns(pid)
    }

    #[test]
    fn this_process_has_used_cpu_and_memory() {
        let me = std::process::id();
        while cpu_ns(me) == 0 {
            std::hint::black_box(busy_ns());
        }
        assert!(rss_mb(me) > 0.0 && busy_ns() >= cpu_ns(me));
    }

    #[test]
    fn a_process_that_is_gone_counts_as_nothing() {
        // Larger than any pid the kernel gives out.
        assert_eq!((cpu_ns(u32::MAX), rss_mb(u32::MAX)), (0, 0.0));
    }

    #[test]
    fn a_family_is_a_process_and_all_below_it() {
        let entry = |pid, parent, cpu_ns| (pid, Entry { parent, cpu_ns });
        let entries = [
            entry(1, 0, 100),
            entry(5, 1, 10),
            entry(6, 5, 3),
            entry(7, 6, 1),
        ];
        let processes = Processes(entries.into());
        assert_eq!(processes.family_cpu_ns(5), 14);
        assert_eq!(processes.children(5).collect::<Vec<_>>(), [6]);
    }
}
