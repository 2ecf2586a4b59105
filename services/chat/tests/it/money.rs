//! Holds and charges: clamped, refused, away at either end, over-reported.

use std::time::Duration;

use domain::Mode;
use proto::{Fault, billing::v1::Outcome, code};

use crate::{
    app::{App, compatible},
    billing::Plan,
    provider::{End, Reply},
};

const ASK: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}]}"#;
const STREAM: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true}"#;
const GOOD: &str = r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":10,"completion_tokens":2}}"#;
const GOOD_STREAM: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n\
                           data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
const QUICK: &str = "[limits.chat.billing]\nhold_try = '100ms'\nhold_window = '400ms'\nsettle_try = '100ms'\n\
                     settle_window = '400ms'\nfirst_pause = '5ms'";

fn away() -> Plan {
    Plan::Refuse(Fault::new(code::SERVICE_UNAVAILABLE, "away"))
}

async fn quick() -> App {
    App::with(QUICK, compatible()).await
}

/// The input bound's price, and the output's.
fn price(body: &str, output: i64) -> i64 {
    i64::try_from(body.len().div_ceil(2)).unwrap() * 50 + output * 300
}

#[tokio::test]
async fn the_highest_price_is_held_before_anybody_is_asked() {
    let body = r#"{"model":"gemini-3-flash","messages":[{"role":"user","content":"foxes?"}],"max_tokens":500,"n":2}"#;
    let app = App::answering(Reply::whole(200, GOOD)).await;
    app.collect(body).await;
    let (hold, settle) = {
        let books = app.billing.books();
        (books.holds[0].clone(), books.settles[0].clone())
    };
    assert_eq!(
        (hold.amount, hold.floor),
        (price(body, 1000), price(body, 512))
    );
    assert_eq!(hold.ttl_ms, 900_000);
    assert_eq!(hold.price_version, compatible().version());
    assert_eq!(settle.hold_id, hold.hold_id);
    assert_eq!(app.provider.body()["max_tokens"], 500);
    app.settled().await;
}

#[tokio::test]
async fn the_output_shrinks_to_what_the_balance_affords() {
    let app = App::answering(Reply::whole(200, GOOD)).await;
    app.billing.books().available = price(ASK, 300) + 299;
    app.collect(ASK).await;
    assert_eq!(app.provider.body()["max_tokens"], 300);
    app.settled().await;
}

#[tokio::test]
async fn without_credit_for_a_useful_answer_nobody_is_asked() {
    let app = App::start().await;
    app.billing.books().available = price(ASK, 255);
    let fault = app.refused(ASK).await;
    assert_eq!(fault.code, code::INSUFFICIENT_CREDITS);
    let needed = price(ASK, 256).to_string();
    assert!(
        fault.message.contains(&needed),
        "as billing said it: {}",
        fault.message
    );
    assert!(app.provider.asked().is_empty());
    app.settled().await;
    assert!(
        app.billing.books().settles.is_empty(),
        "there is nothing to release"
    );
}

#[tokio::test]
async fn a_hold_is_tried_again_under_the_same_id() {
    let app = quick().await;
    app.billing.books().hold_plans = [away(), Plan::BookAndStall].into();
    app.provider.will(Reply::whole(200, GOOD));
    app.collect(ASK).await;
    assert_eq!(app.billing.books().holds.len(), 1, "booked once");
    app.settled().await;
}

#[tokio::test]
async fn while_billing_is_away_nobody_is_asked_and_what_it_may_have_held_is_released() {
    for plan in [away(), Plan::Stall, Plan::BookAndStall] {
        let app = quick().await;
        app.billing.books().hold_plans = vec![plan; 200].into();
        let fault = app.refused(ASK).await;
        assert_eq!(fault.code, code::BILLING_UNAVAILABLE);
        assert!(fault.retry_after.is_some());
        assert!(app.provider.asked().is_empty());
        app.settled().await;
        let books = app.billing.books();
        assert_eq!(books.settles.len(), 1);
        assert_eq!(books.settles[0].outcome(), Outcome::Release);
    }
}

