//! The outbox: what must be told to somebody, written in the transaction that made it true, told after it.

use chassis::telemetry::traceparent;
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use crate::{Backlog, Engine, Error, Migration};

/// The outbox's table, in the database of each service that has something to tell. A service's own schema starts at 2.
pub const MIGRATION: Migration = Migration {
    version: 1,
    name: "outbox",
    sqlite: include_str!("../migrations/0001_outbox.sql"),
    postgres: include_str!("../migrations/0001_outbox.postgres.sql"),
};

/// Takes rows that are due and claimed by nobody.
const CLAIM: &str = "update outbox set claimed_until = $1
     where id in (select id from outbox where topic = $4 and due_at <= $2 and claimed_until <= $2
                  order by due_at limit $3)
     returning id, topic, subject, payload, attempts, trace";
/// The same among many relays: a row that another one is at is passed over, not waited for. Materialised, so that the limit
/// holds: a plan may run a subquery more than once.
const CLAIM_AMONG_MANY: &str = "with due as materialized (
         select id from outbox where topic = $4 and due_at <= $2 and claimed_until <= $2
         order by due_at limit $3 for update skip locked)
     update outbox set claimed_until = $1 from due where outbox.id = due.id
     returning outbox.id, topic, subject, payload, attempts, trace";

/// Adds the span that wrote a row, as a W3C traceparent, to the outbox: a step of the service's own schema, after
/// [`MIGRATION`].
pub const fn trace(version: i64) -> Migration {
    Migration::both(
        version,
        "outbox_trace",
        "alter table outbox add column trace text not null default ''",
    )
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    /// 16 bytes, made by the writer; whoever is told uses it to notice a repeat.
    pub id: [u8; 16],
    /// Who is told, and what it is about.
    pub topic: &'static str,
    /// The id of the thing.
    pub subject: [u8; 16],
    /// What the topic needs beyond the id. Never customers' content.
    pub payload: Vec<u8>,
}

/// A row to be told now: a row type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// 16 bytes; whoever is told uses it to notice a repeat.
    pub id: [u8; 16],
    /// Who is told, and what it is about.
    pub topic: String,
    /// The id of the thing.
    pub subject: [u8; 16],
    /// What the topic needs beyond the id.
    pub payload: Vec<u8>,
    /// How often it was tried before.
    pub attempts: i64,
    /// The span that wrote it, as a W3C `traceparent`; empty when there was none.
    pub trace: String,
}

/// Adds a row, inside the transaction that makes it true. `now` is [`crate::Db::now_micros`]. Ring the relay after the commit.
///
/// # Errors
/// When the statement fails.
pub async fn enqueue(
    connection: &mut AnyConnection,
    row: NewRow,
    now: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into outbox (id, topic, subject, payload, trace, created_at, due_at, attempts, claimed_until)
         values ($1, $2, $3, $4, $5, $6, $6, 0, 0)",
    )
    .bind(row.id.to_vec())
    .bind(row.topic)
    .bind(row.subject.to_vec())
    .bind(row.payload)
    .bind(traceparent())
    .bind(now)
    .execute(connection)
    .await
    .map(drop)
}

/// Takes rows of a topic that are due and claimed by nobody, until a moment, those due first before the others.
pub(crate) async fn claim(
    connection: &mut AnyConnection,
    topic: &str,
    limit: i64,
    (now, until): (i64, i64),
) -> Result<Vec<Row>, sqlx::Error> {
    let claim = match Engine::of(connection) {
        Engine::Sqlite => CLAIM,
        Engine::Postgres => CLAIM_AMONG_MANY,
    };
    let rows = sqlx::query(claim)
        .bind(until)
        .bind(now)
        .bind(limit)
        .bind(topic)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// Whether a row of a topic is due and claimed by nobody.
pub(crate) async fn any_due(pool: &AnyPool, topic: &str, now: i64) -> Result<bool, Error> {
    let found: Option<i64> = sqlx::query_scalar(
        "select 1 from outbox where topic = $1 and due_at <= $2 and claimed_until <= $2 limit 1",
    )
    .bind(topic)
    .bind(now)
    .fetch_optional(pool)
    .await?;
    Ok(found.is_some())
}

/// What is yet to be told.
///
/// # Errors
/// When the statement fails.
pub async fn backlog(pool: &AnyPool) -> Result<Backlog, Error> {
    Backlog::count(pool, "select created_at as at from outbox").await
}

/// Forgets a row that was told.
pub(crate) async fn done(connection: &mut AnyConnection, id: [u8; 16]) -> Result<(), sqlx::Error> {
    sqlx::query("delete from outbox where id = $1")
        .bind(id.to_vec())
        .execute(connection)
        .await
        .map(drop)
}

/// Puts a row off until `due`, unless its claim, which lasted until `claimed`, ran out and another relay is at it now.
pub(crate) async fn put_off(
    connection: &mut AnyConnection,
    id: [u8; 16],
    claimed: i64,
    due: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update outbox set attempts = attempts + 1, due_at = $1, claimed_until = 0
         where id = $2 and claimed_until = $3",
    )
    .bind(due)
    .bind(id.to_vec())
    .bind(claimed)
    .execute(connection)
    .await
    .map(drop)
}

/// Ends every claim: for a process that owns the database alone ([`crate::Db::is_embedded`]), at its start, when no claim can be
/// alive.
///
/// # Errors
/// When the statement fails.
pub async fn forget_claims(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    sqlx::query("update outbox set claimed_until = 0 where claimed_until > 0")
        .execute(connection)
        .await
        .map(drop)
}

fn read(row: &AnyRow) -> Result<Row, sqlx::Error> {
    Ok(Row {
        id: id(row, "id")?,
        topic: row.try_get("topic")?,
        subject: id(row, "subject")?,
        payload: row.try_get("payload")?,
        attempts: row.try_get("attempts")?,
        trace: row.try_get("trace")?,
    })
}

fn id(row: &AnyRow, column: &str) -> Result<[u8; 16], sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|_| sqlx::Error::Decode("an id is not 16 bytes".into()))
}
