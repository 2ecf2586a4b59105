//! `bench polls`: looks at a task, `GET /tasks/{id}`. Through `aio up`, which has core 0 for itself, for how many there are per second and
//! core. And through roles, while media is dead: nobody is there then who could ask a database about a task, so that each answer shows
//! that nobody needs to.

use crate::{
    Length,
    customer::{Customer, Order, Pace},
    figures::Figures,
    gateway::Gateway,
    house::House,
    load::{Sample, Watched},
    media::settings,
    process::{Build, Core, Server},
    progress,
    window::{Calls, Window},
};
use std::{net::SocketAddr, time::Duration};

const CONNECTIONS: u32 = 64;
/// How long a task may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Through `aio up`.
pub(crate) async fn in_one(length: Length) -> anyhow::Result<Figures> {
    let upstream = Server::start(Core::Surroundings, &["mock"])?;
    progress("polls: starting aio up");
    let more = settings(upstream.address);
    let gateway = Gateway::start_with(upstream.address, Build::Release, more).await?;
    let customer = Customer::new(gateway.address, &gateway.key, upstream.address);
    let task = open_task(&customer).await?;
    let window = Window {
        core: Core::Surroundings,
        under_test: vec![Watched::new("aio", gateway.process.pid())],
        ..window(length, gateway.address, customer.poll(&task))
    };
    let sample = measure("polls", &window).await?;
    Ok(vec![
        ("requests_per_s", sample.requests_per_s),
        ("cpu_us_per_request", sample.cpu_us()),
        ("p50_us", sample.p50_us),
        ("p99_us", sample.p99_us),
        ("errors", sample.errors() as f64),
        ("noise_cores", sample.noise),
    ])
}

/// Through roles, with media and without.
pub(crate) async fn split(length: Length) -> anyhow::Result<Figures> {
    let upstream = Server::start(Core::Any, &["mock"])?;
    let mut house = House::start_media(upstream.address, &settings(upstream.address)).await?;
    let customer = Customer::new(house.address, &house.key, upstream.address);
    let task = ended_task(&customer).await?;
    let at_work = Window {
        under_test: house.roles(),
        beside: house.engines(),
        ..window(length, house.address, customer.poll(&task))
    };
    let there = measure("polls_split", &at_work).await?;
    house.kill("media");
    let away = Window {
        under_test: house.roles(),
        beside: house.engines(),
        ..window(length, house.address, customer.poll(&task))
    };
    let away = measure("polls_split, without media", &away).await?;
    Ok(vec![
        ("requests_per_s", there.requests_per_s),
        ("cpu_us_per_request", there.cpu_us()),
        ("postgres_cpu_us", there.usage("postgres").cpu_us),
        ("errors", there.errors() as f64),
        ("requests_per_s_media_away", away.requests_per_s),
        ("errors_media_away", away.errors() as f64),
    ])
}

/// One that stays open.
async fn open_task(customer: &Customer) -> anyhow::Result<String> {
    customer.submit(order("@hang=1@")).await
}

/// One that has ended.
async fn ended_task(customer: &Customer) -> anyhow::Result<String> {
    let task = customer.submit(order("")).await?;
    customer.hear(1.0, PATIENCE).await?;
    Ok(task)
}

const fn order(prompt: &'static str) -> Order {
    Order {
        model: "flux-2",
        prompt,
        first: 1,
        count: 1,
        pace: Pace::AtOnce(1),
    }
}

fn window(length: Length, address: SocketAddr, request: String) -> Window {
    Window {
        core: Core::Any,
        address,
        request,
        connections: CONNECTIONS,
        rate: 0,
        warm_seconds: 1,
        seconds: match length {
            Length::Full => 10,
            Length::Quick => 2,
        },
        calls: Calls::Many,
        under_test: Vec::new(),
        beside: Vec::new(),
    }
}

async fn measure(name: &str, window: &Window) -> anyhow::Result<Sample> {
    let sample = window.run().await?;
    progress(&format!(
        "{name}: {:.0} requests/s, {:.1} µs CPU each, {} errors, noise {:.2}",
        sample.requests_per_s,
        sample.cpu_us(),
        sample.errors(),
        sample.noise
    ));
    if let Some(error) = &sample.first_error {
        progress(&format!("{name}: the first error: {error}"));
    }
    Ok(sample)
}
