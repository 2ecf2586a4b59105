//! Servers that are there and not well. Redis that answers late, refuses to write, is full, or has forgotten every script: no request fails,
//! and none waits long. RabbitMQ whose disk is full takes nothing: tasks are accepted all the same and end by nobody's bell.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::{
    Aio, Shape,
    servers::{Rabbit, Redis},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::{
    Length,
    customer::Customer,
    link::{Link, Way, place_of},
    progress,
};

/// What the account begins with: credits, and the same in micro-credits.
const CREDITS: i64 = 5_000;
const CREDIT: i64 = CREDITS * 1_000_000;
/// How late Redis answers.
const LATE: Duration = Duration::from_millis(500);
/// By when any call is answered meanwhile, on a machine that has other things to do.
const ANSWERED: Duration = Duration::from_secs(20);

/// What Redis suffers from: what makes it ill, what makes it well, and what it says then.
const ILLNESSES: [(&str, &[&str], &[&str]); 4] = [
    (
        "refuses to write",
        &["REPLICAOF 127.0.0.1 1"],
        &["REPLICAOF NO ONE"],
    ),
    (
        "refuses to read as well",
        &[
            "CONFIG SET replica-serve-stale-data no",
            "REPLICAOF 127.0.0.1 1",
        ],
        &[
            "REPLICAOF NO ONE",
            "CONFIG SET replica-serve-stale-data yes",
        ],
    ),
    (
        "is full",
        &["CONFIG SET maxmemory 1"],
        &["CONFIG SET maxmemory 0"],
    ),
    ("forgets its scripts", &["SCRIPT FLUSH"], &[]),
];

/// F28: Redis, with one illness after another.
pub(crate) async fn redis(length: Length) -> Result<String> {
    let rounds = match length {
        Length::Full => 20,
        Length::Quick => 3,
    };
    let redis = Redis::start().await?;
    let (url, link) = Link::of_url(&redis.url())?;
    let aio = Aio::private_with(Shape::Split, &[("AIO_REDIS__URL", url.as_str())]).await?;
    let mut customer = Customer::new(aio.account(CREDITS).await?.api).await?;
    customer.round().await;
    link.make(Way::Late(LATE));
    let mut slowest = ask(&mut customer, rounds, "answers late").await?;
    link.make(Way::Open);
    for (name, ill, well) in ILLNESSES {
        order(&redis, ill).await?;
        slowest = slowest.max(ask(&mut customer, rounds, name).await?);
        order(&redis, well).await?;
    }
    let seen = customer.check(CREDIT, 0).await?;
    let submits = customer.submitted_once(&aio).await?;
    aio.finish().await?;
    Ok(format!(
        "{} illnesses, the slowest answer after {} ms; {seen}; {submits}",
        ILLNESSES.len().saturating_add(1),
        slowest.as_millis()
    ))
}

/// Asks some times, and says how long the slowest answer took. Nothing may break.
async fn ask(customer: &mut Customer, rounds: u32, name: &str) -> Result<Duration> {
    let before = customer.broken();
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        slowest = slowest.max(customer.round().await);
    }
    let broken = customer.broken().saturating_sub(before);
    ensure!(
        broken == 0,
        "{broken} chats broke while Redis {name}: {}",
        customer.refusal()
    );
    ensure!(
        slowest < ANSWERED,
        "{slowest:?} for an answer while Redis {name}"
    );
    progress(&format!(
        "Redis {name}: the slowest answer after {} ms",
        slowest.as_millis()
    ));
    Ok(slowest)
}

/// Tells Redis something, line by line.
async fn order(redis: &Redis, lines: &[&str]) -> Result<()> {
    let mut stream = TcpStream::connect(place_of(&redis.url())?).await?;
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(&mut stream).read_line(&mut answer).await?;
        ensure!(answer.starts_with('+'), "{line}: {answer}");
    }
    Ok(())
}

/// F26: the broker's disk is full, and has room again.
pub(crate) async fn broker(length: Length) -> Result<String> {
    let images = match length {
        Length::Full => 100,
        Length::Quick => 15,
    };
    let mut rabbit = Rabbit::start().await?;
    let url = rabbit.url().to_owned();
    let prefix = rabbit.prefix().to_owned();
    let env = [
        ("AIO_RABBITMQ__URL", url.as_str()),
        ("AIO_RABBITMQ__PREFIX", prefix.as_str()),
        // What nobody hears of is rung for again soon.
        ("AIO_LIMITS__MEDIA__RING_AGAIN", "2s"),
    ];
    let aio = Aio::private_with(Shape::Split, &env).await?;
    let mut customer = Customer::new(aio.account(CREDITS).await?.api).await?;
    customer.image().await;
    rabbit.stop().await?;
    rabbit.restart_full().await?;
    let mut slowest = Duration::ZERO;
    for _ in 0..images {
        let begun = Instant::now();
        customer.image().await;
        slowest = slowest.max(begun.elapsed());
    }
    let accepted = customer.tasks().await?.len();
    ensure!(
        accepted == images + 1,
        "{accepted} of {} images were accepted",
        images + 1
    );
    let seen = customer.check(CREDIT, 0).await?;
    rabbit.stop().await?;
    rabbit.restart().await?;
    customer.image().await;
    customer.check(CREDIT, 0).await?;
    let submits = customer.submitted_once(&aio).await?;
    aio.finish().await?;
    Ok(format!(
        "{images} images accepted and ended while the broker took nothing, the slowest submit after {} ms; {seen}; {submits}",
        slowest.as_millis()
    ))
}
