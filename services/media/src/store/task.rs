//! The table `task`: one function per statement.

use chassis::secrets::Sealer;
use db::Engine;
use domain::{AccountId, Id, KeyId, Micros, Mode, Moment, TaskId, ids::Kind, price::Frozen};
use serde_json::{Map, Value};
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Executor, Row as _, any::AnyRow};
use tracing::error;

use crate::{
    Error,
    origin::Once,
    room::Room,
    state::State,
    task::{Request, Task, TaskError},
};

/// A task to write down: a row of `task` before its price is held.
#[derive(Clone, Debug)]
pub(crate) struct NewTask {
    pub(crate) task: Task,
    /// Who submits it.
    pub(crate) key: Option<KeyId>,
    /// How many may be open beside it.
    pub(crate) room: Room,
    pub(crate) request: Request,
    pub(crate) idempotency_key: Option<[u8; 32]>,
    pub(crate) body_hash: [u8; 32],
    /// What it alone may go on from.
    pub(crate) once: Option<Once>,
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

/// The place a sealed column belongs to.
fn place(id: TaskId, column: &str) -> Vec<u8> {
    format!("task/{id}/{column}").into_bytes()
}

/// Writes a task down. `false`: there is one with its id or its Idempotency-Key, or one that has gone on from what it alone may go on from,
/// perhaps since a moment ago.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    new: &NewTask,
    sealer: &Sealer,
) -> Result<bool, Error> {
    let task = &new.task;
    let request = sealer.seal(
        &place(task.id, "request"),
        &serde_json::to_vec(&new.request)?,
    )?;
    let done = sqlx::query(
        "insert into task (id, account, mode, route, model, state, version, request, idempotency_key, body_hash, held,
                           price_version, due_at, created_at, deadline_at, trace, key_id, price, line, not_before, once)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
         on conflict do nothing",
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
    .bind(task.trace.as_str())
    .bind(new.key.map(KeyId::to_vec))
    .bind(serde_json::to_string(&task.price)?)
    .bind(task.line.as_str())
    .bind(task.not_before)
    .bind(new.once.as_ref().map(|once| once.origin.to_vec()))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
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
    row.as_ref().map(earlier).transpose()
}

/// The task of this id, if it is the account's: a submit that came twice.
pub(crate) async fn by_id(
    connection: &mut AnyConnection,
    task: &Task,
) -> Result<Option<Earlier>, Error> {
    let row = sqlx::query(
        "select id, state, body_hash, created_at from task where id = $1 and account = $2 and mode = $3",
    )
    .bind(task.id.to_vec())
    .bind(task.account.to_vec())
    .bind(task.mode.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(earlier).transpose()
}

/// The task that went on from an earlier one in a way that is open to one task alone.
pub(crate) async fn by_once<'e>(
    executor: impl Executor<'e, Database = Any>,
    route: &str,
    once: &Once,
) -> Result<Option<(TaskId, State)>, Error> {
    let row = sqlx::query("select id, state from task where route = $1 and once = $2")
        .bind(route.to_owned())
        .bind(once.origin.to_vec())
        .fetch_optional(executor)
        .await?;
    row.as_ref()
        .map(|row| Ok((id(row, "id")?, state(row)?)))
        .transpose()
}

