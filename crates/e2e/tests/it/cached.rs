//! The header `x-aio-cache`: an equal request gets the same answer for nothing.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Api, Reply, eventually, micros};

use crate::say::{chat, embedding};

const FULL: i64 = 100_000_000;
const COMPLETIONS: &str = "/chat/completions";
const ON: (&str, &str) = ("x-aio-cache", "on");
/// So often everything is asked again: with several processes of each role, each has a turn.
const TURNS: usize = 6;

fn streamed(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    body
}

async fn ask(api: &Api, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Reply> {
    let reply = api.post_with(path, headers, body).await?;
    ensure!(reply.status == 200, "{reply}");
    Ok(reply)
}

/// The JSON of an answer: of a stream, that of each event.
fn told(reply: &Reply) -> Result<Vec<Value>> {
    if reply.header("content-type") == "application/json" {
        return Ok(vec![reply.json()?]);
    }
    let text = String::from_utf8(reply.body.to_vec())?;
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let data = data.filter(|data| *data != "[DONE]");
    Ok(data.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// What an answer says that it cost, and the rest of it.
fn parted(reply: &Reply) -> Result<(i64, Vec<Value>)> {
    let mut told = told(reply)?;
    let mut costs = Vec::new();
    for event in &mut told {
        // Of a response that is streamed, it is within one.
        for place in ["", "/response"] {
            let object = event.pointer_mut(place).and_then(Value::as_object_mut);
            costs.extend(object.and_then(|object| object.remove("credits_consumed")));
        }
    }
    let [cost] = costs.as_slice() else {
        anyhow::bail!("{} costs: {reply}", costs.len())
    };
    Ok((micros(cost)?, told))
}

/// Asks until the cache has an answer: what is kept is so behind the last byte, so that one at once may come too soon. Gives the
/// answers that were charged, the hit, and what all of them cost.
async fn until_hit(
    api: &Api,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Result<(Vec<Reply>, Reply, i64)> {
    let mut missed: Vec<Reply> = Vec::new();
    let hit = eventually("a hit", async || {
        let reply = ask(api, path, headers, body).await?;
        match reply.header("x-aio-cache") {
            "hit" => return Ok(Some(reply)),
            word => ensure!(word == "miss", "{word:?}: {reply}"),
        }
        ensure!(reply.header("age").is_empty());
        missed.push(reply);
        Ok(None)
    })
    .await?;
    ensure!(!missed.is_empty(), "a hit before anything was asked");
    let costs = missed
        .iter()
        .map(|reply| Ok(parted(reply)?.0))
        .collect::<Result<Vec<_>>>()?;
    ensure!(costs.iter().all(|cost| *cost > 0), "{costs:?}");
    Ok((missed, hit, costs.iter().sum()))
}

/// That a hit is the answer of the operation that it names, but for its cost; gives that operation, and its charge.
fn check_hit(missed: &[Reply], hit: &Reply) -> Result<(String, i64)> {
    let operation = hit.header("x-aio-operation-id");
    let mut paid = missed
        .iter()
        .filter(|reply| reply.header("x-aio-operation-id") == operation);
    let paid = paid.next().context("of none that was paid")?;
    let (cost, answer) = parted(paid)?;
    let (nothing, again) = parted(hit)?;
    ensure!(nothing == 0 && answer == again, "{paid}\n{hit}");
    ensure!(hit.header("x-aio-cost-credits") == "0", "{hit}");
    ensure!(hit.header("age").parse::<u32>().is_ok(), "{hit}");
    ensure!(hit.header("idempotent-replayed").is_empty(), "{hit}");
    for name in ["content-type", "x-aio-provider", "x-aio-model"] {
        ensure!(paid.header(name) == hit.header(name), "{name}");
    }
    Ok((operation.to_owned(), cost))
}

#[tokio::test]
async fn an_equal_request_costs_nothing_on_every_route() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let message = json!({ "model": "gemini", "max_tokens": 300, "messages": [{ "role": "user", "content": "Hello" }] });
    let response = json!({ "model": "gemini", "input": "Hello", "store": false });
    let mut streamed_response = response.clone();
    streamed_response["stream"] = json!(true);
    let asked = [
        (COMPLETIONS, chat("Hello [sandbox tokens=30]")),
        (COMPLETIONS, streamed("Hello [sandbox tokens=30]")),
        ("/embeddings", embedding("Hello")),
        ("/messages", message),
        ("/responses", response),
        ("/responses", streamed_response),
    ];
    let (mut spent, mut all) = (0, Vec::new());
    for (path, body) in &asked {
        let (missed, hit, cost) = until_hit(&api, path, &[ON], body).await?;
        let (operation, charged) = check_hit(&missed, &hit)?;
        spent += cost;
        assert_eq!(api.settled().await?.posted, FULL - spent, "{path}");
        // Whose answer it is can be looked up, and what that cost.
        let receipt = eventually("the receipt", async || {
            let reply = api.get(&format!("/operations/{operation}/receipt")).await?;
            Ok((reply.status == 200).then_some(reply))
        });
        let receipt = receipt.await?.data(200)?;
        assert_eq!(receipt["charged_microcredits"], charged, "{receipt}");
        for _ in 0..TURNS {
            let again = ask(&api, path, &[ON], body).await?;
            assert_eq!(again.header("x-aio-cache"), "hit", "{path}");
            check_hit(&missed, &again)?;
        }
        all.push((path, body, missed));
    }
    // Every process has found what another one kept; now all of them are new.
    aio.restart().await?;
    for (path, body, missed) in all {
        check_hit(&missed, &ask(&api, path, &[ON], body).await?)?;
    }
    assert_eq!(api.settled().await?.posted, FULL - spent);
    let listed = api.get("/operations").await?.data(200)?;
    let items = listed["items"].as_array().context("no items")?;
    let charged = items
        .iter()
        .map(|item| item["charged_microcredits"].as_i64());
    assert_eq!(charged.sum::<Option<i64>>(), Some(spent), "{listed}");
    aio.finish().await
}

/// A whole stream is told event for event as it was, and all at once.
#[tokio::test]
async fn a_hit_of_a_stream_is_the_same_stream() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for with_usage in [true, false] {
        let mut body = streamed("Hello [sandbox tokens=40 chunk_delay=1ms]");
        if !with_usage {
            body["stream_options"] = Value::Null;
            body["messages"][0]["content"] = json!("Hello again [sandbox tokens=40]");
        }
        let mut missed: Vec<Reply> = Vec::new();
        let hit = eventually("a hit", async || {
            let reply = ask(&api, COMPLETIONS, &[ON], &body).await?;
            if reply.header("x-aio-cache") == "hit" {
                return Ok(Some(reply));
            }
            missed.push(reply);
            Ok(None)
        })
        .await?;
        let id = |reply: &Reply| reply.header("x-aio-operation-id").to_owned();
        let reply = missed.iter().find(|reply| id(reply) == id(&hit));
        let reply = reply.context("of none that was paid")?;
        let (before, after) = (lines(reply)?, lines(&hit)?);
        ensure!(before.len() > 40 && before.len() == after.len(), "{hit}");
        for (before, after) in before.iter().zip(&after) {
            let free = |line: &str| {
                line.split(",\"credits_consumed\"")
                    .next()
                    .map(str::to_owned)
            };
            assert_eq!(free(before), free(after));
        }
        assert_eq!(after.last().map(String::as_str), Some("data: [DONE]"));
        let usage = after
            .iter()
            .filter(|line| line.contains("credits_consumed"));
        assert!(
            usage
                .clone()
                .all(|line| line.ends_with("\"credits_consumed\":0}"))
        );
        assert_eq!(usage.count() > 0, with_usage);
    }
    aio.finish().await
}

fn lines(reply: &Reply) -> Result<Vec<String>> {
    let text = String::from_utf8(reply.body.to_vec())?;
    let lines = text.lines().filter(|line| line.starts_with("data: "));
    Ok(lines.map(str::to_owned).collect())
}

/// OpenAI's SDK for Node sends a new key with every request.
#[tokio::test]
async fn idempotency_keys_and_the_cache_do_not_disturb_each_other() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let (body, other) = (chat("Hello"), chat("Good bye"));
    let keyed = async |key: &str, body: &Value| {
        ask(&api, COMPLETIONS, &[ON, ("idempotency-key", key)], body).await
    };
    let mut count = 0;
    let mut missed = Vec::new();
    let hit = eventually("a hit", async || {
        count += 1;
        let reply = keyed(&format!("sdk {count}"), &body).await?;
        if reply.header("x-aio-cache") == "hit" {
            return Ok(Some(reply));
        }
        missed.push(reply);
        Ok(None)
    })
    .await?;
    check_hit(&missed, &hit)?;
    // The key of one that was charged gives its own answer again, as it was; the cache is not asked.
    let first = missed.first().context("no miss")?;
    let again = keyed("sdk 1", &body).await?;
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.header("x-aio-cache"), "");
    // That of a hit stands for nothing, and is free for another request.
    let key = format!("sdk {count}");
    assert_eq!(keyed(&key, &body).await?.header("x-aio-cache"), "hit");
    let ran = keyed(&key, &other).await?;
    assert_eq!(ran.header("x-aio-cache"), "miss");
    missed.push(ran);
    let costs = missed.iter().map(|reply| Ok(parted(reply)?.0));
    let spent: i64 = costs.collect::<Result<Vec<_>>>()?.iter().sum();
    assert_eq!(api.settled().await?.posted, FULL - spent);
    aio.finish().await
}

