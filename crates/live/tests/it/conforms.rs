//! The one suite that every shared state passes.

use std::sync::Arc;

use live::{Live, SharedLive, conformance};

use crate::house::{House, enduring};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_conforms() {
    let house = House::start().await;
    conformance::run(async || held(house.process_alone().await)).await;
}

#[tokio::test]
async fn redis_with_a_fallback_conforms() {
    let house = House::start().await;
    let fresh = async || held(enduring(house.process_alone().await, 3));
    conformance::run(fresh).await;
}

#[tokio::test]
async fn the_limits_of_a_process_without_redis_conform() {
    let mut house = House::start().await;
    house.server.kill().unwrap();
    let fresh = async || held(enduring(house.process_alone().await, 1));
    conformance::run_limits(fresh).await;
}

/// As services hold it.
fn held(live: impl Live + 'static) -> SharedLive {
    Arc::new(live)
}
