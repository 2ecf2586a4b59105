//! The table `output_coming`: one function per statement. What is in the store of a task's files before the task has ended with them.

use domain::TaskId;
use sqlx::{AnyConnection, AnyPool, Row as _};

use crate::Error;

/// Rows that a sweep looks after at once.
const BATCH: i64 = 500;

/// A file that nobody is at any more, of a task that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) task: TaskId,
    pub(crate) number: u32,
    /// Under which id its parts are, if it came in parts.
    pub(crate) parts: Option<String>,
    pub(crate) kept: Kept,
}

/// Whether the task has the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}

/// Writes down that a file is coming.
pub(crate) async fn expect(
    connection: &mut AnyConnection,
    (task, number): (TaskId, u32),
    due_at: i64,
) -> Result<(), Error> {
    sqlx::query(
        "insert into output_coming (task_id, number, due_at) values ($1, $2, $3)
         on conflict (task_id, number) do update set parts = null, due_at = excluded.due_at",
    )
    .bind(task.to_vec())
    .bind(i64::from(number))
    .bind(due_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes under which id its parts are. `false`: it is not expected any more.
pub(crate) async fn note_parts(
    connection: &mut AnyConnection,
    (task, number): (TaskId, u32),
    parts: Option<&str>,
) -> Result<bool, Error> {
    let done =
        sqlx::query("update output_coming set parts = $3 where task_id = $1 and number = $2")
            .bind(task.to_vec())
            .bind(i64::from(number))
            .bind(parts)
            .execute(connection)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Under which id the parts of an earlier try are: nothing, if there was none or it had no parts.
pub(crate) async fn parts(
    pool: &AnyPool,
    (task, number): (TaskId, u32),
) -> Result<Option<String>, Error> {
    let parts: Option<Option<String>> =
        sqlx::query_scalar("select parts from output_coming where task_id = $1 and number = $2")
            .bind(task.to_vec())
            .bind(i64::from(number))
            .fetch_optional(pool)
            .await?;
    Ok(parts.flatten())
}

/// The task ends with its files: they are its own from now on.
pub(crate) async fn settle(connection: &mut AnyConnection, task: TaskId) -> Result<(), Error> {
    sqlx::query("delete from output_coming where task_id = $1")
        .bind(task.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// The task ends without its files: they are nobody's from now on.
pub(crate) async fn release(connection: &mut AnyConnection, task: TaskId) -> Result<(), Error> {
    sqlx::query("update output_coming set due_at = 0 where task_id = $1")
        .bind(task.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// What a sweep should delete at `now`.
pub(crate) async fn left(pool: &AnyPool, now: i64) -> Result<Vec<Left>, Error> {
    let rows = sqlx::query(
        "select c.task_id, c.number, c.parts,
                case when exists (select 1 from output o where o.task_id = c.task_id and o.number = c.number)
                     then 1 else 0 end as kept
         from output_coming c join task t on t.id = c.task_id
         where c.due_at <= $1 and t.completed_at is not null limit $2",
    )
    .bind(now)
    .bind(BATCH)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let kept: i32 = row.try_get("kept")?;
            Ok(Left {
                task: super::task::id(row, "task_id")?,
                number: super::output::number(row)?,
                parts: row.try_get("parts")?,
                kept: if kept == 1 { Kept::Yes } else { Kept::No },
            })
        })
        .collect()
}

/// Forgets a file that is gone from the store.
pub(crate) async fn forget(
    connection: &mut AnyConnection,
    (task, number): (TaskId, u32),
) -> Result<(), Error> {
    sqlx::query("delete from output_coming where task_id = $1 and number = $2")
        .bind(task.to_vec())
        .bind(i64::from(number))
        .execute(connection)
        .await?;
    Ok(())
}
