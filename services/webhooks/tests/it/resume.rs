//! A process may die at any instruction: what was published is delivered by the next one, at least once, with the same id.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use db::Engine;
use tokio::{runtime::Runtime, time::Instant};

use crate::{
    app::{FAST, Home, start, until},
    database::on_both_engines,
    sink::{Reply, Sink},
};

on_both_engines!(a_lease_that_runs_out_brings_another_attempt_with_the_same_id,);

const ALLOW: &str = "127.0.0.1/32";

#[test]
fn a_killed_process_goes_on_where_it_was_in_a_file() {
    a_killed_process_goes_on_where_it_was(Engine::Sqlite);
}

#[test]
fn a_killed_process_goes_on_where_it_was_on_a_server() {
    a_killed_process_goes_on_where_it_was(Engine::Postgres);
}

fn a_killed_process_goes_on_where_it_was(engine: Engine) {
    let outside = Runtime::new().unwrap();
    let home = outside.block_on(Home::new(engine));
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
        let settings = "schedule = ['0s', '1h']\njitter_percent = 0\ntimeout = '2s'\nlease = '3s'";
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
        // On a server it is swept once the database has answered for a lease.
        let settings = format!("{FAST}\ntimeout = '2s'\nlease = '3s'");
        let app = home.start(&settings, ALLOW).await;
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

async fn a_lease_that_runs_out_brings_another_attempt_with_the_same_id(engine: Engine) {
    let sink = Sink::start(|before| match before {
        0 => Reply::Hang,
        _ => Reply::Status(200),
    })
    .await;
    let settings = format!("{FAST}\ntimeout = '1s'\nlease = '3s'");
    let (_home, app) = start(engine, &settings).await;
    let begun = Instant::now();
    // A process that has just started leaves those who live as long to record what they have in hand.
    until("the sweep begins", async || {
        (begun.elapsed() > Duration::from_secs(4)).then_some(())
    })
    .await;
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
