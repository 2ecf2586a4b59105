//! Taking tasks, on the table `task`: one function per statement. Whoever takes a task raises its `claims`, and only who names the
//! last claim may move it. A lease says how long nobody else takes it; a claim, who has it.

use chassis::secrets::Sealer;
use db::Engine;
use domain::{Mode, TaskId};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe};

use super::task::read;
use crate::{
    Error,
    state::{Event, State},
    task::Task,
};

/// When a task is taken, and until when nobody else may take it. Microseconds UTC, by the database's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) now: i64,
    pub(crate) until: i64,
}

/// What a sweep looks for: tasks that nobody is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Find {
    /// Taken to be submitted, by a process whose lease ran out by the moment before it did, or after it was refused: no provider has it.
    Untouched,
    /// Perhaps submitted, by a process whose lease has run out by the moment.
    Lost,
    /// Past its deadline at the moment, with nobody at it.
    Late,
}

/// Takes a queued task to submit it, unless it must wait. `None`: somebody else has it, it is over, its time has not come, or it stands in
/// a line.
pub(crate) async fn claim(
    connection: &mut AnyConnection,
    task: TaskId,
    lease: Lease,
    sealer: &Sealer,
) -> Result<Option<Task>, Error> {
    let row = sqlx::query(concat!(
        "update task set state = $4, version = version + 1, attempts = attempts + 1, claims = claims + 1,
                lease_until = $1
         where id = $2 and state = 'queued' and line = '' and not_before <= $3 and deadline_at > $3 returning ",
        columns!()
    ))
    .bind(lease.until)
    .bind(task.to_vec())
    .bind(lease.now)
    .bind(claimed()?)
    .fetch_optional(connection)
    .await?;
    row.map(|row| read(&row, sealer)).transpose()
}

/// Takes a task out of its line to submit it. `None`: somebody else has it, or it is over.
pub(crate) async fn claim_in_line(
    connection: &mut AnyConnection,
    task: TaskId,
    lease: Lease,
    sealer: &Sealer,
) -> Result<Option<Task>, Error> {
    let row = sqlx::query(concat!(
        "update task set state = $4, version = version + 1, attempts = attempts + 1, claims = claims + 1,
                lease_until = $1
         where id = $2 and state = 'queued' and line <> '' and not_before <= $3 and deadline_at > $3 returning ",
        columns!()
    ))
    .bind(lease.until)
    .bind(task.to_vec())
    .bind(lease.now)
    .bind(claimed()?)
    .fetch_optional(connection)
    .await?;
    row.map(|row| read(&row, sealer)).transpose()
}

/// Takes queued tasks to submit them, without anybody having rung: those that were rung for longest ago come first.
pub(crate) async fn claim_queued(
    connection: &mut AnyConnection,
    limit: i64,
    lease: Lease,
    sealer: &Sealer,
) -> Result<Vec<Task>, Error> {
    let skip_locked = Engine::of(connection).skip_locked();
    let columns = columns!();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "with waiting as (
             select id from task where state = 'queued' and line = '' and not_before <= $1 and deadline_at > $1
             order by due_at limit $2{skip_locked}
         )
         update task set state = $4, version = version + 1, attempts = attempts + 1, claims = claims + 1,
                lease_until = $3
         where id in (select id from waiting) returning {columns}"
    )))
    .bind(lease.now)
    .bind(limit)
    .bind(lease.until)
    .bind(claimed()?)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| read(row, sealer)).collect()
}

/// What a queued task becomes.
fn claimed() -> Result<&'static str, Error> {
    let taken = State::Queued.apply(Event::Claimed);
    taken.map(State::as_str).ok_or(Error::Damaged("move"))
}

