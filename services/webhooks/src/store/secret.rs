//! The table `callback_secret`: one per account and mode, and the first one stays.

use domain::{AccountId, Mode};
use sqlx::{AnyConnection, AnyPool};

use crate::Error;

/// The sealed secret, if there is one.
pub(crate) async fn find(
    reader: &AnyPool,
    account: AccountId,
    mode: Mode,
) -> Result<Option<Vec<u8>>, Error> {
    let found = sqlx::query_scalar(
        "select secret from callback_secret where account_id = $1 and mode = $2",
    )
    .bind(account.to_vec())
    .bind(mode.as_str())
    .fetch_optional(reader)
    .await?;
    Ok(found)
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
