//! The table `task`: one function per statement.

use chassis::{clock::now_micros, secrets::Sealer};
use domain::{AccountId, Id, Micros, Mode, TaskId, ids::Kind};
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use crate::{
    Error,
    state::{Event, State},
    task::{Request, Task, TaskError},
};

/// Every column of a [`Task`], in the order of [`read`].
macro_rules! columns {
    () => {
        "id, account, mode, route, model, state, version, request, held, charged, price_version, attempts, provider, job, \
         progress, polls, poll_failures, error, created_at, started_at, completed_at, deadline_at"
    };
}

/// A task to write down: a row of `task` before its price is held.
#[derive(Clone, Debug)]
pub(crate) struct NewTask {
    pub(crate) task: Task,
    pub(crate) idempotency_key: Option<[u8; 32]>,
    pub(crate) body_hash: [u8; 32],
}

/// What an Idempotency-Key was used for: a row of `task`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guarded {
    pub(crate) id: TaskId,
    pub(crate) state: State,
    pub(crate) body_hash: Vec<u8>,
}

/// An account's Idempotency-Key.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) route: String,
    pub(crate) key: [u8; 32],
}

/// The two ends of a move that [`State`] allows.
fn moved(from: State, event: Event) -> Result<(&'static str, &'static str), Error> {
    let to = from.apply(event).ok_or(Error::Damaged("move"))?;
    Ok((from.as_str(), to.as_str()))
}

/// The place a sealed column belongs to.
fn place(id: TaskId, column: &str) -> Vec<u8> {
    format!("task/{id}/{column}").into_bytes()
}

/// Writes a task down, unguarded or with its key free.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    new: &NewTask,
    sealer: &Sealer,
) -> Result<(), Error> {
    let task = &new.task;
    let request = sealer.seal(
        &place(task.id, "request"),
        &serde_json::to_vec(&task.request)?,
    )?;
    sqlx::query(
        "insert into task (id, account, mode, route, model, state, version, request, idempotency_key, body_hash, held,
                           price_version, due_at, has_callback, created_at, deadline_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
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
    .bind(task.created_at)
    .bind(i64::from(task.request.callback_url.is_some()))
    .bind(task.created_at)
    .bind(task.deadline_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// What this key was used for, if it is guarded still.
pub(crate) async fn guarded(
    connection: &mut AnyConnection,
    guard: &Guard,
) -> Result<Option<Guarded>, Error> {
    let row = sqlx::query(
        "select id, state, body_hash from task
         where account = $1 and mode = $2 and route = $3 and idempotency_key = $4",
    )
    .bind(guard.account.to_vec())
    .bind(guard.mode.as_str())
    .bind(guard.route.as_str())
    .bind(guard.key.to_vec())
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Guarded {
            id: id(&row, "id")?,
            state: state(&row)?,
            body_hash: row.try_get("body_hash")?,
        })
    })
    .transpose()
}

/// Frees a key whose task is older than `before`.
pub(crate) async fn free_old_key(
    connection: &mut AnyConnection,
    guard: &Guard,
    before: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update task set idempotency_key = null
         where account = $1 and mode = $2 and route = $3 and idempotency_key = $4 and created_at < $5
           and state <> 'reserving'",
    )
    .bind(guard.account.to_vec())
    .bind(guard.mode.as_str())
    .bind(guard.route.as_str())
    .bind(guard.key.to_vec())
    .bind(before)
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