fn earlier(row: &AnyRow) -> Result<Earlier, Error> {
    Ok(Earlier {
        id: id(row, "id")?,
        state: state(row)?,
        body_hash: row.try_get("body_hash")?,
        created_at: row.try_get("created_at")?,
    })
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

/// Makes a task what it is in `after`, if it still is what it was in `before`: the version and the claim are the fence, and whether its
/// customer has asked to cancel it. `false`: somebody else moved it or took it, or it is to be cancelled, and nothing was changed.
/// What its provider has said meanwhile is not forgotten: the next look is due by then.
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
    // What fails has gone on from nothing.
    let done = sqlx::query(
        "update task set state = $1, version = $2, charged = $3, provider = $4, job = $5, progress = $6, polls = $7,
                poll_failures = $8, due_at = case when heard_at > $22 and heard_at < $9 then heard_at else $9 end,
                not_before = $10, error = $11, started_at = $12, completed_at = $13,
                attempts = $14, line = $15, lease_until = $16, queue_position = $17,
                once = case when $1 = 'failed' then null else once end
         where id = $18 and version = $19 and claims = $20 and cancel_asked_at = $21",
    )
    .bind(after.state.as_str())
    .bind(after.version)
    .bind(after.charged.get())
    .bind(after.provider.as_deref())
    .bind(after.job.as_deref())
    .bind(after.progress)
    .bind(after.polls)
    .bind(after.poll_failures)
    .bind(after.wakes_at())
    .bind(after.not_before)
    .bind(error)
    .bind(after.started_at)
    .bind(after.completed_at)
    .bind(after.attempts)
    .bind(after.line.as_str())
    .bind(after.lease_until)
    .bind(after.queue_position)
    .bind(after.id.to_vec())
    .bind(before.version)
    .bind(before.claims)
    .bind(before.cancel_asked_at)
    .bind(if after.state == State::Running { before.heard_at } else { i64::MAX })
    .execute(&mut *connection)
    .await?;
    let is_saved = done.rows_affected() == 1;
    if is_saved && after.clips != before.clips {
        save_clips(connection, after, sealer).await?;
    }
    Ok(is_saved)
}

/// What is known of the songs that a task makes.
async fn save_clips(
    connection: &mut AnyConnection,
    task: &Task,
    sealer: &Sealer,
) -> Result<(), Error> {
    sqlx::query("update task set clips = $1 where id = $2")
        .bind(sealed_clips(task, sealer)?)
        .bind(task.id.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// What is known of a task's songs as it is kept; `None`: nothing is.
pub(crate) fn sealed_clips(task: &Task, sealer: &Sealer) -> Result<Option<Vec<u8>>, Error> {
    if task.clips.is_empty() {
        return Ok(None);
    }
    let clips = serde_json::to_vec(&task.clips)?;
    Ok(Some(sealer.seal(&place(task.id, "clips"), &clips)?))
}

/// The same, read.
pub(crate) fn opened_clips(
    task: TaskId,
    sealer: &Sealer,
    sealed: Option<&[u8]>,
) -> Vec<Map<String, Value>> {
    let clips = sealed.and_then(|sealed| opened(sealer, task, "clips", sealed));
    clips.unwrap_or_default()
}

/// Whether a task stands as it should after a move: another mover would have raised its version or its claims otherwise.
pub(crate) async fn stands(pool: &AnyPool, after: &Task) -> Result<bool, Error> {
    let found: Option<i64> = sqlx::query_scalar(
        "select 1 from task where id = $1 and version = $2 and claims = $3 and state = $4 and lease_until = $5",
    )
    .bind(after.id.to_vec())
    .bind(after.version)
    .bind(after.claims)
    .bind(after.state.as_str())
    .bind(after.lease_until)
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Notes that a running task is to be cancelled, if its model can be: from now on it ends as cancelled where its provider fails it, and
/// whoever is looking at it looks again. `false`: it was noted after `before`, or the task does not run there.
pub(crate) async fn ask_to_cancel(
    connection: &mut AnyConnection,
    (task, job): (TaskId, &str),
    (now, before): (i64, i64),
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update task set cancel_asked_at = $1, lease_until = 0, due_at = $1
         where id = $2 and state = 'running' and job = $3 and cancel_asked_at <= $4",
    )
    .bind(now)
    .bind(task.to_vec())
    .bind(job.to_owned())
    .bind(before)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes the next look at a task that a provider has, or is about to have, due at `now`, or as soon as the pause since it was last made due
/// so is over. One under way is followed by another ([`save`]). `false`: one is due already because of what the provider said before, or no
/// provider has the task.
pub(crate) async fn hasten(
    connection: &mut AnyConnection,
    task: TaskId,
    (now, pause): (i64, i64),
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update task set heard_at = case when heard_at > $3 then heard_at + $4 else $1 end,
                due_at = case when state = 'starting' then due_at
                              when heard_at > $3 and heard_at + $4 < due_at then heard_at + $4
                              when heard_at <= $3 and $1 < due_at then $1
                              else due_at end
         where id = $2 and state in ('starting', 'running') and heard_at <= $1",
    )
    .bind(now)
    .bind(task.to_vec())
    .bind(now.saturating_sub(pause))
    .bind(pause)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a task was accepted, whatever became of it since.
pub(crate) async fn is_accepted<'e>(
    executor: impl Executor<'e, Database = Any>,
    task: TaskId,
) -> Result<bool, Error> {
    let found: Option<i64> =
        sqlx::query_scalar("select 1 from task where id = $1 and state <> 'reserving'")
            .bind(task.to_vec())
            .fetch_optional(executor)
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

/// Up to 500 tasks that were written down by `before` and never accepted.
pub(crate) async fn never_accepted(pool: &AnyPool, before: i64) -> Result<Vec<TaskId>, Error> {
    let rows =
        sqlx::query("select id from task where state = 'reserving' and created_at <= $1 limit 500")
            .bind(before)
            .fetch_all(pool)
            .await?;
    rows.iter().map(|row| id(row, "id")).collect()
}

/// Queued tasks that should be rung for at `now`; the next ring is at `again`.
pub(crate) async fn ring_due(
    connection: &mut AnyConnection,
    now: i64,
    again: i64,
) -> Result<Vec<TaskId>, Error> {
    let skip_locked = Engine::of(connection).skip_locked();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "with unheard as (
             select id from task where state = 'queued' and due_at <= $1 order by due_at limit 500{skip_locked}
         )
         update task set due_at = $2 where id in (select id from unheard) returning id"
    )))
    .bind(now)
    .bind(again)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| id(row, "id")).collect()
}

