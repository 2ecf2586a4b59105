//! Customers leave: each one event later than the one before, until one has read all there is.

use anyhow::{Result, ensure};
use testkit::{Aio, Shape};

use crate::{
    crash::SHORT_HOLDS,
    customer::{DEAR, chat},
};

const CREDITS: i64 = 100;

/// Whoever leaves pays for what came, once, and the hold is free at once.
pub(crate) async fn leave(shape: Shape) -> Result<String> {
    let aio = Aio::private_with(shape, &SHORT_HOLDS).await?;
    let api = aio.account(CREDITS).await?.api;
    let body = chat("Hello [sandbox tokens=12 chunk_delay=20ms]");
    let mut before = api.credits().await?.posted;
    let (mut read, mut spent) = (0_u32, 0_i64);
    loop {
        let mut events = api.stream(&body).await?;
        let mut seen = 0_u32;
        while seen < read && events.next().await?.is_some() {
            seen = seen.saturating_add(1);
        }
        drop(events);
        let after = api.settled().await?.posted;
        let charged = before.saturating_sub(after);
        ensure!(
            (0..=DEAR).contains(&charged),
            "{charged} micro-credits for {seen} events"
        );
        // The first event may be empty; whoever read the third has had text.
        ensure!(seen < 3 || charged > 0, "{seen} events for nothing");
        (before, spent) = (after, spent.saturating_add(charged));
        if seen < read {
            break;
        }
        read = read.saturating_add(1);
    }
    ensure!(read > 3, "a stream of only {read} events");
    aio.finish().await?;
    Ok(format!("{read} customers, {spent} micro-credits charged"))
}
