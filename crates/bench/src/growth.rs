//! `bench growth`: how cost grows. With accounts: pairs of hold and capture in SQLite, over one account up to ten thousand. With
//! connections: chat completions through `aio up`, on one up to 256, beside the bare proxy. With replicas: the same through one, two and
//! three processes of edge, chat and billing, on one PostgreSQL and one Redis; they share the cores of one machine, so that what is
//! looked at is what a further replica costs, and not how much more all of them can do.

use crate::{
    Length,
    body::Body,
    chat::bench,
    figures::Found,
    gateway::Gateway,
    house::House,
    ledger::over_accounts,
    load::{Sample, Watched},
    phases::{Phase, Target},
    process::{Core, Server},
    progress,
    window::{Calls, Window},
};
use futures::future::try_join_all;
use report::{Axis, Plot, Series};

const ACCOUNTS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
const CONNECTIONS: [u32; 5] = [1, 4, 16, 64, 256];
const REPLICAS: [usize; 3] = [1, 2, 3];
/// Connections of the customers of all replicas together.
const CUSTOMERS: usize = 64;

/// Looks at all three.
pub(crate) async fn growth(length: Length) -> anyhow::Result<Found> {
    let mut found = Found::default();
    accounts(length, &mut found).await?;
    connections(length, &mut found).await?;
    replicas(length, &mut found).await?;
    Ok(found)
}

async fn accounts(length: Length, found: &mut Found) -> anyhow::Result<()> {
    let counts = match length {
        Length::Full => &ACCOUNTS[..],
        Length::Quick => &ACCOUNTS[..4],
    };
    let seen = over_accounts(length, counts).await?;
    for (count, rate, cpu_us) in &seen {
        found.note(format!("pairs_per_s_{count}_accounts"), *rate);
        found.note(format!("cpu_us_per_pair_{count}_accounts"), *cpu_us);
    }
    let curve = |of: fn(&(usize, f64, f64)) -> f64| {
        let points = seen.iter().map(|one| (one.0 as f64, of(one)));
        vec![series("SQLite", points.collect())]
    };
    let x = || Axis::log("accounts");
    found.plots.extend([
        plot(
            "accounts-pairs",
            "Hold and capture, over more and more accounts",
            (x(), "pairs per second"),
            curve(|one| one.1),
        ),
        plot(
            "accounts-cpu",
            "What a hold and its capture cost, over more and more accounts",
            (x(), "µs CPU, with the callers'"),
            curve(|one| one.2),
        ),
    ]);
    Ok(())
}

async fn connections(length: Length, found: &mut Found) -> anyhow::Result<()> {
    let upstream = Server::start(Core::Surroundings, &["mock"])?;
    let proxy = Server::start(Core::UnderTest, &["proxy", &upstream.address.to_string()])?;
    progress("growth: starting aio up");
    let gateway = Gateway::start(upstream.address).await?;
    let bench = bench("growth", length, [&upstream, &proxy], &gateway);
    let warm = Phase::new("warming up", 64, 0, Body::Short);
    bench.sample(&bench.aio, &warm).await?;
    let mut seen: Vec<(u32, Sample, Sample)> = Vec::new();
    for count in CONNECTIONS {
        let phase = Phase::new("more and more connections", count, 0, Body::Short);
        let proxy = bench.sample(&bench.proxy, &phase).await?;
        let aio = bench.sample(&bench.aio, &phase).await?;
        found.note(format!("requests_per_s_c{count}"), aio.requests_per_s);
        found.note(format!("cpu_us_per_request_c{count}"), aio.cpu_us());
        found.note(format!("p99_us_c{count}"), aio.p99_us);
        seen.push((count, proxy, aio));
    }
    let curves = |of: fn(&Sample) -> f64| {
        let proxy = seen.iter().map(|one| (f64::from(one.0), of(&one.1)));
        let aio = seen.iter().map(|one| (f64::from(one.0), of(&one.2)));
        vec![
            series("aio up", aio.collect()),
            series("bare proxy", proxy.collect()),
        ]
    };
    let x = || Axis::log("connections");
    found.plots.extend([
        plot(
            "connections-requests",
            "Chat on more and more connections",
            (x(), "requests per second"),
            curves(|sample| sample.requests_per_s),
        ),
        plot(
            "connections-cpu",
            "What a chat costs on more and more connections",
            (x(), "µs CPU"),
            curves(Sample::cpu_us),
        ),
        plot(
            "connections-latency",
            "How long a chat takes on more and more connections",
            (x(), "p99, µs"),
            curves(|sample| sample.p99_us),
        ),
    ]);
    Ok(())
}

