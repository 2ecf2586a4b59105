//! The table `task`: one function per statement.

use chassis::{clock::now_micros, secrets::Sealer};
use domain::{AccountId, Id, Micros, Mode, TaskId, ids::Kind};
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};
use tracing::error;

use crate::{
    Error,
    state::{Event, State},
    task::{Request, Task, TaskError},
};

/// Every column of a [`Task`], in the order of [`read`].
macro_rules! columns {
    () => {
        "id, account, mode, route, model, state, version, request, held, charged, price_version, attempts, provider, job, \
         progress, polls, poll_failures, due_at, not_before, lease_until, error, created_at, started_at, completed_at, deadline_at"
    };
}

/// A task to write down: a row of `task` before its price is held.
#[derive(Clone, Debug)]
pub(crate) struct NewTask {
    pub(crate) task: Task,
    pub(crate) request: Request,
    pub(crate) idempotency_key: Option<[u8; 32]>,
    pub(crate) body_hash: [u8; 32],
}

/// What an Idempotency-Key was used for: a row of `task`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Earlier {
    pub(crate) id: TaskId,
    pub(crate) state: State,
    pub(crate) body_hash: Vec<u8>,
    pub(crate) created_at: i64,
}

/// An account's Idempotency-Key.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) route: String,
    pub(crate) hash: [u8; 32],
}

/// What a sweep looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Find {
    /// Written down before the moment, and never accepted.
    Reserving,
    /// Taken to be submitted, by a process whose lease ran out by the moment before it did: no provider has it.
    Untouched,
    /// Perhaps submitted, by a process whose lease has run out by the moment.
    Lost,
    /// Past its deadline at the moment, with nobody at it.
    Late,
}

/// The place a sealed column belongs to.
fn place(id: TaskId, column: &str) -> Vec<u8> {
    format!("task/{id}/{column}").into_bytes()
}

/// Writes a task down; its Idempotency-Key, if it has one, must be free.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    new: &NewTask,
    sealer: &Sealer,
) -> Result<(), Error> {
    let task = &new.task;
    let request = sealer.seal(
        &place(task.id, "request"),
        &serde_json::to_vec(&new.request)?,
    )?;
    sqlx::query(
        "insert into task (id, account, mode, route, model, state, version, request, idempotency_key, body_hash, held,
                           price_version, due_at, created_at, deadline_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(task.id.to_vec())
    .bind(task.account.to_vec())
    .bind(task.mode.as_str())
    .bind(task.route.as_str())
    .bind(task.model.as_str())
    .bind(task.state.as_str())
    .bind(task.version)
    .bind(request)
    .bind(new.idempotency_key.map(|key| key.to_vec()))
    .bind(new.body_hash.to_vec())
    .bind(task.held.get())
    .bind(task.price_version.as_str())
    .bind(task.due_at)
    .bind(task.created_at)
    .bind(task.deadline_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// What this key was used for.
pub(crate) async fn by_key(
    connection: &mut AnyConnection,
    key: &IdempotencyKey,
) -> Result<Option<Earlier>, Error> {
    let row = sqlx::query(
        "select id, state, body_hash, created_at from task
         where account = $1 and mode = $2 and route = $3 and idempotency_key = $4",
    )
    .bind(key.account.to_vec())
    .bind(key.mode.as_str())
    .bind(key.route.as_str())
    .bind(key.hash.to_vec())
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Earlier {
            id: id(&row, "id")?,
            state: state(&row)?,
            body_hash: row.try_get("body_hash")?,
            created_at: row.try_get("created_at")?,
        })
    })
    .transpose()
}

