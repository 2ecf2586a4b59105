//! What an endpoint is sent, and what its answers lead to.

use std::time::Duration;

use db::Engine;

use crate::{
    app::{Delivery, FAST, start, until},
    database::on_both_engines,
    sink::{Reply, Sink},
};

on_both_engines!(
    an_event_is_delivered_once_and_the_public_library_verifies_it,
    every_failure_is_tried_again_on_the_schedule_with_the_same_id,
    after_the_last_attempt_it_is_dead,
    an_endpoint_that_is_gone_is_not_asked_again,
    a_redirect_is_a_failure_and_leads_nowhere,
);

const PAYLOAD: &str =
    "{\"type\" : \"task.completed\",\n \"data\":{\"prompt\":\"a canary fox, ä\"}}";

async fn an_event_is_delivered_once_and_the_public_library_verifies_it(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(204)).await;
    let (_home, app) = start(engine, FAST).await;
    let event = app.publish(&sink.url("/hook?a=b"), PAYLOAD).await;
    let again = (0..20).map(|_| app.publish_again(&event));
    futures::future::join_all(again).await;

    let delivered = app.reaches(event.event, "delivered").await;
    let expected = Delivery {
        state: "delivered".to_owned(),
        attempts: 1,
        claims: 1,
        status: Some(204),
        error: None,
    };
    assert_eq!(delivered, expected);
    app.publish_again(&event).await;
    let other = app.publish(&sink.url("/hook"), "{}").await;
    app.reaches(other.event, "delivered").await;

    let [seen, _other] = <[_; 2]>::try_from(sink.seen()).unwrap();
    assert!(app.verifies(&event, &seen).await);
    assert!(!app.verifies(&other, &seen).await);
    assert_eq!(seen.body, PAYLOAD);
    assert_eq!(seen.headers["webhook-id"], event.event.to_string());
    assert!(event.event.to_string().starts_with("evt_"));
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["user-agent"], "aio-webhooks/1");
    until("two counted deliveries", async || {
        let counted = "aio_webhooks_attempts_total{outcome=\"delivered\"} 2";
        app.metrics().contains(counted).then_some(())
    })
    .await;
}

async fn every_failure_is_tried_again_on_the_schedule_with_the_same_id(engine: Engine) {
    let sink = Sink::start(|before| match before {
        0 => Reply::Status(500),
        1 => Reply::With(429, "retry-after", "3600".to_owned()),
        2 => Reply::Status(404),
        _ => Reply::Status(200),
    })
    .await;
    let (_home, app) = start(engine, FAST).await;
    let event = app.publish(&sink.url("/"), PAYLOAD).await;
    let delivered = app.reaches(event.event, "delivered").await;
    assert_eq!((delivered.attempts, delivered.status), (4, Some(200)));
    assert_eq!(delivered.error, None);

    let seen = sink.seen();
    assert_eq!(seen.len(), 4);
    for attempt in &seen {
        assert!(app.verifies(&event, attempt).await);
        assert_eq!(attempt.headers["webhook-id"], event.event.to_string());
        assert_eq!(attempt.body, PAYLOAD);
    }
    let gaps: Vec<Duration> = seen
        .windows(2)
        .map(|pair| pair[1].at.duration_since(pair[0].at))
        .collect();
    // 20 ms less a fifth; what 429 asked for, clamped to twice its base of 50 ms; 60 ms less a fifth.
    for (gap, least) in gaps.iter().zip([16, 100, 48]) {
        assert!(*gap >= Duration::from_millis(least), "{gaps:?}");
    }
}

async fn after_the_last_attempt_it_is_dead(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(500)).await;
    let (_home, app) = start(engine, FAST).await;
    let event = app.publish(&sink.url("/"), PAYLOAD).await;
    let dead = app.reaches(event.event, "dead").await;
    assert_eq!((dead.attempts, dead.status), (5, Some(500)));
    assert_eq!(dead.error.as_deref(), Some("answered 500"));
    assert_eq!(sink.seen().len(), 5);
}

async fn an_endpoint_that_is_gone_is_not_asked_again(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(410)).await;
    let (_home, app) = start(engine, FAST).await;
    let event = app.publish(&sink.url("/"), PAYLOAD).await;
    let dead = app.reaches(event.event, "dead").await;
    assert_eq!((dead.attempts, dead.status), (1, Some(410)));
    assert_eq!(sink.seen().len(), 1);
}

async fn a_redirect_is_a_failure_and_leads_nowhere(engine: Engine) {
    let elsewhere = Sink::start(|_| Reply::Status(200)).await;
    let target = elsewhere.url("/");
    let sink = Sink::start(move |_| Reply::With(307, "location", target.clone())).await;
    let (_home, app) = start(engine, "schedule = ['0s', '5ms']\npoll = '5ms'").await;
    let event = app.publish(&sink.url("/"), PAYLOAD).await;
    let dead = app.reaches(event.event, "dead").await;
    assert_eq!((dead.attempts, dead.status), (2, Some(307)));
    assert!(dead.error.unwrap().contains("not followed"));
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn what_is_kept_is_sealed() {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (home, app) = start(Engine::Sqlite, FAST).await;
    let event = app
        .publish(&sink.url("/canary?token=canary"), PAYLOAD)
        .await;
    app.reaches(event.event, "delivered").await;
    let secret = app
        .secret(event.account, proto::common::v1::Mode::Test)
        .await;
    let bytes = home.bytes();
    let contains = |text: &str| {
        let text = text.as_bytes();
        bytes.windows(text.len()).any(|window| window == text)
    };
    assert!(contains("task.completed"), "the search itself works");
    let key = secret.strip_prefix("whsec_").unwrap();
    for canary in ["canary", "127.0.0.1", key] {
        assert!(!contains(canary), "{canary}");
    }
}
