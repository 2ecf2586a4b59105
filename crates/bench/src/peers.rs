//! `bench peers`: what others need for the same. nginx from Debian, LiteLLM from PyPI and Portkey from npm are installed below
//! `target/bench/peers`, and each gets the load of `bench chat` on the same core, from the same generator, before the same upstream, in
//! turns with the bare proxy and with `aio up`. None of them checks a budget or writes anything down for a request; we do. One that
//! cannot be installed is left out, and the report says why.
//!
//! Beside that, what was seen of them where it was first measured: in November 2026, each on one core of a two-core machine, with the
//! same requests, at the versions named. Figures of another machine at another time: they say how large something is, not how much
//! larger than ours.

mod contender;
mod installed;

use crate::{
    Length,
    body::EVENTS,
    chat::bench,
    figures::Found,
    gateway::Gateway,
    load::{Sample, Watched},
    phases::{Bench, MANY, ONE, PROMPTS, Phase, STEADY, STREAMS, Target},
    process::{Core, Process, Server},
    procfs::rss_mb,
    progress,
};
use contender::{Contender, Kind};
use report::{Bars, median};
use std::time::Duration;

/// Time for a program to come to rest before its idle memory is read.
const REST: Duration = Duration::from_secs(2);

/// A figure of others.
struct Seen {
    figure: &'static str,
    text: &'static str,
}

/// TensorZero 2026.4, Portkey 1.15.2, LiteLLM 1.106 with one worker.
const SEEN: [Seen; 9] = [
    Seen::new(
        "requests_per_s",
        "TensorZero 1 399, Portkey 1 016, LiteLLM 113",
    ),
    Seen::new(
        "cpu_us_per_request",
        "TensorZero 334, Portkey 984, LiteLLM 8 425",
    ),
    Seen::new("added_p50_us", "TensorZero 442, others saturated"),
    Seen::new("added_p99_us", "TensorZero 1 026, others saturated"),
    Seen::new(
        "added_p50_us_c1",
        "TensorZero 43 983, Portkey 857, LiteLLM 8 801",
    ),
    Seen::new(
        "added_p99_us_c1",
        "TensorZero 45 265, Portkey 7 558, LiteLLM 16 940",
    ),
    Seen::new("prompt_cpu_us", "TensorZero 820"),
    Seen::new("cpu_us_per_chunk", "TensorZero 59"),
    Seen::new("rss_idle_mb", "TensorZero 60, Portkey 95, LiteLLM 329"),
];

/// What others need; empty where nobody looked.
pub(crate) fn peers(bench: &str, figure: &str) -> &'static str {
    let mut seen = SEEN.iter().filter(|_| bench == "chat");
    seen.find(|seen| seen.figure == figure)
        .map_or("", |seen| seen.text)
}

/// Everybody who takes part, in the order of the turns. The upstream itself is not among them.
struct Race<'r> {
    bench: &'r Bench,
    targets: Vec<&'r Target>,
    length: Length,
}

/// One figure of everybody, and the unit it is drawn in.
struct Column {
    name: &'static str,
    title: &'static str,
    of: fn(&Sample, &Sample) -> f64,
}

/// What is compared in each phase: of a sample, and of that without a gateway in the same turn.
const CLOSED: [Column; 2] = [
    Column::new(
        "requests_per_s_c64",
        "Requests per second on 64 connections",
        |own, _| own.requests_per_s,
    ),
    Column::new(
        "cpu_us_per_request_c64",
        "CPU for a request on 64 connections, µs",
        |own, _| own.cpu_us(),
    ),
];
const ALONE: [Column; 2] = [
    Column::new(
        "added_p50_us_c1",
        "Latency added on one connection, p50, µs",
        |own, direct| own.p50_us - direct.p50_us,
    ),
    Column::new(
        "added_p99_us_c1",
        "Latency added on one connection, p99, µs",
        |own, direct| own.p99_us - direct.p99_us,
    ),
];
const PACED: [Column; 4] = [
    Column::new(
        "added_p50_us_1000_per_s",
        "Latency added at 1 000 requests per second, p50, µs",
        |own, direct| own.p50_us - direct.p50_us,
    ),
    Column::new(
        "added_p99_us_1000_per_s",
        "Latency added at 1 000 requests per second, p99, µs",
        |own, direct| own.p99_us - direct.p99_us,
    ),
    // Who is saturated answers fewer than were due.
    Column::new(
        "answered_per_s_of_1000",
        "Answered of 1 000 requests per second",
        |own, _| own.requests_per_s,
    ),
    Column::new(
        "rss_mb_1000_per_s",
        "Memory at 1 000 requests per second, MB",
        |own, _| own.rss_mb(),
    ),
];
const LONG: [Column; 1] = [Column::new(
    "prompt_cpu_us",
    "CPU for a prompt of 62 kB, µs",
    |own, _| own.cpu_us(),
)];
const STREAMED: [Column; 2] = [
    Column::new(
        "cpu_us_per_chunk",
        "CPU for a chunk of a stream, µs",
        |own, _| own.cpu_us() / f64::from(EVENTS),
    ),
    Column::new(
        "first_token_added_p99_us",
        "Until the first token of a stream, added, p99, µs",
        |own, direct| own.first_p99_us - direct.first_p99_us,
    ),
];

