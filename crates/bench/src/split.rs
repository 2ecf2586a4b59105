//! `bench split`: chat completions through edge, chat and billing as processes of their own, on PostgreSQL and Redis, beside the bare
//! proxy and beside no gateway at all. Nothing is pinned: the roles, their servers, the upstream and the load generator share all
//! cores, so that requests per second are as much theirs as ours. CPU time is told apart, process by process.

use crate::{
    Length,
    figures::Figures,
    house::House,
    load::{OURSELVES, Watched},
    phases::{Bench, Beside, Phases, Target},
    process::{Core, Server},
    progress,
};

/// Runs every phase and returns the figures.
pub(crate) async fn split(length: Length) -> anyhow::Result<Figures> {
    progress("split: roles, servers, upstream and load share all cores");
    let upstream = Server::start(Core::Any, &["mock"])?;
    let proxy = Server::start(Core::Any, &["proxy", &upstream.address.to_string()])?;
    let house = House::start(upstream.address).await?;
    let mut beside = vec![Watched::new("mock", upstream.process.pid())];
    beside.extend(house.engines());
    let bench = Bench {
        name: "split",
        length,
        core: Core::Any,
        beside,
        direct: Target::direct(&upstream),
        proxy: Target::proxy(&proxy),
        aio: Target {
            name: "aio",
            address: house.address,
            key: Some(house.key.clone()),
            head: String::new(),
            processes: house.roles(),
        },
    };
    Ok(figures(&bench.run().await?))
}

fn figures(phases: &Phases) -> Figures {
    let (many, steady) = (&phases.many, &phases.steady);
    let cpu = |beside: &Beside, name| beside.median(|turn| turn.aio.usage(name).cpu_us);
    let rss = |name| many.median(|turn| turn.aio.usage(name).rss_mb);
    let mut figures = vec![
        (
            "requests_per_s",
            many.median(|turn| turn.aio.requests_per_s),
        ),
        ("cpu_us_per_request", many.median(|turn| turn.aio.cpu_us())),
        ("edge_cpu_us", cpu(many, "edge")),
        ("chat_cpu_us", cpu(many, "chat")),
        ("billing_cpu_us", cpu(many, "billing")),
        ("postgres_cpu_us", cpu(many, "postgres")),
        ("redis_cpu_us", cpu(many, "redis")),
        ("mock_cpu_us", cpu(many, "mock")),
        ("load_cpu_us", cpu(many, OURSELVES)),
        (
            "cpu_us_per_request_1000_per_s",
            steady.median(|turn| turn.aio.cpu_us()),
        ),
        ("postgres_cpu_us_1000_per_s", cpu(steady, "postgres")),
    ];
    figures.extend(phases.latencies());
    figures.extend(phases.bodies());
    figures.extend(phases.counts());
    figures.extend([
        ("edge_rss_mb", rss("edge")),
        ("chat_rss_mb", rss("chat")),
        ("billing_rss_mb", rss("billing")),
        ("redis_rss_mb", rss("redis")),
    ]);
    figures.extend(phases.surroundings());
    figures
}
