//! `Idempotency-Key` on images and on chat: one effect, however often it is asked for.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Api, Events, Reply, Role, eventually, micros};

use crate::say::{IMAGE, UNHURRIED, chat, image};

const FULL: i64 = 100_000_000;

async fn submit(api: &Api, key: &str, prompt: &str) -> Result<Reply> {
    let headers = [("idempotency-key", key)];
    api.post_with("/images/generations", &headers, &image(prompt))
        .await
}

#[tokio::test]
async fn the_same_request_gives_the_same_task() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let first = submit(&api, "one", "a fox [sandbox delay=0s]").await?;
    let id = first.data(202)?["task_id"].clone();
    assert_eq!(first.header("idempotent-replayed"), "");
    let again = submit(&api, "one", "a fox [sandbox delay=0s]").await?;
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = submit(&api, "one", "a wolf").await?;
    other.error(422, "idempotency_mismatch")?;
    let fresh = submit(&api, "two", "a fox [sandbox delay=0s]").await?;
    assert_ne!(fresh.data(202)?["task_id"], id);
    // Another account's key of the same name is another key.
    let stranger = aio.account(100).await?.api;
    let theirs = submit(&stranger, "one", "a wolf [sandbox delay=0s]").await?;
    assert_ne!(theirs.data(202)?["task_id"], id);
    // Before the crash: one that met a paid submit would leave its outcome unknown, and the task free.
    for task in [id, fresh.data(202)?["task_id"].clone()] {
        api.ended(task.as_str().context("no task")?).await?;
    }
    aio.restart().await?;
    let later = submit(&api, "one", "a fox [sandbox delay=0s]").await?;
    assert_eq!(later.body, first.body, "it holds across a crash");
    assert_eq!(api.settled().await?.posted, FULL - 2 * IMAGE);
    aio.finish().await
}

