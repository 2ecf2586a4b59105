//! API keys: found by the MAC of the key, never by the key.

use db::Engine;
use domain::{AccountId, KeyId, Mode};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use super::{
    budget,
    row::{self, KeyRow, PreviousSecret},
};
use crate::{Error, ledger::Budget};

macro_rules! columns {
    () => {
        "api_key.id, api_key.account, api_key.mode, api_key.name, api_key.mac, api_key.last_four, api_key.scopes, \
         api_key.models, api_key.ip_allow, api_key.rpm, api_key.concurrency, api_key.max_open_tasks, api_key.created_at, \
         api_key.expires_at, api_key.revoked_at, api_key.previous_mac, api_key.previous_last_four, api_key.previous_until"
    };
}

/// Keys as they are listed, of an account and of one mode or both.
const LIST: &str = concat!(
    "select ",
    columns!(),
    ", cap_day, cap_month, cap_total, spent_day, spent_month, spent_total, held, day, month,
       (select operation.created_at from operation
        where operation.account = api_key.account and operation.mode = api_key.mode and operation.key = api_key.id
        order by operation.id desc limit 1) as last_used_at
     from api_key left join budget on budget.key = api_key.id
     where api_key.account = $1 and ($2 = '' or api_key.mode = $2)"
);

pub(crate) async fn insert(connection: &mut AnyConnection, key: &KeyRow) -> Result<(), Error> {
    sqlx::query(
        "insert into api_key (id, account, mode, name, mac, last_four, scopes, models, ip_allow, rpm, concurrency,
                              max_open_tasks, created_at, expires_at, revoked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
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
    .bind(i64::from(key.max_open_tasks))
    .bind(key.created_at)
    .bind(key.expires_at)
    .bind(key.revoked_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes what may change of a key. Whoever does holds its [`lock`].
pub(crate) async fn save(connection: &mut AnyConnection, key: &KeyRow) -> Result<(), Error> {
    let previous = key.previous.as_ref();
    sqlx::query(
        "update api_key set name = $1, mac = $2, last_four = $3, models = $4, ip_allow = $5, rpm = $6, concurrency = $7,
                max_open_tasks = $8, expires_at = $9, revoked_at = $10, previous_mac = $11, previous_last_four = $12,
                previous_until = $13
         where id = $14",
    )
    .bind(key.name.clone())
    .bind(key.mac.clone())
    .bind(key.last_four.clone())
    .bind(words(&key.models)?)
    .bind(words(&key.ip_allow)?)
    .bind(i64::from(key.rpm))
    .bind(i64::from(key.concurrency))
    .bind(i64::from(key.max_open_tasks))
    .bind(key.expires_at)
    .bind(key.revoked_at)
    .bind(previous.map(|previous| previous.mac.clone()))
    .bind(previous.map(|previous| previous.last_four.clone()))
    .bind(previous.map(|previous| previous.until))
    .bind(key.id.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// The key that has or had this secret.
pub(crate) async fn by_mac(
    connection: &mut AnyConnection,
    mac: &[u8; 32],
) -> Result<Option<KeyRow>, Error> {
    let row = sqlx::query(concat!(
        "select ",
        columns!(),
        " from api_key where mac = $1 or previous_mac = $1"
    ))
    .bind(mac.to_vec())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read).transpose()
}

/// A key, as it is now.
pub(crate) async fn by_id(
    connection: &mut AnyConnection,
    id: KeyId,
) -> Result<Option<KeyRow>, Error> {
    let row = sqlx::query(concat!(
        "select ",
        columns!(),
        " from api_key where id = $1"
    ))
    .bind(id.to_vec())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read).transpose()
}

/// A key, which nobody else changes until this transaction has ended.
pub(crate) async fn lock(
    connection: &mut AnyConnection,
    id: KeyId,
) -> Result<Option<KeyRow>, Error> {
    let sql = match Engine::of(connection) {
        // There is one writer.
        Engine::Sqlite => concat!("select ", columns!(), " from api_key where id = $1"),
        Engine::Postgres => concat!(
            "select ",
            columns!(),
            " from api_key where id = $1 for update"
        ),
    };
    let row = sqlx::query(sql)
        .bind(id.to_vec())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Which keys of an account a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Those {
    /// Not revoked, in the order of their ids, behind this one.
    Alive(Option<KeyId>),
    /// Revoked, the newest first, before this one.
    Revoked(Option<KeyId>),
    /// This one.
    Only(KeyId),
}

/// A key as it is listed: with what it may spend, and when the last of its operations that have ended was asked for.
#[derive(Clone, Debug)]
pub(crate) struct ListedRow {
    pub(crate) key: KeyRow,
    pub(crate) budget: Option<Budget>,
    /// Microseconds UTC.
    pub(crate) last_used_at: Option<i64>,
}

/// When the last of a key's operations that have ended was asked for.
pub(crate) async fn last_use(
    connection: &mut AnyConnection,
    key: &KeyRow,
) -> Result<Option<i64>, Error> {
    let last = sqlx::query_scalar(
        "select created_at from operation where account = $1 and mode = $2 and key = $3 order by id desc limit 1",
    )
    .bind(key.account.to_vec())
    .bind(key.mode.as_str())
    .bind(key.id.to_vec());
    Ok(last.fetch_optional(connection).await?)
}

/// A page of the keys of an account, of one mode or both.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    (account, mode): (AccountId, Option<Mode>),
    those: Those,
    limit: i64,
) -> Result<Vec<ListedRow>, Error> {
    // No id is shorter than an empty one, and none is greater than this.
    let greatest = || vec![u8::MAX; 16];
    let (filter, bound) = match those {
        Those::Alive(after) => (
            "api_key.id > $3 and api_key.revoked_at is null order by api_key.id",
            after.map(KeyId::to_vec).unwrap_or_default(),
        ),
        Those::Revoked(before) => (
            "api_key.id < $3 and api_key.revoked_at is not null order by api_key.id desc",
            before.map_or_else(greatest, KeyId::to_vec),
        ),
        Those::Only(id) => ("api_key.id = $3 order by api_key.id", id.to_vec()),
    };
    let sql = format!("{LIST} and {filter} limit $4");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(account.to_vec())
        .bind(mode.map(Mode::as_str).unwrap_or_default())
        .bind(bound)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let has_budget = row.try_get::<Option<i64>, _>("spent_total")?.is_some();
            Ok(ListedRow {
                key: read(row)?,
                budget: has_budget.then(|| budget::read(row)).transpose()?,
                last_used_at: row.try_get("last_used_at")?,
            })
        })
        .collect()
}

fn read(row: &AnyRow) -> Result<KeyRow, Error> {
    Ok(KeyRow {
        id: row::id(row, "id")?,
        account: row::id(row, "account")?,
        mode: row::mode(row)?,
        name: row.try_get("name")?,
        mac: row.try_get("mac")?,
        last_four: row.try_get("last_four")?,
        previous: read_previous(row)?,
        scopes: read_words(row, "scopes")?,
        models: read_words(row, "models")?,
        ip_allow: read_words(row, "ip_allow")?,
        rpm: read_count(row, "rpm")?,
        concurrency: read_count(row, "concurrency")?,
        max_open_tasks: read_count(row, "max_open_tasks")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

fn read_previous(row: &AnyRow) -> Result<Option<PreviousSecret>, Error> {
    let mac: Option<Vec<u8>> = row.try_get("previous_mac")?;
    let last_four: Option<String> = row.try_get("previous_last_four")?;
    let until: Option<i64> = row.try_get("previous_until")?;
    match (mac, last_four, until) {
        (Some(mac), Some(last_four), Some(until)) => Ok(Some(PreviousSecret {
            mac,
            last_four,
            until,
        })),
        (None, None, None) => Ok(None),
        _ => Err(Error::Corrupt("a key's previous secret is not whole")),
    }
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