/// Frees the key of a task.
pub(crate) async fn free_key(connection: &mut AnyConnection, task: TaskId) -> Result<(), Error> {
    sqlx::query("update task set idempotency_key = null where id = $1")
        .bind(task.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets a task that was never accepted. `false`: it was accepted meanwhile, or is forgotten already.
pub(crate) async fn drop_reserving(
    connection: &mut AnyConnection,
    task: TaskId,
) -> Result<bool, Error> {
    let done = sqlx::query("delete from task where id = $1 and state = 'reserving'")
        .bind(task.to_vec())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a queued task to submit it, unless it must wait. `None`: somebody else has it, it is over, or its time has not come.
pub(crate) async fn claim(
    connection: &mut AnyConnection,
    task: TaskId,
    lease_until: i64,
    sealer: &Sealer,
) -> Result<Option<Task>, Error> {
    let to = State::Queued
        .apply(Event::Claimed)
        .ok_or(Error::Damaged("move"))?;
    let row = sqlx::query(concat!(
        "update task set state = $1, version = version + 1, attempts = attempts + 1, lease_until = $2
         where id = $3 and state = $4 and not_before <= $5 and deadline_at > $5 returning ",
        columns!()
    ))
    .bind(to.as_str())
    .bind(lease_until)
    .bind(task.to_vec())
    .bind(State::Queued.as_str())
    .bind(now_micros())
    .fetch_optional(connection)
    .await?;
    row.map(|row| read(&row, sealer)).transpose()
}

/// Takes running tasks whose next look is due, until `lease_until`.
pub(crate) async fn claim_due(
    connection: &mut AnyConnection,
    limit: i64,
    lease_until: i64,
    sealer: &Sealer,
) -> Result<Vec<Task>, Error> {
    let rows = sqlx::query(concat!(
        "update task set lease_until = $1
         where id in (select id from task where state = 'running' and due_at <= $2 and lease_until <= $2
                      and deadline_at > $2 order by due_at limit $3)
         returning ",
        columns!()
    ))
    .bind(lease_until)
    .bind(now_micros())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| read(row, sealer)).collect()
}

/// Whether a running task is due.
pub(crate) async fn any_due(pool: &AnyPool) -> Result<bool, Error> {
    let found: Option<i64> = sqlx::query_scalar(
        "select 1 from task where state = 'running' and due_at <= $1 and lease_until <= $1 and deadline_at > $1 limit 1",
    )
    .bind(now_micros())
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Makes a task what it is in `after`, if it still is what it was in `before`: the version and the lease are the fence. `false`:
/// somebody else moved it or took it, and nothing was changed. Gives the lease back.
pub(crate) async fn save(
    connection: &mut AnyConnection,
    before: &Task,
    after: &Task,
    sealer: &Sealer,
) -> Result<bool, Error> {
    let error = after.error.as_ref();
    let error = error
        .map(|error| {
            Ok::<_, Error>(sealer.seal(&place(after.id, "error"), &serde_json::to_vec(error)?)?)
        })
        .transpose()?;
    let done = sqlx::query(
        "update task set state = $1, version = $2, charged = $3, provider = $4, job = $5, progress = $6, polls = $7,
                poll_failures = $8, due_at = $9, not_before = $10, error = $11, started_at = $12, completed_at = $13,
                lease_until = 0
         where id = $14 and version = $15 and lease_until = $16",
    )
    .bind(after.state.as_str())
    .bind(after.version)
    .bind(after.charged.get())
    .bind(after.provider.as_deref())
    .bind(after.job.as_deref())
    .bind(after.progress)
    .bind(after.polls)
    .bind(after.poll_failures)
    .bind(after.due_at)
    .bind(after.not_before)
    .bind(error)
    .bind(after.started_at)
    .bind(after.completed_at)
    .bind(after.id.to_vec())
    .bind(before.version)
    .bind(before.lease_until)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// One task, by its id.
pub(crate) async fn get(
    pool: &AnyPool,
    task: TaskId,
    sealer: &Sealer,
) -> Result<Option<Task>, Error> {
    let row = sqlx::query(concat!("select ", columns!(), " from task where id = $1"))
        .bind(task.to_vec())
        .fetch_optional(pool)
        .await?;
    row.map(|row| read(&row, sealer)).transpose()
}

/// Up to 500 tasks that a sweep must look after at `moment`.
pub(crate) async fn find(
    pool: &AnyPool,
    what: Find,
    moment: i64,
    sealer: &Sealer,
) -> Result<Vec<Task>, Error> {
    let statement = match what {
        Find::Reserving => {
            concat!("select ", columns!(), " from task where state = 'reserving' and created_at <= $1 limit 500")
        }
        Find::Untouched => concat!(
            "select ",
            columns!(),
            " from task where state = 'starting' and lease_until <= $1 and not exists
                (select 1 from attempt where attempt.task_id = task.id and attempt.number = task.attempts)
              limit 500"
        ),
        Find::Lost => concat!(
            "select ",
            columns!(),
            " from task where state = 'starting' and lease_until <= $1 and exists
                (select 1 from attempt where attempt.task_id = task.id and attempt.number = task.attempts)
              limit 500"
        ),
        Find::Late => concat!(
            "select ",
            columns!(),
            " from task where state in ('queued', 'starting', 'running') and deadline_at <= $1 and lease_until <= $1
              limit 500"
        ),
    };
    let rows = sqlx::query(statement).bind(moment).fetch_all(pool).await?;
    rows.iter().map(|row| read(row, sealer)).collect()
}

/// Queued tasks that should be rung for by now; the next ring is at `again`.
pub(crate) async fn ring_due(
    connection: &mut AnyConnection,
    again: i64,
) -> Result<Vec<TaskId>, Error> {
    let rows = sqlx::query(
        "update task set due_at = $1
         where id in (select id from task where state = 'queued' and due_at <= $2 order by due_at limit 500)
         returning id",
    )
    .bind(again)
    .bind(now_micros())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| id(row, "id")).collect()
}

/// Whether a queued task should be rung for by now.
pub(crate) async fn any_to_ring(pool: &AnyPool) -> Result<bool, Error> {
    let found: Option<i64> =
        sqlx::query_scalar("select 1 from task where state = 'queued' and due_at <= $1 limit 1")
            .bind(now_micros())
            .fetch_optional(pool)
            .await?;
    Ok(found.is_some())
}

/// For a process that owns the file alone, at its start: no lease can be alive, and no ring was heard.
pub(crate) async fn forget_leases(connection: &mut AnyConnection) -> Result<(), Error> {
    sqlx::query("update task set lease_until = 0 where lease_until > 0")
        .execute(&mut *connection)
        .await?;
    sqlx::query("update task set due_at = 0 where state = 'queued'")
        .execute(connection)
        .await?;
    Ok(())
}

/// Reads a row. Content that does not open is left out and logged: the task must still be able to end.
fn read(row: &AnyRow, sealer: &Sealer) -> Result<Task, Error> {
    let task: TaskId = id(row, "id")?;
    let request: Vec<u8> = row.try_get("request")?;
    let error: Option<Vec<u8>> = row.try_get("error")?;
    Ok(Task {
        id: task,
        account: id(row, "account")?,
        mode: Mode::parse(row.try_get("mode")?).ok_or(Error::Damaged("mode"))?,
        route: row.try_get("route")?,
        model: row.try_get("model")?,
        state: state(row)?,
        version: row.try_get("version")?,
        request: opened::<Request>(sealer, task, "request", &request),
        held: Micros::new(row.try_get("held")?),
        charged: Micros::new(row.try_get("charged")?),
        price_version: row.try_get("price_version")?,
        attempts: row.try_get("attempts")?,
        provider: row.try_get("provider")?,
        job: row.try_get("job")?,
        progress: row.try_get("progress")?,
        polls: row.try_get("polls")?,
        poll_failures: row.try_get("poll_failures")?,
        due_at: row.try_get("due_at")?,
        not_before: row.try_get("not_before")?,
        lease_until: row.try_get("lease_until")?,
        error: error.and_then(|sealed| opened::<TaskError>(sealer, task, "error", &sealed)),
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        completed_at: row.try_get("completed_at")?,
        deadline_at: row.try_get("deadline_at")?,
    })
}

fn opened<T: serde::de::DeserializeOwned>(
    sealer: &Sealer,
    task: TaskId,
    column: &str,
    sealed: &[u8],
) -> Option<T> {
    let plain = sealer.open(&place(task, column), sealed).ok();
    let value = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    if value.is_none() {
        error!(task.id = %task, column, "stored content does not open: was secrets.content_key changed?");
    }
    value
}

fn state(row: &AnyRow) -> Result<State, Error> {
    State::parse(row.try_get("state")?).ok_or(Error::Damaged("state"))
}

pub(super) fn id<K: Kind>(row: &AnyRow, column: &str) -> Result<Id<K>, Error> {
    Id::from_slice(&row.try_get::<Vec<u8>, _>(column)?).ok_or(Error::Damaged("id"))
}
