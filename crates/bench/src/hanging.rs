//! `bench hanging`: chat completions of one model through `aio up`, while the provider of another model takes requests and never answers:
//! as many as it may have open at once, and more that find no room there. The same load is put on before, meanwhile and afterwards, round
//! by round, and the figure is the ratio of the latencies.

use crate::{
    Length,
    body::Body,
    figures::Figures,
    gateway::Gateway,
    load::{Connection, Sample, Watched},
    phases::Target,
    process::{Build, Core, Server},
    progress,
    window::{Calls, Window},
};
use anyhow::ensure;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// So many requests may be open at the provider that hangs.
const ROOM: u32 = 1_024;
/// More than there is room for.
const CALLERS: u32 = 1_100;
/// So many more ask each second, until all of them hang; from then on, those that find no room.
const CALLS_PER_S: u32 = 150;
/// Who has not answered by then hangs.
const SILENCE: Duration = Duration::from_secs(2);
/// Until the provider has as many requests as it may have.
const FILLED: Duration = Duration::from_secs(8);
/// Until a program that was left by all its callers has cleared up.
const CLEARED: Duration = Duration::from_secs(2);

/// Where the load goes.
struct Bench {
    upstream: Server,
    gateway: Gateway,
    length: Length,
}

/// One round.
struct Round {
    before: Sample,
    meanwhile: Sample,
    afterwards: Sample,
}

/// Runs the rounds, and returns the figures of the one with the ratio in the middle.
pub(crate) async fn hanging(length: Length) -> anyhow::Result<Figures> {
    let upstream = Server::start(Core::Surroundings, &["mock"])?;
    progress("hanging: starting aio up");
    let room = "AIO_LIMITS__CHAT__FAILOVER__IN_FLIGHT__PER_PROVIDER";
    let more = vec![
        (room, ROOM.to_string()),
        (
            "AIO_PROVIDERS__GEMINI__BASE_URL",
            format!("http://{}/v1", upstream.address),
        ),
        ("AIO_PROVIDERS__GEMINI__API_KEY", "bench".to_owned()),
    ];
    let gateway = Gateway::start_with(upstream.address, Build::Release, more).await?;
    let bench = Bench {
        upstream,
        gateway,
        length,
    };
    let rounds = match length {
        Length::Full => 3,
        Length::Quick => 1,
    };
    let mut found = Vec::new();
    bench.measure("warming up", &[]).await?;
    bench.check().await?;
    for _ in 0..rounds {
        found.push(bench.round().await?);
    }
    let errors = found.iter().flat_map(Round::samples).map(Sample::errors);
    let errors = errors.map(|errors| errors as f64).sum();
    found.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    let middle = found.swap_remove(found.len() / 2);
    Ok(middle.figures(errors))
}

// === impl Bench ===

impl Bench {
    /// That the other provider does hang.
    async fn check(&self) -> anyhow::Result<()> {
        let request = self.window(Body::Hanging, 1, 0, 1).request;
        let mut connection = Connection::open(self.gateway.address).await?;
        let answer = timeout(SILENCE, connection.exchange(request.as_bytes())).await;
        ensure!(answer.is_err(), "the provider that is to hang does not");
        Ok(())
    }

    async fn round(&self) -> anyhow::Result<Round> {
        let before = self.measure("before", &[]).await?;
        let callers = self
            .window(Body::Hanging, CALLERS, CALLS_PER_S, 3_600)
            .start()?;
        sleep(FILLED).await;
        let beside = [Watched::new("callers", callers.process.pid())];
        let meanwhile = self.measure("while the other one hangs", &beside).await?;
        drop(callers);
        sleep(CLEARED).await;
        Ok(Round {
            before,
            meanwhile,
            afterwards: self.measure("afterwards", &[]).await?,
        })
    }

    async fn measure(&self, name: &str, beside: &[Watched]) -> anyhow::Result<Sample> {
        let (rate, seconds) = match self.length {
            Length::Full => (1_000, 10),
            Length::Quick => (200, 2),
        };
        let mut window = self.window(Body::Short, 128, rate, seconds);
        window.beside.extend_from_slice(beside);
        let sample = window.run().await?;
        progress(&format!(
            "hanging: {name}: {:.0} requests/s, p50 {:.0} µs, p99 {:.0} µs, {} errors, {:.0} MB, noise {:.2}",
            sample.requests_per_s,
            sample.p50_us,
            sample.p99_us,
            sample.errors(),
            sample.rss_mb(),
            sample.noise,
        ));
        ensure!(sample.requests > 0, "no request was answered");
        Ok(sample)
    }

    fn window(&self, body: Body, connections: u32, rate: u32, seconds: u32) -> Window {
        let target = Target {
            name: "aio",
            address: self.gateway.address,
            key: Some(self.gateway.key.clone()),
            head: String::new(),
            processes: vec![Watched::new("aio", self.gateway.process.pid())],
        };
        Window {
            core: Core::Surroundings,
            address: target.address,
            request: target.request(body),
            connections,
            rate,
            warm_seconds: 1,
            seconds,
            calls: Calls::Many,
            under_test: target.processes,
            beside: vec![Watched::new("mock", self.upstream.process.pid())],
        }
    }
}

// === impl Round ===

impl Round {
    fn samples(&self) -> [&Sample; 3] {
        [&self.before, &self.meanwhile, &self.afterwards]
    }

    /// The 99th percentile without what hangs: before and afterwards.
    fn usual(&self) -> f64 {
        f64::midpoint(self.before.p99_us, self.afterwards.p99_us)
    }

    fn ratio(&self) -> f64 {
        self.meanwhile.p99_us / self.usual()
    }

    fn figures(&self, errors: f64) -> Figures {
        let Self {
            before,
            meanwhile,
            afterwards,
        } = self;
        let p50 = f64::midpoint(before.p50_us, afterwards.p50_us);
        let noise = self.samples().map(|sample| sample.noise);
        vec![
            ("p99_ratio", self.ratio()),
            ("p50_ratio", meanwhile.p50_us / p50),
            ("p99_us_usual", self.usual()),
            ("p99_us_hanging", meanwhile.p99_us),
            ("errors", errors),
            ("rss_mb_usual", before.rss_mb()),
            ("rss_mb_hanging", meanwhile.rss_mb()),
            ("noise_cores", noise.into_iter().fold(0.0, f64::max)),
        ]
    }
}
