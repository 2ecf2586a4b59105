//! The process dies at each point of a request with an Idempotency-Key. Whatever it was at, a retry gets an answer, and one answer
//! is charged.

use db::Engine;

use crate::{
    app::until,
    billing::Plan,
    database::on_both_engines,
    house::{House, Process, when_told},
    keyed::{ASK, STREAM, STREAM_PRICE, WHOLE_PRICE, stream, stream_when_told, whole},
    provider::{End, Reply},
};

/// A request, what its provider answers, and that again with an end that waits to be told; what it costs.
fn cases() -> [(&'static str, [Reply; 2], i64); 2] {
    [
        (ASK, [whole(), when_told(whole())], WHOLE_PRICE),
        (STREAM, [stream(), stream_when_told()], STREAM_PRICE),
    ]
}

/// A retry on a new process: what it gets, and whether it was run anew.
async fn retry(house: &House, body: &str) -> Process {
    let before = house.provider.asked().len();
    let process = house.process().await;
    let answer = process.insist(body, "one").await.unwrap();
    let runs = house.provider.asked().len();
    assert_eq!(answer.head.as_ref().unwrap().replayed, runs == before);
    // From then on it is the same for everybody.
    let again = process.ask(body, "one").await.unwrap();
    assert_eq!(
        (again.data.clone(), again.end()),
        (answer.data.clone(), answer.end())
    );
    assert_eq!(house.provider.asked().len(), runs);
    process
}

async fn before_the_hold(engine: Engine) {
    for plan in [Plan::Stall, Plan::BookAndStall] {
        let house = House::new(engine).await;
        house.billing.books().hold_plans = [plan].into();
        let mut process = house.process().await;
        let asking = process.send(ASK, "one");
        house.reaches(&["running"]).await;
        until("the hold is asked for", || {
            house.billing.books().hold_plans.is_empty()
        })
        .await;
        process.kill();
        assert!(asking.await.is_err());
        house.provider.will(whole());
        retry(&house, ASK).await;
        house.charged(&[WHOLE_PRICE]).await;
    }
}

async fn inside_a_stream(engine: Engine) {
    let house = House::new(engine).await;
    let mut process = house.process().await;
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"abcd\"}}]}\n\n".repeat(3);
    house.provider.will(Reply::stream(&text, End::Hang));
    let mut events = process.open(STREAM, "one").await;
    for _ in 0..=3 {
        events.message().await.unwrap().unwrap();
    }
    process.kill();
    house.provider.will(stream());
    retry(&house, STREAM).await;
    assert_eq!(house.provider.asked().len(), 2);
    house.charged(&[STREAM_PRICE]).await;
}

async fn behind_the_providers_end_before_it_is_stored(engine: Engine) {
    for (body, [reply, told], price) in cases() {
        let house = House::new(engine).await;
        let mut process = house.process().await;
        house.provider.will(told);
        let asking = process.send(body, "one");
        house.reaches(&["running"]).await;
        until("the provider answers", || house.provider.asked().len() == 1).await;
        let locked = house.lock().await;
        house.provider.tell();
        until("the provider's end", || house.provider.ended() == 1).await;
        process.kill();
        assert!(asking.await.is_err());
        drop(locked);
        assert_eq!(house.states().await, ["running"]);
        assert!(house.billing.books().settles.is_empty());
        house.provider.will(reply);
        retry(&house, body).await;
        assert_eq!(house.provider.asked().len(), 2);
        house.charged(&[price]).await;
    }
}

async fn behind_the_store_before_the_charge(engine: Engine) {
    for (body, [reply, _], price) in cases() {
        let house = House::new(engine).await;
        let mut process = house.process().await;
        house.billing.books().settle_plans = [Plan::Stall].into();
        house.provider.will(reply);
        let asking = process.send(body, "one");
        house.reaches(&["stored"]).await;
        process.kill();
        assert!(asking.await.is_err());
        assert!(house.billing.books().charges().is_empty());
        house.billing.books().settle_plans.clear();
        retry(&house, body).await;
        assert_eq!(house.provider.asked().len(), 1, "what is stored is given");
        house.charged(&[price]).await;
    }
}

async fn behind_the_charge_before_it_is_written_down(engine: Engine) {
    for (body, [reply, _], price) in cases() {
        let house = House::new(engine).await;
        let mut process = house.process().await;
        house.billing.books().settle_plans = [Plan::BookAndStall].into();
        house.provider.will(reply);
        let asking = process.send(body, "one");
        until("the charge", || house.billing.books().charges() == [price]).await;
        process.kill();
        assert!(asking.await.is_err());
        assert_eq!(house.states().await, ["stored"]);
        house.billing.books().settle_plans.clear();
        retry(&house, body).await;
        assert_eq!(house.provider.asked().len(), 1);
        house.charged(&[price]).await;
    }
}

async fn behind_all_of_it_before_the_last_byte(engine: Engine) {
    for (body, [reply, _], price) in cases() {
        let house = House::new(engine).await;
        let mut process = house.process().await;
        house.provider.will(reply);
        // Nobody reads it.
        let events = process.open(body, "one").await;
        house.reaches(&["done"]).await;
        process.kill();
        drop(events);
        retry(&house, body).await;
        assert_eq!(house.provider.asked().len(), 1);
        house.charged(&[price]).await;
    }
}

/// The answer is stored, and its hold has expired by the time somebody asks: it is charged late, and given.
async fn a_hold_that_ended_meanwhile(engine: Engine) {
    let house = House::new(engine).await;
    let mut process = house.process().await;
    house.billing.books().settle_plans = [Plan::Stall].into();
    house.provider.will(whole());
    let asking = process.send(ASK, "one");
    house.reaches(&["stored"]).await;
    process.kill();
    assert!(asking.await.is_err());
    house.billing.books().settle_plans.clear();
    house.billing.expire_all();
    retry(&house, ASK).await;
    assert_eq!(house.provider.asked().len(), 1);
    house.charged(&[WHOLE_PRICE]).await;
}

/// An answer too long to be kept: before its charge it is run anew, behind it it is not.
async fn around_the_charge_of_what_is_too_long_to_be_kept(engine: Engine) {
    for (plan, runs) in [(Plan::Stall, 2), (Plan::BookAndStall, 1)] {
        let house = House::new(engine).await.with(
            "[limits.chat.replay]",
            "[limits.chat.replay]\nmax_bytes = 1",
        );
        let mut process = house.process().await;
        house.billing.books().settle_plans = [plan].into();
        house.provider.will(whole());
        let asking = process.send(ASK, "one");
        house.reaches(&["stored"]).await;
        until("the charge is asked for", || {
            house.billing.settles_asked() == 1
        })
        .await;
        process.kill();
        assert!(asking.await.is_err());
        house.billing.books().settle_plans.clear();
        house.provider.will(whole());
        let answer = house.process().await.insist(ASK, "one").await;
        assert_eq!(answer.is_ok(), runs == 2, "{answer:?}");
        assert_eq!(house.provider.asked().len(), runs);
        house.charged(&[WHOLE_PRICE]).await;
    }
}

/// Nobody asks again: what the dead process held is given back all the same, and its key is free.
async fn nobody_asks_again(engine: Engine) {
    let house = House::new(engine).await;
    let mut process = house.process().await;
    house.provider.will(Reply::silence());
    let asking = process.send(ASK, "one");
    until("the provider is asked", || {
        house.provider.asked().len() == 1
    })
    .await;
    process.kill();
    assert!(asking.await.is_err());
    let _other = house.process().await;
    house.reaches(&[]).await;
    house.charged(&[]).await;
}

on_both_engines! {
    before_the_hold,
    inside_a_stream,
    behind_the_providers_end_before_it_is_stored,
    behind_the_store_before_the_charge,
    behind_the_charge_before_it_is_written_down,
    behind_all_of_it_before_the_last_byte,
    a_hold_that_ended_meanwhile,
    around_the_charge_of_what_is_too_long_to_be_kept,
    nobody_asks_again,
}
