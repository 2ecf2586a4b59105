//! API keys: found by the MAC of the key, never by the key.

use domain::KeyId;
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::row::{self, KeyRow};
use crate::Error;

pub(crate) async fn insert(connection: &mut AnyConnection, key: &KeyRow) -> Result<(), Error> {
    sqlx::query(
        "insert into api_key (id, account, mode, name, mac, last_four, scopes, models, ip_allow, rpm, concurrency,
                              created_at, expires_at, revoked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(key.id.to_vec())
    .bind(key.account.to_vec())
    .bind(key.mode.as_str())
    .bind(key.name.clone())
    .bind(key.mac.clone())
    .bind(key.last_four.clone())
    .bind(words(&key.scopes)?)
    .bind(words(&key.models)?)
    .bind(words(&key.ip_allow)?)
    .bind(i64::from(key.rpm))
    .bind(i64::from(key.concurrency))
    .bind(key.created_at)
    .bind(key.expires_at)
    .bind(key.revoked_at)
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn by_mac(
    connection: &mut AnyConnection,
    mac: &[u8; 32],
) -> Result<Option<KeyRow>, Error> {
    let row = sqlx::query(
        "select id, account, mode, name, mac, last_four, scopes, models, ip_allow, rpm, concurrency, created_at,
                expires_at, revoked_at
         from api_key where mac = $1",
    )
    .bind(mac.to_vec())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Marks a key as revoked, and says whether there is such a key. The first moment stays.
pub(crate) async fn revoke(
    connection: &mut AnyConnection,
    id: KeyId,
    at: i64,
) -> Result<bool, Error> {
    let changed =
        sqlx::query("update api_key set revoked_at = coalesce(revoked_at, $1) where id = $2")
            .bind(at)
            .bind(id.to_vec())
            .execute(connection)
            .await?;
    Ok(changed.rows_affected() > 0)
}

fn read(row: &AnyRow) -> Result<KeyRow, Error> {
    Ok(KeyRow {
        id: row::id(row, "id")?,
        account: row::id(row, "account")?,
        mode: row::mode(row)?,
        name: row.try_get("name")?,
        mac: row.try_get("mac")?,
        last_four: row.try_get("last_four")?,
        scopes: read_words(row, "scopes")?,
        models: read_words(row, "models")?,
        ip_allow: read_words(row, "ip_allow")?,
        rpm: read_count(row, "rpm")?,
        concurrency: read_count(row, "concurrency")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

fn words(list: &[String]) -> Result<String, Error> {
    serde_json::to_string(list).map_err(|_| Error::Corrupt("a list cannot be written as JSON"))
}

fn read_words(row: &AnyRow, column: &str) -> Result<Vec<String>, Error> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|_| Error::Corrupt("a list of words is not JSON"))
}

fn read_count(row: &AnyRow, column: &str) -> Result<u32, Error> {
    u32::try_from(row.try_get::<i64, _>(column)?)
        .map_err(|_| Error::Corrupt("a count is out of range"))
}
