//! `bench webhooks`: events from publish to their first attempt, through `aio webhooks` on PostgreSQL. Many accounts name URLs at a
//! thousand origins, which all are this process. Nothing is pinned: the role, its server and the endpoints share all cores. What takes
//! webhooks through a file, in `aio up`, is part of `bench media`.
//!
//! First as many events as there are publishers' calls at once, and the figure is how many first attempts there were per second, from the
//! first publish to the last attempt. Then at half of that pace: how long after an event was on disk it was told. Then the same while
//! three of ten origins hang, with the limits that operators have.

use crate::{
    Length,
    figures::Figures,
    hooks::{Book, FINE, HANG, Hooks},
    house::Dispatcher,
    load::{Watched, percentile_us},
    procfs::{Processes, rss_mb},
    progress,
};
use anyhow::ensure;
use chassis::{
    Tasks,
    clock::mint,
    rpc::{Channel, Metrics, PeersConfig, Role},
};
use domain::AccountId;
use futures::{StreamExt, TryStreamExt, stream};
use prometheus_client::registry::Registry;
use proto::{
    common::v1::Mode,
    webhooks::v1::{PublishRequest, webhooks_client::WebhooksClient},
};
use std::{collections::HashMap, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

const ACCOUNTS: u64 = 20;
const ORIGINS: u64 = 1_000;
/// Of ten origins so many hang, in the phase where some do.
const HANGING: u64 = 3;
/// Publishes at once.
const AT_ONCE: usize = 64;
/// The most that are on their way at a steady pace.
const MOST_AT_ONCE: usize = 512;
/// How long the last attempt may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// What a phase does.
#[derive(Clone, Copy)]
struct Phase {
    what: &'static str,
    count: u64,
    /// Events per second; `None`: as fast as they are taken.
    rate: Option<f64>,
    /// Of ten origins so many hang.
    hanging: u64,
}

/// What came of it.
struct Told {
    seconds: f64,
    /// From on disk to told, the shortest first.
    waits: Vec<Duration>,
    /// Events that were never told.
    lost: u64,
    /// Attempts that need not have been.
    again: u64,
}

/// Publishers and endpoints.
struct Bench {
    hooks: Hooks,
    client: WebhooksClient<Channel>,
    accounts: Vec<AccountId>,
}

/// Runs every phase and returns the figures.
pub(crate) async fn webhooks(length: Length) -> anyhow::Result<Figures> {
    let dispatcher = Dispatcher::start().await?;
    let bench = Bench::start(&dispatcher).await?;
    tokio::select! {
        ended = bench.hooks.serve() => {
            ended?;
            anyhow::bail!("the endpoints went away")
        }
        figures = bench.run(&dispatcher, length) => figures,
    }
}

// === impl Bench ===

impl Bench {
    async fn start(dispatcher: &Dispatcher) -> anyhow::Result<Self> {
        let peers: PeersConfig = dispatcher.peers().section("peers")?;
        let metrics = Metrics::register(&mut Registry::default());
        let channel = peers.channel(Role::Media, Role::Webhooks, &metrics, &Tasks::default())?;
        Ok(Self {
            hooks: Hooks::start().await?,
            client: WebhooksClient::new(channel),
            accounts: (0..ACCOUNTS).map(|_| mint()).collect(),
        })
    }

    async fn run(&self, dispatcher: &Dispatcher, length: Length) -> anyhow::Result<Figures> {
        let (count, seconds) = match length {
            Length::Full => (30_000, 30.0),
            Length::Quick => (3_000, 8.0),
        };
        let as_fast = |what, count| Phase {
            what,
            count,
            rate: None,
            hanging: 0,
        };
        self.phase(as_fast("warm", 500)).await?;
        let before = Processes::look();
        let many = self.phase(as_fast("as fast as they come", count)).await?;
        let after = Processes::look();
        let cpu_us = |watched: &Watched| {
            let used = after.family_cpu_ns(watched.pid);
            let used = used.saturating_sub(before.family_cpu_ns(watched.pid));
            used as f64 / 1e3 / count as f64
        };
        let reached = many.waits.len() as f64 / many.seconds;
        let at_half = |what, hanging| Phase {
            what,
            count: (reached / 2.0 * seconds).ceil() as u64,
            rate: Some(reached / 2.0),
            hanging,
        };
        let steady = self.phase(at_half("at half of that", 0)).await?;
        let hanging = self.phase(at_half("while origins hang", HANGING)).await?;
        let phases = [&many, &steady, &hanging];
        let sum = |of: fn(&Told) -> u64| phases.iter().map(|told| of(told)).sum::<u64>() as f64;
        let ms = |told: &Told, percent| percentile_us(&told.waits, percent) / 1e3;
        let aio = dispatcher.role();
        Ok(vec![
            ("first_attempts_per_s", reached),
            ("cpu_us_per_attempt", cpu_us(&aio)),
            ("postgres_cpu_us", cpu_us(dispatcher.engine())),
            ("first_attempt_p50_ms", ms(&steady, 50)),
            ("first_attempt_p99_ms", ms(&steady, 99)),
            ("hanging_p50_ms", ms(&hanging, 50)),
            ("hanging_p99_ms", ms(&hanging, 99)),
            ("lost", sum(|told| told.lost)),
            ("told_again", sum(|told| told.again)),
            ("rss_mb", rss_mb(aio.pid)),
        ])
    }

    /// Publishes, and waits until everybody who answers has been told.
    async fn phase(&self, phase: Phase) -> anyhow::Result<Told> {
        self.hooks.take();
        let begun = Instant::now();
        let most = phase.rate.map_or(AT_ONCE, |_| MOST_AT_ONCE);
        let publishing = stream::iter(0..phase.count).map(|number| async move {
            if let Some(rate) = phase.rate {
                sleep_until(begun + Duration::from_secs_f64(number as f64 / rate)).await;
            }
            self.publish(number, path(number, phase.hanging)).await?;
            anyhow::Ok((number, Instant::now()))
        });
        let on_disk: HashMap<u64, Instant> =
            publishing.buffer_unordered(most).try_collect().await?;
        let answering = (0..phase.count).filter(|number| path(*number, phase.hanging) == FINE);
        let answering = answering.count();
        let last = Instant::now();
        while self.hooks.heard() < answering && last.elapsed() < PATIENCE {
            sleep(LOOK).await;
        }
        let told = Told::of(begun, &on_disk, self.hooks.take(), answering);
        progress(&format!(
            "webhooks: {}: {} events told in {:.1} s, p99 {:.0} ms",
            phase.what,
            told.waits.len(),
            told.seconds,
            percentile_us(&told.waits, 99) / 1e3
        ));
        ensure!(!told.waits.is_empty(), "nobody was told");
        Ok(told)
    }

    async fn publish(&self, number: u64, path: &str) -> anyhow::Result<()> {
        let account = self
            .accounts
            .iter()
            .cycle()
            .nth(usize::try_from(number % ACCOUNTS)?);
        let origin = u16::try_from(number % ORIGINS)?;
        let request = PublishRequest {
            event_id: mint::<domain::ids::Event>().to_vec().into(),
            account_id: account.copied().unwrap_or(AccountId::NIL).to_vec().into(),
            mode: Mode::Live.into(),
            task_id: mint::<domain::ids::Task>().to_vec().into(),
            r#type: "task.completed".to_owned(),
            url: self.hooks.url(origin, path),
            payload: payload(number).into(),
        };
        self.client.clone().publish(request).await?;
        Ok(())
    }
}

/// Where an event goes at its origin, if so many of ten hang.
fn path(number: u64, hanging: u64) -> &'static str {
    if number % ORIGINS % 10 < hanging {
        HANG
    } else {
        FINE
    }
}

