//! What happens on the way: between roles, to RabbitMQ and to Redis. One way after another becomes a hole into which everything falls, is
//! deaf to answers, or passes crumbs, while customers go on asking. Every call of theirs is answered in time, whatever the answer is; when
//! the way is mended all is well again soon, and the books are what customers were told.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use testkit::{
    Aio, Role, Shape, eventually,
    servers::{Rabbit, Redis},
};

use crate::{
    Length,
    crash::SHORT_HOLDS,
    customer::{Customer, DEAR, submitted_once},
    link::{Link, Way},
    progress,
};

/// The roles that others call.
const ROLES: [Role; 4] = [Role::Billing, Role::Chat, Role::Media, Role::Webhooks];
/// Customers who ask all the time, and what each begins with: credits, and the same in micro-credits.
const CUSTOMERS: usize = 3;
const CREDITS: i64 = 5_000;
const CREDIT: i64 = CREDITS * 1_000_000;
/// By when any call is answered, whatever the answer is: the longest deadline of a call between services, and time for a busy machine.
const ANSWERED: Duration = Duration::from_secs(60);
/// By when all is well again. What is promised is 10 s on a machine that has nothing else to do.
const MENDED: Duration = Duration::from_secs(30);

/// What is wrong with a way, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrong {
    /// N01: nothing passes.
    Hole,
    /// N07, N02: questions pass and are answered, and every answer is lost with its connection, again and again.
    Deaf,
    /// N05: bytes come in crumbs.
    Crumbs,
}

/// The program, and every way in it by its name.
struct House {
    aio: Aio,
    ways: BTreeMap<String, Link>,
    // Declared last: the program ends before what it stands on.
    _rabbit: Rabbit,
    _redis: Redis,
}

/// Does this to one way after another.
pub(crate) async fn wrong(wrong: Wrong, length: Length) -> Result<String> {
    let house = House::start().await?;
    let mut customers = Vec::new();
    for _ in 0..CUSTOMERS {
        customers.push(Customer::new(house.aio.account(CREDITS).await?.api).await?);
    }
    let (mut slowest, mut longest) = (Duration::ZERO, Duration::ZERO);
    for (name, way) in &house.ways {
        let answered = meanwhile(&mut customers, spoil(way, wrong, length)).await;
        way.make(Way::Open);
        ensure!(
            answered < ANSWERED,
            "{name}: a call took {answered:?} to be answered"
        );
        let mended = mended(&mut customers).await;
        let mended = mended.with_context(|| format!("{name} was mended"))?;
        ensure!(mended < MENDED, "{name}: well again after {mended:?}");
        progress(&format!(
            "{name}: the slowest answer after {} ms, well again after {} ms",
            answered.as_millis(),
            mended.as_millis()
        ));
        (slowest, longest) = (slowest.max(answered), longest.max(mended));
    }
    let mut broken = 0_i64;
    for customer in &mut customers {
        let unheard = DEAR.saturating_mul(customer.broken());
        customer.check(CREDIT, unheard).await?;
        broken = broken.saturating_add(customer.broken());
    }
    let submits = submitted_once(&house.aio, &customers).await?;
    let ways = house.ways.len();
    house.aio.finish().await?;
    Ok(format!(
        "{ways} ways; the slowest answer after {} ms, well again after {} ms at most; {broken} chats broken; {submits}",
        slowest.as_millis(),
        longest.as_millis()
    ))
}

/// Makes a way go wrong, for as long as it takes.
async fn spoil(way: &Link, wrong: Wrong, length: Length) {
    let full = length == Length::Full;
    match wrong {
        Wrong::Hole => {
            way.make(Way::Hole);
            tokio::time::sleep(Duration::from_secs(if full { 60 } else { 6 })).await;
        }
        Wrong::Deaf => {
            for _ in 0..if full { 20 } else { 3 } {
                way.make(Way::Deaf);
                tokio::time::sleep(Duration::from_secs(1)).await;
                way.cut();
                way.make(Way::Open);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
        Wrong::Crumbs => {
            way.make(Way::Crumbs);
            tokio::time::sleep(Duration::from_secs(if full { 20 } else { 4 })).await;
        }
    }
}

/// Has everybody ask until something is over, and says how long the slowest answer took.
async fn meanwhile(customers: &mut [Customer], something: impl Future<Output = ()>) -> Duration {
    let over = std::cell::Cell::new(false);
    let asking = customers.iter_mut().map(async |customer| {
        let mut slowest = Duration::ZERO;
        while !over.get() {
            slowest = slowest.max(customer.round().await);
        }
        slowest
    });
    let ending = async {
        something.await;
        over.set(true);
    };
    let (slowest, ()) = futures::future::join(join_all(asking), ending).await;
    slowest.into_iter().max().unwrap_or_default()
}

/// How long it takes until a customer is answered again, to the end.
async fn mended(customers: &mut [Customer]) -> Result<Duration> {
    let customer = customers.first_mut().context("nobody")?;
    let begun = Instant::now();
    eventually("a customer is answered", async || {
        let before = customer.broken();
        customer.round().await;
        Ok((customer.broken() == before).then_some(()))
    })
    .await?;
    Ok(begun.elapsed())
}

// === impl House ===

impl House {
    async fn start() -> Result<Self> {
        let (rabbit, redis) = (Rabbit::start().await?, Redis::start().await?);
        let mut ways = BTreeMap::new();
        let (amqp, link) = Link::of_url(rabbit.url())?;
        ways.insert("rabbitmq".to_owned(), link);
        let (live, link) = Link::of_url(&redis.url())?;
        ways.insert("redis".to_owned(), link);
        let servers = [
            ("AIO_RABBITMQ__URL", amqp.as_str()),
            ("AIO_RABBITMQ__PREFIX", rabbit.prefix()),
            ("AIO_REDIS__URL", live.as_str()),
        ];
        let env = [&SHORT_HOLDS[..], &servers[..]].concat();
        let aio = Aio::private_via(Shape::Split, &env, |role, base| {
            if !ROLES.contains(&role) {
                return Ok(base);
            }
            let (url, link) = Link::of_url(&base)?;
            ways.insert(role.as_str().to_owned(), link);
            Ok(url)
        })
        .await?;
        Ok(Self {
            aio,
            ways,
            _rabbit: rabbit,
            _redis: redis,
        })
    }
}