#[tokio::test]
async fn what_guards_a_request_guards_what_is_cached() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let api = &account.api;
    let body = chat("Hello");
    let (_, _, spent) = until_hit(api, COMPLETIONS, &[ON], &body).await?;
    let credits = api.settled().await?;
    assert_eq!(credits.posted, FULL - spent);

    // Another account pays for its own, and so does a request that is another in any way.
    let stranger = aio.account(100).await?.api;
    let theirs = ask(&stranger, COMPLETIONS, &[ON], &body).await?;
    assert_eq!(theirs.header("x-aio-cache"), "miss");
    let limited = [ON, ("x-aio-max-cost-credits", "50")];
    for (headers, body) in [
        (&limited[..], body.clone()),
        (&[ON], chat("Hello ")),
        (&[ON], streamed("Hello")),
    ] {
        let reply = ask(api, COMPLETIONS, headers, &body).await?;
        assert_eq!(reply.header("x-aio-cache"), "miss");
    }
    // Who does not ask is told nothing, and pays.
    let before = api.settled().await?.posted;
    for headers in [&[][..], &[("x-aio-cache", "no-store")]] {
        let reply = ask(api, COMPLETIONS, headers, &body).await?;
        assert_eq!(reply.header("x-aio-cache"), "");
        ensure!(parted(&reply)?.0 > 0, "{reply}");
    }
    assert!(api.settled().await?.posted < before);

    // A key that may not use the model, another header, and a body that is wrong.
    let narrow = json!({ "name": "narrow", "models": ["text-embedding-3-small"] });
    let narrow = api.post("/keys", &narrow).await?.data(201)?;
    let narrow = api.with_key(narrow["key"].as_str());
    let reply = narrow.post_with(COMPLETIONS, &[ON], &body).await?;
    reply.error(403, "model_not_allowed")?;
    for wrong in ["", "yes", "max-age=0", "max-age=86401", "max-age=1h"] {
        let reply = api
            .post_with(COMPLETIONS, &[("x-aio-cache", wrong)], &body)
            .await?;
        let error = reply.error(400, "invalid_parameter")?;
        assert_eq!(error["param"], "x-aio-cache", "{wrong:?}");
    }
    let kept = json!({ "model": "gemini", "input": "Hello" });
    let reply = api.post_with("/responses", &[ON], &kept).await?;
    assert_eq!(
        reply.error(400, "invalid_parameter")?["param"],
        "x-aio-cache"
    );

    // Nothing is held for a hit: it needs no balance.
    let left = taken_away(api.settled().await?.posted);
    let taken = json!({ "credits": left, "mode": "test", "reason": "a test" });
    let path = format!("/admin/accounts/{}/credits", account.id);
    aio.admin().post(&path, &taken).await?.data(200)?;
    assert_eq!(api.settled().await?.posted, 0);
    for _ in 0..TURNS {
        let hit = ask(api, COMPLETIONS, &[ON], &body).await?;
        assert_eq!(hit.header("x-aio-cache"), "hit");
    }
    let miss = api.post_with(COMPLETIONS, &[ON], &chat("Good bye")).await?;
    miss.error(402, "insufficient_credits")?;
    aio.finish().await
}

