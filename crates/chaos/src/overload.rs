//! Three times as many chats come as can be answered, without waiting for one another. Most of what can be answered still is, what is
//! refused is told when to come again, and soon after the flood everything is as before.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{FutureExt as _, StreamExt as _, future::join_all, stream::FuturesUnordered};
use testkit::{Aio, Api, Method, Shape};

use crate::{Length, bills::whole, progress};

/// Enough for all of it, and no rate in the way.
const CREDITS: i64 = 100_000_000;
/// A program that is built for tests does little at once, so less than usual is much.
const SETTINGS: [(&str, &str); 3] = [
    ("AIO_LIMITS__RATES__PER_MINUTE", "100000000"),
    ("AIO_LIMITS__OVERLOAD__DELAY", "100ms"),
    ("AIO_LIMITS__OVERLOAD__LEAST", "24"),
];
/// Customers who wait for one answer before they ask again: as many as keep the program busy.
const IN_FLIGHT: usize = 48;
/// How many times as much as was answered comes in the flood.
const TIMES: u64 = 3;
/// Of a hundred that could be answered, how many must be. A short flood is half over before the program knows how much it can take.
const GOOD: u64 = 80;
const GOOD_SOON: u64 = 60;
/// How soon after the flood everything is as before.
const RECOVERY: Duration = Duration::from_secs(10);
const FULL: Duration = Duration::from_secs(20);
const QUICK: Duration = Duration::from_secs(6);

/// What came of requests.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    good: u64,
    /// Refused with a moment to come again.
    refused: u64,
    /// How long the slowest of those took.
    slowest_refusal: Duration,
    /// Anything else.
    bad: u64,
}

pub(crate) async fn overload(length: Length) -> Result<String> {
    let (time, good) = match length {
        Length::Full => (FULL, GOOD),
        Length::Quick => (QUICK, GOOD_SOON),
    };
    let aio = Aio::private_with(Shape::Embedded, &SETTINGS).await?;
    let account = aio.account(CREDITS).await?;
    let api = aio.kept_api(aio.base(), &account.key)?;
    patient(&api, Duration::from_secs(2)).await?;
    let peak = per_second(patient(&api, time).await?.good, time);
    ensure!(peak > 0, "nothing is answered");
    progress(&format!("up/overload: {peak} a second are answered"));
    let flood = flood(&api, peak.saturating_mul(TIMES), time).await?;
    let goodput = per_second(flood.good, time);
    let begun = Instant::now();
    let mut after = 0_u64;
    while after.saturating_mul(100) < peak.saturating_mul(GOOD) {
        let took = begun.elapsed();
        ensure!(
            took < RECOVERY,
            "{took:?} after the flood {after} of {peak} a second are answered"
        );
        let second = Duration::from_secs(1);
        after = per_second(patient(&api, second).await?.good, second);
    }
    let recovered = begun.elapsed();
    let seen = format!(
        "{peak} a second are answered; of {TIMES} times as many {goodput} are, {} were refused, the slowest in {} ms, {} failed; as before after {} ms",
        flood.refused,
        flood.slowest_refusal.as_millis(),
        flood.bad,
        recovered.as_millis(),
    );
    ensure!(
        goodput.saturating_mul(100) >= peak.saturating_mul(good) && flood.bad == 0,
        "{seen}"
    );
    account.api.settled().await?;
    aio.finish().await?;
    Ok(seen)
}

fn per_second(count: u64, time: Duration) -> u64 {
    count.checked_div(time.as_secs().max(1)).unwrap_or_default()
}

/// So many customers who wait for their answers.
async fn patient(api: &Api, time: Duration) -> Result<Tally> {
    let until = Instant::now().checked_add(time).context("no end")?;
    let customers = (0..IN_FLIGHT).map(|_| async move {
        let mut tally = Tally::default();
        while Instant::now() < until {
            tally.add(ask(api).await);
        }
        tally
    });
    let tallies = join_all(customers).await;
    Ok(tallies.into_iter().fold(Tally::default(), Tally::and))
}

/// So many requests a second, whatever becomes of them.
async fn flood(api: &Api, rate: u64, time: Duration) -> Result<Tally> {
    let begun = Instant::now();
    let (mut sent, mut tally, mut open) = (0_u64, Tally::default(), FuturesUnordered::new());
    while begun.elapsed() < time {
        let millis = u64::try_from(begun.elapsed().as_millis())?;
        let due = rate
            .saturating_mul(millis)
            .checked_div(1_000)
            .unwrap_or_default();
        while sent < due {
            open.push(ask(api));
            sent = sent.saturating_add(1);
        }
        let tick = tokio::time::sleep(Duration::from_millis(2));
        let mut tick = Box::pin(tick);
        // What has ended by then is counted.
        loop {
            let ended = tokio::select! {
                () = &mut tick => break,
                ended = open.next(), if !open.is_empty() => ended,
            };
            if let Some(ended) = ended {
                tally.add(ended);
            }
        }
    }
    // What is answered after the flood is no goodput of it.
    while let Some(Some(_)) = open.next().now_or_never() {}
    Ok(tally)
}

/// What came of one request, and how soon.
async fn ask(api: &Api) -> Tally {
    let begun = Instant::now();
    let headers = [("content-type", "application/json")];
    let body = whole("Hello [sandbox tokens=4]").to_string();
    let answer = api
        .open(Method::POST, "/chat/completions", &headers, body)
        .await;
    let mut tally = Tally::default();
    let Ok(answer) = answer else {
        tally.bad = 1;
        return tally;
    };
    let (status, waits) = (
        answer.status().as_u16(),
        answer.headers().contains_key("retry-after"),
    );
    let whole = answer.bytes().await.is_ok();
    match status {
        200 if whole => tally.good = 1,
        429 | 503 if whole && waits => {
            tally.refused = 1;
            tally.slowest_refusal = begun.elapsed();
        }
        _ => tally.bad = 1,
    }
    tally
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, other: Self) {
        *self = self.and(other);
    }

    fn and(self, other: Self) -> Self {
        Self {
            good: self.good.saturating_add(other.good),
            refused: self.refused.saturating_add(other.refused),
            slowest_refusal: self.slowest_refusal.max(other.slowest_refusal),
            bad: self.bad.saturating_add(other.bad),
        }
    }
}
