//! The table `attempt`: one function per statement.

use domain::TaskId;
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::claim::Lease;
use crate::{Error, task::Task};

/// How a run at a provider stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The provider certainly did not take it.
    Refused,
    /// The provider took it.
    Accepted,
    /// It made what it should.
    Succeeded,
    /// It did not.
    Failed,
}

/// A run whose submit has an unknown outcome: a row of `attempt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// The task.
    pub task: TaskId,
    /// From 1.
    pub number: i64,
    /// Who was asked.
    pub provider: String,
    /// When, microseconds UTC.
    pub submitted_at: i64,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Accepted => "accepted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// Written before a paid submit: from now on the provider may have it. Renews the lease, so that nobody can take the task for
/// untouched meanwhile. May be said twice. `false`: the task is no longer this worker's, and must not be submitted.
pub(crate) async fn begin(
    connection: &mut AnyConnection,
    task: &Task,
    provider: &str,
    lease: Lease,
) -> Result<bool, Error> {
    let renewed = sqlx::query(
        "update task set lease_until = $1 where id = $2 and version = $3 and claims = $4",
    )
    .bind(lease.until)
    .bind(task.id.to_vec())
    .bind(task.version)
    .bind(task.claims)
    .execute(&mut *connection)
    .await?;
    if renewed.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "insert into attempt (task_id, number, provider, outcome, submitted_at) values ($1, $2, $3, 'unknown', $4)
         on conflict (task_id, number) do update
         set provider = excluded.provider, outcome = 'unknown', submitted_at = excluded.submitted_at",
    )
    .bind(task.id.to_vec())
    .bind(task.attempts)
    .bind(provider)
    .bind(lease.now)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Notes how the task's latest run stands.
pub(crate) async fn note(
    connection: &mut AnyConnection,
    task: &Task,
    outcome: Outcome,
) -> Result<(), Error> {
    sqlx::query("update attempt set outcome = $1 where task_id = $2 and number = $3")
        .bind(outcome.as_str())
        .bind(task.id.to_vec())
        .bind(task.attempts)
        .execute(connection)
        .await?;
    Ok(())
}

/// Runs whose submit has an unknown outcome, the latest first, of tasks that are over.
pub(crate) async fn unknown(pool: &AnyPool, limit: i64) -> Result<Vec<Unknown>, Error> {
    let rows = sqlx::query(
        "select a.task_id, a.number, a.provider, a.submitted_at from attempt a join task t on t.id = a.task_id
         where a.outcome = 'unknown' and t.state in ('completed', 'failed')
         order by a.submitted_at desc limit $1",
    )
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Unknown {
                task: super::task::id(row, "task_id")?,
                number: row.try_get("number")?,
                provider: row.try_get("provider")?,
                submitted_at: row.try_get("submitted_at")?,
            })
        })
        .collect()
}