/// Accepts a task: its price is held. It is rung for again at `due_at`.
pub(crate) async fn accept(
    connection: &mut AnyConnection,
    task: TaskId,
    due_at: i64,
) -> Result<bool, Error> {
    let (from, to) = moved(State::Reserving, Event::Held)?;
    let done = sqlx::query(
        "update task set state = $1, version = version + 1, due_at = $2 where id = $3 and state = $4",
    )
    .bind(to)
    .bind(due_at)
    .bind(task.to_vec())
    .bind(from)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a queued task to submit it. `None`: somebody else has it, or it is over.
pub(crate) async fn claim(
    connection: &mut AnyConnection,
    task: TaskId,
    lease_until: i64,
    sealer: &Sealer,
) -> Result<Option<Task>, Error> {
    let (from, to) = moved(State::Queued, Event::Claimed)?;
    let row = sqlx::query(concat!(
        "update task set state = $1, version = version + 1, attempts = attempts + 1, lease_until = $2
         where id = $3 and state = $4 returning ",
        columns!()
    ))
    .bind(to)
    .bind(lease_until)
    .bind(task.to_vec())
    .bind(from)
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
                      order by due_at limit $3)
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
        "select 1 from task where state = 'running' and due_at <= $1 and lease_until <= $1 limit 1",
    )
    .bind(now_micros())
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// The provider took the task.
pub(crate) async fn running(
    connection: &mut AnyConnection,
    task: &Task,
    due_at: i64,
) -> Result<bool, Error> {
    let (from, to) = moved(State::Starting, Event::Accepted)?;
    let done = sqlx::query(
        "update task set provider = $1, job = $2, polls = 0, poll_failures = 0, started_at = coalesce(started_at, $3),
                due_at = $4, lease_until = 0, version = version + 1, state = $7
         where id = $5 and attempts = $6 and state = $8",
    )
    .bind(task.provider.as_deref())
    .bind(task.job.as_deref())
    .bind(now_micros())
    .bind(due_at)
    .bind(task.id.to_vec())
    .bind(task.attempts)
    .bind(to)
    .bind(from)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The provider certainly did not take the task: it waits until `due_at`.
pub(crate) async fn put_back(
    connection: &mut AnyConnection,
    task: &Task,
    due_at: i64,
) -> Result<bool, Error> {
    let (from, to) = moved(State::Starting, Event::PutBack)?;
    let done = sqlx::query(
        "update task set due_at = $1, lease_until = 0, version = version + 1, state = $4
         where id = $2 and attempts = $3 and state = $5",
    )
    .bind(due_at)
    .bind(task.id.to_vec())
    .bind(task.attempts)
    .bind(to)
    .bind(from)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes a look at a job and when to look again. The version rises only when customers can see the difference.
pub(crate) async fn looked(
    connection: &mut AnyConnection,
    task: &Task,
    due_at: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update task set polls = $1, poll_failures = $2, due_at = $3, lease_until = 0, version = $4, progress = $5
         where id = $6 and state = 'running' and version <= $4",
    )
    .bind(task.polls)
    .bind(task.poll_failures)
    .bind(due_at)
    .bind(task.version)
    .bind(task.progress)
    .bind(task.id.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a task: the first end wins. `false`: it ended before, and nothing was changed.
pub(crate) async fn end(
    connection: &mut AnyConnection,
    task: &Task,
    sealer: &Sealer,
) -> Result<bool, Error> {
    let error = task
        .error
        .as_ref()
        .map(|error| {
            Ok::<_, Error>(sealer.seal(&place(task.id, "error"), &serde_json::to_vec(error)?)?)
        })
        .transpose()?;
    let done = sqlx::query(
        "update task set state = $1, version = version + 1, charged = $2, error_code = $3, error = $4,
                completed_at = $5, lease_until = 0
         where id = $6 and state in ('queued', 'starting', 'running')",
    )
    .bind(task.state.as_str())
    .bind(task.charged.get())
    .bind(task.error.as_ref().map(|error| error.code.clone()))
    .bind(error)
    .bind(task.completed_at)
    .bind(task.id.to_vec())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a task that no worker has touched yet. `false`: one has.
pub(crate) async fn still_queued(
    connection: &mut AnyConnection,
    task: TaskId,
) -> Result<bool, Error> {
    let found: Option<i64> =
        sqlx::query_scalar("select 1 from task where id = $1 and state = 'queued'")
            .bind(task.to_vec())
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
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

fn read(row: &AnyRow, sealer: &Sealer) -> Result<Task, Error> {
    let task: TaskId = id(row, "id")?;
    let request: Vec<u8> = row.try_get("request")?;
    let request: Request =
        serde_json::from_slice(&sealer.open(&place(task, "request"), &request)?)?;
    let error: Option<Vec<u8>> = row.try_get("error")?;
    let error = error
        .map(|sealed| {
            Ok::<TaskError, Error>(serde_json::from_slice(
                &sealer.open(&place(task, "error"), &sealed)?,
            )?)
        })
        .transpose()?;
    Ok(Task {
        id: task,
        account: id(row, "account")?,
        mode: Mode::parse(row.try_get("mode")?).ok_or(Error::Damaged("mode"))?,
        route: row.try_get("route")?,
        model: row.try_get("model")?,
        state: state(row)?,
        version: row.try_get("version")?,
        request,
        held: Micros::new(row.try_get("held")?),
        charged: Micros::new(row.try_get("charged")?),
        price_version: row.try_get("price_version")?,
        attempts: row.try_get("attempts")?,
        provider: row.try_get("provider")?,
        job: row.try_get("job")?,
        progress: row.try_get("progress")?,
        polls: row.try_get("polls")?,
        poll_failures: row.try_get("poll_failures")?,
        error,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        completed_at: row.try_get("completed_at")?,
        deadline_at: row.try_get("deadline_at")?,
    })
}

fn state(row: &AnyRow) -> Result<State, Error> {
    State::parse(row.try_get("state")?).ok_or(Error::Damaged("state"))
}

pub(super) fn id<K: Kind>(row: &AnyRow, column: &str) -> Result<Id<K>, Error> {
    Id::from_slice(&row.try_get::<Vec<u8>, _>(column)?).ok_or(Error::Damaged("id"))
}
