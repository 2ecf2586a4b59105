//! PostgreSQL stands still under load, and goes on: nobody is charged for what they did not get, and no connection is left in the
//! middle of a transaction.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use testkit::{Aio, Shape};

use crate::{
    Length,
    crash::SHORT_HOLDS,
    customer::{Customer, DEAR},
};

/// Customers who ask all the time.
const CUSTOMERS: usize = 8;
/// What each begins with: credits, and the same in micro-credits.
const CREDITS: i64 = 1_000;
const CREDIT: i64 = CREDITS * 1_000_000;
/// How long it stands still.
const STILL: Duration = Duration::from_secs(30);
const SHORTLY_STILL: Duration = Duration::from_secs(8);
/// `PostgreSQL`'s code for a statement in a transaction that has failed: whoever sees it was given a poisoned connection.
const POISONED: &str = "25P02";

pub(crate) async fn stand_still(length: Length) -> Result<String> {
    let still = match length {
        Length::Full => STILL,
        Length::Quick => SHORTLY_STILL,
    };
    let mut aio = Aio::private_with(Shape::Split, &SHORT_HOLDS).await?;
    let mut customers = Vec::new();
    for _ in 0..CUSTOMERS {
        customers.push(Customer::new(aio.account(CREDITS).await?.api).await?);
    }
    // Everybody is in the middle of something when it stops.
    let pause = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        aio.servers()?.postgres.pause()?;
        tokio::time::sleep(still).await;
        aio.servers()?.postgres.go_on()
    };
    let until = Instant::now()
        .checked_add(still.saturating_add(Duration::from_secs(3)))
        .unwrap_or_else(Instant::now);
    let asking = try_join_all(customers.iter_mut().map(|customer| ask(customer, until)));
    let (paused, asked) = futures::future::join(pause, asking).await;
    paused?;
    let asked: usize = asked?.into_iter().sum();
    let mut seen = String::new();
    for customer in &mut customers {
        seen = customer.check(CREDIT, DEAR).await?;
    }
    ensure!(
        !aio.stderr()?.contains(POISONED),
        "a poisoned connection was used"
    );
    aio.finish().await?;
    Ok(format!(
        "{} s still, {asked} rounds of {CUSTOMERS} customers; the last: {seen}",
        still.as_secs()
    ))
}

/// Asks for one thing after another, and says how often.
async fn ask(customer: &mut Customer, until: Instant) -> Result<usize> {
    let mut rounds = 0_usize;
    while Instant::now() < until {
        customer.chat().await;
        customer.stream().await;
        customer.image().await;
        rounds = rounds.saturating_add(1);
    }
    Ok(rounds)
}
