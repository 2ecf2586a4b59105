//! The table `retention`: one function per statement.

use domain::AccountId;
use sqlx::{AnyConnection, AnyPool, Row as _};

use crate::{Error, operator::By, retention::Retention};

/// What was said of an account; `None`: nothing ever.
pub(crate) async fn of(pool: &AnyPool, account: AccountId) -> Result<Option<Retention>, Error> {
    let row = sqlx::query("select outputs, uploads from retention where account = $1")
        .bind(account.to_vec())
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let seconds = |column| -> Result<Option<u64>, Error> {
        let seconds: Option<i64> = row.try_get(column)?;
        Ok(seconds.and_then(|seconds| u64::try_from(seconds).ok()))
    };
    Ok(Some(Retention {
        outputs: seconds("outputs")?,
        uploads: seconds("uploads")?,
    }))
}

/// Writes down what is said of an account from now on, and who says it.
pub(crate) async fn set(
    connection: &mut AnyConnection,
    account: AccountId,
    (said, by): (Retention, &By),
    now: i64,
) -> Result<(), Error> {
    let seconds = |seconds: Option<u64>| seconds.and_then(|seconds| i64::try_from(seconds).ok());
    sqlx::query(
        "insert into retention (account, outputs, uploads, set_at, actor, request) values ($1, $2, $3, $4, $5, $6)
         on conflict (account) do update
         set outputs = excluded.outputs, uploads = excluded.uploads, set_at = excluded.set_at,
             actor = excluded.actor, request = excluded.request",
    )
    .bind(account.to_vec())
    .bind(seconds(said.outputs))
    .bind(seconds(said.uploads))
    .bind(now)
    .bind(by.actor.as_str())
    .bind(by.request.as_str())
    .execute(connection)
    .await?;
    Ok(())
}