#[tokio::test]
async fn fifty_at_once_make_one_task_and_one_hold() -> Result<()> {
    let aio = Aio::with(&UNHURRIED).await?;
    let api = aio.account(100).await?.api;
    let prompt = "a fox [sandbox delay=1h]";
    let replies = try_join_all((0..50).map(|_| submit(&api, "one", prompt))).await?;
    let mut ids = Vec::new();
    for reply in &replies {
        if reply.status == 202 {
            ids.push(reply.data(202)?["task_id"].to_string());
        } else {
            reply.error(409, "idempotency_in_progress")?;
            assert!(
                reply.header("retry-after").parse::<u32>().is_ok(),
                "{reply}"
            );
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let credits = api.credits().await?;
    assert_eq!((credits.held, credits.open_holds), (IMAGE, 1));
    aio.finish().await
}

#[tokio::test]
async fn a_refusal_frees_the_key() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(4).await?;
    let api = &account.api;
    let poor = submit(api, "one", "a fox [sandbox delay=0s]").await?;
    poor.error(402, "insufficient_credits")?;
    let body = serde_json::json!({ "credits": 6, "mode": "test", "reason": "more" });
    let path = format!("/admin/accounts/{}/credits", account.id);
    aio.admin().post(&path, &body).await?.data(200)?;
    // Another body, too: nothing is left of the refused request.
    let rich = submit(api, "one", "a wolf [sandbox delay=0s]").await?;
    rich.data(202)?;
    let wrong = submit(api, "two", "a").await?;
    wrong.error(400, "invalid_parameter")?;
    submit(api, "two", "a bear [sandbox delay=0s]")
        .await?
        .data(202)?;
    let spent = eventually("both are done", async || {
        let credits = api.credits().await?;
        Ok((credits.open_holds == 0).then_some(credits))
    });
    assert_eq!(spent.await?.posted, 0);
    aio.finish().await
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for key in ["", &"k".repeat(256)] {
        let reply = submit(&api, key, "a fox").await?;
        let error = reply.error(400, "invalid_parameter")?;
        assert_eq!(error["param"], "Idempotency-Key");
    }
    assert_eq!(api.credits().await?.open_holds, 0);
    aio.finish().await
}

const COMPLETIONS: &str = "/chat/completions";
/// A process that died is given up after a moment.
const SHORT_LEASE: [(&str, &str); 3] = [
    ("AIO_LIMITS__CHAT__REPLAY__LEASE", "2s"),
    ("AIO_LIMITS__CHAT__REPLAY__WAIT", "200ms"),
    ("AIO_LIMITS__CHAT__REPLAY__SWEEP", "500ms"),
];

async fn ask(api: &Api, key: &str, body: &Value) -> Result<Reply> {
    api.post_with(COMPLETIONS, &[("idempotency-key", key)], body)
        .await
}

fn streamed(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    body
}

/// Opens a stream with a key, and reads so many events.
async fn open(api: &Api, key: &str, body: &Value, events: usize) -> Result<Events> {
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    let body = Bytes::from(body.to_string());
    let mut stream = Events::of(api.open(Method::POST, COMPLETIONS, &headers, body).await?);
    for _ in 0..events {
        stream.next().await?.context("no event")?;
    }
    Ok(stream)
}

/// Asks until it is no longer told that the first request is still running.
async fn insist(api: &Api, key: &str, body: &Value) -> Result<Reply> {
    eventually("an answer", async || {
        let reply = ask(api, key, body).await?;
        if reply.status == 409 {
            reply.error(409, "idempotency_in_progress")?;
            ensure!(
                reply.header("retry-after").parse::<u32>().is_ok(),
                "{reply}"
            );
            return Ok(None);
        }
        ensure!(reply.status == 200, "{reply}");
        Ok(Some(reply))
    })
    .await
}

/// What an answer says that it cost, whole or streamed.
fn told(reply: &Reply) -> Result<i64> {
    if reply.header("content-type") == "application/json" {
        return micros(&reply.json()?["credits_consumed"]);
    }
    let text = String::from_utf8(reply.body.to_vec())?;
    let events: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    let [.., usage, "[DONE]"] = events.as_slice() else {
        anyhow::bail!("no end: {text}")
    };
    micros(&serde_json::from_str::<Value>(usage)?["credits_consumed"])
}

/// That an answer is the kept one of another, to the last byte.
fn same(first: &Reply, again: &Reply) -> Result<()> {
    ensure!(again.header("idempotent-replayed") == "true", "{again}");
    ensure!(first.body == again.body, "{first}\n{again}");
    for name in [
        "x-aio-operation-id",
        "x-aio-provider",
        "x-aio-cost-credits",
        "content-type",
    ] {
        ensure!(first.header(name) == again.header(name), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn the_same_chat_gets_the_same_answer_across_a_crash() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut spent = 0;
    for (key, body) in [("whole", chat("Hello")), ("stream", streamed("Hello"))] {
        let first = ask(&api, key, &body).await?;
        ensure!(first.status == 200, "{first}");
        assert_eq!(first.header("idempotent-replayed"), "");
        spent += told(&first)?;
        same(&first, &ask(&api, key, &body).await?)?;
        aio.restart().await?;
        same(&first, &ask(&api, key, &body).await?)?;
        let other = ask(&api, key, &chat("Good bye")).await?;
        other.error(422, "idempotency_mismatch")?;
    }
    // Another account's key of the same name is another key, and so is one on another route.
    let stranger = aio.account(100).await?.api;
    let theirs = ask(&stranger, "whole", &chat("Good bye")).await?;
    assert_eq!(
        (theirs.status, theirs.header("idempotent-replayed")),
        (200, "")
    );
    submit(&stranger, "whole", "a fox [sandbox delay=0s]")
        .await?
        .data(202)?;
    assert_eq!(api.settled().await?.posted, FULL - spent);
    aio.finish().await
}

#[tokio::test]
async fn fifty_chats_at_once_are_one_answer_and_one_charge() -> Result<()> {
    let aio = Aio::with(&UNHURRIED).await?;
    let api = aio.account(100).await?.api;
    let body = streamed("Hello [sandbox tokens=30 chunk_delay=50ms]");
    let replies = try_join_all((0..50).map(|_| ask(&api, "one", &body))).await?;
    let first = replies
        .iter()
        .find(|reply| reply.status == 200 && reply.header("idempotent-replayed").is_empty());
    let first = first.context("nobody was first")?;
    for reply in &replies {
        if reply.status != 200 {
            reply.error(409, "idempotency_in_progress")?;
            assert!(
                reply.header("retry-after").parse::<u32>().is_ok(),
                "{reply}"
            );
        } else if !std::ptr::eq(reply, first) {
            same(first, reply)?;
        }
    }
    same(first, &insist(&api, "one", &body).await?)?;
    let credits = api.settled().await?;
    assert_eq!(credits.posted, FULL - told(first)?);
    aio.finish().await
}

#[tokio::test]
async fn a_chat_client_that_leaves_gets_the_whole_answer_later() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let body = streamed("Hello [sandbox tokens=40 chunk_delay=20ms]");
    let mut left = open(&api, "one", &body, 3).await?;
    let id = left.next().await?.context("no event")?.json()?["id"].clone();
    drop(left);
    let answer = insist(&api, "one", &body).await?;
    assert_eq!(answer.header("idempotent-replayed"), "true");
    let text = String::from_utf8(answer.body.to_vec())?;
    assert!(
        text.contains(id.as_str().context("no id")?),
        "another run: {text}"
    );
    assert!(text.matches("data: ").count() > 40, "{text}");
    assert_eq!(api.settled().await?.posted, FULL - told(&answer)?);
    aio.finish().await
}

#[tokio::test]
async fn a_chat_whose_process_dies_is_given_back_and_its_key_is_free() -> Result<()> {
    let mut aio = Aio::with(&SHORT_LEASE).await?;
    let api = aio.account(100).await?.api;
    let mut spent = 0;
    for (key, slow, events) in [
        ("silent", "delay=1h", 0),
        ("inside", "tokens=1000 chunk_delay=100ms", 3),
    ] {
        let body = streamed(&format!("Hello [sandbox {slow}]"));
        let running = async {
            open(&api, key, &body, events).await?;
            // A silent one answers with nothing but a head.
            std::future::pending::<Result<()>>().await
        };
        let begun = eventually("it runs", async || {
            Ok((api.credits().await?.open_holds == 1).then_some(()))
        });
        tokio::select! {
            opened = running => opened?,
            begun = begun => begun?,
        }
        aio.kill_role(Role::Chat)?;
        aio.restart_role(Role::Chat).await?;
        // What the dead one held is given back, long before the hold would end by itself, and then its key.
        let credits = api.settled().await?;
        assert_eq!(credits.posted, FULL - spent);
        let other = chat("Hello");
        let answer = eventually("the key is free", async || {
            let reply = ask(&api, key, &other).await?;
            Ok((!matches!(reply.status, 409 | 422)).then_some(reply))
        })
        .await?;
        ensure!(answer.status == 200, "{answer}");
        assert_eq!(answer.header("idempotent-replayed"), "");
        spent += told(&answer)?;
        same(&answer, &ask(&api, key, &other).await?)?;
    }
    assert_eq!(api.settled().await?.posted, FULL - spent);
    aio.finish().await
}

#[tokio::test]
async fn a_chat_killed_anywhere_is_charged_for_one_answer() -> Result<()> {
    let mut aio = Aio::with(&SHORT_LEASE).await?;
    let api = aio.account(100).await?.api;
    let mut spent = 0;
    for round in 0..6 {
        let key = format!("key {round}");
        let body = streamed("Hello [sandbox tokens=20 chunk_delay=5ms]");
        // From the first event to behind the last.
        let mut events = open(&api, &key, &body, 1).await?;
        for _ in 0..round * 4 {
            events.next().await?;
        }
        aio.kill()?;
        aio.restart().await?;
        let answer = insist(&api, &key, &body).await?;
        spent += told(&answer)?;
        same(&answer, &ask(&api, &key, &body).await?)?;
        let credits = api.settled().await?;
        assert_eq!(credits.posted, FULL - spent, "round {round}");
    }
    aio.finish().await
}

#[tokio::test]
async fn a_chat_that_is_refused_frees_the_key() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let poor = aio.account(0).await?.api;
    ask(&poor, "one", &chat("Hello"))
        .await?
        .error(402, "insufficient_credits")?;
    ask(&poor, "one", &chat("Hello again"))
        .await?
        .error(402, "insufficient_credits")?;
    for (text, status) in [
        ("[sandbox outcome=overloaded]", 503),
        ("[sandbox outcome=rate_limited]", 503),
        ("[sandbox outcome=malformed]", 502),
    ] {
        let reply = ask(&api, "one", &chat(text)).await?;
        assert_eq!(reply.status, status, "{text}: {reply}");
    }
    let wrong = ask(&api, "one", &json!({ "model": "gemini" })).await?;
    wrong.error(400, "missing_parameter")?;
    let answer = ask(&api, "one", &chat("Hello")).await?;
    assert_eq!(
        (answer.status, answer.header("idempotent-replayed")),
        (200, "")
    );
    for key in ["", &"k".repeat(256)] {
        let error = ask(&api, key, &chat("Hello")).await?;
        assert_eq!(
            error.error(400, "invalid_parameter")?["param"],
            "Idempotency-Key"
        );
    }
    assert_eq!(api.settled().await?.posted, FULL - told(&answer)?);
    aio.finish().await
}
