//! The table `callback_secret`: one per account and mode, and the first one stays until it is rotated.

use domain::{AccountId, Mode};
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use crate::Error;

/// A sealed secret, and what it took the place of: a row type.
pub(crate) struct Row {
    pub(crate) secret: Vec<u8>,
    pub(crate) old: Option<Vec<u8>>,
    /// Until when the old one signs as well. Microseconds UTC.
    pub(crate) old_until: i64,
}

/// The sealed secret, if there is one.
pub(crate) async fn find(
    reader: &AnyPool,
    account: AccountId,
    mode: Mode,
) -> Result<Option<Row>, Error> {
    let found = sqlx::query(
        "select secret, old_secret, old_until from callback_secret
         where account_id = $1 and mode = $2",
    )
    .bind(account.to_vec())
    .bind(mode.as_str())
    .fetch_optional(reader)
    .await?;
    let read = |row: AnyRow| {
        Ok(Row {
            secret: row.try_get("secret")?,
            old: row.try_get("old_secret")?,
            old_until: row.try_get("old_until")?,
        })
    };
    found.map(read).transpose()
}

/// Puts another secret in the place of the one there is; the old one signs as well until then, or not at all if that is 0.
pub(crate) async fn rotate(
    connection: &mut AnyConnection,
    (account, mode): (AccountId, Mode),
    sealed: Vec<u8>,
    until: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update callback_secret set old_secret = case when $4 > 0 then secret end, secret = $3, old_until = $4
         where account_id = $1 and mode = $2",
    )
    .bind(account.to_vec())
    .bind(mode.as_str())
    .bind(sealed)
    .bind(until)
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps a sealed secret unless there is one, and answers with the one that is kept.
pub(crate) async fn keep(
    connection: &mut AnyConnection,
    account: AccountId,
    mode: Mode,
    sealed: Vec<u8>,
    now: i64,
) -> Result<Vec<u8>, Error> {
    sqlx::query(
        "insert into callback_secret (account_id, mode, secret, created_at) values ($1, $2, $3, $4)
         on conflict (account_id, mode) do nothing",
    )
    .bind(account.to_vec())
    .bind(mode.as_str())
    .bind(sealed)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    let kept = sqlx::query_scalar(
        "select secret from callback_secret where account_id = $1 and mode = $2",
    )
    .bind(account.to_vec())
    .bind(mode.as_str())
    .fetch_one(connection)
    .await?;
    Ok(kept)
}

/// The place a secret is sealed for.
pub(crate) fn place(account: AccountId, mode: Mode) -> Vec<u8> {
    format!("callback_secret/{account}/{}", mode.as_str()).into_bytes()
}
