//! The table `sign_up_count`.

use sqlx::AnyConnection;

use super::session::Mac;
use crate::error::Error;

/// Counts one sign-up out of a network in the time that ends at `ends_at`, unless there were `most` already; says whether it did.
pub(crate) async fn count(
    connection: &mut AnyConnection,
    network: Mac,
    ends_at: i64,
    most: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "insert into sign_up_count (network, ends_at, count) values ($1, $2, 1)
         on conflict (network, ends_at) do update set count = sign_up_count.count + 1 where sign_up_count.count < $3",
    )
    .bind(network.to_vec())
    .bind(ends_at)
    .bind(most)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes those whose time is over.
pub(crate) async fn clear(connection: &mut AnyConnection, now: i64) -> Result<u64, Error> {
    let done = sqlx::query("delete from sign_up_count where ends_at <= $1")
        .bind(now)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
