//! The table `playground_key`.

use domain::{AccountId, KeyId, Mode, UserId};
use sqlx::{AnyConnection, AnyPool};

use super::id;
use crate::error::Error;

/// Whose playground.
pub(crate) type Whose = (UserId, AccountId, Mode);

/// The key that it has, if it was opened before.
pub(crate) async fn find(reader: &AnyPool, whose: Whose) -> Result<Option<KeyId>, Error> {
    let (person, account, mode) = whose;
    let row = sqlx::query(
        "select key_id from playground_key where person_id = $1 and account_id = $2 and mode = $3",
    )
    .bind(person.to_vec())
    .bind(account.to_vec())
    .bind(mode.as_str())
    .fetch_optional(reader)
    .await?;
    row.map(|row| id(&row, "key_id")).transpose()
}

/// Writes down its key, and says whether it had none: the first of two that come at once counts.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    (person, account, mode): Whose,
    key: KeyId,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "insert into playground_key (person_id, account_id, mode, key_id) values ($1, $2, $3, $4) on conflict do nothing",
    )
    .bind(person.to_vec())
    .bind(account.to_vec())
    .bind(mode.as_str())
    .bind(key.to_vec())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets a key that is gone.
pub(crate) async fn delete(
    connection: &mut AnyConnection,
    (person, account, mode): Whose,
    key: KeyId,
) -> Result<(), Error> {
    sqlx::query(
        "delete from playground_key where person_id = $1 and account_id = $2 and mode = $3 and key_id = $4",
    )
    .bind(person.to_vec())
    .bind(account.to_vec())
    .bind(mode.as_str())
    .bind(key.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}
