//! The table `output`: one function per statement.

use std::collections::HashMap;

use chassis::secrets::Sealer;
use domain::TaskId;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _, any::AnyRow};

use crate::{Error, task::Output};

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
    task: TaskId,
    output: &Output,
    sealer: &Sealer,
) -> Result<(), Error> {
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

/// Forgets a file that is gone from the store.
pub(crate) async fn forget(
    connection: &mut AnyConnection,
    task: TaskId,
    number: u32,
) -> Result<(), Error> {
    sqlx::query("delete from output where task_id = $1 and number = $2")
        .bind(task.to_vec())
        .bind(i64::from(number))
        .execute(connection)
        .await?;
    Ok(())
}

fn read(row: &AnyRow, task: TaskId, sealer: &Sealer) -> Result<Output, Error> {
    let pixels = |column| -> Result<Option<u32>, Error> {
        let value: Option<i64> = row.try_get(column)?;
        Ok(value.and_then(|value| u32::try_from(value).ok()))
    };
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
        width: pixels("width")?,
        height: pixels("height")?,
        duration_millis: millis.and_then(|millis| u64::try_from(millis).ok()),
        expires_at: row.try_get("expires_at")?,
        about,
    })
}

pub(super) fn number(row: &AnyRow) -> Result<u32, Error> {
    u32::try_from(row.try_get::<i64, _>("number")?).map_err(|_| Error::Damaged("output number"))
}
