//! The tables `cached` and `cached_room`. A row is its account's, in its mode, and nobody else's; what it keeps in all is known.
//!
//! Whoever writes both takes the row of `cached` first, so that nobody waits in a circle.

use db::Engine;
use domain::OperationId;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _};

use super::room::{Owner, Room};
use crate::{StoreError, cache::Key};

/// Rows that one statement of a sweep takes.
const BATCH: i64 = 500;

/// Bytes of an answer.
const BYTES: &str = "cast(length(answer) as bigint)";

/// An answer as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What made it, and was charged for it.
    pub(crate) operation: OperationId,
    /// Sealed.
    pub(crate) answer: Vec<u8>,
    /// Microseconds UTC, by the database's clock.
    pub(crate) created_at: i64,
}

/// The answer to an equal request, if it was kept at `oldest` or later and is kept still.
pub(crate) async fn find(
    pool: &AnyPool,
    key: &Key,
    (oldest, now): (i64, i64),
) -> Result<Option<Row>, StoreError> {
    let row = sqlx::query(
        "select operation, answer, created_at from cached
         where account = $1 and mode = $2 and request_mac = $3 and created_at >= $4 and expires_at > $5",
    )
    .bind(key.account.to_vec())
    .bind(key.mode.as_str())
    .bind(key.mac.to_vec())
    .bind(oldest)
    .bind(now)
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let operation: Vec<u8> = row.try_get("operation")?;
    Ok(Some(Row {
        operation: OperationId::from_slice(&operation).ok_or(StoreError::Damaged("operation"))?,
        answer: row.try_get("answer")?,
        created_at: row.try_get("created_at")?,
    }))
}

/// Keeps an answer until `expires_at`, in the place of an older one, if its account then keeps at most `most` bytes in its mode.
/// `false`: there is no room.
pub(crate) async fn put(
    connection: &mut AnyConnection,
    key: &Key,
    row: Row,
    expires_at: i64,
    most: i64,
) -> Result<bool, StoreError> {
    let owner: Owner = (key.account.to_vec(), key.mode.as_str().to_owned());
    // Changes nothing, and takes the row.
    let older: Option<i64> = sqlx::query_scalar(AssertSqlSafe(format!(
        "update cached set expires_at = expires_at where account = $1 and mode = $2 and request_mac = $3 returning {BYTES}"
    )))
    .bind(owner.0.as_slice())
    .bind(owner.1.as_str())
    .bind(key.mac.to_vec())
    .fetch_optional(&mut *connection)
    .await?;
    let bytes = i64::try_from(row.answer.len()).unwrap_or(i64::MAX);
    let more = bytes.saturating_sub(older.unwrap_or_default());
    if !Room::CACHED.take(connection, &owner, (more, most)).await? {
        return Ok(false);
    }
    let write = if older.is_some() {
        "update cached set operation = $4, answer = $5, created_at = $6, expires_at = $7
         where account = $1 and mode = $2 and request_mac = $3"
    } else {
        "insert into cached (account, mode, request_mac, operation, answer, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict do nothing"
    };
    let done = sqlx::query(write)
        .bind(owner.0.as_slice())
        .bind(owner.1.as_str())
        .bind(key.mac.to_vec())
        .bind(row.operation.to_vec())
        .bind(row.answer)
        .bind(row.created_at)
        .bind(expires_at)
        .execute(&mut *connection)
        .await?;
    if done.rows_affected() == 0 {
        // That of an equal request came in between, and is as good.
        Room::CACHED.give(connection, &owner, more).await?;
    }
    Ok(true)
}

/// Whether an answer is kept no longer.
pub(crate) async fn any_expired(pool: &AnyPool, now: i64) -> Result<bool, StoreError> {
    let found: Option<i64> =
        sqlx::query_scalar("select 1 from cached where expires_at <= $1 limit 1")
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
    let forgotten = sqlx::query(AssertSqlSafe(format!(
        "with expired as (
             select account, mode, request_mac from cached where expires_at <= $1
             order by expires_at limit {BATCH}{skip_locked}
         )
         delete from cached where (account, mode, request_mac) in (select account, mode, request_mac from expired)
         returning account, mode, {BYTES} as bytes"
    )))
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    Room::CACHED.give_all(connection, &forgotten).await?;
    Ok(u64::try_from(forgotten.len()).unwrap_or(u64::MAX))
}
