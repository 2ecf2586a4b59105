//! The same chat completions on a gateway, on the bare proxy and on the upstream itself, in one run, under one load: phase by
//! phase, the three in turns, the other way round each time. A machine that is slower for some minutes is so for all three: what is
//! compared is compared within a turn, and the figure is the median over the turns. Which gateway that is, and on which cores it runs,
//! others decide.
//!
//! Added latency is a gateway's latency minus the latency without a gateway, at 1 000 requests per second, end to end.

mod seen;

use crate::{
    Length,
    body::Body,
    load::{Sample, Watched},
    process::{Core, Server},
    progress,
    window::{Calls, Window},
};
use anyhow::ensure;
use std::net::SocketAddr;

pub(crate) use seen::{Beside, Phases, Turn};

/// Somebody else using this share of one core spoils a phase.
const NOISE: f64 = 0.06;
/// So many quiet turns are wanted, and so many are taken at most.
const TURNS: usize = 3;
const MOST_TURNS: usize = 5;

/// Where the load goes.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Only a gateway asks for one.
    pub(crate) key: Option<String>,
    /// Further lines of the head, each with its end.
    pub(crate) head: String,
    /// The processes that are the program under test.
    pub(crate) processes: Vec<Watched>,
}

/// The three targets, and what is the same for all of them.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) length: Length,
    /// Where the load generator runs.
    pub(crate) core: Core,
    /// Processes whose work is neither noise nor that of a program under test: the upstream, and the servers of a gateway.
    pub(crate) beside: Vec<Watched>,
    pub(crate) direct: Target,
    pub(crate) proxy: Target,
    pub(crate) aio: Target,
}

/// One shape of load.
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) connections: u32,
    /// Requests per second; 0 is a closed loop.
    pub(crate) rate: u32,
    pub(crate) body: Body,
    /// Seconds before anything counts.
    pub(crate) warm_seconds: u32,
}

pub(crate) const ONE: Phase = Phase::new("one connection", 1, 0, Body::Short);
pub(crate) const MANY: Phase = Phase::new("64 connections", 64, 0, Body::Short);
pub(crate) const STEADY: Phase = Phase::new("1 000 requests per second", 128, 1_000, Body::Short);
pub(crate) const PROMPTS: Phase = Phase::new("prompts of 62 kB", 16, 0, Body::Prompt);
pub(crate) const STREAMS: Phase = Phase::new("64 streams", 64, 0, Body::Stream);

// === impl Phase ===

impl Phase {
    pub(crate) const fn new(name: &'static str, connections: u32, rate: u32, body: Body) -> Self {
        Self {
            name,
            connections,
            rate,
            body,
            warm_seconds: 1,
        }
    }
}

// === impl Target ===

impl Target {
    /// The upstream itself.
    pub(crate) const fn direct(upstream: &Server) -> Self {
        Self {
            name: "direct",
            address: upstream.address,
            key: None,
            head: String::new(),
            processes: Vec::new(),
        }
    }

    /// The bare proxy in front of it.
    pub(crate) fn proxy(proxy: &Server) -> Self {
        Self {
            name: "bare proxy",
            address: proxy.address,
            key: None,
            head: String::new(),
            processes: vec![Watched::new("proxy", proxy.process.pid())],
        }
    }

