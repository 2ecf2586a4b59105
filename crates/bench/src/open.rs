//! `bench open`: what a hundred thousand open tasks cost. Half of them run at a provider that never ends one; the other half stands in line
//! for one that takes a hundred at once. Tasks of a third one go through the whole pipeline while a thousand are open, while ten times as
//! many are, and while all are: what each of those costs should not change.

use crate::{
    Length,
    customer::{Customer, Order, Pace, Seen},
    figures::Found,
    gateway::Gateway,
    process::{Build, Core, Server},
    procfs::{Processes, rss_mb},
    progress,
    studio::PATH,
};
use report::{Axis, Plot, Series};
use std::{fs, net::SocketAddr, time::Duration};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Open tasks that the others are compared with.
const FEW: u64 = 1_000;
/// Looks per second at the provider that never ends a job.
const LOOKS_PER_SECOND: u32 = 100;
/// Jobs at once at the one that there is a line for.
const MAX_JOBS: u32 = 100;
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(300);
/// The providers: one that hangs, one with a line, one that is quick.
const PROVIDERS: [&str; 3] = ["slow", "narrow", "quick"];

/// Between those and all.
const SOME: u64 = 10_000;

/// What tasks cost while so many others are open.
struct Cost {
    cpu_us: f64,
    completed_p50_ms: f64,
    errors: f64,
}

struct Bench {
    customer: Customer,
    pid: u32,
    length: Length,
}

/// Opens them, and returns the figures.
pub(crate) async fn open(length: Length) -> anyhow::Result<Found> {
    let (some, many) = match length {
        Length::Full => (SOME, 100_000),
        Length::Quick => (2_000, 4_000),
    };
    let upstream = Server::start(Core::Any, &["mock"])?;
    let models = models()?;
    progress("open: starting aio up");
    let more = settings(upstream.address, &models);
    let gateway = Gateway::start_on(Core::Any, upstream.address, Build::Release, more).await?;
    let bench = Bench {
        customer: Customer::new(gateway.address, &gateway.key, upstream.address),
        pid: gateway.process.pid(),
        length,
    };
    bench.cost().await?;
    bench.open(0, FEW).await?;
    let few = bench.cost().await?;
    let idle_few = bench.idle().await?.0;
    let rss_few = rss_mb(bench.pid);
    bench.open(FEW, some).await?;
    let between = bench.cost().await?;
    let rss_between = rss_mb(bench.pid);
    let submits_per_s = bench.open(some, many).await?;
    let (idle_many, seen) = bench.idle().await?;
    let rss = rss_mb(bench.pid);
    let all = bench.cost().await?;
    let mut found = Found::from(vec![
        ("open", many as f64),
        ("rss_mb", rss),
        ("most_looks_per_s", seen.number("most_looks_per_s")),
        ("most_jobs_over_limit", jobs_over_limit(&seen, many)),
        ("submits_per_s", submits_per_s),
        ("cores_1000_open", idle_few),
        ("cores_all_open", idle_many),
        ("cpu_us_per_task_1000_open", few.cpu_us),
        ("cpu_us_per_task_all_open", all.cpu_us),
        ("cpu_ratio_to_1000_open", all.cpu_us / few.cpu_us),
        ("completed_p50_ms_1000_open", few.completed_p50_ms),
        ("completed_p50_ms_all_open", all.completed_p50_ms),
        (
            "latency_ratio_to_1000_open",
            all.completed_p50_ms / few.completed_p50_ms,
        ),
        ("errors", few.errors + between.errors + all.errors),
    ]);
    let curve = |values: [f64; 3]| {
        let counts = [FEW, some, many].map(|count| count as f64);
        counts.into_iter().zip(values).collect()
    };
    let costs = [&few, &between, &all];
    found.plots = vec![
        plot(
            "open-cost",
            "What a task costs while others are open",
            "µs CPU",
            curve(costs.map(|cost| cost.cpu_us)),
        ),
        plot(
            "open-memory",
            "Memory while tasks are open",
            "MB",
            curve([rss_few, rss_between, rss]),
        ),
    ];
    Ok(found)
}

/// A curve over how many are open.
fn plot(name: &str, title: &str, unit: &str, points: Vec<(f64, f64)>) -> Plot {
    Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        x: Axis::log("open tasks"),
        y: Axis::linear(unit),
        series: vec![Series {
            name: "aio up".to_owned(),
            points,
        }],
    }
}

/// A directory with the model of each provider.
fn models() -> anyhow::Result<TempDir> {
    let models = TempDir::with_prefix("bench-")?;
    for provider in PROVIDERS {
        let file = models.path().join(format!("bench-{provider}.toml"));
        fs::write(file, model(provider))?;
    }
    Ok(models)
}

/// A model that one provider alone serves.
fn model(provider: &str) -> String {
    format!(
        r#"slug = "bench-{provider}"
name = "Bench"
owned_by = "bench"
category = "image"
route = "images/generations"
deadline_seconds = 86400
webhook = true

[[params]]
name = "prompt"
type = "text"
min = 3
max = 5000
required = true

[price]
unit = "call"

[[price.rows]]
microcredits = 1_000

[[providers]]
adapter = "bfl"
provider = "{provider}"
model = "{provider}"
"#
    )
}

