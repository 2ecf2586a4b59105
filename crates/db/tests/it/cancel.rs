//! Callers that go away at any moment leave no connection in a transaction.

use chassis::Tasks;
use testkit::eventually;
use tokio::time::{Duration, timeout};

use crate::house::{House, ids, insert, patient};

const CALLERS: i64 = 200;

/// Connections of this database that stand in a transaction nobody is at.
async fn stuck(house: &mut House) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where datname = current_database() and state like 'idle in transaction%'",
    )
    .fetch_one(&mut house.server().look().await)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_go_away() {
    let mut house = House::postgres().await;
    for id in 0..CALLERS {
        // Each goes away a little later than the one before, so that every step of a write is hit.
        let call = insert(&house.db, id);
        let _ = timeout(Duration::from_micros(id.unsigned_abs() * 20), call).await;
    }
    eventually("every write ended", async || {
        Ok((ids(&house.db).await.len() == 200).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(stuck(&mut house).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_go_away() {
    let mut house = House::postgres().await;
    let limits = db::Limits {
        // The server does not help.
        idle_in_transaction_timeout: Duration::from_secs(3_600),
        ..patient()
    };
    let tasks = Tasks::default();
    let db = house.server().connect(&limits, &tasks).await.unwrap();
    for wait in 0..CALLERS.unsigned_abs() {
        let reader = db.reader().clone();
        let begin = async move {
            let begun = reader.begin().await;
            drop(begun);
        };
        let _ = timeout(Duration::from_micros(wait * 10), begin).await;
    }
    eventually("nothing stands in a transaction", async || {
        Ok((stuck(&mut house).await == 0).then_some(()))
    })
    .await
    .unwrap();
    assert!(ids(&db).await.is_empty());
}

#[tokio::test]
async fn a_reader_that_is_well_is_used_again() {
    let mut house = House::postgres().await;
    let limits = db::Limits {
        readers: 1,
        ..patient()
    };
    let tasks = Tasks::default();
    let db = house.server().connect(&limits, &tasks).await.unwrap();
    let mut sessions = Vec::new();
    for _ in 0..5 {
        let session: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(db.reader())
            .await
            .unwrap();
        sessions.push(session);
    }
    sessions.dedup();
    assert_eq!(sessions.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_hangs_is_given_up_and_its_connection_closed() {
    let mut house = House::postgres().await;
    let limits = db::Limits {
        writers: 1,
        write_timeout: Duration::from_millis(200),
        ..patient()
    };
    let db = house
        .server()
        .connect(&limits, &Tasks::default())
        .await
        .unwrap();
    let hangs: Result<(), db::Error> = db
        .write(|connection| {
            Box::pin(async move {
                sqlx::query("insert into thing (id) values (7)")
                    .execute(connection)
                    .await?;
                std::future::pending().await
            })
        })
        .await;
    assert!(hangs.unwrap_err().is_away());
    // The only writer of the pool is replaced, and what the hanging one did is rolled back.
    insert(&db, 7).await.unwrap();
    assert_eq!(ids(&db).await, [7]);
    assert_eq!(stuck(&mut house).await, 0);
}
