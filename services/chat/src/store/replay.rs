//! The table `replay`: one function per statement. Whoever changes a row names its operation, and the state it must be in.

use db::Engine;
use domain::OperationId;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _, any::AnyRow};

use crate::{
    StoreError,
    replay::{Earlier, Key, State},
};

/// Rows that one statement of a sweep takes.
const BATCH: i64 = 500;

/// Left-behind requests that one sweep looks after.
const LEFT: i64 = 100;

/// The columns of [`Earlier`].
const COLUMNS: &str =
    "operation, state, body_hash, locked_until, expires_at, answer, charged, receipt";

/// A request to write down. Times are microseconds UTC, by the database's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New {
    pub(crate) operation: OperationId,
    pub(crate) body_hash: [u8; 32],
    pub(crate) now: i64,
    pub(crate) locked_until: i64,
    pub(crate) expires_at: i64,
}

/// What a request comes to.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    /// Sealed; `None`: too long to be kept.
    pub(crate) answer: Option<Vec<u8>>,
    /// Micro-credits.
    pub(crate) charged: i64,
    pub(crate) receipt: String,
}

/// What this key stands for.
pub(crate) async fn by_key(pool: &AnyPool, key: &Key) -> Result<Option<Earlier>, StoreError> {
    let row = sqlx::query(AssertSqlSafe(format!(
        "select {COLUMNS} from replay where account = $1 and mode = $2 and route = $3 and key_hash = $4"
    )))
    .bind(key.account.to_vec())
    .bind(key.mode.as_str())
    .bind(key.route)
    .bind(key.hash.to_vec())
    .fetch_optional(pool)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Writes a request down. `false`: its key stands for another one, perhaps since a moment ago.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    key: &Key,
    new: New,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "insert into replay (account, mode, route, key_hash, body_hash, state, operation, locked_until, created_at, expires_at)
         values ($1, $2, $3, $4, $5, 'running', $6, $7, $8, $9)
         on conflict do nothing",
    )
    .bind(key.account.to_vec())
    .bind(key.mode.as_str())
    .bind(key.route)
    .bind(key.hash.to_vec())
    .bind(new.body_hash.to_vec())
    .bind(new.operation.to_vec())
    .bind(new.locked_until)
    .bind(new.now)
    .bind(new.expires_at)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the key of a request whose hold has ended to a new one. `false`: somebody was faster, or the request moved after all.
pub(crate) async fn replace(
    connection: &mut AnyConnection,
    earlier: (OperationId, State),
    new: New,
) -> Result<bool, StoreError> {
    let (operation, state) = earlier;
    let done = sqlx::query(
        "update replay set operation = $1, state = 'running', body_hash = $2, locked_until = $3, created_at = $4,
                expires_at = $5, answer = null, charged = 0, receipt = null
         where operation = $6 and state = $7",
    )
    .bind(new.operation.to_vec())
    .bind(new.body_hash.to_vec())
    .bind(new.locked_until)
    .bind(new.now)
    .bind(new.expires_at)
    .bind(operation.to_vec())
    .bind(state.as_str())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A sign of life. `false`: the request is done, or another one has its key.
pub(crate) async fn renew(
    connection: &mut AnyConnection,
    operation: OperationId,
    locked_until: i64,
) -> Result<bool, StoreError> {
    let done =
        sqlx::query("update replay set locked_until = $1 where operation = $2 and state <> 'done'")
            .bind(locked_until)
            .bind(operation.to_vec())
            .execute(connection)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes down what a running request comes to; twice is as good as once. `false`: another one has its key.
pub(crate) async fn settle(
    connection: &mut AnyConnection,
    operation: OperationId,
    settled: Settled,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update replay set state = 'stored', answer = $1, charged = $2, receipt = $3
         where operation = $4 and state in ('running', 'stored')",
    )
    .bind(settled.answer)
    .bind(settled.charged)
    .bind(settled.receipt)
    .bind(operation.to_vec())
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(true);
    }
    // It was kept before, and that was not answered: somebody who asked for it has already seen to its charge.
    let ended = sqlx::query("select operation from replay where operation = $1 and state = 'done'")
        .bind(operation.to_vec())
        .fetch_optional(connection)
        .await?;
    Ok(ended.is_some())
}

/// The charge is booked.
pub(crate) async fn finish(
    connection: &mut AnyConnection,
    operation: OperationId,
    charged: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "update replay set state = 'done', charged = $1, receipt = null, locked_until = 0
         where operation = $2 and state = 'stored'",
    )
    .bind(charged)
    .bind(operation.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// Frees the key of a request that was not charged, or for no answer.
pub(crate) async fn free(
    connection: &mut AnyConnection,
    operation: OperationId,
) -> Result<(), StoreError> {
    sqlx::query("delete from replay where operation = $1 and state <> 'done'")
        .bind(operation.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Frees the key of a request that somebody left behind, if it is still in the state that it was found in.
pub(crate) async fn free_left_behind(
    connection: &mut AnyConnection,
    earlier: (OperationId, State),
) -> Result<(), StoreError> {
    let (operation, state) = earlier;
    sqlx::query("delete from replay where operation = $1 and state = $2")
        .bind(operation.to_vec())
        .bind(state.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// For a process that owns the file alone, at its start: nobody is at anything.
pub(crate) async fn unlock_all(connection: &mut AnyConnection) -> Result<(), StoreError> {
    sqlx::query("update replay set locked_until = 0 where state <> 'done' and locked_until > 0")
        .execute(connection)
        .await?;
    Ok(())
}

/// Requests that nobody is at and that no retry can finish: without an answer, or with one that is kept no longer.
pub(crate) async fn left_behind(pool: &AnyPool, now: i64) -> Result<Vec<Earlier>, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select {COLUMNS} from replay where state <> 'done' and locked_until <= $1 and (answer is null or expires_at <= $1)
         order by locked_until limit {LEFT}"
    )))
    .bind(now)
    .fetch_all(pool)
    .await?;
    rows.iter().map(read).collect()
}

/// Whether an answer is kept no longer.
pub(crate) async fn any_expired(pool: &AnyPool, now: i64) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar(
        "select 1 from replay where expires_at <= $1 and state = 'done' limit 1",
    )
    .bind(now)
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// Forgets a batch of answers that are kept no longer, and says how many.
pub(crate) async fn forget_expired(
    connection: &mut AnyConnection,
    now: i64,
) -> Result<u64, StoreError> {
    let skip_locked = Engine::of(connection).skip_locked();
    let done = sqlx::query(AssertSqlSafe(format!(
        "with expired as (
             select operation from replay where expires_at <= $1 and state = 'done'
             order by expires_at limit {BATCH}{skip_locked}
         )
         delete from replay where operation in (select operation from expired)"
    )))
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

fn read(row: &AnyRow) -> Result<Earlier, StoreError> {
    let operation: Vec<u8> = row.try_get("operation")?;
    let state = State::parse(row.try_get("state")?);
    let receipt: Option<String> = row.try_get("receipt")?;
    Ok(Earlier {
        operation: OperationId::from_slice(&operation).ok_or(StoreError::Damaged("operation"))?,
        state: state.ok_or(StoreError::Damaged("state"))?,
        body_hash: row.try_get("body_hash")?,
        locked_until: row.try_get("locked_until")?,
        expires_at: row.try_get("expires_at")?,
        answer: row.try_get("answer")?,
        charged: row.try_get("charged")?,
        receipt: receipt.unwrap_or_default(),
    })
}
