//! The table `endpoint`: URLs that accounts have registered for events. Times are microseconds UTC.

use domain::{AccountId, EndpointId, Mode};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _, any::AnyRow};

use super::{Bound, id, mode};
use crate::{Error, sign::Scheme};

/// Every column of an endpoint.
macro_rules! columns {
    () => {
        "id, account_id, mode, url, events, headers, description, signature, per_second, secret, signing_key, old_secret,
         old_signing_key, old_until, disabled_at, disabled_reason, failing_since, created_at"
    };
}

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
    pub(crate) headers: Option<Vec<u8>>,
    /// Sealed.
    pub(crate) description: Option<Vec<u8>>,
    pub(crate) signature: Scheme,
    pub(crate) per_second: Option<i64>,
    /// Sealed.
    pub(crate) secret: Vec<u8>,
    /// Sealed.
    pub(crate) signing_key: Option<Vec<u8>>,
    pub(crate) created_at: i64,
}

/// An endpoint: a row type.
pub(crate) struct Row {
    pub(crate) id: EndpointId,
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    /// Sealed.
    pub(crate) url: Vec<u8>,
    /// What it is told; none: everything.
    pub(crate) events: Vec<String>,
    /// Sealed.
    pub(crate) headers: Option<Vec<u8>>,
    /// Sealed.
    pub(crate) description: Option<Vec<u8>>,
    pub(crate) signature: Scheme,
    pub(crate) per_second: Option<i64>,
    pub(crate) keys: Keys,
    /// Since when it is disabled, and why.
    pub(crate) disabled: Option<(i64, String)>,
    /// When the first of the attempts failed that have failed since the last success.
    pub(crate) failing_since: Option<i64>,
    pub(crate) created_at: i64,
}

/// What signs for an endpoint; sealed.
pub(crate) struct Keys {
    pub(crate) secret: Vec<u8>,
    pub(crate) signing_key: Option<Vec<u8>>,
    pub(crate) old_secret: Option<Vec<u8>>,
    pub(crate) old_signing_key: Option<Vec<u8>>,
    /// Until when the old ones sign as well.
    pub(crate) old_until: i64,
}

/// What is to be changed of an endpoint; `None` stays as it is.
#[derive(Clone, Default)]
pub(crate) struct Change {
    /// Sealed.
    pub(crate) url: Option<Vec<u8>>,
    pub(crate) events: Option<Vec<String>>,
    /// Sealed.
    pub(crate) headers: Option<Option<Vec<u8>>>,
    /// Sealed.
    pub(crate) description: Option<Option<Vec<u8>>>,
    pub(crate) per_second: Option<Option<i64>>,
    pub(crate) signature: Option<Scheme>,
    /// Sealed; what it has, if it has one, stays.
    pub(crate) signing_key: Option<Vec<u8>>,
    /// `Some(true)`: its owner disables it.
    pub(crate) disabled: Option<bool>,
}

/// Why an endpoint is disabled by how it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It answered 410.
    Gone,
    /// It has failed for so long, and more than once, that it began before this moment.
    Failing(i64),
}

/// Writes an endpoint unless its account and mode have `most` of them already; says whether it did. Two that come at the same moment
/// may both find room.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    row: NewRow,
    most: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "insert into endpoint (id, account_id, mode, url, events, secret, created_at, headers, description, signature, per_second,
                               signing_key, armed_at)
         select $1, $2, $3, $4, $5, $6, $7, $9, $10, $11, $12, $13, $7
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
    .bind(row.headers)
    .bind(row.description)
    .bind(row.signature.as_str())
    .bind(row.per_second)
    .bind(row.signing_key)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// One of them.
pub(crate) async fn find(reader: &AnyPool, endpoint: EndpointId) -> Result<Option<Row>, Error> {
    let found = sqlx::query(concat!(
        "select ",
        columns!(),
        " from endpoint where id = $1"
    ))
    .bind(endpoint.to_vec())
    .fetch_optional(reader)
    .await?;
    found.as_ref().map(read).transpose()
}

