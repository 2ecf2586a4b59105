//! Requests that ask for the answer that an equal one was given: they get it for nothing, or run.

use chassis::mint;
use db::Engine;
use domain::{Mode, ids};
use proto::{
    Fault,
    chat::v1::{Cached, CompleteRequest},
    code,
};
use serde_json::Value;

use crate::{
    app::{App, Collected, PATIENCE, until},
    database::{Database, on_both_engines},
    house::{House, Outcome, Process, eventually, refusal, when_told},
    provider::{End, Reply},
};

pub(crate) const ASK: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}]}"#;
pub(crate) const STREAM: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true}"#;
const WITH_USAGE: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true,"stream_options":{"include_usage":true}}"#;
const OPENAI: &str = include_str!("../fixtures/openai_stream.sse");
pub(crate) const PRICE: i64 = 10 * 50 + 2 * 300;
const STREAM_PRICE: i64 = 10 * 50 + 7 * 300;

/// A whole answer that ended well.
pub(crate) fn whole() -> Reply {
    ended("stop")
}

/// A whole answer that ended with this word.
pub(crate) fn ended(word: &str) -> Reply {
    let choice =
        format!(r#"{{"index":0,"message":{{"content":"red ones"}},"finish_reason":"{word}"}}"#);
    let usage = r#"{"prompt_tokens":10,"completion_tokens":2}"#;
    Reply::whole(200, &format!(r#"{{"choices":[{choice}],"usage":{usage}}}"#))
}

pub(crate) fn stream() -> Reply {
    Reply::stream(OPENAI, End::Close)
}

/// A request of this process's customer that asks the cache.
pub(crate) fn asking(process: &Process, body: &str, max_age: i64) -> CompleteRequest {
    CompleteRequest {
        cache_max_age: Some(max_age),
        ..process.request(body, "", Mode::Test)
    }
}

/// The same request, as another one.
pub(crate) fn again(request: &CompleteRequest) -> CompleteRequest {
    CompleteRequest {
        operation_id: mint::<ids::Operation>().to_vec().into(),
        ..request.clone()
    }
}

pub(crate) async fn ask(process: &Process, body: &str) -> Outcome {
    process.outcome(asking(process, body, 100)).await
}

/// What the cache had for an answer.
pub(crate) fn had(answer: &Collected) -> Option<bool> {
    let cached: Option<Cached> = answer.head.as_ref().unwrap().cached;
    cached.map(|cached| cached.hit)
}

pub(crate) const HIT: Option<bool> = Some(true);
pub(crate) const MISS: Option<bool> = Some(false);

/// Settings of the cache for a house.
pub(crate) async fn house(engine: Engine, settings: &str) -> House {
    let replay = "[limits.chat.replay]";
    let with = format!("[limits.cache]\n{settings}\n{replay}");
    House::new(engine).await.with(replay, &with)
}

/// The last event of an answer, without what was charged.
fn free(answer: &Collected) -> Option<Value> {
    let (tail, _) = answer.end();
    let mut last: Value = serde_json::from_str(tail.last()?).unwrap();
    last.as_object_mut().unwrap().remove("credits_consumed");
    Some(last)
}

async fn an_equal_request_gets_the_same_answer_for_nothing(engine: Engine) {
    for (body, reply, price) in [
        (ASK, whole(), PRICE),
        (STREAM, stream(), STREAM_PRICE),
        (WITH_USAGE, stream(), STREAM_PRICE),
    ] {
        let house = House::new(engine).await;
        house.provider.will(reply);
        let process = house.process().await;
        let first = ask(&process, body).await.unwrap();
        assert_eq!((had(&first), first.end().1), (MISS, price));
        assert!(first.head.as_ref().unwrap().operation_id.is_empty());
        house.caches(1).await;
        let operation = house.billing.books().holds[0].hold_id.clone();
        // Neither credit nor the provider is needed.
        house.billing.books().available = 0;
        let check = async |process: &Process| {
            let again = ask(process, body).await.unwrap();
            assert_eq!((had(&again), again.end().1), (HIT, 0));
            let (before, after) = (first.head.as_ref().unwrap(), again.head.as_ref().unwrap());
            assert_eq!(after.operation_id, operation);
            assert!(!after.replayed);
            assert_eq!(
                (&before.provider, &before.model, before.stream),
                (&after.provider, &after.model, after.stream)
            );
            assert_eq!(again.data, first.data);
            assert_eq!(free(&again), free(&first));
            if let Some(last) = again.end().0.last() {
                assert!(last.contains("\"credits_consumed\":0}"), "{last}");
            }
        };
        check(&process).await;
        // It is the same from another process, and survives the first.
        let other = house.process().await;
        check(&other).await;
        drop(process);
        check(&other).await;
        assert_eq!(house.provider.asked().len(), 1);
        let books = house.billing.books();
        assert_eq!((books.holds.len(), books.charges()), (1, vec![price]));
    }
}

async fn everything_that_makes_a_request_another_is_told_apart(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    house.provider.will(whole());
    assert_eq!(had(&ask(&process, ASK).await.unwrap()), MISS);
    house.caches(1).await;
    let stranger = process.of(&house.stranger());
    let same = || asking(&process, ASK, 100);
    let others = [
        asking(&stranger, ASK, 100),
        CompleteRequest {
            cache_max_age: Some(100),
            ..process.request(ASK, "", Mode::Live)
        },
        CompleteRequest {
            route: "messages".to_owned(),
            ..same()
        },
        CompleteRequest {
            max_cost: 100_000_000,
            ..same()
        },
        asking(&process, &ASK.replace(',', ", "), 100),
        asking(&process, &ASK.replace("foxes", "wolves"), 100),
        asking(
            &process,
            &ASK.replacen('{', r#"{"provider":{"only":["gemini"]},"#, 1),
            100,
        ),
    ];
    let count = others.len();
    for (place, request) in others.into_iter().enumerate() {
        house.provider.will(whole());
        assert_eq!(had(&process.outcome(request.clone()).await.unwrap()), MISS);
        house.caches(place + 2).await;
        // Each has an answer of its own by then.
        assert_eq!(had(&process.outcome(again(&request)).await.unwrap()), HIT);
    }
    // One that does not ask is not told, and runs.
    house.provider.will(whole());
    let plain = process.ask(ASK, "").await.unwrap();
    assert_eq!((had(&plain), plain.end().1), (None, PRICE));
    assert_eq!(had(&process.outcome(same()).await.unwrap()), HIT);
    house.charged(&vec![PRICE; count + 2]).await;
    // Three rooms: ours of both modes, and the stranger's.
    let (rows, rooms) = house.cached().await;
    let bytes: usize = rows.iter().map(|row| row.answer.len()).sum();
    assert_eq!(rooms.len(), 3);
    assert_eq!(rooms.iter().sum::<i64>(), i64::try_from(bytes).unwrap());
}

/// Whether the cache had an answer of at most this age, and how old it was.
async fn told(process: &Process, max_age: i64) -> (bool, i64) {
    let answer = process.outcome(asking(process, ASK, max_age)).await;
    let cached = answer.unwrap().head.unwrap().cached.unwrap();
    (cached.hit, cached.age)
}

async fn an_answer_is_given_while_it_is_young_enough(engine: Engine) {
    let house = house(engine, "max_age = '200s'\nusual_age = '50s'").await;
    let process = house.process().await;
    house.provider.will(whole());
    assert_eq!(told(&process, 200).await, (false, 0));
    house.caches(1).await;
    house.ages(60).await;
    let (hit, age) = told(&process, 100).await;
    assert!(hit && (60..100).contains(&age), "{age}");
    // It is too old for this one, whose own is kept in its place; 0 is as long as usual.
    house.provider.will(whole());
    let first = house.cached().await.0;
    assert_eq!(told(&process, 0).await, (false, 0));
    eventually("it is another", async || house.cached().await.0 != first).await;
    let (rows, rooms) = house.cached().await;
    let bytes = i64::try_from(rows[0].answer.len()).unwrap();
    assert_eq!((rows.len(), rooms), (1, vec![bytes]));
    house.charged(&[PRICE; 2]).await;
}

async fn an_answer_is_kept_as_long_as_its_own_request_allowed(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    house.provider.will(whole());
    assert_eq!(told(&process, 200).await, (false, 0));
    house.caches(1).await;
    house.ages(100).await;
    assert!(told(&process, 150).await.0);
    // Whatever others would take.
    house.ages(100).await;
    let first = house.billing.books().holds[0].hold_id.clone();
    house.provider.will(whole());
    assert!(!told(&process, 86_400).await.0);
    eventually("it is another", async || {
        let rows = house.cached().await.0;
        rows.iter().any(|row| row.operation != first)
    })
    .await;
    house.charged(&[PRICE; 2]).await;
    // What nobody asks for any more is forgotten as well.
    house.ages(90_000).await;
    house.caches(0).await;
    assert_eq!(house.cached().await.1, [0]);
}

async fn an_account_keeps_what_it_has_room_for(engine: Engine) {
    let house = house(engine, "max_total_bytes = 1000").await;
    let process = house.process().await;
    let body = |place: usize| ASK.replace("foxes", &format!("fox {place}"));
    let mut kept = 0;
    loop {
        let (rows, rooms) = house.cached().await;
        let each = rows.first().map_or(0, |row| row.answer.len());
        let full = rooms.iter().sum::<i64>() > 1_000 - i64::try_from(each).unwrap();
        house.provider.will(whole());
        assert_eq!(had(&ask(&process, &body(kept)).await.unwrap()), MISS);
        if full || kept == 50 {
            break;
        }
        kept += 1;
        house.caches(kept).await;
    }
    assert!((2..50).contains(&kept));
    // What there is stays.
    for place in 0..kept {
        assert_eq!(had(&ask(&process, &body(place)).await.unwrap()), HIT);
    }
    // Others have room of their own.
    let stranger = process.of(&house.stranger());
    house.provider.will(whole());
    assert_eq!(had(&ask(&stranger, ASK).await.unwrap()), MISS);
    house.caches(kept + 1).await;
    // What is forgotten makes room.
    house.ages(101).await;
    house.caches(0).await;
    house.provider.will(whole());
    assert_eq!(had(&ask(&process, &body(kept)).await.unwrap()), MISS);
    house.caches(1).await;
    assert_eq!(had(&ask(&process, &body(kept)).await.unwrap()), HIT);
}

async fn an_idempotency_key_goes_its_own_way_beside_it(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    let send = async |body: &str, key: &str| {
        let request = CompleteRequest {
            idempotency_key: key.to_owned(),
            ..asking(&process, body, 100)
        };
        process.outcome(request).await
    };
    house.provider.will(whole());
    let first = send(ASK, "one").await.unwrap();
    assert_eq!((had(&first), first.end().1), (MISS, PRICE));
    house.caches(1).await;
    // The key's own answer comes first, as it was charged.
    let again = send(ASK, "one").await.unwrap();
    assert!(again.head.as_ref().unwrap().replayed);
    assert_eq!((had(&again), again.end()), (None, first.end()));
    let fault = refusal(send(STREAM, "one").await);
    assert_eq!(fault.code, code::IDEMPOTENCY_MISMATCH);
    // A new key finds what is cached, and stands for nothing then.
    for _ in 0..2 {
        let hit = send(ASK, "two").await.unwrap();
        assert_eq!((had(&hit), hit.end().1), (HIT, 0));
    }
    assert_eq!(house.states().await, ["done"]);
    house.provider.will(stream());
    let other = send(STREAM, "two").await.unwrap();
    assert_eq!((had(&other), other.end().1), (MISS, STREAM_PRICE));
    house.caches(2).await;
    assert_eq!(had(&send(STREAM, "three").await.unwrap()), HIT);
    assert_eq!(had(&ask(&process, STREAM).await.unwrap()), HIT);
    house.reaches(&["done", "done"]).await;
    let mut charges = house.billing.books().charges();
    charges.sort_unstable();
    assert_eq!(charges, [PRICE, STREAM_PRICE]);
}

/// A customer with a key who leaves has the whole answer kept, for the key and for equal requests.
async fn what_a_key_had_heard_to_its_end_is_cached(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    house.provider.will(when_told(Reply::stream(
        &OPENAI.replace("data: [DONE]\n\n", ""),
        End::Close,
    )));
    let request = CompleteRequest {
        idempotency_key: "one".to_owned(),
        ..asking(&process, STREAM, 100)
    };
    let (mut client, _) = process.caller(Mode::Test);
    let opened = process.spawn(async move {
        let request = chassis::rpc::request(request, PATIENCE);
        client.complete(request).await.unwrap().into_inner()
    });
    drop(opened.await.unwrap());
    house.provider.tell();
    house.caches(1).await;
    assert_eq!(had(&ask(&process, STREAM).await.unwrap()), HIT);
    house.charged(&[STREAM_PRICE]).await;
}

async fn nobody_waits_for_what_is_kept(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    let locked = house.lock().await;
    for (body, reply, price) in [(ASK, whole(), PRICE), (STREAM, stream(), STREAM_PRICE)] {
        house.provider.will(reply);
        // All of it is here, to the end of the stream between the services.
        let answer = ask(&process, body).await.unwrap();
        assert_eq!((had(&answer), answer.end().1), (MISS, price));
    }
    assert!(house.cached().await.0.is_empty());
    drop(locked);
    house.caches(2).await;
}

async fn two_at_once_both_run(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    for _ in 0..2 {
        house.provider.will(when_told(whole()));
    }
    let one = async || ask(&process, ASK).await.unwrap();
    let both = async {
        let (first, second) = tokio::join!(one(), one());
        assert_eq!((had(&first), had(&second)), (MISS, MISS));
    };
    let told = async {
        until("both are asked", || house.provider.asked().len() == 2).await;
        house.provider.tell();
        until("one has ended", || house.provider.ended() == 1).await;
        house.provider.tell();
    };
    tokio::join!(both, told);
    house.caches(1).await;
    process.stops().await;
    let (rows, rooms) = house.cached().await;
    assert_eq!(rooms, [i64::try_from(rows[0].answer.len()).unwrap()]);
    assert_eq!(house.billing.books().charges(), [PRICE; 2]);
}

async fn neither_request_nor_answer_can_be_read_in_the_database(engine: Engine) {
    let house = House::new(engine).await;
    house.provider.will(whole());
    let process = house.process().await;
    ask(&process, ASK).await.unwrap();
    house.caches(1).await;
    let row = house.cached().await.0.remove(0);
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(!holds(&row.answer, "red ones") && !holds(&row.answer, "gemini"));
    assert_eq!(row.request_mac.len(), 32);
    assert_eq!(row.operation, house.billing.books().holds[0].hold_id);
    // With other secrets nothing is found, and nothing is in the way.
    let other = house.clone().with_other_secrets();
    house.provider.will(whole());
    let process = other.process().await;
    assert_eq!(had(&ask(&process, ASK).await.unwrap()), MISS);
    house.caches(2).await;
    assert_eq!(had(&ask(&process, ASK).await.unwrap()), HIT);
}

on_both_engines! {
    an_equal_request_gets_the_same_answer_for_nothing,
    everything_that_makes_a_request_another_is_told_apart,
    an_answer_is_given_while_it_is_young_enough,
    an_answer_is_kept_as_long_as_its_own_request_allowed,
    an_account_keeps_what_it_has_room_for,
    an_idempotency_key_goes_its_own_way_beside_it,
    what_a_key_had_heard_to_its_end_is_cached,
    nobody_waits_for_what_is_kept,
    two_at_once_both_run,
    neither_request_nor_answer_can_be_read_in_the_database,
}

/// While the database is away a request runs as if it had not asked, and soon.
#[tokio::test]
async fn a_database_that_is_away_is_a_cache_without_an_answer() {
    let database = Database::that_may_die().await;
    let replay = "[limits.chat.replay]";
    let quick = format!("[limits.cache]\nlook_timeout = '100ms'\n{replay}");
    let house = House::on(database).await.with(replay, &quick);
    let process = house.process().await;
    house.database.kill().await;
    house.provider.will(whole());
    let answer = ask(&process, ASK).await.unwrap();
    assert_eq!((had(&answer), answer.end().1), (MISS, PRICE));
    house.database.restart().await;
    let mut tries = 1;
    eventually("it is kept again", async || {
        tries += 1;
        house.provider.will(whole());
        had(&ask(&process, ASK).await.unwrap()) == HIT
    })
    .await;
    assert_eq!(house.provider.asked().len(), tries - 1);
}

#[tokio::test]
async fn hits_and_misses_are_counted_by_model() {
    let app = App::start().await;
    let request = CompleteRequest {
        cache_max_age: Some(0),
        ..App::request(ASK, Mode::Test, &[])
    };
    let send = async || Collected::of(app.send(again(&request)).await.unwrap()).await;
    app.provider.will(whole());
    assert_eq!(had(&send().await), MISS);
    let kept = r#"aio_chat_cache_answers_total{outcome="kept"}"#;
    until("it is kept", || app.counter(kept) == 1).await;
    for _ in 0..2 {
        assert_eq!(had(&send().await), HIT);
    }
    let count = |outcome: &str| {
        let labels = format!(r#"{{model="gemini",outcome="{outcome}"}}"#);
        app.counter(&format!("aio_chat_cache_lookups_total{labels}"))
    };
    assert_eq!(
        [count("hit"), count("miss"), count("unavailable")],
        [2, 1, 0]
    );
    app.settled().await;
    assert_eq!(app.billing.captured().0, PRICE);
}

/// What guards a request guards it before an answer is looked for.
#[tokio::test]
async fn a_request_that_would_be_refused_gets_nothing() {
    let app = App::start().await;
    let plain = App::request(ASK, Mode::Test, &[]);
    let asked = |max_age| CompleteRequest {
        cache_max_age: Some(max_age),
        ..again(&plain)
    };
    app.provider.will(whole());
    Collected::of(app.send(asked(60)).await.unwrap()).await;
    let kept = r#"aio_chat_cache_answers_total{outcome="kept"}"#;
    until("it is kept", || app.counter(kept) == 1).await;
    let restricted = CompleteRequest {
        models: vec!["claude-opus-5-5".to_owned()],
        ..asked(60)
    };
    let limited = CompleteRequest {
        max_cost: 1,
        ..asked(60)
    };
    for (request, expected) in [
        (restricted, code::MODEL_NOT_ALLOWED),
        (limited, code::MAX_COST_EXCEEDED),
        (asked(86_401), code::INVALID_PARAMETER),
        (asked(i64::MAX), code::INVALID_PARAMETER),
        (asked(-1), code::INVALID_PARAMETER),
    ] {
        let fault = Fault::from(app.send(request).await.expect_err("a refusal"));
        assert_eq!(fault.code, expected, "{fault}");
        if expected == code::INVALID_PARAMETER {
            assert_eq!(fault.param.as_deref(), Some("x-aio-cache"));
            assert!(fault.message.contains("1 to 86400"), "{fault}");
        }
    }
    app.provider.will(whole());
    let miss = CompleteRequest {
        body: ASK.replace("foxes", "wolves").into(),
        ..asked(86_400)
    };
    Collected::of(app.send(miss).await.unwrap()).await;
    assert_eq!(app.provider.asked().len(), 2);
}
