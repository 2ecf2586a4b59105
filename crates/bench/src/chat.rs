//! `bench chat`: chat completions through `aio up` with money on, beside the bare proxy and beside no gateway at all. The
//! program under test has core 0, everything else core 1.

use crate::{
    Length,
    endure::endure,
    figures::Figures,
    gateway::Gateway,
    load::Watched,
    phases::{Bench, Phases, Target},
    process::{Core, Server, can_pin},
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
    let bench = Bench {
        name: "chat",
        length,
        core: Core::Surroundings,
        beside: vec![Watched::new("mock", upstream.process.pid())],
        direct: Target::direct(&upstream),
        proxy: Target::proxy(&proxy),
        aio: Target {
            name: "aio",
            address: gateway.address,
            key: Some(gateway.key.clone()),
            processes: vec![Watched::new("aio", gateway.process.pid())],
        },
    };
    let mut figures = figures(idle_mb, &bench.run().await?);
    figures.extend(endure(&mut gateway, &bench, idle_mb).await?);
    Ok(figures)
}

fn figures(idle_mb: f64, phases: &Phases) -> Figures {
    let Phases { many, steady, .. } = phases;
    let ratio = many.aio.cpu_us() / many.proxy.cpu_us();
    let mut figures = vec![
        ("requests_per_s", many.aio.requests_per_s),
        ("cpu_us_per_request", many.aio.cpu_us()),
        ("cpu_ratio_to_bare_proxy", ratio),
    ];
    figures.extend(phases.latencies());
    figures.extend(phases.bodies());
    figures.extend(phases.counts());
    figures.extend([
        ("rss_idle_mb", idle_mb),
        ("rss_1000_per_s_mb", steady.aio.rss_mb()),
        ("rss_c64_mb", many.aio.rss_mb()),
    ]);
    figures.extend(phases.surroundings());
    figures
}