/// About as long as a task is.
fn payload(number: u64) -> String {
    let filling = "a lighthouse keeper counts the ships ".repeat(25);
    format!(r#"{{"type":"task.completed","data":{{"prompt":"@n={number}@ {filling}"}}}}"#)
}

// === impl Told ===

impl Told {
    fn of(begun: Instant, on_disk: &HashMap<u64, Instant>, book: Book, answering: usize) -> Self {
        let waits = book.first.iter().filter_map(|(number, told)| {
            let on_disk = on_disk.get(number)?;
            // Told before the publisher had its answer: no time at all.
            Some(told.saturating_duration_since(*on_disk))
        });
        let mut waits: Vec<_> = waits.collect();
        waits.sort_unstable();
        let last = book.first.values().max().copied().unwrap_or(begun);
        let lost = answering.saturating_sub(waits.len());
        Self {
            seconds: last.duration_since(begun).as_secs_f64(),
            lost: u64::try_from(lost).unwrap_or(u64::MAX),
            again: book.again,
            waits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_measured_from_when_it_was_on_disk() {
        let begun = Instant::now();
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        let on_disk = HashMap::from([(1, after(10)), (2, after(20)), (3, after(30))]);
        let book = Book {
            first: HashMap::from([(1, after(15)), (2, after(19))]),
            again: 4,
        };
        let told = Told::of(begun, &on_disk, book, 3);
        assert_eq!(told.waits, [Duration::ZERO, Duration::from_millis(5)]);
        assert_eq!((told.lost, told.again), (1, 4));
        assert!((told.seconds - 0.019).abs() < 1e-9, "{}", told.seconds);
    }

    #[test]
    fn three_of_ten_origins_hang() {
        let hang = |hanging| (0..ORIGINS).filter(move |number| path(*number, hanging) == HANG);
        assert_eq!((hang(HANGING).count(), hang(0).count()), (300, 0));
        assert!(payload(7).contains("@n=7@"));
    }
}
