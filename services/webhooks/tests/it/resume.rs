//! A process may die at any instruction: what was published is delivered by the next one, at least once, with the same id.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::runtime::Runtime;

use crate::{
    app::{FAST, Home, start, until},
    sink::{Reply, Sink},
};

const ALLOW: &str = "127.0.0.1/32";

#[test]
fn a_killed_process_goes_on_where_it_was() {
    let outside = Runtime::new().unwrap();
    let home = Home::new();
    let mended = Arc::new(AtomicBool::new(false));
    let sink = {
        let mended = Arc::clone(&mended);
        outside.block_on(Sink::start(move |before| {
            match (mended.load(Ordering::SeqCst), before) {
                (true, _) => Reply::Status(200),
                (false, 0) => Reply::Status(500),
                (false, _) => Reply::Hang,
            }
        }))
    };

    let first = Runtime::new().unwrap();
    let (failed, hanging) = first.block_on(async {
        // The first fails and waits for an hour, the second hangs.
        let settings = "schedule = ['0s', '1h']\njitter_percent = 0";
        let app = home.start(settings, ALLOW).await;
        let failed = app.publish(&sink.url("/"), "{}").await.event;
        until("the first failure", async || {
            (app.delivery(failed).await.attempts == 1).then_some(())
        })
        .await;
        let hanging = app.publish(&sink.url("/"), "{}").await.event;
        sink.saw(2).await;
        (failed, hanging)
    });
    // Nothing is awaited and nothing is closed: as by a kill.
    first.shutdown_background();
    mended.store(true, Ordering::SeqCst);

    outside.block_on(async {
        let app = home.start(FAST, ALLOW).await;
        let delivery = app.reaches(hanging, "delivered").await;
        // The attempt that was cut counts as begun, not as ended.
        assert_eq!((delivery.attempts, delivery.claims), (1, 2));
        let waiting = app.delivery(failed).await;
        assert_eq!((waiting.state.as_str(), waiting.attempts), ("due", 1));
        assert_eq!(waiting.error.as_deref(), Some("answered 500"));
        let ids: Vec<_> = sink
            .seen()
            .iter()
            .map(|seen| seen.headers["webhook-id"].clone())
            .collect();
        assert_eq!(ids[0], failed.to_string());
        assert_eq!(&ids[1..], [hanging.to_string(), hanging.to_string()]);
    });
}

#[tokio::test]
async fn a_lease_that_runs_out_brings_another_attempt_with_the_same_id() {
    let sink = Sink::start(|before| match before {
        0 => Reply::Hang,
        _ => Reply::Status(200),
    })
    .await;
    let (_home, app) = start(&format!("{FAST}\ntimeout = '500ms'")).await;
    let event = app.publish(&sink.url("/"), "{}").await;
    sink.saw(1).await;
    // As if the process that holds the lease had died some minutes ago.
    let aged: Result<(), webhooks::Error> = app
        .db
        .write(|connection| {
            Box::pin(async move {
                let sql = "update delivery set lease_until = 1 where state = 'inflight'";
                sqlx::query(sql).execute(connection).await?;
                Ok(())
            })
        })
        .await;
    aged.unwrap();
    app.reaches(event.event, "delivered").await;
    let seen = sink.seen();
    assert_eq!(seen.len(), 2);
    for attempt in &seen {
        assert!(app.verifies(&event, attempt).await);
        assert_eq!(attempt.headers["webhook-id"], event.event.to_string());
    }

    // The first attempt is still out; its end, a timeout, comes late and changes nothing.
    until("the late end", async || {
        let over = app.metrics().contains("aio_webhooks_attempts_in_flight 0");
        over.then_some(())
    })
    .await;
    let delivery = app.delivery(event.event).await;
    assert_eq!(delivery.state, "delivered");
    assert_eq!((delivery.attempts, delivery.claims), (1, 2));
}