    /// The whole request, head and body.
    pub(crate) fn request(&self, body: Body) -> String {
        let body = body.text();
        let key = self.key.as_ref();
        let key = key.map(|key| format!("authorization: Bearer {key}\r\n"));
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: */*\r\n{}{}content-length: {}\r\n\r\n{body}",
            self.address,
            key.unwrap_or_default(),
            self.head,
            body.len()
        )
    }
}

// === impl Bench ===

impl Bench {
    /// Runs every phase.
    pub(crate) async fn run(&self) -> anyhow::Result<Phases> {
        self.warm_up().await?;
        Ok(Phases {
            one: self.phase(&ONE).await?,
            many: self.phase(&MANY).await?,
            steady: self.phase(&STEADY).await?,
            prompts: self.phase(&PROMPTS).await?,
            streams: self.phase(&STREAMS).await?,
        })
    }

    /// Runs the two that tell what a gateway costs: 64 connections, and 1 000 requests per second.
    pub(crate) async fn run_costs(&self) -> anyhow::Result<[Beside; 2]> {
        self.warm_up().await?;
        Ok([self.phase(&MANY).await?, self.phase(&STEADY).await?])
    }

    /// Fills pools and caches before anything is measured.
    async fn warm_up(&self) -> anyhow::Result<()> {
        progress(&format!("{}: warming up", self.name));
        for target in [&self.direct, &self.proxy, &self.aio] {
            self.load(target, &MANY, 1).await?;
        }
        Ok(())
    }

    /// Turn after turn, until enough of them were quiet. If none was, all count.
    async fn phase(&self, phase: &Phase) -> anyhow::Result<Beside> {
        let (wanted, most) = match self.length {
            Length::Full => (TURNS, MOST_TURNS),
            Length::Quick => (1, 1),
        };
        let mut turns: Vec<Turn> = Vec::new();
        let is_quiet = |turn: &Turn| turn.noise() < NOISE;
        while turns.len() < most && turns.iter().filter(|turn| is_quiet(turn)).count() < wanted {
            turns.push(if turns.len().is_multiple_of(2) {
                self.turn(phase).await?
            } else {
                self.turn_back(phase).await?
            });
        }
        if turns.iter().any(is_quiet) {
            turns.retain(is_quiet);
        }
        Ok(Beside { turns })
    }

    async fn turn(&self, phase: &Phase) -> anyhow::Result<Turn> {
        Ok(Turn {
            direct: self.sample(&self.direct, phase).await?,
            proxy: self.sample(&self.proxy, phase).await?,
            aio: self.sample(&self.aio, phase).await?,
        })
    }

    /// The same the other way round.
    async fn turn_back(&self, phase: &Phase) -> anyhow::Result<Turn> {
        let aio = self.sample(&self.aio, phase).await?;
        let proxy = self.sample(&self.proxy, phase).await?;
        let direct = self.sample(&self.direct, phase).await?;
        Ok(Turn { direct, proxy, aio })
    }

    /// One window of a phase, as long as this run's are.
    pub(crate) async fn sample(&self, target: &Target, phase: &Phase) -> anyhow::Result<Sample> {
        let seconds = match self.length {
            Length::Full => 8,
            Length::Quick => 2,
        };
        let sample = self.load(target, phase, seconds).await?;
        self.tell(target, phase, &sample);
        Ok(sample)
    }

    fn tell(&self, target: &Target, phase: &Phase, sample: &Sample) {
        progress(&format!(
            "{}: {}, {}: {:.0} requests/s, p50 {:.0} µs, p99 {:.0} µs, {:.1} µs CPU each, {} errors, noise {:.2}",
            self.name,
            phase.name,
            target.name,
            sample.requests_per_s,
            sample.p50_us,
            sample.p99_us,
            sample.cpu_us(),
            sample.errors(),
            sample.noise,
        ));
    }

    /// One window of load in a process of its own.
    pub(crate) async fn load(
        &self,
        target: &Target,
        phase: &Phase,
        seconds: u32,
    ) -> anyhow::Result<Sample> {
        let window = Window {
            core: self.core,
            address: target.address,
            request: target.request(phase.body),
            connections: phase.connections,
            rate: phase.rate,
            warm_seconds: phase.warm_seconds,
            seconds,
            calls: match phase.body {
                Body::Open => Calls::One,
                Body::Stream => Calls::Rested,
                Body::Short | Body::Prompt | Body::Hanging => Calls::Many,
            },
            under_test: target.processes.clone(),
            beside: self.beside.clone(),
        };
        let sample = window.run().await?;
        if let Some(error) = &sample.first_error {
            progress(&format!("{}: the first error: {error}", target.name));
        }
        ensure!(sample.requests > 0, "{} answered no request", target.name);
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gateway_is_shown_a_key() {
        let mut target = Target {
            name: "direct",
            address: ([127, 0, 0, 1], 80).into(),
            key: None,
            head: String::new(),
            processes: Vec::new(),
        };
        assert!(!target.request(Body::Short).contains("authorization"));
        target.key = Some("k".to_owned());
        let request = target.request(Body::Short);
        assert!(request.contains("\r\nauthorization: Bearer k\r\ncontent-length: "));
        assert!(request.ends_with(&Body::Short.text()));
    }
}
