//! The table `endpoint`: URLs that accounts have registered for events.

use domain::{AccountId, EndpointId, Mode};
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::id;
use crate::Error;

/// A new endpoint: a row type.
pub(crate) struct NewRow {
    pub(crate) id: EndpointId,
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    /// Sealed.
    pub(crate) url: Vec<u8>,
    /// What it is told; none: everything.
    pub(crate) events: Vec<String>,
    /// Sealed.
    pub(crate) secret: Vec<u8>,
    pub(crate) created_at: i64,
}

/// An endpoint, without what signs for it: a row type.
pub(crate) struct Row {
    pub(crate) id: EndpointId,
    /// Sealed.
    pub(crate) url: Vec<u8>,
    /// What it is told; none: everything.
    pub(crate) events: Vec<String>,
    pub(crate) created_at: i64,
}

/// Writes an endpoint unless its account and mode have `most` of them already; says whether it did. Two that come at the same moment
/// may both find room.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    row: NewRow,
    most: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "insert into endpoint (id, account_id, mode, url, events, secret, created_at)
         select $1, $2, $3, $4, $5, $6, $7
         where (select count(*) from endpoint where account_id = $2 and mode = $3) < $8",
    )
    .bind(row.id.to_vec())
    .bind(row.account.to_vec())
    .bind(row.mode.as_str())
    .bind(row.url)
    .bind(row.events.join(" "))
    .bind(row.secret)
    .bind(row.created_at)
    .bind(most)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Those of an account and mode, the oldest first.
pub(crate) async fn list(
    reader: &AnyPool,
    account: AccountId,
    mode: Mode,
) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query(
        "select id, url, events, created_at from endpoint
         where account_id = $1 and mode = $2 order by id",
    )
    .bind(account.to_vec())
    .bind(mode.as_str())
    .fetch_all(reader)
    .await?;
    let read = rows.iter().map(|row| {
        let events: String = row.try_get("events")?;
        Ok(Row {
            id: id(row, "id")?,
            url: row.try_get("url")?,
            events: events.split_whitespace().map(str::to_owned).collect(),
            created_at: row.try_get("created_at")?,
        })
    });
    read.collect()
}

/// Those of an account and mode that are told events of this type, the oldest first, each with its sealed URL.
pub(crate) async fn wanting(
    reader: &AnyPool,
    (account, mode): (AccountId, Mode),
    kind: &str,
) -> Result<Vec<(EndpointId, Vec<u8>)>, Error> {
    // The list has the word if it is another without it.
    let rows = sqlx::query(
        "select id, url from endpoint where account_id = $1 and mode = $2
             and (events = '' or replace(' ' || events || ' ', ' ' || $3 || ' ', '') <> ' ' || events || ' ')
         order by id",
    )
    .bind(account.to_vec())
    .bind(mode.as_str())
    .bind(kind)
    .fetch_all(reader)
    .await?;
    let read = rows
        .iter()
        .map(|row| Ok((id(row, "id")?, row.try_get("url")?)));
    read.collect()
}

/// Removes an endpoint of an account and mode; says whether there was one.
pub(crate) async fn delete(
    connection: &mut AnyConnection,
    (account, mode): (AccountId, Mode),
    endpoint: EndpointId,
) -> Result<bool, Error> {
    let done = sqlx::query("delete from endpoint where id = $1 and account_id = $2 and mode = $3")
        .bind(endpoint.to_vec())
        .bind(account.to_vec())
        .bind(mode.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The place a URL is sealed for.
pub(crate) fn url_place(endpoint: EndpointId) -> Vec<u8> {
    format!("endpoint/{endpoint}/url").into_bytes()
}

/// The place a secret is sealed for.
pub(crate) fn secret_place(endpoint: EndpointId) -> Vec<u8> {
    format!("endpoint/{endpoint}/secret").into_bytes()
}
