//! What `write` promises, on both engines.

use db::{Db, Engine, Error, Limits};
use futures::future::join_all;
use testkit::eventually;

use crate::house::{House, MIGRATIONS, ids, insert, on_both_engines};

on_both_engines!(
    a_refused_piece_does_not_touch_its_neighbours,
    a_piece_is_all_or_nothing,
    a_panic_is_rolled_back_and_writing_goes_on,
    a_full_disk_is_a_moments_trouble,
    work_goes_on_when_its_caller_goes_away,
    many_writers_with_compare_and_set_lose_nothing,
    a_reader_cannot_write,
    a_stopping_process_waits_for_what_is_being_written,
);

async fn a_refused_piece_does_not_touch_its_neighbours(house: House) {
    let db = &house.db;
    let (one, again, two) = tokio::join!(insert(db, 1), insert(db, 1), insert(db, 2));
    two.unwrap();
    // Which of two equal ones is the first, nobody promises.
    let (kept, refused) = if one.is_ok() {
        (one, again)
    } else {
        (again, one)
    };
    kept.unwrap();
    let refused = refused.unwrap_err();
    assert!(
        refused.is_conflict() && !refused.is_retriable(),
        "{refused:?}"
    );
    assert_eq!(ids(db).await, [1, 2]);
}

async fn a_piece_is_all_or_nothing(house: House) {
    let refused: Result<(), Error> = house
        .db
        .write(|connection| {
            Box::pin(async move {
                sqlx::query("insert into thing (id) values (7)")
                    .execute(&mut *connection)
                    .await?;
                Err(Error::Closed)
            })
        })
        .await;
    assert!(matches!(refused, Err(Error::Closed)));
    insert(&house.db, 1).await.unwrap();
    assert_eq!(ids(&house.db).await, [1]);
}

async fn a_full_disk_is_a_moments_trouble(house: House) {
    // A file that may not grow is as good as a full disk; a server can only be made to say so.
    let (engine, db) = (house.db.engine(), &house.db);
    let fill: &[&str] = match engine {
        Engine::Sqlite => &[
            "pragma max_page_count = 1",
            "insert into thing (id, body) values (1, zeroblob(1000000))",
        ],
        Engine::Postgres => &["do $$ begin raise exception using errcode = 'disk_full'; end $$"],
    };
    let full: Result<(), Error> = db
        .write(move |connection| {
            Box::pin(async move {
                for statement in fill {
                    sqlx::query(*statement).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .await;
    let full = full.unwrap_err();
    assert!(
        full.is_away() && full.is_retriable() && !full.is_busy(),
        "{full:?}"
    );
    insert(db, 2).await.unwrap();
    assert_eq!(ids(db).await, [2]);
}

async fn a_panic_is_rolled_back_and_writing_goes_on(house: House) {
    let panicked: Result<(), Error> = house
        .db
        .write(|connection| {
            Box::pin(async move {
                sqlx::query("insert into thing (id) values (7)")
                    .execute(connection)
                    .await?;
                panic!("on purpose")
            })
        })
        .await;
    assert!(matches!(panicked, Err(Error::Panicked)));
    insert(&house.db, 1).await.unwrap();
    assert_eq!(ids(&house.db).await, [1]);
}

async fn work_goes_on_when_its_caller_goes_away(house: House) {
    for id in 0..50 {
        let mut call = Box::pin(insert(&house.db, id));
        // Polled once, so that it is queued, and dropped.
        let _ = futures::poll!(&mut call);
    }
    eventually("everything is written", async || {
        Ok((ids(&house.db).await.len() == 50).then_some(()))
    })
    .await
    .unwrap();
}

async fn many_writers_with_compare_and_set_lose_nothing(house: House) {
    const WRITERS: i64 = 8;
    const EACH: i64 = 25;
    insert(&house.db, 0).await.unwrap();
    let (one, two) = (house.db.clone(), house.another().await);
    let writers = (0..WRITERS).map(|writer| {
        let db = if writer % 2 == 0 {
            one.clone()
        } else {
            two.clone()
        };
        async move {
            for _ in 0..EACH {
                while !add_one(&db).await.unwrap() {}
            }
        }
    });
    join_all(writers).await;
    assert_eq!(ids(&house.db).await, [WRITERS * EACH]);
}

/// Reads, decides and writes; `false` when somebody else was faster.
async fn add_one(db: &Db) -> Result<bool, Error> {
    db.write(|connection| {
        Box::pin(async move {
            let seen: i64 = sqlx::query_scalar("select id from thing")
                .fetch_one(&mut *connection)
                .await?;
            let done = sqlx::query("update thing set id = $1 where id = $2")
                .bind(seen + 1)
                .bind(seen)
                .execute(connection)
                .await?;
            Ok(done.rows_affected() == 1)
        })
    })
    .await
}

async fn a_reader_cannot_write(house: House) {
    let refused = sqlx::query("insert into thing (id) values (1)")
        .execute(house.db.reader())
        .await;
    assert!(refused.is_err());
    assert!(ids(&house.db).await.is_empty());
}

async fn a_stopping_process_waits_for_what_is_being_written(house: House) {
    if house.db.is_embedded() {
        // A file is written by a loop that may be cut between two commits; what was answered is there.
        insert(&house.db, 1).await.unwrap();
    } else {
        let mut call = Box::pin(insert(&house.db, 1));
        let _ = futures::poll!(&mut call);
        drop(call);
    }
    assert!(house.tasks.stop(testkit::PATIENCE).await);
    assert_eq!(ids(&house.db).await, [1]);
}

#[tokio::test]
async fn what_was_answered_is_in_the_file_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let open = async || {
        let tasks = chassis::Tasks::default();
        Db::open(&path, MIGRATIONS, &Limits::default(), &tasks)
            .await
            .unwrap()
    };
    insert(&open().await, 1).await.unwrap();
    assert_eq!(ids(&open().await).await, [1]);
}
