//! The server is killed and comes back.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use chassis::Tasks;
use db::Limits;
use futures::future::join_all;
use testkit::{eventually, servers::Postgres};
use tokio::time::Duration;

use crate::house::{House, Server, ids, insert, patient};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_under_load_loses_nothing_that_was_answered() {
    let mut house = House::on(Postgres::start().await.unwrap()).await;
    let (db, next) = (house.db.clone(), Arc::new(AtomicI64::new(0)));
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(Mutex::new(Vec::new())),
    );
    let writers = join_all((0..24).map(|_| {
        let (db, next, stop, answered) = (
            db.clone(),
            Arc::clone(&next),
            Arc::clone(&stop),
            Arc::clone(&answered),
        );
        async move {
            while !stop.load(Ordering::Relaxed) {
                let id = next.fetch_add(1, Ordering::Relaxed);
                match insert(&db, id).await {
                    Ok(()) => answered.lock().unwrap().push(id),
                    Err(error) => assert!(error.is_away() && error.is_retriable(), "{error:?}"),
                }
            }
        }
    }));
    let count = || answered.lock().unwrap().len();
    let havoc = async {
        for _ in 0..2 {
            let before = count();
            eventually("it is written", async || {
                Ok((count() > before + 200).then_some(()))
            })
            .await
            .unwrap();
            house.server().postgres.kill().unwrap();
            house.server().postgres.restart().await.unwrap();
        }
        let before = count();
        eventually("it is written again", async || {
            Ok((count() > before + 200).then_some(()))
        })
        .await
        .unwrap();
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(writers, havoc);
    let kept = ids(&db).await;
    let mut answered = answered.lock().unwrap().clone();
    answered.sort_unstable();
    let lost: Vec<_> = answered
        .iter()
        .filter(|id| kept.binary_search(id).is_err())
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_died_while_idle_harm_no_writer() {
    let mut house = House::on(Postgres::start().await.unwrap()).await;
    let db = house.db.clone();
    for inserted in join_all((0..8).map(|id| insert(&db, id))).await {
        inserted.unwrap();
    }
    house.server().postgres.restart().await.unwrap();
    for inserted in join_all((8..16).map(|id| insert(&db, id))).await {
        inserted.unwrap();
    }
    assert_eq!(db.alone("tidy", async || ()).await.unwrap(), Some(()));
    // A reader that was used a moment before the server died may say so once.
    eventually("reading works", async || {
        let things = sqlx::query("select id from thing").fetch_all(db.reader());
        Ok(things.await.ok().filter(|things| things.len() == 16))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_waits_for_a_server_that_is_not_there_yet() {
    let mut house = House::on(Postgres::start().await.unwrap()).await;
    let server = house.server();
    server.postgres.kill().unwrap();
    let impatient = Limits {
        start_timeout: Duration::from_millis(300),
        ..patient()
    };
    let away = server
        .connect(&impatient, &Tasks::default())
        .await
        .unwrap_err();
    assert!(away.is_away(), "{away:?}");
    let Server { postgres, url, .. } = server;
    let role = db::Postgres {
        url: domain::Secret::new(url.clone()),
        schema: "things",
    };
    let (tasks, limits) = (Tasks::default(), Limits::default());
    let connecting = db::Db::connect(&role, crate::house::MIGRATIONS, &limits, &tasks);
    let (connected, restarted) = tokio::join!(connecting, postgres.restart());
    restarted.unwrap();
    insert(&connected.unwrap(), 1).await.unwrap();
}