/// Whether a queued task should be rung for by now.
pub(crate) async fn any_to_ring(pool: &AnyPool, now: i64) -> Result<bool, Error> {
    let found: Option<i64> =
        sqlx::query_scalar("select 1 from task where state = 'queued' and due_at <= $1 limit 1")
            .bind(now)
            .fetch_optional(pool)
            .await?;
    Ok(found.is_some())
}

/// Reads a row. Content that does not open is left out and logged: the task must still be able to end.
pub(super) fn read(row: &AnyRow, sealer: &Sealer) -> Result<Task, Error> {
    let task: TaskId = id(row, "id")?;
    let request: Vec<u8> = row.try_get("request")?;
    let error: Option<Vec<u8>> = row.try_get("error")?;
    let clips: Option<Vec<u8>> = row.try_get("clips")?;
    let (held, created_at) = (
        Micros::new(row.try_get("held")?),
        row.try_get("created_at")?,
    );
    Ok(Task {
        id: task,
        account: id(row, "account")?,
        mode: Mode::parse(row.try_get("mode")?).ok_or(Error::Damaged("mode"))?,
        route: row.try_get("route")?,
        model: row.try_get("model")?,
        state: state(row)?,
        version: row.try_get("version")?,
        request: opened::<Request>(sealer, task, "request", &request),
        held,
        price: price(row, held, created_at)?,
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
        line: row.try_get("line")?,
        claims: row.try_get("claims")?,
        lease_until: row.try_get("lease_until")?,
        error: error.and_then(|sealed| opened::<TaskError>(sealer, task, "error", &sealed)),
        created_at,
        started_at: row.try_get("started_at")?,
        completed_at: row.try_get("completed_at")?,
        deadline_at: row.try_get("deadline_at")?,
        trace: row.try_get("trace")?,
        queue_position: row.try_get("queue_position")?,
        cancel_asked_at: row.try_get("cancel_asked_at")?,
        heard_at: row.try_get("heard_at")?,
        clips: opened_clips(task, sealer, clips.as_deref()),
    })
}

/// What was frozen; of a task from before there was such a thing, that it was priced per call.
fn price(row: &AnyRow, held: Micros, created_at: i64) -> Result<Box<Frozen>, Error> {
    let text: &str = row.try_get("price")?;
    if text.is_empty() {
        let frozen = Frozen::per_call(held, Moment::from_micros(created_at));
        return Ok(Box::new(frozen));
    }
    Ok(serde_json::from_str(text)?)
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
