//! Each dependency is really stopped, and customers see what docs/degraded.md says: what is refused, by which status, what goes on, and
//! what is caught up with afterwards. Whoever survives a thousand tasks under all faults at once is in `faults.rs`.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Method, Reply, Role, Shape, Sink, eventually};

use crate::say::{IMAGE, SOON, UNHURRIED, chat, image, image_calling};

const FULL: i64 = 1_000_000_000;
/// What media says when it takes tasks that nobody rang for.
const UNRUNG: &str = "the queue is away; took tasks without it";
/// What the edge remembers of keys it asks about with nearly every request, and media does not wait long for the broker.
const HASTY: [(&str, &str); 3] = [
    ("AIO_LIMITS__KEY_CACHE__LIFE", "1ms"),
    ("AIO_LIMITS__MEDIA__FALLBACK__AFTER", "500ms"),
    SOON,
];

#[tokio::test]
async fn without_redis_and_rabbitmq_everything_goes_on() -> Result<()> {
    let settings = [&UNHURRIED[..], &HASTY[..]].concat();
    let mut aio = Aio::private_with(Shape::Split, &settings).await?;
    let account = aio.account(1_000).await?;
    let api = account.api.clone();
    let (revoked, id) = account.key("test", &["read"]).await?;
    let slow = json!({ "name": "slow", "mode": "test", "rpm": 2 });
    let path = format!("/admin/accounts/{}/keys", account.id);
    let slow = aio.admin().post(&path, &slow).await?.data(201)?;
    let slow = api.with_key(slow["key"].as_str());

    aio.servers()?.redis.kill()?;
    everything_is_served(&api).await?;
    for _ in 0..2 {
        assert_eq!(slow.get("/credits").await?.status, 200);
    }
    let reply = slow.get("/credits").await?;
    reply.error(429, "rate_limited")?;
    says_when(&reply)?;
    assert_eq!(revoked.get("/credits").await?.status, 200);
    let path = format!("/admin/keys/{id}");
    let gone = aio.admin().send(Method::DELETE, &path, &[], "").await?;
    ensure!(gone.status == 200, "{gone}");
    eventually("a revoked key opens nothing", async || {
        Ok((revoked.get("/credits").await?.status == 401).then_some(()))
    })
    .await?;

    // It comes back empty, and with it an edge that knows nobody: a hundred ask at once.
    aio.servers()?.redis.restart().await?;
    aio.restart_role(Role::Edge).await?;
    let asked = try_join_all((0..100).map(|_| api.get("/credits"))).await?;
    assert!(asked.iter().all(|reply| reply.status == 200));

    aio.servers()?.rabbit.stop().await?;
    let before = unrung(&aio)?;
    everything_is_served(&api).await?;
    aio.servers()?.rabbit.restart_full().await?;
    let stopped = unrung(&aio)?;
    assert!(
        stopped > before,
        "nobody rang, and nothing was taken without that"
    );
    eventually(
        "tasks are taken without a broker that takes no bells",
        async || {
            everything_is_served(&api).await?;
            Ok((unrung(&aio)? > stopped).then_some(()))
        },
    )
    .await?;
    aio.servers()?.rabbit.restart().await?;
    everything_is_served(&api).await?;
    aio.finish().await
}

/// How often media has said so.
fn unrung(aio: &Aio) -> Result<usize> {
    Ok(aio.stderr()?.matches(UNRUNG).count())
}

/// A chat, a stream and an image, to their ends.
async fn everything_is_served(api: &Api) -> Result<()> {
    let reply = api
        .post("/chat/completions", &chat("Hello [sandbox tokens=4]"))
        .await?;
    ensure!(reply.status == 200, "{reply}");
    let events = api
        .stream(&chat("Hello [sandbox tokens=4]"))
        .await?
        .rest()
        .await?;
    ensure!(
        events.last().is_some_and(|event| event.data == "[DONE]"),
        "{events:?}"
    );
    let id = api.image(&image("a fox [sandbox delay=10ms]")).await?;
    let task = api.ended(&id).await?;
    ensure!(task["status"] == "completed", "{task}");
    Ok(())
}

