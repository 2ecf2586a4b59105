//! `bench chat`: chat completions through `aio up` with money on, beside the bare proxy and beside no gateway at all; and
//! `bench unbilled`, without the ledger. The program under test has core 0, everything else core 1.

use crate::{
    Length,
    endure::endure,
    figures::Figures,
    gateway::Gateway,
    load::Watched,
    phases::{Bench, Phases, Target},
    process::{Build, Core, Server, can_pin},
    procfs::rss_mb,
    progress,
};
use std::time::Duration;

/// Time for a program to come to rest before its idle memory is read.
const REST: Duration = Duration::from_millis(1_500);

/// Runs every phase and returns the figures.
pub(crate) async fn chat(length: Length) -> anyhow::Result<Figures> {
    if !can_pin() {
        progress("taskset or a second core is missing: nothing is pinned, the figures mean little");
    }
    let upstream = Server::start(Core::Surroundings, &["mock"])?;
    let proxy = Server::start(Core::UnderTest, &["proxy", &upstream.address.to_string()])?;
    progress("chat: starting aio up");
    let mut gateway = Gateway::start(upstream.address).await?;
    tokio::time::sleep(REST).await;
    let idle_mb = rss_mb(gateway.process.pid());
    let bench = bench("chat", length, [&upstream, &proxy], &gateway);
    let mut figures = figures(idle_mb, &bench.run().await?);
    figures.extend(endure(&mut gateway, &bench, idle_mb).await?);
    Ok(figures)
}

/// `bench unbilled`: the same program without its ledger, which no release is. What is left is the price of everything else.
pub(crate) async fn unbilled(length: Length) -> anyhow::Result<Figures> {
    let upstream = Server::start(Core::Surroundings, &["mock"])?;
    let proxy = Server::start(Core::UnderTest, &["proxy", &upstream.address.to_string()])?;
    progress("unbilled: starting aio up");
    let gateway = Gateway::start_with(upstream.address, Build::Unbilled, Vec::new()).await?;
    let bench = bench("unbilled", length, [&upstream, &proxy], &gateway);
    let [many, steady] = bench.run_costs().await?;
    Ok(vec![
        (
            "requests_per_s",
            many.median(|turn| turn.aio.requests_per_s),
        ),
        ("cpu_us_per_request", many.median(|turn| turn.aio.cpu_us())),
        ("cpu_ratio_to_bare_proxy", many.cpu_ratio()),
        (
            "over_proxy_p50_us",
            steady.median(|turn| turn.aio.p50_us - turn.proxy.p50_us),
        ),
        (
            "over_proxy_p99_us",
            steady.median(|turn| turn.aio.p99_us - turn.proxy.p99_us),
        ),
        ("errors", many.errors() + steady.errors()),
    ])
}

pub(crate) fn bench(
    name: &'static str,
    length: Length,
    [upstream, proxy]: [&Server; 2],
    gateway: &Gateway,
) -> Bench {
    Bench {
        name,
        length,
        core: Core::Surroundings,
        beside: vec![Watched::new("mock", upstream.process.pid())],
        direct: Target::direct(upstream),
        proxy: Target::proxy(proxy),
        aio: Target {
            name: "aio",
            address: gateway.address,
            key: Some(gateway.key.clone()),
            head: String::new(),
            processes: vec![Watched::new("aio", gateway.process.pid())],
        },
    }
}

fn figures(idle_mb: f64, phases: &Phases) -> Figures {
    let Phases { many, steady, .. } = phases;
    let mut figures = vec![
        (
            "requests_per_s",
            many.median(|turn| turn.aio.requests_per_s),
        ),
        ("cpu_us_per_request", many.median(|turn| turn.aio.cpu_us())),
        ("cpu_ratio_to_bare_proxy", many.cpu_ratio()),
    ];
    figures.extend(phases.latencies());
    figures.extend(phases.bodies());
    figures.extend(phases.counts());
    figures.extend([
        ("rss_idle_mb", idle_mb),
        ("rss_1000_per_s_mb", steady.median(|turn| turn.aio.rss_mb())),
        ("rss_c64_mb", many.median(|turn| turn.aio.rss_mb())),
    ]);
    figures.extend(phases.surroundings());
    figures
}
