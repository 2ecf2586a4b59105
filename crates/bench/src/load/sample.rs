//! What the load generator writes down, and the sample it makes of it.

use super::connection::Connection;
use crate::procfs::{busy_ns, cpu_ns, rss_mb};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// One window of load: the wire format between the load generator and the benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Answers with status 200 inside the window.
    pub(crate) requests: u64,
    pub(crate) requests_per_s: f64,
    /// Connections that broke and answers that never came, before, in and after the window.
    pub(crate) failed: u64,
    /// Answers with another status than 200.
    pub(crate) refused: u64,
    /// The first of those, or of the failures.
    pub(crate) first_error: Option<String>,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU time of the process under test per answered request.
    pub(crate) cpu_us: f64,
    /// The most memory the process under test had.
    pub(crate) rss_mb: f64,
    /// Cores that somebody else kept busy: neither we, nor the upstream, nor the process under test.
    pub(crate) noise: f64,
}

/// What each connection writes down.
#[derive(Default)]
pub(crate) struct Book {
    latencies: Vec<Duration>,
    failed: u64,
    refused: u64,
    first_error: Option<String>,
}

/// Looks at the processes that take part.
pub(crate) struct Meter {
    pub(crate) pid: Option<u32>,
    pub(crate) upstream_pid: Option<u32>,
}

/// What the processes have used up to a moment.
pub(crate) struct Reading {
    at: Instant,
    /// CPU time of the process under test.
    cpu_ns: u64,
    /// CPU time of all processes that take part.
    ours_ns: u64,
    busy_ns: u64,
    pub(crate) rss_mb: f64,
}

/// What the processes have used between two moments.
pub(crate) struct Used {
    seconds: f64,
    cpu_ns: u64,
    others_ns: u64,
    pub(crate) rss_mb: f64,
}

// === impl Book ===

impl Book {
    /// Notes an answer inside the window.
    pub(crate) fn answered(&mut self, latency: Duration) {
        self.latencies.push(latency);
    }

    /// Notes an answer with a status that was not expected.
    pub(crate) fn refused(&mut self, connection: &Connection, status: u16) {
        self.refused += 1;
        let text = || format!("status {status}: {}", connection.text());
        self.first_error.get_or_insert_with(text);
    }

    /// Notes that there was no answer, and why.
    pub(crate) fn failed(&mut self, why: &dyn std::fmt::Display) {
        self.failed += 1;
        self.first_error.get_or_insert_with(|| why.to_string());
    }

    /// Makes the sample.
    pub(crate) fn close(mut self, used: &Used) -> Sample {
        self.latencies.sort_unstable();
        let requests = self.latencies.len();
        Sample {
            requests: requests.try_into().unwrap_or(u64::MAX),
            requests_per_s: requests as f64 / used.seconds,
            failed: self.failed,
            refused: self.refused,
            p50_us: percentile_us(&self.latencies, 50),
            p99_us: percentile_us(&self.latencies, 99),
            cpu_us: used.cpu_ns as f64 / 1e3 / requests.max(1) as f64,
            rss_mb: used.rss_mb,
            noise: used.others_ns as f64 / 1e9 / used.seconds,
            first_error: self.first_error,
        }
    }
}

/// The smallest latency that `percent` of all do not exceed; 0 when there is none.
pub(crate) fn percentile_us(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    let latency = sorted.get(rank).map(Duration::as_secs_f64);
    latency.unwrap_or_default() * 1e6
}

// === impl Meter ===

impl Meter {
    /// What has been used so far.
    pub(crate) fn read(&self) -> Reading {
        let cpu = self.pid.map_or(0, cpu_ns);
        let surroundings = self.upstream_pid.map_or(0, cpu_ns) + cpu_ns(std::process::id());
        Reading {
            at: Instant::now(),
            cpu_ns: cpu,
            ours_ns: cpu + surroundings,
            busy_ns: busy_ns(),
            rss_mb: self.pid.map_or(0.0, rss_mb),
        }
    }
}

// === impl Reading ===

impl Reading {
    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Used {
        let busy = self.busy_ns.saturating_sub(before.busy_ns);
        Used {
            seconds: self.at.duration_since(before.at).as_secs_f64(),
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            others_ns: busy.saturating_sub(self.ours_ns.saturating_sub(before.ours_ns)),
            rss_mb: self.rss_mb,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::percentile_us;
    use std::time::Duration;

    #[test]
    fn percentiles_are_latencies_that_were_seen() {
        let latencies: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert!((percentile_us(&latencies, 50) - 100.0).abs() < 0.001);
        assert!((percentile_us(&latencies, 99) - 198.0).abs() < 0.001);
        assert!(percentile_us(&[], 50) < 0.001);
    }
}
