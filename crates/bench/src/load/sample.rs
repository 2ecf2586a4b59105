//! What the load generator writes down, and the sample it makes of it.

use super::{
    connection::Connection,
    meter::{Share, Used},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::Add, time::Duration};

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
    /// Until the first byte of the body.
    pub(crate) first_p50_us: f64,
    pub(crate) first_p99_us: f64,
    /// What each process under test used.
    pub(crate) under_test: BTreeMap<String, Usage>,
    /// What each process beside them used, the load generator included.
    pub(crate) beside: BTreeMap<String, Usage>,
    /// Cores that somebody else kept busy.
    pub(crate) noise: f64,
}

/// What one process used in a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// CPU time of it and its children per answered request.
    pub(crate) cpu_us: f64,
    /// The most memory it had, without its children.
    pub(crate) rss_mb: f64,
}

/// What each connection writes down.
#[derive(Default)]
pub(crate) struct Book {
    latencies: Vec<Duration>,
    firsts: Vec<Duration>,
    failed: u64,
    refused: u64,
    first_error: Option<String>,
}

// === impl Sample ===

impl Sample {
    /// CPU time of all processes under test per answered request.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.sum(|used| used.cpu_us)
    }

    /// The most memory of each process under test, all together.
    pub(crate) fn rss_mb(&self) -> f64 {
        self.sum(|used| used.rss_mb)
    }

    /// What the process with this name used; not a number when none was watched.
    pub(crate) fn usage(&self, name: &str) -> Usage {
        let found = self.under_test.get(name).or_else(|| self.beside.get(name));
        found.cloned().unwrap_or(Usage {
            cpu_us: f64::NAN,
            rss_mb: f64::NAN,
        })
    }

    /// Answers that were not what they should be, or never came.
    pub(crate) fn errors(&self) -> u64 {
        self.failed + self.refused
    }

    /// 0 when there is none; the sum of no floats at all would be -0.
    fn sum(&self, part: impl Fn(&Usage) -> f64) -> f64 {
        self.under_test.values().map(part).fold(0.0, f64::add)
    }
}

// === impl Book ===

impl Book {
    /// Notes an answer inside the window.
    pub(crate) fn answered(&mut self, latency: Duration, first: Duration) {
        self.latencies.push(latency);
        self.firsts.push(first);
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
    pub(crate) fn close(mut self, used: Used) -> Sample {
        self.latencies.sort_unstable();
        self.firsts.sort_unstable();
        let requests = self.latencies.len();
        let usage = |(name, used): (String, Share)| {
            let cpu_us = used.cpu_ns as f64 / 1e3 / requests.max(1) as f64;
            let rss_mb = used.rss_mb;
            (name, Usage { cpu_us, rss_mb })
        };
        Sample {
            requests: requests.try_into().unwrap_or(u64::MAX),
            requests_per_s: requests as f64 / used.seconds,
            failed: self.failed,
            refused: self.refused,
            p50_us: percentile_us(&self.latencies, 50),
            p99_us: percentile_us(&self.latencies, 99),
            first_p50_us: percentile_us(&self.firsts, 50),
            first_p99_us: percentile_us(&self.firsts, 99),
            under_test: used.under_test.into_iter().map(usage).collect(),
            beside: used.beside.into_iter().map(usage).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_were_seen() {
        let latencies: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert!((percentile_us(&latencies, 50) - 100.0).abs() < 0.001);
        assert!((percentile_us(&latencies, 99) - 198.0).abs() < 0.001);
        assert!(percentile_us(&[], 50) < 0.001);
    }

    #[test]
    fn what_a_process_used_is_shared_by_the_requests() {
        let share = |name: &str, cpu_ns| {
            (
                name.to_owned(),
                Share {
                    cpu_ns,
                    rss_mb: 5.0,
                },
            )
        };
        let mut book = Book::default();
        for _ in 0..4 {
            book.answered(Duration::from_millis(1), Duration::from_micros(1));
        }
        let sample = book.close(Used {
            seconds: 2.0,
            others_ns: 1_000_000_000,
            under_test: vec![share("edge", 40_000), share("chat", 20_000)],
            beside: vec![share("mock", 4_000)],
        });
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 1e-9;
        assert!(near(sample.requests_per_s, 2.0) && near(sample.noise, 0.5));
        assert!(near(sample.cpu_us(), 15.0) && near(sample.rss_mb(), 10.0));
        assert!(near(sample.usage("edge").cpu_us, 10.0) && near(sample.usage("mock").cpu_us, 1.0));
        assert!(sample.usage("nobody").cpu_us.is_nan());
    }
}