/// Takes running tasks whose next look at this provider is due.
pub(crate) async fn claim_due(
    connection: &mut AnyConnection,
    (mode, provider): (Mode, &str),
    limit: i64,
    lease: Lease,
    sealer: &Sealer,
) -> Result<Vec<Task>, Error> {
    let skip_locked = Engine::of(connection).skip_locked();
    let columns = columns!();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "with due as (
             select id from task where state = 'running' and mode = $4 and provider = $5
                 and due_at <= $1 and lease_until <= $1 and deadline_at > $1
             order by due_at limit $2{skip_locked}
         )
         update task set claims = claims + 1, lease_until = $3
         where id in (select id from due) returning {columns}"
    )))
    .bind(lease.now)
    .bind(limit)
    .bind(lease.until)
    .bind(mode.as_str())
    .bind(provider)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| read(row, sealer)).collect()
}

/// A sign of life: whoever took the task with this claim is at it still. `false`: it is done with it, or another one has it.
pub(crate) async fn renew(
    connection: &mut AnyConnection,
    task: TaskId,
    claims: i64,
    until: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update task set lease_until = $1 where id = $2 and claims = $3 and lease_until > 0",
    )
    .bind(until)
    .bind(task.to_vec())
    .bind(claims)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether who took a task with this claim has it still.
pub(crate) async fn is_held(pool: &AnyPool, task: TaskId, claims: i64) -> Result<bool, Error> {
    let found: Option<i64> = sqlx::query_scalar(
        "select 1 from task where id = $1 and claims = $2 and completed_at is null",
    )
    .bind(task.to_vec())
    .bind(claims)
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Whether a running task is due.
pub(crate) async fn any_due(pool: &AnyPool, now: i64) -> Result<bool, Error> {
    let found: Option<i64> = sqlx::query_scalar(
        "select 1 from task where state = 'running' and due_at <= $1 and lease_until <= $1 and deadline_at > $1 limit 1",
    )
    .bind(now)
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Whether there is a task that a sweep must look after at `now`.
pub(crate) async fn any_left(pool: &AnyPool, what: Find, now: i64) -> Result<bool, Error> {
    let condition = what.condition();
    let found: Option<i64> = sqlx::query_scalar(AssertSqlSafe(format!(
        "select 1 from task where {condition} limit 1"
    )))
    .bind(now)
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Takes up to 500 tasks that a sweep must look after. From then on whoever slept past its lease moves none of them.
pub(crate) async fn take_left(
    connection: &mut AnyConnection,
    what: Find,
    lease: Lease,
    sealer: &Sealer,
) -> Result<Vec<Task>, Error> {
    let (condition, columns) = (what.condition(), columns!());
    let skip_locked = Engine::of(connection).skip_locked();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "with left_behind as (select id from task where {condition} limit 500{skip_locked})
         update task set claims = claims + 1, lease_until = $2
         where id in (select id from left_behind) returning {columns}"
    )))
    .bind(lease.now)
    .bind(lease.until)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| read(row, sealer)).collect()
}

/// For a process that owns the file alone, at its start: no lease can be alive, and no ring was heard.
pub(crate) async fn forget_leases(connection: &mut AnyConnection) -> Result<(), Error> {
    sqlx::query("update task set lease_until = 0 where lease_until > 0")
        .execute(&mut *connection)
        .await?;
    sqlx::query("update task set due_at = 0 where state = 'queued' and line = ''")
        .execute(connection)
        .await?;
    Ok(())
}

// === impl Find ===

impl Find {
    /// As SQL; `$1` is now.
    const fn condition(self) -> &'static str {
        match self {
            Self::Untouched => {
                "state = 'starting' and lease_until <= $1 and not exists
                     (select 1 from attempt where attempt.task_id = task.id and attempt.number = task.attempts
                          and attempt.outcome <> 'refused')"
            }
            Self::Lost => {
                "state = 'starting' and lease_until <= $1 and exists
                     (select 1 from attempt where attempt.task_id = task.id and attempt.number = task.attempts
                          and attempt.outcome <> 'refused')"
            }
            Self::Late => {
                "state in ('queued', 'starting', 'running') and deadline_at <= $1 and lease_until <= $1"
            }
        }
    }
}
