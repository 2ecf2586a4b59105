//! What is left of files that customers upload: when their time is over, when processes die, and when others think that they did.

use std::{pin::pin, sync::Arc};

use chassis::mint;
use db::Engine;
use futures::{StreamExt as _, stream};
use proto::{
    Fault, code,
    media::v1::{ListFilesRequest, UploadPart},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    database::on_both_engines,
    files::{PNG, end, folder, get, id, list, nothing_is_left, on_disk, parts, rows, upload},
    house::{House, Running, eventually},
};

on_both_engines! {
    files_end_with_their_time,
    what_a_process_was_at_when_it_died_is_deleted,
    whatever_stands_between_bytes_and_row_is_mended,
    so_many_come_at_once,
    so_many_of_an_account_come_at_once,
    one_that_was_given_up_is_not_kept,
}

/// Sets all files' times.
pub(crate) async fn set(running: &Running, change: &'static str) {
    let changed: Result<(), db::Error> = running
        .db
        .write(move |connection| {
            Box::pin(async move {
                let change = sqlx::AssertSqlSafe(format!("update upload set {change}"));
                sqlx::query(change).execute(connection).await?;
                Ok(())
            })
        })
        .await;
    changed.unwrap();
}

async fn files_end_with_their_time(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let file = upload(&running, PNG).await.unwrap();
    // A sweep has not come to it yet.
    set(&running, "expires_at = 1").await;
    let nine = ListFilesRequest {
        limit: 9,
        ..Default::default()
    };
    assert!(list(&running, nine).await.is_empty());
    let gone = get(&running, id(&file)).await.unwrap_err();
    assert_eq!(gone.code, code::NOT_FOUND);
    assert_eq!(rows(&running).await, 1);
    set(&running, "due_at = expires_at").await;
    nothing_is_left(&house, &running).await;
}

async fn what_a_process_was_at_when_it_died_is_deleted(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let mut apart = house.start_apart().await;
    let (sender, receiver) = mpsc::channel(2000);
    // So much that some of it is on the disk.
    let long = [PNG, &vec![0; 1_000_000]].concat();
    let id = mint();
    for part in parts(&apart.running, (id, &long), None) {
        sender.send(part).await.unwrap();
    }
    {
        let mut files = apart.running.files.clone();
        let mut call = pin!(files.upload(ReceiverStream::new(receiver)));
        eventually("its bytes are coming", async || {
            assert!(futures::poll!(call.as_mut()).is_pending());
            !on_disk(&house).is_empty()
        })
        .await;
        apart.kill();
    }
    // What a runtime that is dropped may tidy up, a process that is killed leaves.
    std::fs::write(folder(&house).join(format!("{id}#1")), "x").unwrap();
    let running = house.start().await;
    if engine == Engine::Postgres {
        // Others may be at it, until its time is over.
        assert_eq!(rows(&running).await, 1);
        set(&running, "due_at = 1").await;
    }
    nothing_is_left(&house, &running).await;
    drop(sender);
}

async fn whatever_stands_between_bytes_and_row_is_mended(engine: Engine) {
    let house = Arc::new(House::new(engine, vec![]).await);
    let running = house.start().await;
    // A process that died behind the last byte and before the row; one that died before it had deleted what nobody finds any more.
    for state in [
        "state = 'coming', due_at = 1",
        "state = 'going', due_at = 1",
    ] {
        let file = upload(&running, PNG).await.unwrap();
        std::fs::write(folder(&house).join(format!("{}#1", id(&file))), "x").unwrap();
        set(&running, state).await;
        assert_eq!(
            get(&running, id(&file)).await.unwrap_err().code,
            code::NOT_FOUND
        );
        nothing_is_left(&house, &running).await;
    }
}

async fn so_many_come_at_once(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_files("coming.at_once = 1");
    let running = house.start().await;
    let (sender, receiver) = mpsc::channel(9);
    let mut first = parts(&running, (mint(), PNG), Some(end()));
    let last = first.pop().unwrap();
    for part in first {
        sender.send(part).await.unwrap();
    }
    let mut files = running.files.clone();
    let mut call = pin!(files.upload(ReceiverStream::new(receiver)));
    eventually("it is coming", async || {
        assert!(futures::poll!(call.as_mut()).is_pending());
        rows(&running).await == 1
    })
    .await;
    let fault = upload(&running, PNG).await.unwrap_err();
    assert_eq!(fault.code, code::OVERLOADED);
    assert!(fault.retry_after.is_some());
    sender.send(last).await.unwrap();
    call.await.unwrap();
    upload(&running, PNG).await.unwrap();
    let two = ListFilesRequest {
        limit: 9,
        ..Default::default()
    };
    assert_eq!(list(&running, two).await.len(), 2);
    let ended = stream::iter(Vec::<UploadPart>::new());
    let nothing = running.files.clone().upload(ended.boxed()).await;
    assert_eq!(Fault::from(nothing.unwrap_err()).code, code::INTERNAL);
}

async fn so_many_of_an_account_come_at_once(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_files("coming.at_once_per_account = 2");
    let running = house.start().await;
    let mut senders = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..2 {
        let (sender, receiver) = mpsc::channel(9);
        for part in parts(&running, (mint(), PNG), None) {
            sender.send(part).await.unwrap();
        }
        senders.push(sender);
        let mut files = running.files.clone();
        calls.push(Box::pin(async move {
            files.upload(ReceiverStream::new(receiver)).await
        }));
    }
    eventually("both are coming", async || {
        for call in &mut calls {
            assert!(futures::poll!(call.as_mut()).is_pending());
        }
        rows(&running).await == 2
    })
    .await;
    let fault = upload(&running, PNG).await.unwrap_err();
    assert_eq!(fault.code, code::OVERLOADED);
    assert!(fault.retry_after.is_some());
    assert!(fault.message.contains("2 files"), "{}", fault.message);
    // Nobody else notices.
    upload(&running.stranger(), PNG).await.unwrap();
    upload(&running.live(), PNG).await.unwrap();
    // One that is cut gives its place back, and one that ends does.
    drop(senders.pop());
    calls.pop().unwrap().await.unwrap_err();
    upload(&running, PNG).await.unwrap();
    let last = parts(&running, (mint(), PNG), Some(end())).pop().unwrap();
    senders.pop().unwrap().send(last).await.unwrap();
    calls.pop().unwrap().await.unwrap();
    upload(&running, PNG).await.unwrap();
}

async fn one_that_was_given_up_is_not_kept(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let (sender, receiver) = mpsc::channel(9);
    let mut first = parts(&running, (mint(), PNG), Some(end()));
    let last = first.pop().unwrap();
    for part in first {
        sender.send(part).await.unwrap();
    }
    let mut files = running.files.clone();
    let mut call = pin!(files.upload(ReceiverStream::new(receiver)));
    eventually("it is coming", async || {
        assert!(futures::poll!(call.as_mut()).is_pending());
        !on_disk(&house).is_empty()
    })
    .await;
    // As if its process had stood still for too long.
    set(&running, "due_at = 1").await;
    nothing_is_left(&house, &running).await;
    sender.send(last).await.unwrap();
    call.await.unwrap_err();
    nothing_is_left(&house, &running).await;
    let all = ListFilesRequest {
        limit: 9,
        ..Default::default()
    };
    assert!(list(&running, all).await.is_empty());
}
