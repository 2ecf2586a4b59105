//! How long what tasks made is kept, how much of it, and what its customer deletes.

use db::Engine;
use domain::TaskId;
use proto::{
    Fault, code,
    media::v1::{DeleteOutputRequest, ReadOutputRequest, TaskSnapshot},
};
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::{
    database::on_both_engines,
    fakes::PNG,
    house::{House, Running, eventually},
};

on_both_engines! {
    an_output_is_deleted_and_its_task_stays,
    an_account_keeps_so_many_outputs,
    an_account_keeps_so_many_bytes_of_outputs,
    outputs_end_with_their_time,
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