/// Whoever is refused for now is told when to come again.
fn says_when(reply: &Reply) -> Result<()> {
    let wait: u64 = reply
        .header("retry-after")
        .parse()
        .context("no Retry-After")?;
    ensure!((1..=60).contains(&wait), "Retry-After: {wait}");
    Ok(())
}

#[tokio::test]
async fn without_webhooks_billing_and_postgresql_looks_and_streams_go_on() -> Result<()> {
    let mut aio = Aio::private_with(Shape::Split, &HASTY).await?;
    let api = aio.account(1_000).await?.api;
    let sink = Sink::start(Answer::Status(200)).await?;

    aio.kill_role(Role::Webhooks)?;
    let body = image_calling("a fox [sandbox delay=10ms]", &sink.url("/hook"));
    let told = api.image(&body).await?;
    assert_eq!(api.ended(&told).await?["status"], "completed");
    assert!(sink.received().is_empty(), "webhooks is away");
    aio.restart_role(Role::Webhooks).await?;
    assert_eq!(
        sink.wait_for(1).await?[0].json()?["data"]["task_id"],
        told.as_str()
    );

    let open = api.image(&image("a fox [sandbox delay=40s]")).await?;
    api.reaches(&open, "processing").await?;
    let mut streamed = chat("Hello [sandbox tokens=30 chunk_delay=100ms]");
    streamed["stream_options"] = json!({ "include_usage": true });
    let mut events = api.stream(&streamed).await?;
    events.next().await?.context("no event")?;
    aio.kill_role(Role::Billing)?;
    nothing_is_sold(&api, &["billing_unavailable"]).await?;
    let task = api.task(&open).await?;
    assert_eq!(
        (&task["status"], &task["stale"]),
        (&json!("processing"), &Value::Null)
    );
    aio.restart_role(Role::Billing).await?;
    let rest = events.rest().await?;
    let [.., usage, done] = rest.as_slice() else {
        anyhow::bail!("{rest:?}");
    };
    assert_eq!(
        done.data, "[DONE]",
        "what was streamed is charged once billing is back"
    );
    let streamed = testkit::micros(&usage.json()?["credits_consumed"])?;

    let ended = api.task(&told).await?;
    aio.servers()?.postgres.kill()?;
    nothing_is_sold(
        &api,
        &["billing_unavailable", "service_unavailable", "overloaded"],
    )
    .await?;
    eventually("a look says that it may be old", async || {
        let task = api.task(&open).await?;
        ensure!(task["status"] == "processing", "{task}");
        Ok((task["stale"] == true).then_some(()))
    })
    .await?;
    assert_eq!(api.task(&told).await?, ended, "an end is final");
    for path in ["/healthz", "/readyz"] {
        let reply = api.get(&format!("{}{path}", aio.base())).await?;
        assert_eq!(reply.status, 200, "{path}");
    }
    aio.servers()?.postgres.restart().await?;
    assert_eq!(api.ended(&open).await?["status"], "completed");
    eventually("new work is taken again", async || {
        let reply = api
            .post("/chat/completions", &chat("Hello [sandbox outcome=fail]"))
            .await?;
        Ok((reply.status == 502).then_some(()))
    })
    .await?;
    assert_eq!(api.settled().await?.posted, FULL - 2 * IMAGE - streamed);
    aio.finish().await
}

/// A chat and a task are refused for now, with one of these codes, and nobody is asked to pay.
async fn nothing_is_sold(api: &Api, codes: &[&str]) -> Result<()> {
    for (path, body) in [
        ("/chat/completions", chat("Hello [sandbox tokens=4]")),
        ("/images/generations", image("a fox")),
    ] {
        let reply = api.post(path, &body).await?;
        let code = reply.json()?["error"]["code"].clone();
        let fits = code.as_str().is_some_and(|code| codes.contains(&code));
        ensure!(reply.status == 503 && fits, "{path}: {reply}");
        says_when(&reply)?;
    }
    Ok(())
}
