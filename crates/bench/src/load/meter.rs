//! What the processes that take part in a window use of the machine.

use crate::procfs::{Processes, busy_ns, rss_mb};
use anyhow::Context;
use std::{fmt, str::FromStr};
use tokio::time::Instant;

/// What the load generator is called beside the others.
pub(crate) const OURSELVES: &str = "load";

/// A process to look at: `NAME=PID` on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

/// Looks at the processes that take part.
pub(crate) struct Meter {
    /// Those under test first, then those beside them.
    watched: Vec<Watched>,
    under_test: usize,
    /// The most memory each has had.
    rss_mb: Vec<f64>,
}

/// What has been used up to a moment.
pub(crate) struct Reading {
    at: Instant,
    /// By each process, in the meter's order.
    cpu_ns: Vec<u64>,
    /// By everybody.
    busy_ns: u64,
}

/// What was used in a window.
pub(crate) struct Used {
    pub(crate) seconds: f64,
    /// CPU time of everybody else.
    pub(crate) others_ns: u64,
    pub(crate) under_test: Vec<(String, Share)>,
    pub(crate) beside: Vec<(String, Share)>,
}

/// What one process used in a window.
pub(crate) struct Share {
    pub(crate) cpu_ns: u64,
    pub(crate) rss_mb: f64,
}

// === impl Watched ===

impl Watched {
    /// A process, and what to call it.
    pub(crate) fn new(name: &str, pid: u32) -> Self {
        let name = name.to_owned();
        Self { name, pid }
    }
}

impl FromStr for Watched {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, pid) = text.split_once('=').context("no = between name and pid")?;
        Ok(Self::new(name, pid.parse()?))
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.pid)
    }
}

// === impl Meter ===

impl Meter {
    /// A meter of these processes, and of this one beside them.
    pub(crate) fn new(under_test: Vec<Watched>, beside: Vec<Watched>) -> Self {
        let ourselves = Watched::new(OURSELVES, std::process::id());
        let count = under_test.len();
        let watched: Vec<_> = under_test
            .into_iter()
            .chain(beside)
            .chain([ourselves])
            .collect();
        Self {
            under_test: count,
            rss_mb: vec![0.0; watched.len()],
            watched,
        }
    }

    /// What has been used so far.
    pub(crate) fn read(&self) -> Reading {
        let processes = Processes::look();
        let cpu = |watched: &Watched| processes.family_cpu_ns(watched.pid);
        Reading {
            at: Instant::now(),
            cpu_ns: self.watched.iter().map(cpu).collect(),
            busy_ns: busy_ns(),
        }
    }

    /// Notes how much memory each process has now. Cheap enough for the middle of a window.
    pub(crate) fn look_at_memory(&mut self) {
        for (watched, most) in self.watched.iter().zip(&mut self.rss_mb) {
            *most = most.max(rss_mb(watched.pid));
        }
    }

    /// What was used between `before` and now.
    pub(crate) fn used_since(mut self, before: &Reading) -> Used {
        let now = self.read();
        self.look_at_memory();
        let spans = now.cpu_ns.iter().zip(&before.cpu_ns);
        let cpu = spans.map(|(now, before)| now.saturating_sub(*before));
        let names = self.watched.into_iter().map(|watched| watched.name);
        let shares = cpu.zip(self.rss_mb);
        let shares = shares.map(|(cpu_ns, rss_mb)| Share { cpu_ns, rss_mb });
        let mut under_test: Vec<_> = names.zip(shares).collect();
        let ours: u64 = under_test.iter().map(|(_, share)| share.cpu_ns).sum();
        let busy = now.busy_ns.saturating_sub(before.busy_ns);
        Used {
            seconds: now.at.duration_since(before.at).as_secs_f64(),
            others_ns: busy.saturating_sub(ours),
            beside: under_test.split_off(self.under_test),
            under_test,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_on_the_command_line() {
        let watched: Watched = "edge=17".parse().unwrap();
        assert_eq!(watched, Watched::new("edge", 17));
        assert_eq!(watched.to_string(), "edge=17");
        assert!("edge".parse::<Watched>().is_err() && "edge=x".parse::<Watched>().is_err());
    }

    #[test]
    fn the_load_generator_is_beside_what_it_measures() {
        let me = std::process::id();
        let meter = Meter::new(
            vec![Watched::new("edge", me)],
            vec![Watched::new("mock", u32::MAX)],
        );
        let before = meter.read();
        let used = meter.used_since(&before);
        let names = |shares: &[(String, Share)]| -> Vec<_> {
            shares.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(names(&used.under_test), ["edge"]);
        assert_eq!(names(&used.beside), ["mock", OURSELVES]);
        assert!(used.under_test.iter().all(|(_, share)| share.rss_mb > 0.0));
    }
}
