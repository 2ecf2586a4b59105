//! What the kernel says about processes. A process that is gone counts as nothing.

use std::fs;

/// The kernel shows times in hundredths of a second.
const TICK_NS: u64 = 10_000_000;

/// CPU time of all threads of a process since its start, those that have ended included, in nanoseconds.
pub(crate) fn cpu_ns(pid: u32) -> u64 {
    /// Columns of `/proc/PID/stat` after the name, which is in parentheses: user and system time.
    const CPU: [usize; 2] = [11, 12];
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let columns = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    ticks(columns, &CPU) * TICK_NS
}

/// Memory of a process that is really there (resident), in megabytes.
pub(crate) fn rss_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes = kilobytes.and_then(|kilobytes| kilobytes.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1024.0
}

/// Time that all cores together have been busy since boot, time stolen by other machines included, in nanoseconds.
pub(crate) fn busy_ns() -> u64 {
    /// Columns of `/proc/stat`: user, nice, system, irq, softirq, steal. Those between are idle and waiting.
    const BUSY: [usize; 6] = [0, 1, 2, 5, 6, 7];
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    ticks(line.split_whitespace().skip(1), &BUSY) * TICK_NS
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
}
