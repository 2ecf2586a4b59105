//! Requests with an Idempotency-Key: one run and one charge, however often they are asked for.

use std::time::Duration;

use db::Engine;
use proto::{Fault, chat::v1::complete_event::Event, code};
use serde_json::Value;

use crate::{
    app::{Collected, until},
    billing::Plan,
    database::on_both_engines,
    house::{House, Process, eventually, refusal, when_told},
    provider::{End, Reply},
};

pub(crate) const ASK: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}]}"#;
pub(crate) const STREAM: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true}"#;
const WITH_USAGE: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true,"stream_options":{"include_usage":true}}"#;
const OTHER: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"wolves?"}]}"#;
const WHOLE: &str = r#"{"choices":[{"message":{"content":"red ones"}}],"usage":{"prompt_tokens":10,"completion_tokens":2}}"#;
const OPENAI: &str = include_str!("../fixtures/openai_stream.sse");
pub(crate) const WHOLE_PRICE: i64 = 10 * 50 + 2 * 300;
pub(crate) const STREAM_PRICE: i64 = 10 * 50 + 7 * 300;

pub(crate) fn whole() -> Reply {
    Reply::whole(200, WHOLE)
}

pub(crate) fn stream() -> Reply {
    Reply::stream(OPENAI, End::Close)
}

/// A stream that has said everything but that it has ended.
pub(crate) fn stream_when_told() -> Reply {
    when_told(Reply::stream(
        &OPENAI.replace("data: [DONE]\n\n", ""),
        End::Close,
    ))
}

/// What a stream costs of which so many events came, where the provider said nothing of its usage.
fn estimate(body: &str, events: usize) -> i64 {
    testkit::cut_cost(body, &"abcd".repeat(events), (50, 300)).unwrap()
}

fn tokens(count: usize) -> String {
    "data: {\"choices\":[{\"delta\":{\"content\":\"abcd\"},\"finish_reason\":null}],\"usage\":null}\n\n".repeat(count)
}

/// That an answer is the kept one of another.
pub(crate) fn assert_replay(first: &Collected, again: &Collected) {
    let (before, after) = (first.head.as_ref().unwrap(), again.head.as_ref().unwrap());
    assert!(!before.replayed && after.replayed);
    assert!(
        before.operation_id.is_empty(),
        "it is the request's own operation"
    );
    assert_eq!(
        (&before.provider, before.stream),
        (&after.provider, after.stream)
    );
    assert_eq!(again.data, first.data);
    assert_eq!(again.end(), first.end());
}

async fn the_same_request_gets_the_same_answer(engine: Engine) {
    for (body, reply, price) in [
        (ASK, whole(), WHOLE_PRICE),
        (STREAM, stream(), STREAM_PRICE),
        (WITH_USAGE, stream(), STREAM_PRICE),
    ] {
        let house = House::new(engine).await;
        house.provider.will(reply);
        let process = house.process().await;
        let first = process.ask(body, "one").await.unwrap();
        let operation = house.billing.books().holds.first().unwrap().hold_id.clone();
        for _ in 0..3 {
            let again = process.ask(body, "one").await.unwrap();
            assert_replay(&first, &again);
            assert_eq!(again.head.unwrap().operation_id, operation);
        }
        // It survives the process.
        drop(process);
        let again = house.process().await.ask(body, "one").await.unwrap();
        assert_replay(&first, &again);
        assert_eq!(house.provider.asked().len(), 1);
        house.charged(&[price]).await;
        assert_eq!(house.states().await, ["done"]);
    }
}

async fn another_body_is_refused_and_another_key_is_another_request(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    house.provider.will(whole());
    process.ask(ASK, "one").await.unwrap();
    for other in [OTHER, STREAM, &ASK.replace(',', ", ")] {
        let fault = refusal(process.ask(other, "one").await);
        assert_eq!(fault.code, code::IDEMPOTENCY_MISMATCH, "{other}");
    }
    house.charged(&[WHOLE_PRICE]).await;
    // Another account, another mode, another key: each has its own answer.
    let stranger = process.of(&house.stranger());
    for _ in 0..4 {
        house.provider.will(whole());
    }
    for answer in [
        stranger.ask(OTHER, "one").await,
        process.ask_live(OTHER, "one").await,
        process.ask(OTHER, "two").await,
        process.ask(OTHER, "").await,
    ] {
        assert!(!answer.unwrap().head.unwrap().replayed);
    }
    assert!(
        stranger
            .ask(OTHER, "one")
            .await
            .unwrap()
            .head
            .unwrap()
            .replayed
    );
    assert_eq!(house.provider.asked().len(), 5);
    house.charged(&[WHOLE_PRICE; 5]).await;
}

