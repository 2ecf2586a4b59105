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

#[test]
fn a_service_that_is_killed_again_and_again_loses_nothing_in_a_file() {
    killed_again_and_again(Engine::Sqlite);
}

#[test]
fn a_service_that_is_killed_again_and_again_loses_nothing_on_a_server() {
    killed_again_and_again(Engine::Postgres);
}

fn killed_again_and_again(engine: Engine) {
    const LIVES: usize = 6;
    const EVENTS: usize = 40;
    let outside = Runtime::new().unwrap();
    let home = outside.block_on(Home::new(engine));
    let mut sinks = Vec::new();
    for _ in 0..4 {
        sinks.push(outside.block_on(Sink::start(|before| {
            // Now and then it fails, or hangs until the process is dead.
            match before % 7 {
                3 => Reply::Status(500),
                5 => Reply::Hang,
                _ => Reply::Status(200),
            }
        })));
    }
    let settings = format!("{FAST}\ntimeout = '1s'\nlease = '2s'");
    let settings = settings.replace(
        "'80ms'",
        "'80ms', '100ms', '100ms', '100ms', '100ms', '100ms'",
    );
    let seen = || -> usize { sinks.iter().map(|sink| sink.seen().len()).sum() };
    let mut events = Vec::new();
    for _ in 0..LIVES {
        let before = seen();
        let life = Runtime::new().unwrap();
        life.block_on(async {
            let app = home.start(&settings, ALLOW).await;
            for n in 0..EVENTS {
                events.push(app.publish(&sinks[n % 4].url("/"), "{}").await.event);
            }
            // In the middle of it.
            until("some attempts", async || {
                (seen() > before + EVENTS / 2).then_some(())
            })
            .await;
        });
        life.shutdown_background();
    }
    outside.block_on(async {
        let app = home.start(&settings, ALLOW).await;
        for event in &events {
            app.reaches(*event, "delivered").await;
        }
    });
    let told: std::collections::HashSet<_> = sinks
        .iter()
        .flat_map(Sink::seen)
        .map(|seen| seen.headers["webhook-id"].to_str().unwrap().to_owned())
        .collect();
    let lost: Vec<_> = events
        .iter()
        .filter(|event| !told.contains(&event.to_string()))
        .collect();
    assert_eq!(lost, Vec::<&domain::EventId>::new());
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
    app.change("update delivery set lease_until = 1 where state = 'inflight'")
        .await;
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