fn settings(upstream: SocketAddr, models: &TempDir) -> Vec<(&'static str, String)> {
    let place = format!("http://{upstream}{PATH}");
    vec![
        ("AIO_MODELS__DIRECTORY", models.path().display().to_string()),
        ("AIO_EGRESS__ALLOW", "127.0.0.1/32".to_owned()),
        ("AIO_WEBHOOKS__LANE_CONCURRENCY", "256".to_owned()),
        ("AIO_WEBHOOKS__ORIGIN_CONCURRENCY", "256".to_owned()),
        ("AIO_PROVIDERS__SLOW__BASE_URL", place.clone()),
        (
            "AIO_PROVIDERS__SLOW__LOOKS_PER_SECOND",
            LOOKS_PER_SECOND.to_string(),
        ),
        ("AIO_PROVIDERS__NARROW__BASE_URL", place.clone()),
        ("AIO_PROVIDERS__NARROW__MAX_JOBS", MAX_JOBS.to_string()),
        // Only the first one's looks are counted.
        ("AIO_PROVIDERS__NARROW__POLL__FIRST", "1h".to_owned()),
        ("AIO_PROVIDERS__NARROW__POLL__LONGEST", "1h".to_owned()),
        ("AIO_PROVIDERS__QUICK__BASE_URL", place),
        ("AIO_PROVIDERS__QUICK__LOOKS_PER_SECOND", "0".to_owned()),
        ("AIO_PROVIDERS__QUICK__POLL__FIRST", "100ms".to_owned()),
    ]
}

/// Jobs that were taken, beyond those of the slow provider and those that the narrow one may have.
fn jobs_over_limit(seen: &Seen, many: u64) -> f64 {
    let most = (many / 2) as f64 + f64::from(MAX_JOBS);
    (seen.number("hanging") - most).max(0.0)
}

// === impl Bench ===

impl Bench {
    /// Opens tasks, half of them at each provider, until there are so many. Says how many were accepted per second.
    async fn open(&self, from: u64, to: u64) -> anyhow::Result<f64> {
        progress(&format!("open: {to} open tasks"));
        let begun = Instant::now();
        let count = (to - from) / 2;
        for model in ["bench-slow", "bench-narrow"] {
            let order = Order {
                model,
                prompt: "@hang=1@",
                first: from,
                count,
                pace: Pace::AtOnce(AT_ONCE),
            };
            self.customer.submit(order).await?;
        }
        let rate = (count * 2) as f64 / begun.elapsed().as_secs_f64();
        // What was rung for is submitted.
        let submits = (to / 2) as f64 + f64::from(MAX_JOBS);
        let until = Instant::now() + PATIENCE;
        while self.customer.seen().await?.number("hanging") < submits && Instant::now() < until {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(rate)
    }

    /// Cores that the program uses when nobody asks anything, and what the studio saw meanwhile.
    async fn idle(&self) -> anyhow::Result<(f64, Seen)> {
        let seconds = match self.length {
            Length::Full => 10,
            Length::Quick => 3,
        };
        self.customer.begin_anew().await?;
        let used = |processes: &Processes| processes.family_cpu_ns(self.pid);
        let before = (Instant::now(), used(&Processes::look()));
        sleep(Duration::from_secs(seconds)).await;
        let spent = used(&Processes::look()).saturating_sub(before.1) as f64 / 1e9;
        let cores = spent / before.0.elapsed().as_secs_f64();
        Ok((cores, self.customer.seen().await?))
    }

    /// What tasks that go through the whole pipeline cost beside what is open: without what the program uses for that.
    async fn cost(&self) -> anyhow::Result<Cost> {
        let (count, rate) = match self.length {
            Length::Full => (2_000, 100),
            Length::Quick => (200, 50),
        };
        let idle = self.idle().await?.0;
        self.customer.begin_anew().await?;
        let used = || Processes::look().family_cpu_ns(self.pid);
        let (begun, cpu) = (Instant::now(), used());
        let order = Order {
            model: "bench-quick",
            prompt: "",
            first: 1,
            count,
            pace: Pace::PerSecond(rate),
        };
        self.customer.submit(order).await?;
        let seen = self.customer.hear(count as f64, PATIENCE).await?;
        let cpu = used().saturating_sub(cpu) as f64 / 1e3;
        let beside = idle * begun.elapsed().as_secs_f64() * 1e6;
        let cost = Cost {
            cpu_us: (cpu - beside) / count as f64,
            completed_p50_ms: seen.number("completed_p50_us") / 1e3,
            errors: seen.number("failed"),
        };
        progress(&format!(
            "open: {:.0} µs CPU for a task, completed after {:.0} ms",
            cost.cpu_us, cost.completed_p50_ms
        ));
        Ok(cost)
    }
}