async fn what_is_refused_or_fails_frees_the_key(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    let check = async |body: &str, expected| {
        let fault = refusal(process.ask(body, "one").await);
        assert_eq!(fault.code, expected, "{fault}");
        assert!(house.rows().await.is_empty(), "{fault}");
    };
    check("{", code::INVALID_JSON).await;
    let available = std::mem::replace(&mut house.billing.books().available, 1);
    check(ASK, code::INSUFFICIENT_CREDITS).await;
    house.billing.books().available = available;
    for (reply, expected) in [
        (Reply::whole(500, ""), code::UPSTREAM_FAILED),
        (Reply::whole(429, ""), code::UPSTREAM_BUSY),
        (Reply::whole(200, "<html>"), code::UPSTREAM_FAILED),
    ] {
        house.provider.will(reply);
        check(OTHER, expected).await;
    }
    // Another body, too: nothing is left of the refused ones.
    house.provider.will(whole());
    assert!(
        !process
            .ask(ASK, "one")
            .await
            .unwrap()
            .head
            .unwrap()
            .replayed
    );
    house.charged(&[WHOLE_PRICE]).await;
}

async fn a_charge_that_cannot_be_booked_frees_the_key(engine: Engine) {
    let house = House::new(engine).await.with(
        "settle_try = '5s'",
        "settle_try = '100ms'\nsettle_window = '300ms'",
    );
    let away = Plan::Refuse(Fault::new(code::SERVICE_UNAVAILABLE, "away"));
    house.billing.books().settle_plans = [away].into();
    house.provider.will(whole());
    let process = house.process().await;
    let fault = refusal(process.ask(ASK, "one").await);
    assert_eq!(fault.code, code::BILLING_UNAVAILABLE);
    house.billing.books().settle_plans.clear();
    eventually("the key is free", async || house.rows().await.is_empty()).await;
    house.provider.will(whole());
    process.ask(OTHER, "one").await.unwrap();
    house.charged(&[WHOLE_PRICE]).await;
}

async fn a_key_counts_for_a_day_and_no_longer(engine: Engine) {
    let house = House::new(engine).await;
    house.provider.will(whole());
    house.process().await.ask(ASK, "one").await.unwrap();
    let house = house.with("[limits.chat.replay]", "[limits.chat.replay]\nkept = '1ms'");
    // The setting counts for requests, not for what was kept before.
    let process = house.process().await;
    assert!(
        process
            .ask(ASK, "one")
            .await
            .unwrap()
            .head
            .unwrap()
            .replayed
    );
    for body in [ASK, OTHER, ASK] {
        house.provider.will(whole());
        let answer = process.ask(body, "two").await.unwrap();
        assert!(!answer.head.unwrap().replayed);
    }
    house.reaches(&["done"]).await;
    assert!(
        process
            .ask(ASK, "one")
            .await
            .unwrap()
            .head
            .unwrap()
            .replayed
    );
    house.charged(&[WHOLE_PRICE; 4]).await;
}

async fn a_caller_who_leaves_finds_the_whole_answer_later(engine: Engine) {
    for read in 0..4 {
        let house = House::new(engine).await;
        let process = house.process().await;
        house.provider.will(stream_when_told());
        let mut events = process.open(STREAM, "one").await;
        for _ in 0..read {
            events.message().await.unwrap().unwrap();
        }
        drop(events);
        house.reaches(&["running"]).await;
        let fault = refusal(process.ask(STREAM, "one").await);
        assert_eq!(fault.code, code::IDEMPOTENCY_IN_PROGRESS);
        house.provider.tell();
        let answer = process.insist(STREAM, "one").await.unwrap();
        assert!(answer.head.as_ref().unwrap().replayed);
        assert_eq!((answer.data.len(), answer.end().1), (4, STREAM_PRICE));
        assert_eq!(
            (house.provider.asked().len(), house.provider.stopped()),
            (1, 0)
        );
        house.charged(&[STREAM_PRICE]).await;
    }
}

async fn a_caller_who_leaves_a_whole_answer_finds_it_later(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    house.provider.will(when_told(whole()));
    let asking = process.send(ASK, "one");
    until("the request", || !house.provider.asked().is_empty()).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    house.provider.tell();
    let answer = process.insist(ASK, "one").await.unwrap();
    assert!(answer.head.unwrap().replayed);
    assert_eq!(house.provider.asked().len(), 1);
    house.charged(&[WHOLE_PRICE]).await;
}

