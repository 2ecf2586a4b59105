//! The table `output`: one function per statement.

use std::collections::HashMap;

use chassis::secrets::Sealer;
use domain::{AccountId, Mode, TaskId};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _, any::AnyRow};

use crate::{
    Error,
    task::{Output, Task},
};

/// The columns of an [`Output`].
const COLUMNS: &str =
    "number, content_type, bytes, sha256, width, height, duration_millis, expires_at, about";

/// The place a sealed column belongs to.
fn place(task: TaskId, number: u32) -> Vec<u8> {
    format!("output/{task}/{number}/about").into_bytes()
}

/// Notes a stored file.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    of: &Task,
    output: &Output,
    sealer: &Sealer,
) -> Result<(), Error> {
    let task = of.id;
    let about = output.about.as_ref();
    let about = about
        .map(|about| {
            let text = serde_json::to_vec(about)?;
            Ok::<_, Error>(sealer.seal(&place(task, output.number), &text)?)
        })
        .transpose()?;
    sqlx::query(
        "insert into output (task_id, number, content_type, bytes, sha256, width, height, duration_millis, expires_at, about)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(task.to_vec())
    .bind(i64::from(output.number))
    .bind(output.content_type.as_str())
    .bind(i64::try_from(output.bytes).unwrap_or(i64::MAX))
    .bind(output.sha256.as_str())
    .bind(output.width.map(i64::from))
    .bind(output.height.map(i64::from))
    .bind(output.duration_millis.and_then(|millis| i64::try_from(millis).ok()))
    .bind(output.expires_at)
    .bind(about)
    .execute(&mut *connection)
    .await?;
    let bytes = i64::try_from(output.bytes).unwrap_or(i64::MAX);
    sqlx::query(
        "insert into output_room (account, mode, files, bytes) values ($1, $2, 1, $3)
         on conflict (account, mode) do update
         set files = output_room.files + 1, bytes = output_room.bytes + excluded.bytes",
    )
    .bind(of.account.to_vec())
    .bind(of.mode.as_str())
    .bind(bytes)
    .execute(connection)
    .await?;
    Ok(())
}

/// A task's files, in order.
pub(crate) async fn of_task(
    pool: &AnyPool,
    task: TaskId,
    sealer: &Sealer,
) -> Result<Vec<Output>, Error> {
    Ok(of_tasks(pool, &[task], sealer)
        .await?
        .remove(&task)
        .unwrap_or_default())
}

/// The files of these tasks, in order.
pub(crate) async fn of_tasks(
    pool: &AnyPool,
    tasks: &[TaskId],
    sealer: &Sealer,
) -> Result<HashMap<TaskId, Vec<Output>>, Error> {
    let mut found: HashMap<TaskId, Vec<Output>> = HashMap::new();
    if tasks.is_empty() {
        return Ok(found);
    }
    let places: Vec<String> = (1..=tasks.len()).map(|place| format!("${place}")).collect();
    let sql = format!(
        "select task_id, {COLUMNS} from output where task_id in ({}) order by task_id, number",
        places.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for id in tasks {
        query = query.bind(id.to_vec());
    }
    for row in &query.fetch_all(pool).await? {
        let task = super::task::id(row, "task_id")?;
        found
            .entry(task)
            .or_default()
            .push(read(row, task, sealer)?);
    }
    Ok(found)
}

/// Files that are kept no longer at `now`.
pub(crate) async fn expired(pool: &AnyPool, now: i64) -> Result<Vec<(TaskId, u32)>, Error> {
    let rows = sqlx::query("select task_id, number from output where expires_at <= $1 limit 500")
        .bind(now)
        .fetch_all(pool)
        .await?;
    rows.iter()
        .map(|row| Ok((super::task::id(row, "task_id")?, number(row)?)))
        .collect()
}

/// From now on nobody finds the file. `false`: nobody did before.
pub(crate) async fn let_go(
    connection: &mut AnyConnection,
    task: TaskId,
    number: u32,
    now: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update output set expires_at = $3 where task_id = $1 and number = $2 and expires_at > $3",
    )
    .bind(task.to_vec())
    .bind(i64::from(number))
    .bind(now)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    // Customers see it.
    sqlx::query("update task set version = version + 1 where id = $1")
        .bind(task.to_vec())
        .execute(connection)
        .await?;
    Ok(true)
}

/// What an account keeps in a mode: files, and bytes of them.
pub(crate) async fn kept(
    pool: &AnyPool,
    (account, mode): (AccountId, Mode),
) -> Result<(u64, u64), Error> {
    let row = sqlx::query("select files, bytes from output_room where account = $1 and mode = $2")
        .bind(account.to_vec())
        .bind(mode.as_str())
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok((0, 0)) };
    let figure = |column| -> Result<u64, Error> {
        Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
    };
    Ok((figure("files")?, figure("bytes")?))
}

/// Forgets a file that is gone from the store; its room is free again.
pub(crate) async fn forget(
    connection: &mut AnyConnection,
    task: TaskId,
    number: u32,
) -> Result<(), Error> {
    let row = sqlx::query("delete from output where task_id = $1 and number = $2 returning bytes")
        .bind(task.to_vec())
        .bind(i64::from(number))
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(()) };
    sqlx::query(
        "update output_room set files = files - 1, bytes = bytes - $2
         where (account, mode) in (select account, mode from task where id = $1)",
    )
    .bind(task.to_vec())
    .bind(row.try_get::<i64, _>("bytes")?)
    .execute(connection)
    .await?;
    Ok(())
}

fn read(row: &AnyRow, task: TaskId, sealer: &Sealer) -> Result<Output, Error> {
    let millis: Option<i64> = row.try_get("duration_millis")?;
    let number = number(row)?;
    let about: Option<Vec<u8>> = row.try_get("about")?;
    // Without the key that sealed it, a file is still a file.
    let about = about.and_then(|about| {
        let text = sealer.open(&place(task, number), &about).ok()?;
        serde_json::from_slice(&text).ok()
    });
    Ok(Output {
        number,
        content_type: row.try_get("content_type")?,
        bytes: u64::try_from(row.try_get::<i64, _>("bytes")?).unwrap_or(0),
        sha256: row.try_get("sha256")?,
        width: pixels(row, "width")?,
        height: pixels(row, "height")?,
        duration_millis: millis.and_then(|millis| u64::try_from(millis).ok()),
        expires_at: row.try_get("expires_at")?,
        about,
    })
}

pub(super) fn pixels(row: &AnyRow, column: &str) -> Result<Option<u32>, Error> {
    let value: Option<i64> = row.try_get(column)?;
    Ok(value.and_then(|value| u32::try_from(value).ok()))
}

pub(super) fn number(row: &AnyRow) -> Result<u32, Error> {
    u32::try_from(row.try_get::<i64, _>("number")?).map_err(|_| Error::Damaged("output number"))
}
