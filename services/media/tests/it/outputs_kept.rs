//! How long what tasks made is kept, how much of it, and what its customer deletes.

use db::Engine;
use domain::TaskId;
use proto::{
    Fault, code,
    media::v1::{
        DeleteOutputRequest, GetRetentionRequest, ReadOutputRequest, Retention,
        SetRetentionRequest, TaskSnapshot, UploadEnd,
    },
};
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::{
    database::on_both_engines,
    fakes::PNG,
    files::{end, parts},
    house::{House, Running, eventually},
};

/// Seconds of a day, and microseconds.
const DAYS: u64 = 24 * 3600;
const DAY: i64 = 24 * 3600 * 1_000_000;

on_both_engines! {
    an_output_is_deleted_and_its_task_stays,
    an_account_keeps_so_many_outputs,
    an_account_keeps_so_many_bytes_of_outputs,
    outputs_end_with_their_time,
    uploads_are_kept_as_long_as_an_operator_says,
    outputs_are_kept_as_long_as_an_operator_says,
}

async fn delete(running: &Running, task: TaskId, index: u32) -> Result<TaskSnapshot, Fault> {
    let request = DeleteOutputRequest {
        context: Some(running.context()),
        task_id: task.to_vec().into(),
        index,
    };
    let deleted = running.client.clone().delete_output(request).await;
    deleted
        .map(tonic::Response::into_inner)
        .map_err(Fault::from)
}

/// Whether the link of the first output leads somewhere.
async fn is_read(running: &Running, task: TaskId) -> bool {
    let request = ReadOutputRequest {
        task_id: task.to_vec().into(),
        ..ReadOutputRequest::default()
    };
    match running.client.clone().read_output(request).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(Fault::from(status).code, code::NOT_FOUND);
            false
        }
    }
}

/// What accounts keep: files, bytes.
async fn kept(running: &Running) -> (i64, i64) {
    let sums = "select cast(coalesce(sum(files), 0) as bigint) as files, cast(coalesce(sum(bytes), 0) as bigint) as bytes from output_room";
    let row = sqlx::query(sums)
        .fetch_one(running.db.reader())
        .await
        .unwrap();
    (row.get("files"), row.get("bytes"))
}

async fn nothing_is_left(house: &House, running: &Running, task: TaskId) {
    let folder = house.database.directory().join("outputs");
    let folder = folder.join(task.to_string());
    eventually("nothing is left of it", async || {
        std::fs::read_dir(&folder).map_or(0, Iterator::count) == 0 && kept(running).await == (0, 0)
    })
    .await;
}

async fn completed(running: &Running) -> TaskId {
    let task = running.accepted().await;
    running.reaches(task, "completed").await;
    task
}

async fn an_output_is_deleted_and_its_task_stays(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let task = completed(&running).await;
    let before = running.view(task).await.unwrap();
    assert_eq!(kept(&running).await, (1, i64::try_from(PNG.len()).unwrap()));
    for (who, index) in [
        (&running.stranger(), 0),
        (&running.live(), 0),
        (&running, 1),
    ] {
        let fault = delete(who, task, index).await.unwrap_err();
        assert_eq!(fault.code, code::NOT_FOUND);
    }
    assert!(is_read(&running, task).await);
    let snapshot = delete(&running, task, 0).await.unwrap();
    let view: Value = serde_json::from_slice(&snapshot.view).unwrap();
    assert_eq!(
        (&view["status"], &view["response"], &view["output"]),
        (&json!("completed"), &json!([]), &json!([]))
    );
    assert_eq!(view["consumed_credits"], before["consumed_credits"]);
    assert!(view["sequence"].as_i64() > before["sequence"].as_i64());
    assert_eq!(running.view(task).await.unwrap(), view);
    assert!(!is_read(&running, task).await);
    let again = delete(&running, task, 0).await.unwrap_err();
    assert_eq!(again.code, code::NOT_FOUND);
    nothing_is_left(&house, &running, task).await;
}

async fn is_full(running: &Running) -> bool {
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    let quoted = running.quote(running.request(&body.to_string(), "")).await;
    match running.submit(&body, "").await {
        Ok(_) => {
            quoted.unwrap();
            false
        }
        Err(fault) => {
            assert_eq!(fault.code, code::OUTPUT_ROOM_FULL);
            assert_eq!(quoted.unwrap_err().message, fault.message);
            true
        }
    }
}

async fn an_account_keeps_so_many_outputs(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let house = house.with_outputs("max_files = 2");
    let running = house.start().await;
    let first = completed(&running).await;
    completed(&running).await;
    let holds = house.billing.holds();
    assert!(is_full(&running).await);
    assert_eq!(house.billing.holds(), holds, "nothing is held");
    // Others have rooms of their own.
    assert!(!is_full(&running.stranger()).await);
    delete(&running, first, 0).await.unwrap();
    assert!(!is_full(&running).await);
}

