//! The split shapes under faults, on servers of their own. With a thousand tasks and streams on their way, services are killed,
//! RabbitMQ and Redis lose their data, PostgreSQL is killed: every task ends, nothing is paid twice, every customer is told.

use std::cell::Cell;

use anyhow::{Context as _, Result, ensure};
use futures::{
    StreamExt as _, TryStreamExt as _,
    future::{join_all, try_join},
    stream,
};
use testkit::{Aio, Answer, Api, Role, Shape, Sink, eventually, micros};

use crate::{
    crash_chat::SHORT_HOLDS,
    crash_storm::{check_ends, check_webhooks, ended, told},
    say::{IMAGE, SOON, UNHURRIED, chat, image_calling},
};

/// Tasks that are submitted while everything runs, and while RabbitMQ is away.
const BEFORE: usize = 700;
const WHILE_AWAY: usize = 100;
/// Streams, and how many of them at once.
const STREAMS: usize = 200;
const STREAMS_AT_ONCE: usize = 40;
const CREDITS: i64 = 10_000;
/// More than a stream here can cost, in micro-credits.
const DEAR: i64 = 1_000_000;

#[tokio::test]
async fn a_thousand_on_their_way_survive_every_fault() -> Result<()> {
    let settings = [&UNHURRIED[..], &SHORT_HOLDS[..], &[SOON]].concat();
    // One process for each role, or three; `aio up` has storms of its own.
    let shape = match Shape::of_this_run()? {
        Shape::Embedded | Shape::Split => Shape::Split,
        Shape::Split3 => Shape::Split3,
    };
    let mut aio = Aio::private_with(shape, &settings).await?;
    let api = aio.account(CREDITS).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    let streams = stream::iter(0..STREAMS).map(|number| streamed(&api, number));
    let streams = streams.buffer_unordered(STREAMS_AT_ONCE).collect();
    let (ends, ids) = tokio::join!(streams, all_faults(&mut aio, &api, &sink));
    let (ends, ids): (Vec<Option<i64>>, Vec<String>) = (ends, ids?);
    let tasks = ended(&api, &ids).await?;
    let lost = check_ends(&tasks)?;
    let paid = i64::try_from(tasks.len() - lost.len())? * IMAGE;
    let streamed: i64 = ends.iter().flatten().sum();
    let cut = i64::try_from(ends.iter().filter(|end| end.is_none()).count())?;
    let credits = api.settled().await?;
    // A stream that broke between its charge and its last bytes is charged; no other broken one is.
    let broken = CREDITS * 1_000_000 - credits.posted - paid - streamed;
    ensure!(
        (0..=cut * DEAR).contains(&broken),
        "{broken} for {cut} broken streams"
    );
    ensure!(cut < i64::try_from(STREAMS)?, "no stream came to its end");
    let told = told(&sink, tasks.len()).await?;
    check_webhooks(&api, &tasks, &told).await?;
    aio.finish().await
}

/// Submits everything, and breaks everything, one thing after another. Gives what was accepted.
async fn all_faults(aio: &mut Aio, api: &Api, sink: &Sink) -> Result<Vec<String>> {
    let mut ids = submit(api, sink, BEFORE).await?;
    let open = api.credits().await?.open_holds;
    ensure!(open > 100, "only {open} are on their way");
    for role in [Role::Media, Role::Billing, Role::Chat, Role::Webhooks] {
        aio.restart_role(role).await?;
    }
    let rabbit = &mut aio.servers()?.rabbit;
    rabbit.stop().await?;
    rabbit.wipe()?;
    let away = submit(api, sink, WHILE_AWAY).await?;
    let first = away.first().context("nothing was accepted")?;
    // By nobody's bell.
    api.ended(first).await?;
    ids.extend(away);
    let servers = aio.servers()?;
    servers.rabbit.restart().await?;
    servers.redis.kill()?;
    servers.redis.restart().await?;
    servers.postgres.kill()?;
    servers.postgres.restart().await?;
    // Whatever the outage did to those who were connected is over.
    eventually("billing answers", async || Ok(api.credits().await.ok())).await?;
    Ok(ids)
}

async fn submit(api: &Api, sink: &Sink, count: usize) -> Result<Vec<String>> {
    // Some end soon, some late, so that every fault meets tasks in every state.
    let delays = ["100ms", "2s", "5s", "10s", "20s"];
    let bodies = (0..count).map(|n| {
        let prompt = format!("fox {n} [sandbox delay={}]", delays[n % delays.len()]);
        image_calling(&prompt, &sink.url("/hook"))
    });
    let submits = stream::iter(bodies).map(|body| async move { api.image(&body).await });
    submits.buffer_unordered(20).try_collect().await
}

/// What a stream cost, by its own last words; `None` when it broke before them.
async fn streamed(api: &Api, number: usize) -> Option<i64> {
    let text = format!("Hello {number} [sandbox tokens=50 chunk_delay=200ms]");
    let mut body = chat(&text);
    body["stream_options"] = serde_json::json!({ "include_usage": true });
    let mut events = api.stream(&body).await.ok()?;
    let mut paid = None;
    while let Ok(Some(event)) = events.next().await {
        if let Ok(value) = event.json()
            && !value["credits_consumed"].is_null()
        {
            paid = micros(&value["credits_consumed"]).ok();
        }
    }
    paid
}

#[tokio::test]
async fn two_hundred_chats_at_once_with_credit_for_ten() -> Result<()> {
    let aio = Aio::private_with(Shape::Split3, &UNHURRIED).await?;
    let mut body = chat("Hello [sandbox tokens=20 delay=10s]");
    // The shortest answer that is worth having: there is nothing to shorten.
    body["max_tokens"] = 256.into();
    let one = highest_price(&aio, &body).await?;
    let credits: serde_json::Number = serde_json::from_str(&decimal(one * 10))?;
    let api = aio.account(credits).await?.api;
    let done = Cell::new(false);
    let chats = async {
        let replies = join_all((0..200).map(|_| api.post("/chat/completions", &body))).await;
        done.set(true);
        replies.into_iter().collect::<Result<Vec<_>>>()
    };
    let (replies, lowest) = try_join(chats, lowest(&api, &done)).await?;
    ensure!(lowest >= 0, "the balance fell to {lowest}");
    let (mut served, mut consumed) = (0, 0);
    for reply in &replies {
        if reply.status == 200 {
            consumed += micros(&reply.json()?["credits_consumed"])?;
            served += 1;
        } else {
            reply.error(402, "insufficient_credits")?;
        }
    }
    // All are decided before the first is answered and gives something back.
    assert_eq!(served, 10);
    let credits = api.settled().await?;
    assert_eq!(credits.posted, one * 10 - consumed);
    aio.finish().await
}

/// What is held for one such request on an account that can afford it.
async fn highest_price(aio: &Aio, body: &serde_json::Value) -> Result<i64> {
    let api = aio.account(1_000).await?.api;
    let held = eventually("a hold", async || {
        let held = api.credits().await?.held;
        Ok((held > 0).then_some(held))
    });
    let (reply, held) = try_join(api.post("/chat/completions", body), held).await?;
    ensure!(reply.status == 200, "{reply}");
    Ok(held)
}

/// The lowest balance seen until `done`.
async fn lowest(api: &Api, done: &Cell<bool>) -> Result<i64> {
    let mut lowest = i64::MAX;
    while !done.get() {
        let credits = api.credits().await?;
        lowest = lowest.min(credits.available).min(credits.held);
    }
    Ok(lowest)
}

/// Micro-credits as a number of credits.
fn decimal(micros: i64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