/// Installs, starts and measures all of them.
pub(crate) async fn measured(length: Length) -> anyhow::Result<Found> {
    let upstream = Server::start(Core::Surroundings, &["mock"])?;
    let proxy = Server::start(Core::UnderTest, &["proxy", &upstream.address.to_string()])?;
    let mut found = Found::default();
    let mut contenders = Vec::new();
    for kind in Kind::ALL {
        match Contender::start(kind, upstream.address).await {
            Ok(contender) => {
                found
                    .notes
                    .push(format!("{}: {}", kind.name(), contender.version));
                contenders.push(contender);
            }
            Err(error) => {
                progress(&format!("peers: {} is left out: {error:#}", kind.name()));
                found
                    .notes
                    .push(format!("{} is left out: {error:#}", kind.name()));
            }
        }
    }
    progress("peers: starting aio up");
    let gateway = Gateway::start(upstream.address).await?;
    tokio::time::sleep(REST).await;
    let bench = bench("peers", length, [&upstream, &proxy], &gateway);
    let mut idle = |name: &str, process: &Process| {
        found.note(format!("{name}_rss_idle_mb"), rss_mb(process.pid()));
    };
    idle("proxy", &proxy.process);
    idle("aio", &gateway.process);
    for contender in &contenders {
        idle(contender.target.name, &contender.process);
    }
    let theirs = contenders.iter().map(|contender| &contender.target);
    let race = Race {
        bench: &bench,
        targets: [&bench.proxy, &bench.aio]
            .into_iter()
            .chain(theirs)
            .collect(),
        length,
    };
    race.phase(&MANY, &CLOSED, &mut found).await?;
    race.phase(&ONE, &ALONE, &mut found).await?;
    race.phase(&STEADY, &PACED, &mut found).await?;
    race.phase(&PROMPTS, &LONG, &mut found).await?;
    race.phase(&STREAMS, &STREAMED, &mut found).await?;
    Ok(found)
}

/// What a figure calls a target.
fn short(target: &Target) -> &'static str {
    match target.name {
        "bare proxy" => "proxy",
        name => name,
    }
}

// === impl Race ===

impl Race<'_> {
    /// One phase on everybody in turns: what was seen of each, and a drawing of each figure.
    async fn phase(
        &self,
        phase: &Phase,
        columns: &[Column],
        found: &mut Found,
    ) -> anyhow::Result<()> {
        let turns = match self.length {
            Length::Full => 3,
            Length::Quick => 1,
        };
        let mut seen: Vec<Vec<(Sample, Sample)>> =
            self.targets.iter().map(|_| Vec::new()).collect();
        for _ in 0..turns {
            let direct = self.bench.sample(&self.bench.direct, phase).await?;
            for (target, seen) in self.targets.iter().zip(&mut seen) {
                match self.bench.sample(target, phase).await {
                    Ok(own) => seen.push((own, direct.clone())),
                    // Somebody who cannot do this at all is no reason to stop.
                    Err(error) => {
                        progress(&format!("peers: {}: {error:#}", target.name));
                        let note = format!("{}, {}: {error:#}", target.name, phase.name);
                        if !found.notes.contains(&note) {
                            found.notes.push(note);
                        }
                    }
                }
            }
        }
        for column in columns {
            let mut rows = Vec::new();
            for (target, seen) in self.targets.iter().zip(&seen) {
                let values = seen.iter().map(|(own, direct)| (column.of)(own, direct));
                let value = median(values.collect());
                found.note(format!("{}_{}", short(target), column.name), value);
                rows.push((target.name.to_owned(), value));
            }
            found.bars.push(Bars {
                name: format!("peers-{}", column.name),
                title: column.title.to_owned(),
                rows,
            });
        }
        for (target, seen) in self.targets.iter().zip(&seen) {
            let errors = seen.iter().map(|(own, _)| own.errors() as f64).sum::<f64>();
            if errors > 0.0 {
                let note = format!("{}, {}: {errors:.0} errors", target.name, phase.name);
                found.notes.push(note);
            }
        }
        Ok(())
    }
}

// === impl Column ===

impl Column {
    const fn new(name: &'static str, title: &'static str, of: fn(&Sample, &Sample) -> f64) -> Self {
        Self { name, title, of }
    }
}

// === impl Seen ===

impl Seen {
    const fn new(figure: &'static str, text: &'static str) -> Self {
        Self { figure, text }
    }
}

/// The process of a contender as the load generator watches it.
fn watched(process: &Process) -> Watched {
    Watched::new("peer", process.pid())
}
