//! Streams that are cut: by the provider, by the customer, by a customer who does not read.

use proto::{billing::v1::Outcome, chat::v1::complete_event::Event, code};

use crate::{
    app::{App, Collected, compatible, until},
    provider::{End, Reply},
};

const ASK: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true}"#;
const QUICK: &str = "[limits.chat]\nbuffered_events = 4\nslow_reader_timeout = '300ms'\n\
                     [limits.upstream]\nfirst_byte_timeout = '500ms'\nidle_timeout = '500ms'";

/// A stream of this many events of four bytes of text.
fn tokens(count: usize) -> String {
    "data: {\"choices\":[{\"delta\":{\"content\":\"abcd\"},\"finish_reason\":null}],\"usage\":null}\n\n".repeat(count)
}

/// What a stream costs of which this many events came.
fn estimate(events: usize) -> i64 {
    testkit::cut_cost(ASK, &"abcd".repeat(events), (50, 300)).unwrap()
}

async fn cut(text: &str, end: End) -> (App, Collected) {
    let app = App::with(QUICK, compatible()).await;
    app.provider.will(Reply::stream(text, end));
    let answer = app.collect(ASK).await;
    app.settled().await;
    (app, answer)
}

#[tokio::test]
async fn what_came_of_a_broken_stream_is_charged_and_told() {
    let error = "data: {\"error\":{\"message\":\"m\",\"code\":500}}\n\n";
    let named = "event: error\ndata: {\"error\":{\"message\":\"m\"}}\n\n";
    for (after, end) in [
        ("", End::Close),
        ("", End::Break),
        ("", End::Hang),
        (error, End::Close),
        (named, End::Hang),
        ("data: {\"choices\":[{\n\n", End::Close),
        ("data: {\"choices\":[]", End::Close),
    ] {
        let (app, answer) = cut(&format!("{}{after}", tokens(3)), end).await;
        assert_eq!(answer.data.len(), 3, "{after:?} {end:?}");
        let fault = answer.failed.unwrap();
        assert_eq!(fault.code, code::UPSTREAM_FAILED);
        let (charged, receipt) = app.billing.captured();
        assert_eq!(
            (charged, &receipt["estimated"]),
            (estimate(3), &"upstream_cut".into())
        );
        let credits = domain::Micros::new(charged).to_string();
        assert!(fault.message.contains(&credits), "{}", fault.message);
    }
}

#[tokio::test]
async fn usage_that_came_before_the_break_counts() {
    let usage = "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
    let (app, answer) = cut(&format!("{}{usage}", tokens(2)), End::Break).await;
    assert!(answer.failed.is_some());
    assert_eq!(app.billing.captured().0, 5 * 50 + 2 * 300);
}

#[tokio::test]
async fn a_stream_that_breaks_before_any_text_is_free() {
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let (app, answer) = cut(role, End::Break).await;
    let fault = answer.failed.unwrap();
    assert_eq!(fault.code, code::UPSTREAM_FAILED);
    assert!(
        fault.message.contains("nothing was charged"),
        "{}",
        fault.message
    );
    assert_eq!(app.billing.released()["class"], "upstream_cut");
}

#[tokio::test]
async fn a_customer_who_leaves_stops_the_provider_and_pays_for_what_came() {
    for count in 1..=5 {
        let app = App::answering(Reply::stream(&tokens(count), End::Hang)).await;
        let mut events = app.ask(ASK).await.unwrap();
        for expected in 0..=count {
            let event = events.message().await.unwrap().unwrap().event.unwrap();
            assert_eq!(matches!(event, Event::Head(_)), expected == 0);
        }
        drop(events);
        until("the stop", || app.provider.stopped() == 1).await;
        app.settled().await;
        let (charged, receipt) = app.billing.captured();
        assert_eq!(charged, estimate(count));
        assert_eq!(receipt["estimated"], "client_left");
    }
}

#[tokio::test]
async fn a_customer_who_leaves_before_the_first_event_pays_nothing() {
    for reply in [
        Reply::silence(),
        Reply::stream("", End::Hang),
        Reply::stream(": ping\n\n", End::Hang),
    ] {
        let app = App::answering(reply).await;
        tokio::select! {
            _ = app.ask(ASK) => panic!("no answer can come"),
            () = until("the request", || !app.provider.asked().is_empty()) => {}
        }
        until("the stop", || app.provider.stopped() == 1).await;
        app.settled().await;
        app.billing.released();
    }
}

#[tokio::test]
async fn a_customer_who_leaves_while_the_charge_is_booked_is_charged_once() {
    let text = format!("{}data: [DONE]\n\n", tokens(2));
    let app = App::answering(Reply::stream(&text, End::Close)).await;
    let mut events = app.ask(ASK).await.unwrap();
    for _ in 0..3 {
        events.message().await.unwrap().unwrap();
    }
    drop(events);
    app.settled().await;
    assert_eq!(app.billing.captured().0, estimate(2));
}

#[tokio::test]
async fn a_customer_who_does_not_read_is_stopped_charged_and_told() {
    let app = App::with(QUICK, compatible()).await;
    app.provider.will(Reply::stream(&tokens(50_000), End::Hang));
    let events = app.ask(ASK).await.unwrap();
    until("the charge", || !app.billing.books().settles.is_empty()).await;
    let answer = Collected::of(events).await;
    assert_eq!(answer.failed.unwrap().code, code::TIMEOUT);
    app.settled().await;
    let (charged, receipt) = app.billing.captured();
    assert_eq!(receipt["estimated"], "slow_reader");
    // Those that were sent, and the one that could not be.
    assert_eq!(charged, estimate(answer.data.len() + 1));
    until("the stop", || app.provider.stopped() == 1).await;
}

/// Whoever leaves just before the last byte, and asks again, pays each time: an answer cannot be had by leaving early.
#[tokio::test]
async fn a_thousand_who_leave_before_the_last_byte_are_each_charged_once() {
    let text = format!("{}data: [DONE]\n\n", tokens(2));
    let app = App::start().await;
    for _ in 0..20 {
        let crowd = (0..50).map(|_| async {
            app.provider.will(Reply::stream(&text, End::Close));
            let mut events = app.ask(ASK).await.unwrap();
            // The head, and all that is not kept back.
            for _ in 0..3 {
                events.message().await.unwrap().unwrap();
            }
        });
        futures::future::join_all(crowd).await;
    }
    app.settled().await;
    let books = app.billing.books();
    assert_eq!(books.settles.len(), 1_000);
    for settle in &books.settles {
        assert_eq!(
            (settle.outcome(), settle.amount),
            (Outcome::Capture, estimate(2))
        );
    }
}