async fn a_repeat_waits_a_moment_for_the_first(engine: Engine) {
    let house = House::new(engine)
        .await
        .with("wait = '100ms'", "wait = '20s'");
    let process = house.process().await;
    house.provider.will(stream_when_told());
    let first = process.send(STREAM, "one");
    house.reaches(&["running"]).await;
    let second = process.send(STREAM, "one");
    house.provider.tell();
    assert_replay(
        &first.await.unwrap().unwrap(),
        &second.await.unwrap().unwrap(),
    );
    house.charged(&[STREAM_PRICE]).await;
}

async fn a_reader_who_is_too_slow_finds_the_answer_later(engine: Engine) {
    let house = House::new(engine).await.with(
        "buffered_events = 64",
        "buffered_events = 4\nslow_reader_timeout = '100ms'",
    );
    let process = house.process().await;
    let text = format!("{}data: [DONE]\n\n", tokens(5_000));
    house.provider.will(Reply::stream(&text, End::Close));
    let events = process.open(STREAM, "one").await;
    house.reaches(&["done"]).await;
    let cut = Collected::of(events).await;
    let fault = cut.failed.expect("it is told");
    assert_eq!(fault.code, code::TIMEOUT);
    assert!(fault.message.contains("same Idempotency-Key"), "{fault}");
    assert!(cut.data.len() < 5_000);
    let again = process.ask(STREAM, "one").await.unwrap();
    assert_eq!(again.data.len(), 5_000);
    house.charged(&[estimate(STREAM, 5_000)]).await;
}

async fn an_answer_too_long_to_be_kept_is_charged_once_and_not_run_again(engine: Engine) {
    let short = async || {
        House::new(engine).await.with(
            "[limits.chat.replay]",
            "[limits.chat.replay]\nmax_bytes = 200",
        )
    };
    let long = Reply::whole(200, &WHOLE.replace("red ones", &"red ".repeat(100)));
    for (body, reply, price) in [(ASK, long, WHOLE_PRICE), (STREAM, stream(), STREAM_PRICE)] {
        let house = short().await;
        let process = house.process().await;
        house.provider.will(reply);
        assert_eq!(process.ask(body, "one").await.unwrap().end().1, price);
        let fault = refusal(process.ask(body, "one").await);
        assert_eq!(fault.code, code::IDEMPOTENCY_NOT_KEPT);
        let credits = domain::Micros::new(price).to_string();
        assert!(fault.message.contains(&credits), "{fault}");
        let fault = refusal(process.ask(OTHER, "one").await);
        assert_eq!(fault.code, code::IDEMPOTENCY_MISMATCH);
        house.charged(&[price]).await;
    }
    // Nobody would ever read it: it is stopped, as one without a key.
    let house = short().await;
    let process = house.process().await;
    house.provider.will(Reply::stream(&tokens(20), End::Hang));
    let mut events = process.open(STREAM, "one").await;
    for _ in 0..=20 {
        events.message().await.unwrap().unwrap();
    }
    drop(events);
    until("the stop", || house.provider.stopped() == 1).await;
    house.reaches(&["done"]).await;
    let fault = refusal(process.ask(STREAM, "one").await);
    assert_eq!(fault.code, code::IDEMPOTENCY_NOT_KEPT);
    house.charged(&[estimate(STREAM, 20)]).await;
}

async fn a_stream_that_its_provider_cuts_is_no_answer(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    house.provider.will(Reply::stream(&tokens(3), End::Break));
    let cut = process.ask(STREAM, "one").await.unwrap();
    assert_eq!(cut.failed.unwrap().code, code::UPSTREAM_FAILED);
    house.charged(&[estimate(STREAM, 3)]).await;
    assert!(house.rows().await.is_empty());
    // Nobody had read this one, so nobody pays for it.
    house
        .provider
        .will(when_told(Reply::stream(&tokens(3), End::Close)));
    drop(process.open(STREAM, "one").await);
    house.provider.tell();
    eventually("the key is free", async || house.rows().await.is_empty()).await;
    house.charged(&[estimate(STREAM, 3)]).await;
    house.provider.will(stream());
    let answer = process.ask(STREAM, "one").await.unwrap();
    assert!(!answer.head.unwrap().replayed);
    let mut charges = house.billing.books().charges();
    charges.sort_unstable();
    let mut expected = [estimate(STREAM, 3), STREAM_PRICE];
    expected.sort_unstable();
    assert_eq!(charges, expected);
}

