//! `bench media`: pictures through the whole pipeline: submit, hold, queue, provider, output stored, capture, webhook. Once through
//! `aio up`, and once through edge, media, billing and webhooks as processes of their own, on PostgreSQL, Redis and RabbitMQ. The provider
//! answers at once. Nothing is pinned: the program, its servers, the upstream and the customer share all cores.
//!
//! First as many tasks as there are customers' connections at once, and the figure is how many came out at the other end per second,
//! from the first submit to the last webhook. Then at a steady pace, with jobs that take a moment: how long after a job is done its task
//! is `completed`.

use crate::{
    Length,
    customer::{Customer, Order, Pace},
    figures::Figures,
    gateway::Gateway,
    house::House,
    load::Watched,
    process::{Build, Core, Server},
    procfs::{Processes, rss_mb},
    progress,
    studio::PATH,
};
use anyhow::ensure;
use std::{net::SocketAddr, time::Duration};
use tokio::time::Instant;

/// From submit to the first look, in milliseconds, and how much longer it may be.
const FIRST_LOOK_MS: f64 = 100.0;
const JITTER_PERCENT: f64 = 20.0;
/// The longest wait between two looks, in milliseconds.
const LONGEST_MS: f64 = 200.0;
/// Submits at once.
const AT_ONCE: usize = 64;
/// How long the tasks may take to end.
const PATIENCE: Duration = Duration::from_secs(300);

/// One run.
struct Bench<'b> {
    name: &'static str,
    customer: Customer,
    under_test: Vec<Watched>,
    beside: Vec<Watched>,
    length: Length,
    tell: &'b dyn Fn() -> f64,
}

/// What the program is told so that its limits are not what is measured.
pub(crate) fn settings(upstream: SocketAddr) -> Vec<(&'static str, String)> {
    let told = [
        (
            "AIO_PROVIDERS__BFL__BASE_URL",
            format!("http://{upstream}{PATH}"),
        ),
        ("AIO_PROVIDERS__BFL__API_KEY", "bench".to_owned()),
        ("AIO_PROVIDERS__BFL__LOOKS_PER_SECOND", "0".to_owned()),
        (
            "AIO_PROVIDERS__BFL__POLL__FIRST",
            format!("{FIRST_LOOK_MS}ms"),
        ),
        (
            "AIO_PROVIDERS__BFL__POLL__LONGEST",
            format!("{LONGEST_MS}ms"),
        ),
        ("AIO_EGRESS__ALLOW", "127.0.0.1/32".to_owned()),
        // One customer's server takes all webhooks.
        ("AIO_WEBHOOKS__LANE_CONCURRENCY", "256".to_owned()),
        ("AIO_WEBHOOKS__ORIGIN_CONCURRENCY", "256".to_owned()),
    ];
    told.into()
}

/// Through `aio up`.
pub(crate) async fn in_one(length: Length) -> anyhow::Result<Figures> {
    let upstream = Server::start(Core::Any, &["mock"])?;
    progress("media: starting aio up");
    let more = settings(upstream.address);
    let gateway = Gateway::start_on(Core::Any, upstream.address, Build::Release, more).await?;
    let pid = gateway.process.pid();
    let bench = Bench {
        name: "media",
        customer: Customer::new(gateway.address, &gateway.key, upstream.address),
        under_test: vec![Watched::new("aio", pid)],
        beside: vec![Watched::new("mock", upstream.process.pid())],
        length,
        tell: &|| rss_mb(pid),
    };
    bench.run().await
}

/// Through roles.
pub(crate) async fn split(length: Length) -> anyhow::Result<Figures> {
    let upstream = Server::start(Core::Any, &["mock"])?;
    let house = House::start_media(upstream.address, &settings(upstream.address)).await?;
    let mut beside = vec![Watched::new("mock", upstream.process.pid())];
    beside.extend(house.engines());
    let roles = house.roles();
    let bench = Bench {
        name: "media_split",
        customer: Customer::new(house.address, &house.key, upstream.address),
        under_test: house.roles(),
        beside,
        length,
        tell: &|| roles.iter().map(|role| rss_mb(role.pid)).sum(),
    };
    bench.run().await
}

// === impl Bench ===

impl Bench<'_> {
    async fn run(&self) -> anyhow::Result<Figures> {
        let (count, paced, rate) = match self.length {
            Length::Full => (10_000, 3_000, 100),
            Length::Quick => (500, 200, 50),
        };
        self.tasks(100, Pace::AtOnce(AT_ONCE), "").await?;
        let before = Processes::look();
        let (seconds, errors) = self.tasks(count, Pace::AtOnce(AT_ONCE), "").await?;
        let after = Processes::look();
        let cpu_us = |watched: &[Watched]| {
            let cpu = watched.iter().map(|watched| {
                let used = after.family_cpu_ns(watched.pid);
                used.saturating_sub(before.family_cpu_ns(watched.pid))
            });
            cpu.sum::<u64>() as f64 / 1e3 / count as f64
        };
        let rate_seen = count as f64 / seconds;
        progress(&format!("{}: {rate_seen:.0} tasks/s", self.name));
        let (_, more_errors) = self
            .tasks(paced, Pace::PerSecond(rate), "@done=300@")
            .await?;
        let seen = self.customer.seen().await?;
        let looks = LONGEST_MS * (1.0 + JITTER_PERCENT / 100.0);
        let completed_p99_ms = seen.number("completed_p99_us") / 1e3;
        Ok(vec![
            ("tasks_per_s", rate_seen),
            ("cpu_us_per_task", cpu_us(&self.under_test)),
            ("beside_cpu_us_per_task", cpu_us(&self.beside)),
            ("completed_p50_ms", seen.number("completed_p50_us") / 1e3),
            ("completed_p99_ms", completed_p99_ms),
            ("beyond_poll_p99_ms", (completed_p99_ms - looks).max(0.0)),
            ("told_p99_ms", seen.number("told_p99_us") / 1e3),
            ("errors", errors + more_errors),
            ("rss_mb", (self.tell)()),
        ])
    }

    /// Has so many tasks made, and says how many seconds that took, and how many were not completed.
    async fn tasks(
        &self,
        count: u64,
        pace: Pace,
        prompt: &'static str,
    ) -> anyhow::Result<(f64, f64)> {
        let customer = &self.customer;
        customer.begin_anew().await?;
        let begun = Instant::now();
        let order = Order {
            model: "flux-2",
            prompt,
            first: 1,
            count,
            pace,
        };
        customer.submit(order).await?;
        let submitted = begun.elapsed();
        let seen = customer.hear(count as f64, PATIENCE).await?;
        let seconds = begun.elapsed().as_secs_f64();
        progress(&format!(
            "{}: {count} tasks submitted in {:.1} s, and told in {seconds:.1} s",
            self.name,
            submitted.as_secs_f64()
        ));
        ensure!(seen.number("completed") > 0.0, "no task was completed");
        Ok((seconds, seen.number("failed")))
    }
}
