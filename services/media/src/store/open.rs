//! Tasks that have not ended, counted by account and by key.

use db::Engine;
use domain::KeyId;
use sqlx::AnyConnection;

use crate::{Error, task::Task};

/// Lets nobody else count or submit tasks of this account and mode until this transaction has ended. What they had written by
/// then is seen by every statement after this one.
pub(crate) async fn lock(connection: &mut AnyConnection, task: &Task) -> Result<(), Error> {
    match Engine::of(connection) {
        // There is one writer.
        Engine::Sqlite => {}
        // Made text, because nothing can be read from its own type.
        Engine::Postgres => {
            sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))::text")
                .bind(format!(
                    "media.open.{}.{}",
                    task.account,
                    task.mode.as_str()
                ))
                .execute(connection)
                .await?;
        }
    }
    Ok(())
}

/// How many tasks of the account and mode are open beside this one, or of the key alone; counted up to `most`.
pub(crate) async fn beside(
    connection: &mut AnyConnection,
    task: &Task,
    key: Option<KeyId>,
    most: u32,
) -> Result<u32, Error> {
    let count: i64 = sqlx::query_scalar(
        "select count(*) from (
             select 1 as one from task
             where account = $1 and mode = $2 and completed_at is null and id <> $3 and ($4 = 0 or key_id = $5)
             limit $6
         ) as open_tasks",
    )
    .bind(task.account.to_vec())
    .bind(task.mode.as_str())
    .bind(task.id.to_vec())
    .bind(i64::from(key.is_some()))
    .bind(key.map(KeyId::to_vec).unwrap_or_default())
    .bind(i64::from(most))
    .fetch_one(connection)
    .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}