async fn neither_the_key_nor_the_answer_can_be_read_in_the_database(engine: Engine) {
    let house = House::new(engine).await;
    house.provider.will(whole());
    let key = "a key that nobody may read";
    house.process().await.ask(ASK, key).await.unwrap();
    let rows = house.rows().await;
    let row = rows.first().unwrap();
    let answer = row.answer.clone().unwrap();
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(!holds(&answer, "red ones") && !holds(&answer, "gemini"));
    assert_eq!(row.key_hash.len(), 32);
    // What does not open is not given, and not run again: it was charged.
    let other = house.with_other_secrets();
    let fault = refusal(other.process().await.ask(ASK, key).await);
    assert_eq!(fault.code, code::IDEMPOTENCY_NOT_KEPT);
}

async fn without_a_key_nothing_is_written_down(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    let locked = house.lock().await;
    house.provider.will(stream());
    let answer = process.ask(STREAM, "").await.unwrap();
    assert_eq!(answer.end().1, STREAM_PRICE);
    drop(locked);
    assert!(house.rows().await.is_empty());
    // The reader left: the provider is stopped.
    house.provider.will(Reply::stream(&tokens(2), End::Hang));
    let mut events = process.open(STREAM, "").await;
    for _ in 0..3 {
        events.message().await.unwrap().unwrap();
    }
    drop(events);
    until("the stop", || house.provider.stopped() == 1).await;
}

on_both_engines! {
    the_same_request_gets_the_same_answer,
    another_body_is_refused_and_another_key_is_another_request,
    what_is_refused_or_fails_frees_the_key,
    a_charge_that_cannot_be_booked_frees_the_key,
    a_key_counts_for_a_day_and_no_longer,
    a_caller_who_leaves_finds_the_whole_answer_later,
    a_caller_who_leaves_a_whole_answer_finds_it_later,
    a_repeat_waits_a_moment_for_the_first,
    a_reader_who_is_too_slow_finds_the_answer_later,
    an_answer_too_long_to_be_kept_is_charged_once_and_not_run_again,
    a_stream_that_its_provider_cuts_is_no_answer,
    neither_the_key_nor_the_answer_can_be_read_in_the_database,
    without_a_key_nothing_is_written_down,
}

/// While the database is away a request with a key is refused, and one without goes on.
#[tokio::test]
async fn a_database_that_is_away_stops_only_requests_with_a_key() {
    let database = crate::database::Database::that_may_die().await;
    let house = House::on(database).await;
    let process = house.process().await;
    house.database.kill().await;
    let begun = std::time::Instant::now();
    let fault = refusal(process.ask(ASK, "one").await);
    assert_eq!(fault.kind(), proto::Kind::Unavailable, "{fault}");
    assert!(fault.retry_after.is_some());
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(house.provider.asked().is_empty() && house.billing.books().holds.is_empty());
    house.provider.will(whole());
    process.ask(ASK, "").await.unwrap();
    house.database.restart().await;
    house.provider.will(whole());
    let mut answer = None;
    eventually("it is taken again", async || {
        answer = process.ask(ASK, "one").await.ok();
        answer.is_some()
    })
    .await;
    assert_eq!(answer.unwrap().end().1, WHOLE_PRICE);
    house.charged(&[WHOLE_PRICE; 2]).await;
}

/// The JSON of an answer's last event tells what was charged, each time.
#[tokio::test]
async fn a_replay_tells_the_same_charge() {
    let house = House::new(Engine::Sqlite).await;
    let process: Process = house.process().await;
    house.provider.will(stream());
    let mut told = Vec::new();
    for _ in 0..2 {
        let answer = process.ask(WITH_USAGE, "one").await.unwrap();
        let (tail, _) = answer.end();
        let last: Value = serde_json::from_str(tail.last().unwrap()).unwrap();
        told.push(last["credits_consumed"].clone());
    }
    assert_eq!(told, [serde_json::json!(0.0026), serde_json::json!(0.0026)]);
}

/// The head may leave long before the end; a caller who has seen it and leaves then cuts nothing.
#[tokio::test]
async fn the_first_events_do_not_wait_for_the_end() {
    let house = House::new(Engine::Sqlite).await;
    let process = house.process().await;
    house.provider.will(stream_when_told());
    let mut events = process.open(STREAM, "one").await;
    let head = events.message().await.unwrap().unwrap().event.unwrap();
    assert!(matches!(head, Event::Head(_)));
    let data = events.message().await.unwrap().unwrap().event.unwrap();
    assert!(matches!(data, Event::Data(_)), "{data:?}");
    house.provider.tell();
}
