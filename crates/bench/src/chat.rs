//! `bench chat`: chat completions through `aio up` with money on, beside the bare proxy and beside no gateway at all, in one
//! run, against one mock upstream, under one load. The program under test has core 0, everything else core 1.
//!
//! Added latency is a gateway's latency minus the latency without a gateway, at 1 000 requests per second, end to end.

use crate::{
    Length,
    figures::Figures,
    gateway::Gateway,
    load::Sample,
    process::{Core, Server, can_pin, ourselves, pinned},
    procfs::rss_mb,
    progress,
};
use anyhow::{Context, ensure};
use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};
use tempfile::TempDir;

/// What customers send: a system and a user message of a few hundred bytes.
const BODY: &str = r#"{"model":"gemini","messages":[{"role":"system","content":"You are a patient assistant who answers questions about rivers, harbours and weather in plain words."},{"role":"user","content":"Which river carries the most water into the North Sea, and how does its level change over the year? Please answer in two sentences and name the month in which it stands highest."}],"temperature":0.7,"max_tokens":256}"#;
/// Somebody else using this share of one core spoils a phase.
const NOISE: f64 = 0.06;
/// How often a phase is tried until it is quiet enough.
const TRIES: usize = 3;
/// Time for a program to come to rest before its idle memory is read.
const REST: Duration = Duration::from_millis(1_500);

/// Where the load goes.
struct Target {
    name: &'static str,
    address: SocketAddr,
    pid: Option<u32>,
    /// The whole request, head and body.
    request: PathBuf,
}

/// One shape of load.
struct Phase {
    name: &'static str,
    connections: u32,
    /// Requests per second; 0 is a closed loop.
    rate: u32,
}

/// One phase on every target.
struct Beside {
    direct: Sample,
    proxy: Sample,
    aio: Sample,
}

struct Bench {
    length: Length,
    upstream_pid: u32,
    direct: Target,
    proxy: Target,
    aio: Target,
}

const ONE: Phase = Phase::new("one connection", 1, 0);
const MANY: Phase = Phase::new("64 connections", 64, 0);
const STEADY: Phase = Phase::new("1 000 requests per second", 128, 1_000);

/// Runs every phase and returns the figures.
pub(crate) async fn chat(length: Length) -> anyhow::Result<Figures> {
    if !can_pin() {
        progress("taskset or a second core is missing: nothing is pinned, the figures mean little");
    }
    let upstream = Server::start(Core::Surroundings, &["mock"])?;
    let proxy = Server::start(Core::UnderTest, &["proxy", &upstream.address.to_string()])?;
    progress("chat: starting aio up");
    let gateway = Gateway::start(upstream.address).await?;
    tokio::time::sleep(REST).await;
    let idle_mb = rss_mb(gateway.process.pid());
    let folder = tempfile::tempdir()?;
    let (direct_at, proxy_at, aio_at) = (upstream.address, proxy.address, gateway.address);
    let bench = Bench {
        length,
        upstream_pid: upstream.process.pid(),
        direct: Target::new(&folder, "direct", direct_at, None)?,
        proxy: Target::new(&folder, "bare proxy", proxy_at, None)?.run_by(proxy.process.pid()),
        aio: Target::new(&folder, "aio", aio_at, Some(&gateway.key))?.run_by(gateway.process.pid()),
    };
    bench.warm_up().await?;
    let one = bench.phase(&ONE).await?;
    let many = bench.phase(&MANY).await?;
    let steady = bench.phase(&STEADY).await?;
    Ok(figures(idle_mb, &one, &many, &steady))
}

fn figures(idle_mb: f64, one: &Beside, many: &Beside, steady: &Beside) -> Figures {
    let phases = [one, many, steady];
    let aio = phases.map(|phase| &phase.aio);
    let noise = phases
        .iter()
        .flat_map(|phase| [phase.direct.noise, phase.proxy.noise, phase.aio.noise]);
    vec![
        ("requests_per_s", many.aio.requests_per_s),
        ("cpu_us_per_request", many.aio.cpu_us),
        (
            "cpu_ratio_to_bare_proxy",
            many.aio.cpu_us / many.proxy.cpu_us,
        ),
        ("added_p50_us", steady.aio.p50_us - steady.direct.p50_us),
        ("added_p99_us", steady.aio.p99_us - steady.direct.p99_us),
        ("over_proxy_p50_us", steady.aio.p50_us - steady.proxy.p50_us),
        ("over_proxy_p99_us", steady.aio.p99_us - steady.proxy.p99_us),
        ("p50_us_c64", many.aio.p50_us),
        ("p99_us_c64", many.aio.p99_us),
        ("added_p50_us_c1", one.aio.p50_us - one.direct.p50_us),
        ("added_p99_us_c1", one.aio.p99_us - one.direct.p99_us),
        (
            "requests",
            aio.iter().map(|sample| sample.requests as f64).sum(),
        ),
        (
            "errors",
            aio.iter()
                .map(|sample| (sample.failed + sample.refused) as f64)
                .sum(),
        ),
        ("rss_idle_mb", idle_mb),
        ("rss_1000_per_s_mb", steady.aio.rss_mb),
        ("rss_c64_mb", many.aio.rss_mb),
        ("proxy_requests_per_s", many.proxy.requests_per_s),
        ("proxy_cpu_us_per_request", many.proxy.cpu_us),
        (
            "proxy_added_p50_us",
            steady.proxy.p50_us - steady.direct.p50_us,
        ),
        (
            "proxy_added_p99_us",
            steady.proxy.p99_us - steady.direct.p99_us,
        ),
        (
            "proxy_added_p50_us_c1",
            one.proxy.p50_us - one.direct.p50_us,
        ),
        (
            "proxy_added_p99_us_c1",
            one.proxy.p99_us - one.direct.p99_us,
        ),
        ("direct_requests_per_s", many.direct.requests_per_s),
        ("noise_cores", noise.fold(0.0, f64::max)),
    ]
}

