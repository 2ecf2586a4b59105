//! C05: the clock of Redis, by which limits are judged, jumps by hours and a day, forwards and back. A key whose rate was used up is served
//! again within the time that a burst takes to come back, and gets no more than one burst too much; whoever has no such limit sees nothing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Account, Aio, Api, Shape, eventually, servers::Redis};

use crate::{Length, customer::Customer, faketime::Clock, progress};

/// What the account begins with: credits, and the same in micro-credits.
const CREDITS: i64 = 5_000;
const CREDIT: i64 = CREDITS * 1_000_000;
/// Requests a minute of the key that is looked at: one a second, and so many at once.
const RATE: u32 = 60;
/// In which a burst comes back.
const WINDOW: Duration = Duration::from_secs(60);
/// How wrong the clock is, one after the other: each is a jump from the one before.
const FULL: [&str; 6] = ["+1h", "+0", "+1d", "-1d", "-5m", "+0"];
const QUICK: [&str; 2] = ["+1h", "-1h"];

/// The clock jumps again and again.
pub(crate) async fn jumps(length: Length) -> Result<String> {
    let jumps = match length {
        Length::Full => &FULL[..],
        Length::Quick => &QUICK[..],
    };
    let clock = Clock::new()?;
    let redis = Redis::start_with(clock.env()?).await?;
    let url = redis.url();
    let aio = Aio::private_with(Shape::Split, &[("AIO_REDIS__URL", url.as_str())]).await?;
    let account = aio.account(CREDITS).await?;
    let slow = limited(&aio, &account).await?;
    let mut customer = Customer::new(account.api).await?;
    customer.round().await;
    let mut longest = Duration::ZERO;
    for jump in jumps {
        progress(&format!("the clock of Redis is at {jump}"));
        let begun = Instant::now();
        served(&slow, begun).await?;
        clock.jump(jump)?;
        let jumped = Instant::now();
        eventually("the key is served again", async || {
            Ok(is_served(&slow).await?.then_some(()))
        })
        .await?;
        ensure!(
            jumped.elapsed() < WINDOW,
            "shut out for {:?} at {jump}",
            jumped.elapsed()
        );
        longest = longest.max(jumped.elapsed());
        // One was served just now.
        let more = served(&slow, jumped).await?.saturating_add(1);
        let most = u64::from(RATE).saturating_add(jumped.elapsed().as_secs().saturating_add(1));
        ensure!(more <= most, "{more} calls at once at {jump}, of {most}");
        let before = customer.broken();
        customer.round().await;
        ensure!(
            customer.broken() == before,
            "a chat broke at {jump}: {}",
            customer.refusal()
        );
    }
    let seen = customer.check(CREDIT, 0).await?;
    let submits = customer.submitted_once(&aio).await?;
    aio.finish().await?;
    Ok(format!(
        "{} jumps, shut out for {} ms at most; {seen}; {submits}",
        jumps.len(),
        longest.as_millis()
    ))
}

/// A key with a rate of its own.
async fn limited(aio: &Aio, account: &Account) -> Result<Api> {
    let body = json!({ "name": "slow", "mode": "test", "rpm": RATE });
    let path = format!("/admin/accounts/{}/keys", account.id);
    let made = aio.admin().post(&path, &body).await?.data(201)?;
    let key = made.get("key").and_then(Value::as_str);
    let key = key.context("no key")?;
    Ok(aio.api(Some(key)))
}

/// Asks until the rate is used up, and says how many calls were served. More than a burst and what time brought since `begun` are a mistake,
/// so it ends.
async fn served(slow: &Api, begun: Instant) -> Result<u64> {
    let mut count: u64 = 0;
    while is_served(slow).await? {
        count = count.saturating_add(1);
        let most = u64::from(RATE).saturating_mul(2);
        let most = most.saturating_add(begun.elapsed().as_secs());
        ensure!(count <= most, "{count} calls were served at once");
    }
    Ok(count)
}

/// Whether one call is served; if not, for its rate.
async fn is_served(slow: &Api) -> Result<bool> {
    let reply = slow.get("/credits").await?;
    if reply.status == 200 {
        return Ok(true);
    }
    reply.error(429, "rate_limited")?;
    Ok(false)
}