/// So many micro-credits, taken away.
fn taken_away(micros: i64) -> Value {
    let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
    let text = format!("-{whole}.{rest:06}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// What was cut, blocked or refused runs again.
#[tokio::test]
async fn only_whole_answers_are_cached() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for (words, stream) in [
        ("outcome=cut after=3", true),
        ("outcome=moderated tokens=5", true),
        ("outcome=moderated", false),
        ("outcome=overloaded", false),
    ] {
        let text = format!("Hello [sandbox {words}]");
        let body = if stream { streamed(&text) } else { chat(&text) };
        for _ in 0..3 {
            let reply = api.post_with(COMPLETIONS, &[ON], &body).await?;
            assert_ne!(reply.header("x-aio-cache"), "hit", "{words}");
            api.settled().await?;
        }
    }
    aio.finish().await
}

/// What is kept ends with its age.
#[tokio::test]
async fn an_answer_that_is_too_old_is_made_again() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let body = chat("Hello");
    let short = [("x-aio-cache", "max-age=2")];
    let (missed, hit, _) = until_hit(&api, COMPLETIONS, &short, &body).await?;
    let (operation, _) = check_hit(&missed, &hit)?;
    let fresh = eventually("it is too old", async || {
        let reply = ask(&api, COMPLETIONS, &short, &body).await?;
        Ok((reply.header("x-aio-cache") == "miss").then_some(reply))
    })
    .await?;
    assert_ne!(fresh.header("x-aio-operation-id"), operation);
    aio.finish().await
}
