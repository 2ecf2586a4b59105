//! The tables `response` and `response_room`. A row is its account's, in its mode, and nobody else's; what it keeps in all is known.

use db::Engine;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe};

use super::room::Room;
use crate::{
    StoreError,
    responses::{Part, Place},
};

/// Rows that one statement of a sweep takes.
const BATCH: i64 = 500;

/// Bytes of what is kept of a response; none of one that was deleted.
const BYTES: &str =
    "cast(coalesce(length(conversation), 0) + coalesce(length(object), 0) as bigint)";

/// Writes a response down, if its account then keeps at most `most` bytes in its mode. One that is there already, or was deleted, stays
/// as it is. `false`: there is no room.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    place: Place,
    (conversation, object): (Vec<u8>, Vec<u8>),
    (now, expires_at): (i64, i64),
    most: i64,
) -> Result<bool, StoreError> {
    let bytes = conversation.len().saturating_add(object.len());
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let owner = (place.account.to_vec(), place.mode.as_str().to_owned());
    if !Room::RESPONSES
        .take(connection, &owner, (bytes, most))
        .await?
    {
        return Ok(false);
    }
    let done = sqlx::query(
        "insert into response (account, mode, operation, conversation, object, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict do nothing",
    )
    .bind(place.account.to_vec())
    .bind(place.mode.as_str())
    .bind(place.operation.to_vec())
    .bind(conversation)
    .bind(object)
    .bind(now)
    .bind(expires_at)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        Room::RESPONSES.give(connection, &owner, bytes).await?;
    }
    Ok(true)
}

/// A part of what is kept of a response, sealed.
pub(crate) async fn part(
    pool: &AnyPool,
    place: Place,
    part: Part,
    now: i64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let column = part.as_str();
    let found: Option<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(format!(
        "select {column} from response
         where account = $1 and mode = $2 and operation = $3 and {column} is not null and expires_at > $4"
    )))
    .bind(place.account.to_vec())
    .bind(place.mode.as_str())
    .bind(place.operation.to_vec())
    .bind(now)
    .fetch_optional(pool)
    .await?;
    Ok(found)
}

/// Forgets what is kept of a response, but not that there was one. `false`: there is nothing to forget.
pub(crate) async fn empty(
    connection: &mut AnyConnection,
    place: Place,
    now: i64,
) -> Result<bool, StoreError> {
    // What is kept never grows: it is as long when it is deleted.
    let bytes: Option<i64> = sqlx::query_scalar(AssertSqlSafe(format!(
        "select {BYTES} from response where account = $1 and mode = $2 and operation = $3"
    )))
    .bind(place.account.to_vec())
    .bind(place.mode.as_str())
    .bind(place.operation.to_vec())
    .fetch_optional(&mut *connection)
    .await?;
    let done = sqlx::query(
        "update response set conversation = null, object = null
         where account = $1 and mode = $2 and operation = $3 and object is not null and expires_at > $4",
    )
    .bind(place.account.to_vec())
    .bind(place.mode.as_str())
    .bind(place.operation.to_vec())
    .bind(now)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    let owner = (place.account.to_vec(), place.mode.as_str().to_owned());
    Room::RESPONSES
        .give(connection, &owner, bytes.unwrap_or_default())
        .await?;
    Ok(true)
}

/// Whether a response is kept no longer.
pub(crate) async fn any_expired(pool: &AnyPool, now: i64) -> Result<bool, StoreError> {
    let found: Option<i64> =
        sqlx::query_scalar("select 1 from response where expires_at <= $1 limit 1")
            .bind(now)
            .fetch_optional(pool)
            .await?;
    Ok(found.is_some())
}

/// Forgets a batch of responses that are kept no longer, and says how many.
pub(crate) async fn forget_expired(
    connection: &mut AnyConnection,
    now: i64,
) -> Result<u64, StoreError> {
    let skip_locked = Engine::of(connection).skip_locked();
    let forgotten = sqlx::query(AssertSqlSafe(format!(
        "with expired as (
             select account, mode, operation from response where expires_at <= $1
             order by expires_at limit {BATCH}{skip_locked}
         )
         delete from response where (account, mode, operation) in (select account, mode, operation from expired)
         returning account, mode, {BYTES} as bytes"
    )))
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    Room::RESPONSES.give_all(connection, &forgotten).await?;
    Ok(u64::try_from(forgotten.len()).unwrap_or(u64::MAX))
}
