//! What only a server does: its clock, its limits, and commits that are none.

use chassis::Tasks;
use db::{Error, Limits};
use sqlx::Executor as _;
use tokio::time::Duration;

use crate::house::{House, ids, patient};

#[tokio::test]
async fn the_clock_is_the_server_s() {
    let house = House::postgres().await;
    for _ in 0..20 {
        let before = house.db.now_micros();
        let server: i64 = sqlx::query_scalar(
            "select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)",
        )
        .fetch_one(house.db.reader())
        .await
        .unwrap();
        let after = house.db.now_micros();
        // It is known to half the time an answer took; a busy machine answers slowly.
        let blur = 50_000;
        assert!(
            before - blur <= server && server <= after + blur,
            "{before} {server} {after}"
        );
    }
}

#[tokio::test]
async fn a_statement_that_runs_too_long_is_ended_by_the_server() {
    let mut house = House::postgres().await;
    let limits = Limits {
        statement_timeout: Duration::from_millis(100),
        ..patient()
    };
    let db = house
        .server()
        .connect(&limits, &Tasks::default())
        .await
        .unwrap();
    let slow: Result<(), Error> = db
        .write(|connection| {
            Box::pin(async move {
                connection.execute("select pg_sleep(60)").await?;
                Ok(())
            })
        })
        .await;
    let slow = slow.unwrap_err();
    assert!(slow.is_retriable() && !slow.is_away(), "{slow:?}");
}

#[tokio::test]
async fn a_commit_after_a_swallowed_failure_is_no_success() {
    let house = House::postgres().await;
    let swallowed: Result<(), Error> = house
        .db
        .write(|connection| {
            Box::pin(async move {
                sqlx::query("insert into thing (id) values (1)")
                    .execute(&mut *connection)
                    .await?;
                // Refused, and nobody looks.
                let again = sqlx::query("insert into thing (id) values (1)");
                let _ = again.execute(&mut *connection).await;
                Ok(())
            })
        })
        .await;
    assert!(matches!(swallowed, Err(Error::Sql(_))));
    assert!(ids(&house.db).await.is_empty());
}

#[tokio::test]
async fn more_than_the_pool_holds_are_told_that_it_is_busy() {
    let mut house = House::postgres().await;
    let limits = Limits {
        writers: 1,
        write_acquire_timeout: Duration::from_millis(50),
        ..patient()
    };
    let db = house
        .server()
        .connect(&limits, &Tasks::default())
        .await
        .unwrap();
    let waits = async |seconds: &'static str| -> Result<(), Error> {
        db.write(move |connection| {
            Box::pin(async move {
                connection.execute(seconds).await?;
                Ok(())
            })
        })
        .await
    };
    let (one, two) = tokio::join!(waits("select pg_sleep(1)"), waits("select pg_sleep(1)"));
    let busy = one.and(two).unwrap_err();
    assert!(busy.is_busy() && busy.is_retriable(), "{busy:?}");
}

#[tokio::test]
async fn every_connection_is_told_what_holds() {
    let house = House::postgres().await;
    let told: Result<Vec<String>, Error> = house
        .db
        .write(|connection| {
            Box::pin(async move {
                let mut told = Vec::new();
                for name in [
                    "search_path",
                    "transaction_isolation",
                    "synchronous_commit",
                    "statement_timeout",
                    "lock_timeout",
                    "idle_in_transaction_session_timeout",
                ] {
                    let asked = sqlx::query_scalar("select current_setting($1)").bind(name);
                    told.push(asked.fetch_one(&mut *connection).await?);
                }
                Ok(told)
            })
        })
        .await;
    assert_eq!(
        told.unwrap(),
        ["things", "read committed", "on", "5s", "2s", "3s"]
    );
}
