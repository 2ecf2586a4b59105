//! What the connection of a file promises on which work binds its rows itself, beside the other one.

use db::{Db, Error};
use futures::future::join_all;
use rusqlite::Connection;
use testkit::eventually;

use crate::house::{House, ids, insert};

async fn insert_row(db: &Db, id: i64) -> Result<(), Error> {
    let insert = move |connection: &Connection| {
        connection.execute("insert into thing (id, body) values (?1, x'0102')", [id])?;
        Ok(())
    };
    db.file().unwrap().write(insert).await
}

#[tokio::test]
async fn a_server_has_no_such_connection_and_a_file_has() {
    assert!(House::postgres().await.db.file().is_none());
    assert!(House::sqlite().await.db.file().is_some());
}

#[tokio::test]
async fn a_piece_is_all_or_nothing_and_writing_goes_on() {
    let house = House::sqlite().await;
    let db = &house.db;
    let file = db.file().unwrap();
    let refused: Result<(), Error> = file
        .write(|connection| {
            connection.execute("insert into thing (id) values (7)", [])?;
            Err(Error::Closed)
        })
        .await;
    assert!(matches!(refused, Err(Error::Closed)));
    let panicked: Result<(), Error> = file
        .write(|connection| {
            connection.execute("insert into thing (id) values (7)", [])?;
            panic!("on purpose")
        })
        .await;
    assert!(matches!(panicked, Err(Error::Panicked)));
    insert_row(db, 1).await.unwrap();
    insert(db, 2).await.unwrap();
    assert_eq!(ids(db).await, [1, 2]);
}

#[tokio::test]
async fn what_fails_is_told_apart() {
    let house = House::sqlite().await;
    let db = &house.db;
    insert_row(db, 1).await.unwrap();
    let taken = insert_row(db, 1).await.unwrap_err();
    assert!(taken.is_conflict() && !taken.is_retriable(), "{taken:?}");
    // A file that may not grow is as good as a full disk.
    let full: Result<(), Error> = db
        .file()
        .unwrap()
        .write(|connection| {
            connection.execute_batch(
                "pragma max_page_count = 1; insert into thing (id, body) values (2, zeroblob(1000000))",
            )?;
            Ok(())
        })
        .await;
    let full = full.unwrap_err();
    assert!(
        full.is_away() && full.is_retriable() && !full.is_conflict(),
        "{full:?}"
    );
    insert_row(db, 3).await.unwrap();
    assert_eq!(ids(db).await, [1, 3]);
}

#[tokio::test]
async fn work_whose_turn_has_come_goes_on_when_its_caller_goes_away() {
    let house = House::sqlite().await;
    let db = &house.db;
    let mut call = Box::pin(insert_row(db, 1));
    // Polled once: nobody else is writing.
    assert!(futures::poll!(&mut call).is_pending());
    drop(call);
    eventually("it is written", async || {
        Ok((ids(db).await == [1]).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_connections_take_turns() {
    const WRITERS: i64 = 8;
    const EACH: i64 = 40;
    let house = House::sqlite().await;
    let db = &house.db;
    insert(db, 0).await.unwrap();
    let writers = (0..WRITERS).map(async |writer| {
        for _ in 0..EACH {
            if writer % 2 == 0 {
                add_one(db).await;
            } else {
                add_one_row(db).await;
            }
        }
    });
    join_all(writers).await;
    assert_eq!(ids(db).await, [WRITERS * EACH]);
}

/// Reads, then writes what it read: nobody may come between.
async fn add_one(db: &Db) {
    let added: Result<(), Error> = db
        .write(|connection| {
            Box::pin(async move {
                let seen: i64 = sqlx::query_scalar("select id from thing")
                    .fetch_one(&mut *connection)
                    .await?;
                sqlx::query("update thing set id = $1")
                    .bind(seen + 1)
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await;
    added.unwrap();
}

async fn add_one_row(db: &Db) {
    let added: Result<(), Error> = db
        .file()
        .unwrap()
        .write(|connection| {
            let seen: i64 = connection.query_row("select id from thing", [], |row| row.get(0))?;
            connection.execute("update thing set id = ?1", [seen + 1])?;
            Ok(())
        })
        .await;
    added.unwrap();
}
