//! Answers that are not kept for equal requests.

use domain::Mode;
use proto::chat::v1::CompleteRequest;

use crate::{
    app::{App, Collected, compatible, until},
    cached::{ASK, MISS, PRICE, STREAM, again, ended, had, stream, whole},
    provider::{End, Reply},
};

const WORD: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abcd\"},\"finish_reason\":null}],\"usage\":null}\n\n";

fn end(word: &str) -> String {
    format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{word}\"}}]}}\n\n"
    )
}

fn usage(tokens: u64) -> String {
    format!(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":10,\"completion_tokens\":{tokens}}}}}\n\ndata: [DONE]\n\n"
    )
}

fn asking(body: &str) -> CompleteRequest {
    CompleteRequest {
        cache_max_age: Some(60),
        ..App::request(body, Mode::Test, &[])
    }
}

/// Sends a request twice; the second one, which gets a good answer, must have run as well.
async fn runs_again(app: &App, body: &str) -> Option<Collected> {
    let request = asking(body);
    let asked = app.provider.asked().len();
    let first = app.send(request.clone()).await;
    let first = match first {
        Ok(events) => Some(Collected::of(events).await),
        Err(_) => None,
    };
    // What is not to be kept is counted, or never came so far.
    let considered = first.as_ref().is_some_and(|answer| answer.tail.is_some());
    if considered {
        let words = ["not_whole", "too_long", "full"];
        until("it is looked at", || {
            let count = |word| {
                app.counter(&format!(
                    "aio_chat_cache_answers_total{{outcome=\"{word}\"}}"
                ))
            };
            words.iter().any(|word| count(word) > 0)
        })
        .await;
    }
    let available = std::mem::replace(&mut app.billing.books().available, i64::MAX / 2);
    app.provider
        .will(if body == ASK { whole() } else { stream() });
    let second = Collected::of(app.send(again(&request)).await.unwrap()).await;
    app.billing.books().available = available;
    assert_eq!(had(&second), MISS, "{body}");
    assert_eq!(app.provider.asked().len(), asked + 2);
    first
}

#[tokio::test]
async fn blocked_and_refused_ones() {
    let refusal = r#"{"choices":[{"message":{"content":null,"refusal":"I will not"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":2}}"#;
    let blocked = format!("{WORD}{}{}", end("content_filter"), usage(1));
    for (body, reply) in [
        (ASK, ended("content_filter")),
        (ASK, ended("malfunction")),
        (ASK, Reply::whole(200, refusal)),
        (STREAM, Reply::stream(&blocked, End::Close)),
    ] {
        let app = App::answering(reply).await;
        let first = runs_again(&app, body).await.unwrap();
        assert!(first.end().1 > 0, "it was charged");
    }
}

#[tokio::test]
async fn failed_ones() {
    for reply in [
        Reply::whole(400, r#"{"error":{"message":"no"}}"#),
        Reply::whole(500, ""),
        Reply::whole(200, "<html>"),
    ] {
        let app = App::answering(reply).await;
        assert!(runs_again(&app, ASK).await.is_none());
    }
}

#[tokio::test]
async fn cut_ones() {
    let app = App::answering(Reply::stream(&WORD.repeat(3), End::Break)).await;
    let first = runs_again(&app, STREAM).await.unwrap();
    assert!(first.failed.is_some());
    let books = app.billing.books();
    assert!(books.charges().iter().all(|charge| *charge > 0));
}

/// Without a key nobody hears an answer to its end whose reader has left.
#[tokio::test]
async fn ones_whose_reader_left() {
    let app = App::answering(Reply::stream(&WORD.repeat(3), End::Hang)).await;
    let request = asking(STREAM);
    let mut events = app.send(request.clone()).await.unwrap();
    for _ in 0..=3 {
        events.message().await.unwrap().unwrap();
    }
    drop(events);
    until("the stop", || app.provider.stopped() == 1).await;
    until("the charge", || app.billing.books().charges().len() == 1).await;
    assert_eq!(app.counter("aio_chat_cache_answers_total"), 0);
    app.provider.will(stream());
    let second = Collected::of(app.send(again(&request)).await.unwrap()).await;
    assert_eq!(had(&second), MISS);
}

/// Whatever ends the output early for want of credit, or is stopped by us.
#[tokio::test]
async fn ones_that_credit_or_we_cut_short() {
    let short = format!("{WORD}{}{}", end("length"), usage(300));
    let held = i64::try_from(STREAM.len().div_ceil(2)).unwrap() * 50 + 300 * 300;
    let app = App::answering(Reply::stream(&short, End::Close)).await;
    app.billing.books().available = held;
    let first = runs_again(&app, STREAM).await.unwrap();
    assert!(
        first
            .data
            .iter()
            .any(|event| event.contains("credit_limit_reached"))
    );

    // The same answer, to somebody who can pay for more, is a good one.
    let app = App::answering(Reply::stream(&short, End::Close)).await;
    let request = asking(STREAM);
    for hit in [false, true] {
        let answer = Collected::of(app.send(again(&request)).await.unwrap()).await;
        assert_eq!(had(&answer), Some(hit));
        let kept = r#"aio_chat_cache_answers_total{outcome="kept"}"#;
        until("it is kept", || app.counter(kept) == 1).await;
    }

    let limited = "[limits.chat.output]\nmost_token_bytes = 10";
    let app = App::with(limited, compatible()).await;
    app.provider
        .will(Reply::stream(&WORD.repeat(50_000), End::Hang));
    let body = STREAM.replacen('{', r#"{"max_tokens":300,"#, 1);
    let passed = Collected::of(app.send(asking(&body)).await.unwrap()).await;
    assert!(passed.data.last().unwrap().contains("length"));
    app.settled().await;
    assert_eq!(app.counter("aio_chat_cache_answers_total"), 0);
}

#[tokio::test]
async fn long_ones_and_those_of_a_cache_that_keeps_nothing() {
    let long = Reply::stream(
        &format!("{}{}{}", WORD.repeat(20), end("stop"), usage(20)),
        End::Close,
    );
    for (settings, body, reply) in [
        ("max_bytes = 100", ASK, whole()),
        ("max_total_bytes = 0", ASK, whole()),
        ("max_total_bytes = 0", STREAM, long.clone()),
    ] {
        let app = App::with(&format!("[limits.cache]\n{settings}"), compatible()).await;
        app.provider.will(reply);
        let first = runs_again(&app, body).await.unwrap();
        assert!(first.end().1 >= PRICE);
    }
    // Of a stream, no more than may be kept is.
    let app = App::with("[limits.cache]\nmax_bytes = 500", compatible()).await;
    app.provider.will(long);
    let answer = Collected::of(app.send(asking(STREAM)).await.unwrap()).await;
    assert_eq!(answer.data.len(), 21);
    app.settled().await;
    assert_eq!(app.counter("aio_chat_cache_answers_total"), 0);
}
