//! Price lists, by their version.

use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::row::PriceListRow;
use crate::Error;

/// Keeps a list. `false`: it is kept already.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    list: &PriceListRow,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "insert into price_list (version, body, created_at) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(list.version.clone())
    .bind(list.body.clone())
    .bind(list.created_at)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The newest: version, and when it was kept first.
pub(crate) async fn page(
    connection: &mut AnyConnection,
    limit: i64,
) -> Result<Vec<(String, i64)>, Error> {
    let rows = sqlx::query(
        "select version, created_at from price_list order by created_at desc, version limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let read = |row: &AnyRow| Ok((row.try_get("version")?, row.try_get("created_at")?));
    rows.iter().map(read).collect()
}

pub(crate) async fn get(
    connection: &mut AnyConnection,
    version: &str,
) -> Result<Option<PriceListRow>, Error> {
    let row = sqlx::query("select version, body, created_at from price_list where version = $1")
        .bind(version.to_owned())
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(PriceListRow {
            version: row.try_get("version")?,
            body: row.try_get("body")?,
            created_at: row.try_get("created_at")?,
        })
    })
    .transpose()
}