// === impl Phase ===

impl Phase {
    const fn new(name: &'static str, connections: u32, rate: u32) -> Self {
        Self {
            name,
            connections,
            rate,
        }
    }
}

// === impl Target ===

impl Target {
    /// Writes down the request for this target: only a gateway asks for a key.
    fn new(
        folder: &TempDir,
        name: &'static str,
        address: SocketAddr,
        key: Option<&str>,
    ) -> anyhow::Result<Self> {
        let key = key.map(|key| format!("authorization: Bearer {key}\r\n"));
        let text = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\naccept: */*\r\n{}content-length: {}\r\n\r\n{BODY}",
            key.unwrap_or_default(),
            BODY.len()
        );
        let request = folder.path().join(name);
        std::fs::write(&request, text)?;
        Ok(Self {
            name,
            address,
            pid: None,
            request,
        })
    }

    fn run_by(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }
}

// === impl Bench ===

impl Bench {
    /// Fills pools and caches before anything is measured.
    async fn warm_up(&self) -> anyhow::Result<()> {
        progress("chat: warming up");
        for target in [&self.direct, &self.proxy, &self.aio] {
            self.load(target, &MANY, 1).await?;
        }
        Ok(())
    }

    async fn phase(&self, phase: &Phase) -> anyhow::Result<Beside> {
        Ok(Beside {
            direct: self.quietest(&self.direct, phase).await?,
            proxy: self.quietest(&self.proxy, phase).await?,
            aio: self.quietest(&self.aio, phase).await?,
        })
    }

    /// The quietest of a few tries: on a shared machine, the one in which others took the least.
    async fn quietest(&self, target: &Target, phase: &Phase) -> anyhow::Result<Sample> {
        let (seconds, tries) = match self.length {
            Length::Full => (8, TRIES),
            Length::Quick => (2, 1),
        };
        let mut best: Option<Sample> = None;
        for _ in 0..tries {
            let sample = self.load(target, phase, seconds).await?;
            self.tell(target, phase, &sample);
            let quiet = sample.noise < NOISE;
            if best.as_ref().is_none_or(|best| sample.noise < best.noise) {
                best = Some(sample);
            }
            if quiet {
                break;
            }
        }
        best.context("no try at all")
    }

    fn tell(&self, target: &Target, phase: &Phase, sample: &Sample) {
        progress(&format!(
            "chat: {}, {}: {:.0} requests/s, p50 {:.0} µs, p99 {:.0} µs, {:.1} µs CPU each, {} errors, noise {:.2}",
            phase.name,
            target.name,
            sample.requests_per_s,
            sample.p50_us,
            sample.p99_us,
            sample.cpu_us,
            sample.failed + sample.refused,
            sample.noise,
        ));
    }

    /// One window of load in a process of its own.
    async fn load(&self, target: &Target, phase: &Phase, seconds: u32) -> anyhow::Result<Sample> {
        let mut command = pinned(Core::Surroundings, ourselves()?);
        command.arg("load");
        let mut option = |name: &str, value: String| {
            command.arg(name).arg(value);
        };
        option("--address", target.address.to_string());
        option("--request", target.request.display().to_string());
        option("--connections", phase.connections.to_string());
        option("--rate", phase.rate.to_string());
        option("--seconds", seconds.to_string());
        option("--warm-seconds", "1".to_owned());
        option("--upstream-pid", self.upstream_pid.to_string());
        if let Some(pid) = target.pid {
            option("--pid", pid.to_string());
        }
        let mut command = tokio::process::Command::from(command);
        let output = command.stderr(Stdio::inherit()).kill_on_drop(true).output();
        let output = output.await?;
        ensure!(output.status.success(), "the load generator failed");
        let sample: Sample = serde_json::from_slice(&output.stdout)?;
        if let Some(error) = &sample.first_error {
            progress(&format!("{}: the first error: {error}", target.name));
        }
        ensure!(sample.requests > 0, "{} answered no request", target.name);
        Ok(sample)
    }
}