/// Those of an account and mode, the oldest first.
pub(crate) async fn list(
    reader: &AnyPool,
    account: AccountId,
    mode: Mode,
) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query(concat!(
        "select ",
        columns!(),
        " from endpoint where account_id = $1 and mode = $2 order by id"
    ))
    .bind(account.to_vec())
    .bind(mode.as_str())
    .fetch_all(reader)
    .await?;
    rows.iter().map(read).collect()
}

/// Those of everybody, or of one account in both modes, the oldest first, behind an id.
pub(crate) async fn page(
    reader: &AnyPool,
    account: Option<AccountId>,
    after: Option<EndpointId>,
    limit: u32,
) -> Result<Vec<Row>, Error> {
    let mut bound = Bound::default();
    let mut sql = concat!("select ", columns!(), " from endpoint where true").to_owned();
    if let Some(account) = account {
        sql += &format!(" and account_id = {}", bound.bytes(account.to_vec()));
    }
    if let Some(after) = after {
        sql += &format!(" and id > {}", bound.bytes(after.to_vec()));
    }
    sql += &format!(" order by id limit {}", bound.number(i64::from(limit)));
    let rows = bound.query(sql).fetch_all(reader).await?;
    rows.iter().map(read).collect()
}

/// Those of an account and mode that are told events of this type and enabled, the oldest first, each with its sealed URL.
pub(crate) async fn wanting(
    reader: &AnyPool,
    (account, mode): (AccountId, Mode),
    kind: &str,
) -> Result<Vec<(EndpointId, Vec<u8>)>, Error> {
    // The list has the word if it is another without it.
    let rows = sqlx::query(
        "select id, url from endpoint where account_id = $1 and mode = $2 and disabled_at is null
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

fn read(row: &AnyRow) -> Result<Row, Error> {
    let events: String = row.try_get("events")?;
    let signature: String = row.try_get("signature")?;
    let disabled_at: Option<i64> = row.try_get("disabled_at")?;
    let reason: Option<String> = row.try_get("disabled_reason")?;
    Ok(Row {
        id: id(row, "id")?,
        account: id(row, "account_id")?,
        mode: mode(row, "mode")?,
        url: row.try_get("url")?,
        events: events.split_whitespace().map(str::to_owned).collect(),
        headers: row.try_get("headers")?,
        description: row.try_get("description")?,
        signature: Scheme::parse(&signature).ok_or(Error::Damaged("an unknown way to sign"))?,
        per_second: row.try_get("per_second")?,
        keys: Keys {
            secret: row.try_get("secret")?,
            signing_key: row.try_get("signing_key")?,
            old_secret: row.try_get("old_secret")?,
            old_signing_key: row.try_get("old_signing_key")?,
            old_until: row.try_get("old_until")?,
        },
        disabled: disabled_at.map(|at| (at, reason.unwrap_or_default())),
        failing_since: row.try_get("failing_since")?,
        created_at: row.try_get("created_at")?,
    })
}

/// Changes an endpoint; says whether there is one. What fails from here on counts anew where it has another URL or is enabled again.
pub(crate) async fn update(
    connection: &mut AnyConnection,
    endpoint: EndpointId,
    change: Change,
    now: i64,
) -> Result<bool, Error> {
    let mut bound = Bound::default();
    // Names a column, so that an empty change is a statement as well.
    let mut sets = vec!["created_at = created_at".to_owned()];
    if change.url.is_some() || change.disabled == Some(false) {
        sets.push(format!("armed_at = {}", bound.number(now)));
        sets.push("failing_since = null, failures = 0".to_owned());
    }
    if let Some(url) = change.url {
        sets.push(format!("url = {}", bound.bytes(url)));
    }
    if let Some(events) = change.events {
        sets.push(format!("events = {}", bound.text(events.join(" "))));
    }
    if let Some(headers) = change.headers {
        sets.push(format!("headers = {}", bound.perhaps_bytes(headers)));
    }
    if let Some(description) = change.description {
        sets.push(format!(
            "description = {}",
            bound.perhaps_bytes(description)
        ));
    }
    if let Some(per_second) = change.per_second {
        sets.push(format!("per_second = {}", bound.perhaps_number(per_second)));
    }
    if let Some(signature) = change.signature {
        let signature = bound.text(signature.as_str().to_owned());
        sets.push(format!("signature = {signature}"));
    }
    if let Some(key) = change.signing_key {
        sets.push(format!(
            "signing_key = coalesce(signing_key, {})",
            bound.bytes(key)
        ));
    }
    match change.disabled {
        None => {}
        Some(false) => sets.push("disabled_at = null, disabled_reason = null".to_owned()),
        Some(true) => {
            let at = bound.number(now);
            sets.push(format!("disabled_at = coalesce(disabled_at, {at})"));
            sets.push("disabled_reason = coalesce(disabled_reason, 'owner')".to_owned());
        }
    }
    let sql = format!(
        "update endpoint set {} where id = {}",
        sets.join(", "),
        bound.bytes(endpoint.to_vec())
    );
    let done = bound.query(sql).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// Puts what signs behind something new; the old signs as well until then, or not at all if that is 0. Says whether there is one.
pub(crate) async fn rotate(
    connection: &mut AnyConnection,
    endpoint: EndpointId,
    (secret, signing_key): (Vec<u8>, Vec<u8>),
    until: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update endpoint set
             old_secret = case when $4 > 0 then secret end, secret = $2,
             old_signing_key = case when $4 > 0 then signing_key end,
             signing_key = case when signing_key is null then null else $3 end,
             old_until = $4
         where id = $1",
    )
    .bind(endpoint.to_vec())
    .bind(secret)
    .bind(signing_key)
    .bind(until)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes that an attempt succeeded.
pub(crate) async fn succeeded(
    connection: &mut AnyConnection,
    endpoint: EndpointId,
) -> Result<(), Error> {
    sqlx::query(
        "update endpoint set failing_since = null, failures = 0
         where id = $1 and failing_since is not null",
    )
    .bind(endpoint.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that an attempt failed that began then, unless its URL has changed since.
pub(crate) async fn failed(
    connection: &mut AnyConnection,
    endpoint: EndpointId,
    began: i64,
    now: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update endpoint set failing_since = coalesce(failing_since, $2), failures = failures + 1
         where id = $1 and armed_at <= $3",
    )
    .bind(endpoint.to_vec())
    .bind(now)
    .bind(began)
    .execute(connection)
    .await?;
    Ok(())
}

/// Disables an endpoint for how it answered an attempt that began then, unless it is disabled, has another URL since, or does not
/// fail any more. Says whether it did.
pub(crate) async fn disable(
    connection: &mut AnyConnection,
    endpoint: EndpointId,
    reason: Reason,
    (began, now): (i64, i64),
) -> Result<bool, Error> {
    let so = match reason {
        Reason::Gone => "",
        Reason::Failing(_) => " and failures > 1 and failing_since <= $5",
    };
    let sql = format!(
        "update endpoint set disabled_at = $2, disabled_reason = $3
         where id = $1 and disabled_at is null and armed_at <= $4{so}"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(endpoint.to_vec())
        .bind(now)
        .bind(reason.as_str())
        .bind(began);
    if let Reason::Failing(before) = reason {
        query = query.bind(before);
    }
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

/// Removes an endpoint; says whether there was one.
pub(crate) async fn delete(
    connection: &mut AnyConnection,
    endpoint: EndpointId,
) -> Result<bool, Error> {
    let done = sqlx::query("delete from endpoint where id = $1")
        .bind(endpoint.to_vec())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The place a URL is sealed for.
pub(crate) fn url_place(endpoint: EndpointId) -> Vec<u8> {
    format!("endpoint/{endpoint}/url").into_bytes()
}

/// The place headers are sealed for.
pub(crate) fn headers_place(endpoint: EndpointId) -> Vec<u8> {
    format!("endpoint/{endpoint}/headers").into_bytes()
}

/// The place a description is sealed for.
pub(crate) fn description_place(endpoint: EndpointId) -> Vec<u8> {
    format!("endpoint/{endpoint}/description").into_bytes()
}

/// The place is sealed for what signs: secrets and Ed25519 keys, those of now and the old ones.
pub(crate) fn secret_place(endpoint: EndpointId) -> Vec<u8> {
    format!("endpoint/{endpoint}/secret").into_bytes()
}

// === impl Reason ===

impl Reason {
    /// The word that customers see.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing(_) => "failing",
        }
    }
}
