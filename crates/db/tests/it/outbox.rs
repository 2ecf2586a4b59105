//! What the outbox and its relays promise, on both engines.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use chassis::{Tasks, config::Settings};
use db::{
    Db, Deliver, Error, Relay, RetryLater,
    outbox::{self, NewRow},
};
use testkit::{PATIENCE, eventually};
use tokio::sync::Notify;

use crate::house::{House, on_both_engines};

const TOPIC: &str = "settle";

on_both_engines!(
    a_row_is_told_until_it_is_taken_and_then_no_more,
    three_relays_tell_each_row_once,
    a_claim_runs_out,
    a_claim_of_a_dead_process_can_be_ended,
);

fn relay(db: &Db, claim: &str) -> Relay {
    let settings = Settings::from_toml(&format!(
        "[outbox]\nmax_backoff = '1ms'\nclaim = '{claim}'\nbatch = 20"
    ));
    Relay::new(db.clone(), settings.section("outbox").unwrap(), &[TOPIC])
}

async fn enqueue(db: &Db, id: u8) {
    let row = NewRow {
        id: [id; 16],
        topic: TOPIC,
        subject: [9; 16],
        payload: vec![id],
    };
    let now = db.now_micros();
    let written: Result<(), Error> = db
        .write(move |connection| {
            Box::pin(async move { Ok(outbox::enqueue(connection, row, now).await?) })
        })
        .await;
    written.unwrap();
}

/// Takes everything, at once.
fn takes() -> Deliver {
    Arc::new(|_row| Box::pin(std::future::ready(Ok(()))))
}

/// Claims what is due, and dies before it is told.
async fn claim_and_die(relay: &Relay) {
    let reached = Arc::new(Notify::new());
    let told = Arc::clone(&reached);
    let deliver: Deliver = Arc::new(move |_row| {
        told.notify_one();
        Box::pin(std::future::pending())
    });
    tokio::select! {
        ended = relay.step(TOPIC, &deliver) => panic!("it should hang: {ended:?}"),
        () = reached.notified() => {}
    }
}

async fn a_row_is_told_until_it_is_taken_and_then_no_more(house: House) {
    let relay = relay(&house.db, "60s");
    enqueue(&house.db, 1).await;
    enqueue(&house.db, 2).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let deliver: Deliver = {
        let seen = Arc::clone(&seen);
        Arc::new(move |row| {
            seen.lock()
                .unwrap()
                .push((row.payload.clone(), row.attempts));
            assert_eq!((row.subject, row.trace.as_str()), ([9; 16], ""));
            // The first row is refused twice.
            let outcome = if row.payload == [1] && row.attempts < 2 {
                Err(RetryLater)
            } else {
                Ok(())
            };
            Box::pin(std::future::ready(outcome))
        })
    };
    eventually("both rows are taken", async || {
        relay.step(TOPIC, &deliver).await?;
        Ok((seen.lock().unwrap().len() >= 4).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(relay.step(TOPIC, &deliver).await.unwrap(), 0);
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_unstable();
    let expected = [(1_u8, 0), (1, 1), (1, 2), (2, 0)].map(|(id, tries)| (vec![id], tries));
    assert_eq!(seen, expected);
}

async fn three_relays_tell_each_row_once(house: House) {
    const ROWS: u8 = 200;
    let told = Arc::new(Mutex::new(BTreeMap::new()));
    let deliver: Deliver = {
        let told = Arc::clone(&told);
        Arc::new(move |row| {
            *told.lock().unwrap().entry(row.id).or_insert(0) += 1;
            Box::pin(async {
                tokio::task::yield_now().await;
                Ok(())
            })
        })
    };
    let stop = Tasks::default();
    let mut relays = Vec::new();
    for _ in 0..3 {
        let relay = relay(&house.another().await, "60s");
        relay.run(&stop, &deliver);
        relays.push(relay);
    }
    for id in 0..ROWS {
        enqueue(&house.db, id).await;
        relays.iter().for_each(Relay::ring);
    }
    let left = async || -> anyhow::Result<Option<()>> {
        let rows: i64 = sqlx::query_scalar("select count(*) from outbox")
            .fetch_one(house.db.reader())
            .await?;
        Ok((rows == 0).then_some(()))
    };
    eventually("everything is told", left).await.unwrap();
    assert!(stop.stop(PATIENCE).await);
    let told = told.lock().unwrap();
    assert_eq!(told.len(), usize::from(ROWS));
    assert!(told.values().all(|times| *times == 1), "{told:?}");
}

async fn a_claim_runs_out(house: House) {
    enqueue(&house.db, 1).await;
    claim_and_die(&relay(&house.db, "50ms")).await;
    let other = relay(&house.another().await, "50ms");
    eventually("another relay tells it", async || {
        Ok((other.step(TOPIC, &takes()).await? == 1).then_some(()))
    })
    .await
    .unwrap();
}

async fn a_claim_of_a_dead_process_can_be_ended(house: House) {
    let relay = relay(&house.db, "1h");
    enqueue(&house.db, 1).await;
    claim_and_die(&relay).await;
    assert_eq!(relay.step(TOPIC, &takes()).await.unwrap(), 0);
    let forgot: Result<(), Error> = house
        .db
        .write(|connection| Box::pin(async move { Ok(outbox::forget_claims(connection).await?) }))
        .await;
    forgot.unwrap();
    assert_eq!(relay.step(TOPIC, &takes()).await.unwrap(), 1);
}