#[tokio::test]
async fn a_capture_is_tried_again_until_billing_is_back() {
    for (ask, reply) in [
        (ASK, Reply::whole(200, GOOD)),
        (STREAM, Reply::stream(GOOD_STREAM, End::Close)),
    ] {
        let app = quick().await;
        app.provider.will(reply);
        app.billing.books().settle_plans = [away(), Plan::Stall, Plan::Answer].into();
        assert_eq!(app.collect(ask).await.end().1, 10 * 50 + 2 * 300);
        app.settled().await;
    }
}

#[tokio::test]
async fn without_a_capture_there_is_no_last_byte_and_no_charge() {
    let app = quick().await;
    app.provider.will(Reply::whole(200, GOOD));
    app.billing.books().settle_plans = [away()].into();
    let fault = app.refused(ASK).await;
    assert_eq!(fault.code, code::BILLING_UNAVAILABLE);
    app.billing.books().settle_plans = [Plan::Answer].into();
    app.settled().await;
    assert_eq!(app.billing.released()["class"], "billing_unavailable");
    assert_eq!(app.counter("aio_chat_unbilled_total"), 1);

    let app = quick().await;
    app.provider.will(Reply::stream(GOOD_STREAM, End::Close));
    app.billing.books().settle_plans = [away()].into();
    let answer = app.collect(STREAM).await;
    assert_eq!(answer.data.len(), 1);
    assert_eq!(answer.failed.unwrap().code, code::BILLING_UNAVAILABLE);
    app.billing.books().settle_plans = [Plan::Answer].into();
    app.settled().await;
    app.billing.released();
}

#[tokio::test]
async fn a_hold_that_ended_meanwhile_is_not_retried() {
    let app = App::answering(Reply::whole(200, GOOD)).await;
    let ended = Plan::Refuse(Fault::new(code::HOLD_CONFLICT, "the hold has expired"));
    app.billing.books().settle_plans = [ended, Plan::Answer].into();
    let started = std::time::Instant::now();
    assert_eq!(app.refused(ASK).await.code, code::BILLING_UNAVAILABLE);
    assert!(started.elapsed() < Duration::from_secs(10));
    app.settled().await;
}

#[tokio::test]
async fn a_failed_request_is_released_even_while_billing_is_away() {
    let app = quick().await;
    app.provider.will(Reply::whole(500, ""));
    app.billing.books().settle_plans = [away(), away(), Plan::Answer].into();
    assert_eq!(app.refused(ASK).await.code, code::UPSTREAM_FAILED);
    app.settled().await;
    assert_eq!(app.billing.released()["class"], "overloaded");
}

#[tokio::test]
async fn what_a_provider_reports_beyond_the_hold_is_our_loss() {
    let over = r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":10,"completion_tokens":90000}}"#;
    let app = App::answering(Reply::whole(200, over)).await;
    assert_eq!(app.collect(ASK).await.end().1, price(ASK, 8192));
    assert_eq!(app.counter("aio_chat_overreported_total"), 1);
    app.settled().await;
}

#[tokio::test]
async fn usage_that_cannot_be_is_estimated() {
    let bad = r#"{"choices":[{"message":{"content":"12345678"}}],"usage":{"prompt_tokens":-4,"completion_tokens":-9}}"#;
    let app = App::answering(Reply::whole(200, bad)).await;
    let (_, charged) = app.collect(ASK).await.end();
    assert!(charged > 0);
    assert_eq!(app.billing.captured().1["estimated"], "usage_nonsense");
    app.settled().await;
}

#[tokio::test]
async fn running_streams_end_well_while_the_service_stops() {
    let app = App::answering(Reply::stream(GOOD_STREAM, End::Close)).await;
    let events = app
        .send(App::request(STREAM, Mode::Test, &[]))
        .await
        .unwrap();
    let (answer, ()) = tokio::join!(crate::app::Collected::of(events), app.settled());
    assert_eq!(answer.end().1, 1100);
}