async fn replicas(length: Length, found: &mut Found) -> anyhow::Result<()> {
    let (mut rates, mut costs, mut database) = (Vec::new(), Vec::new(), Vec::new());
    for count in REPLICAS {
        let one = replica(length, count).await?;
        found.note(format!("requests_per_s_{count}_replicas"), one.rate);
        found.note(format!("cpu_us_per_request_{count}_replicas"), one.cpu_us);
        found.note(format!("postgres_cpu_us_{count}_replicas"), one.postgres_us);
        found.note(format!("rss_mb_{count}_replicas"), one.rss_mb);
        rates.push((count as f64, one.rate));
        costs.push((count as f64, one.cpu_us));
        database.push((count as f64, one.postgres_us));
    }
    let x = || Axis::linear("processes of each role");
    found.plots.extend([
        plot(
            "replicas-requests",
            "Chat through more and more replicas on one machine",
            (x(), "requests per second"),
            vec![series("edge, chat and billing", rates)],
        ),
        plot(
            "replicas-cpu",
            "What a chat costs through more and more replicas",
            (x(), "µs CPU"),
            vec![
                series("edge, chat and billing", costs),
                series("PostgreSQL", database),
            ],
        ),
    ]);
    Ok(())
}

/// What so many replicas did together.
struct Together {
    rate: f64,
    /// CPU time of our processes for a request, and of PostgreSQL.
    cpu_us: f64,
    postgres_us: f64,
    rss_mb: f64,
}

async fn replica(length: Length, count: usize) -> anyhow::Result<Together> {
    let upstream = Server::start(Core::Any, &["mock"])?;
    let house = House::start_replicas(upstream.address, count).await?;
    let windows = house.edges.iter().map(|edge| {
        let target = Target {
            name: "aio",
            address: *edge,
            key: Some(house.key.clone()),
            head: String::new(),
            processes: house.roles(),
        };
        Window {
            core: Core::Any,
            address: *edge,
            request: target.request(Body::Short),
            connections: u32::try_from(CUSTOMERS.div_ceil(count)).unwrap_or(u32::MAX),
            rate: 0,
            warm_seconds: 2,
            seconds: match length {
                Length::Full => 10,
                Length::Quick => 3,
            },
            calls: Calls::Many,
            under_test: target.processes,
            beside: beside(&house, &upstream),
        }
    });
    let windows: Vec<Window> = windows.collect();
    let samples = try_join_all(windows.iter().map(Window::run)).await?;
    let requests: f64 = samples.iter().map(|sample| sample.requests as f64).sum();
    // Each window has seen all processes, and shared what they used by its own requests.
    let mean = |of: &dyn Fn(&Sample) -> f64| {
        let used = samples
            .iter()
            .map(|sample| of(sample) * sample.requests as f64);
        used.sum::<f64>() / samples.len() as f64 / requests
    };
    let together = Together {
        rate: samples.iter().map(|sample| sample.requests_per_s).sum(),
        cpu_us: mean(&Sample::cpu_us),
        postgres_us: mean(&|sample| sample.usage("postgres").cpu_us),
        rss_mb: samples.iter().map(Sample::rss_mb).fold(0.0, f64::max),
    };
    progress(&format!(
        "growth: {count} of each: {:.0} requests/s, {:.0} µs CPU each",
        together.rate, together.cpu_us
    ));
    Ok(together)
}

fn beside(house: &House, upstream: &Server) -> Vec<Watched> {
    let mut beside = vec![Watched::new("mock", upstream.process.pid())];
    beside.extend(house.engines());
    beside
}

fn plot(name: &str, title: &str, (x, y): (Axis, &str), series: Vec<Series>) -> Plot {
    Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        x,
        y: Axis::linear(y),
        series,
    }
}

fn series(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.to_owned(),
        points,
    }
}