async fn an_account_keeps_so_many_bytes_of_outputs(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let house = house.with_outputs("max_total_bytes = 66");
    let running = house.start().await;
    let task = completed(&running).await;
    assert!(is_full(&running).await);
    delete(&running, task, 0).await.unwrap();
    assert!(!is_full(&running).await);
}

async fn outputs_end_with_their_time(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let task = completed(&running).await;
    // As a deletion stands whose process died.
    let expired: Result<(), db::Error> = running
        .db
        .write(|connection| {
            Box::pin(async move {
                let change = sqlx::query("update output set expires_at = 1");
                change.execute(connection).await?;
                Ok(())
            })
        })
        .await;
    expired.unwrap();
    assert_eq!(running.view(task).await.unwrap()["output"], json!([]));
    assert!(!is_read(&running, task).await);
    nothing_is_left(&house, &running, task).await;
}

/// Says how long the account's files are kept, in seconds.
async fn say(running: &Running, (outputs, files): (u64, u64)) -> Result<Retention, Fault> {
    let request = SetRetentionRequest {
        account_id: running.context().account_id,
        retention: Some(Retention { outputs, files }),
        by: None,
    };
    let said = running.operators.clone().set_retention(request).await;
    said.map(tonic::Response::into_inner).map_err(Fault::from)
}

/// Days that an upload is kept for which is wanted for so many seconds.
async fn upload_days(running: &Running, expires_after: u64) -> Result<i64, Fault> {
    let end = UploadEnd {
        expires_after,
        ..end()
    };
    let parts = parts(running, (chassis::mint(), PNG), Some(end));
    let mut files = running.files.clone();
    let uploaded = files.upload(futures::stream::iter(parts)).await;
    let file = uploaded.map_err(Fault::from)?.into_inner();
    Ok((file.expires_at - file.created_at) / DAY)
}

/// Days from the end of a task until its output is kept no longer: rounded down, and it was fetched a moment before that end.
async fn output_days(running: &Running, task: TaskId) -> i64 {
    let kept = "select (expires_at - completed_at + 60000000) / 86400000000 from output join task on task.id = task_id where task_id = $1";
    sqlx::query_scalar(kept)
        .bind(task.to_vec())
        .fetch_one(running.db.reader())
        .await
        .unwrap()
}

async fn uploads_are_kept_as_long_as_an_operator_says(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let other = running.stranger();
    assert_eq!(upload_days(&running, 0).await.unwrap(), 30);
    say(&running, (90 * DAYS, 7 * DAYS)).await.unwrap();
    assert_eq!(upload_days(&running, 0).await.unwrap(), 7);
    let longer = upload_days(&running, 8 * DAYS).await.unwrap_err();
    let told = "be from 3600 to 604800";
    assert!(longer.message.ends_with(told), "{}", longer.message);
    assert_eq!(upload_days(&other, 0).await.unwrap(), 30);
    for wrong in [u64::MAX, 11 * 366 * DAYS] {
        let fault = say(&running, (wrong, 0)).await.unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("outputs"));
    }
    let request = GetRetentionRequest {
        account_id: running.context().account_id,
    };
    let said = running.operators.clone().get_retention(request).await;
    let said = said.unwrap().into_inner();
    assert_eq!((said.outputs, said.files), (90 * DAYS, 7 * DAYS));
    say(&running, (0, 0)).await.unwrap();
    assert_eq!(upload_days(&running, 8 * DAYS).await.unwrap(), 8);
}

async fn outputs_are_kept_as_long_as_an_operator_says(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let usual = completed(&running).await;
    say(&running, (90 * DAYS, 0)).await.unwrap();
    let long = completed(&running).await;
    let theirs = completed(&running.stranger()).await;
    for (task, days) in [(usual, 14), (long, 90), (theirs, 14)] {
        assert_eq!(output_days(&running, task).await, days);
    }
    say(&running, (1, 0)).await.unwrap();
    let short = completed(&running).await;
    let folder = house.database.directory().join("outputs");
    eventually("its bytes are gone", async || {
        let folder = folder.join(short.to_string());
        std::fs::read_dir(folder).map_or(0, Iterator::count) == 0
    })
    .await;
    assert!(!is_read(&running, short).await);
    assert!(is_read(&running, usual).await);
    say(&running, (0, 0)).await.unwrap();
    let usual = completed(&running).await;
    assert_eq!(output_days(&running, usual).await, 14);
}
