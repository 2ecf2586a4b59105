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
    house::{House, eventually},
};

on_both_engines! {
    files_end_with_their_time,
    what_a_process_was_at_when_it_died_is_deleted,
    whatever_stands_between_bytes_and_row_is_mended,
    so_many_come_at_once,
    one_that_was_given_up_is_not_kept,
}

async fn files_end_with_their_time(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_files("retention = '1500ms'");
    let running = house.start().await;
    let file = upload(&running, PNG).await.unwrap();
    assert_eq!(get(&running, id(&file)).await.unwrap(), file);
    eventually("it is kept no longer", async || {
        get(&running, id(&file)).await.is_err()
    })
    .await;
    assert!(running.db.now_micros() >= file.expires_at);
    nothing_is_left(&house, &running).await;
}

async fn what_a_process_was_at_when_it_died_is_deleted(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_files("timeout = '1s'");
    let mut apart = house.start_apart().await;
    let (sender, receiver) = mpsc::channel(2000);
    // So much that some of it is on the disk.
    let long = [PNG, &vec![0; 1_000_000]].concat();
    for part in parts(&apart.running, (mint(), &long), None) {
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
    assert!(on_disk(&house)[0].ends_with("#1"), "{:?}", on_disk(&house));
    let running = house.start().await;
    nothing_is_left(&house, &running).await;
    drop(sender);
}

async fn whatever_stands_between_bytes_and_row_is_mended(engine: Engine) {
    let house = Arc::new(House::new(engine, vec![]).await);
    let running = house.start().await;
    // A process that died behind the last byte and before the row; one that died before it had deleted what nobody finds any more.
    for state in ["coming", "going"] {
        let file = upload(&running, PNG).await.unwrap();
        std::fs::write(folder(&house).join(format!("{}#1", id(&file))), "x").unwrap();
        let changed: Result<(), db::Error> = running
            .db
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("update upload set state = $1, due_at = 1")
                        .bind(state)
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await;
        changed.unwrap();
        assert_eq!(
            get(&running, id(&file)).await.unwrap_err().code,
            code::NOT_FOUND
        );
        nothing_is_left(&house, &running).await;
    }
}

async fn so_many_come_at_once(engine: Engine) {
    let house = House::new(engine, vec![]).await.with_files("at_once = 1");
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
    let late: Result<(), db::Error> = running
        .db
        .write(|connection| {
            Box::pin(async move {
                let late = sqlx::query("update upload set due_at = 1");
                late.execute(connection).await?;
                Ok(())
            })
        })
        .await;
    late.unwrap();
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
