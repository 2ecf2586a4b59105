//! Several processes on one PostgreSQL: each event is delivered once, and an origin has its few slots whoever is at it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use db::Engine;
use futures::future::join_all;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    app::{FAST, Home, event, three, until},
    database::Database,
    sink::{Reply, Sink},
};

fn ids(sinks: &[Sink]) -> Vec<http::HeaderValue> {
    let seen = sinks.iter().flat_map(Sink::seen);
    seen.map(|one| one.headers["webhook-id"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_delivered_once() {
    const EVENTS: usize = 300;
    let home = Home::new(Engine::Postgres).await;
    let apps = three(&home, FAST).await;
    let mut sinks = Vec::new();
    for _ in 0..5 {
        sinks.push(Sink::start(|_| Reply::Status(200)).await);
    }
    // Each is told to every process, as by a publisher that lost the answers.
    let events: Vec<_> = (0..EVENTS).map(|n| event(&sinks[n % 5].url("/"))).collect();
    for some in events.chunks(20) {
        let publishing = some
            .iter()
            .flat_map(|event| apps.iter().map(|app| app.publish_again(event)));
        join_all(publishing).await;
    }
    for event in &events {
        let delivery = apps[0].reaches(event.event, "delivered").await;
        assert_eq!((delivery.attempts, delivery.claims), (1, 1));
    }
    let ids = ids(&sinks);
    assert_eq!(
        (ids.len(), ids.iter().collect::<HashSet<_>>().len()),
        (EVENTS, EVENTS)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_has_its_slots_whoever_is_at_it() {
    let home = Home::new(Engine::Postgres).await;
    let apps = three(&home, "origin_concurrency = 2\npoll = '5ms'").await;
    let (hanging, fine) = (
        Sink::start(|_| Reply::Hang).await,
        Sink::start(|_| Reply::Status(200)).await,
    );
    for n in 0..30 {
        apps[n % 3].publish(&hanging.url("/"), "{}").await;
    }
    hanging.saw(2).await;
    for n in 0..30 {
        let event = apps[n % 3].publish(&fine.url("/"), "{}").await.event;
        apps[n % 3].reaches(event, "delivered").await;
    }
    assert_eq!((hanging.seen().len(), fine.seen().len()), (2, 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_away_loses_no_event() {
    let home = Home::on(Database::that_may_die().await);
    let settings = format!("{FAST}\ntimeout = '1s'\nlease = '4s'");
    let apps = three(&home, &settings).await;
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let events: Vec<_> = (0..100).map(|_| event(&sink.url("/"))).collect();
    let publish = async |n: usize| {
        // As the outbox of a publisher does: until it is taken over.
        until("an event is taken over", async || {
            apps[n % 3].try_to_publish(&events[n]).await.ok()
        })
        .await;
    };
    join_all((0..50).map(&publish)).await;
    home.database.kill().await;
    let refused = apps[0].try_to_publish(&events[50]).await.unwrap_err();
    assert_eq!(proto::Fault::from(refused).kind(), proto::Kind::Unavailable);
    let begun = Instant::now();
    until("time passes", async || {
        (begun.elapsed() > Duration::from_secs(1)).then_some(())
    })
    .await;
    home.database.restart().await;
    join_all((50..100).map(&publish)).await;
    for event in &events {
        until("delivered", async || {
            let reader = apps[1].db.reader().clone();
            let state: String =
                sqlx::query_scalar("select state from delivery where event_id = $1")
                    .bind(event.event.to_vec())
                    .fetch_one(&reader)
                    .await
                    .ok()?;
            (state == "delivered").then_some(())
        })
        .await;
    }
    let ids = ids(&[sink]);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 100);
    // What was in flight at that moment may have been told twice; it is few.
    assert!(ids.len() < 120, "{} attempts", ids.len());
}

/// The answers came while the database was away, and it stays away until every lease is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrived_during_a_long_outage_is_not_sent_again() {
    const EVENTS: usize = 6;
    // Long enough that a disk that is slow to sync makes no attempt late, and none wait in vain for its answer.
    const LEASE: Duration = Duration::from_secs(8);
    let home = Home::on(Database::that_may_die().await);
    let settings = format!("{FAST}\ntimeout = '3s'\nlease = '8s'\norigin_concurrency = 10");
    let apps = three(&home, &settings).await;
    let answer = Arc::new(Semaphore::new(0));
    let sink = {
        let answer = Arc::clone(&answer);
        Sink::start(move |_| Reply::Once(Arc::clone(&answer), 200)).await
    };
    let events: Vec<_> = (0..EVENTS).map(|_| event(&sink.url("/"))).collect();
    let publishing = (0..EVENTS).map(|n| apps[n % 3].publish_again(&events[n]));
    join_all(publishing).await;
    sink.saw(EVENTS).await;
    let begun = Instant::now();
    home.database.kill().await;
    answer.add_permits(EVENTS);
    until("every lease is over", async || {
        (begun.elapsed() > LEASE).then_some(())
    })
    .await;
    home.database.restart().await;
    let delivered =
        "select count(*) from delivery where state = 'delivered' and attempts = 1 and claims = 1";
    until("each is recorded", async || {
        let count = sqlx::query_scalar::<_, i64>(delivered).fetch_one(apps[0].db.reader());
        (count.await.ok()? == 6).then_some(())
    })
    .await;
    assert_eq!(sink.seen().len(), EVENTS);
}
