//! The table `event`: what happened. Written once, never changed.

use domain::{AccountId, EventId, Mode, TaskId};
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use super::{id, mode};
use crate::Error;

/// A new event: a row type.
#[derive(Clone)]
pub(crate) struct NewRow {
    pub(crate) id: EventId,
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) task: Option<TaskId>,
    pub(crate) kind: String,
    /// Sealed.
    pub(crate) payload: Vec<u8>,
    pub(crate) created_at: i64,
    /// W3C traceparent, or nothing.
    pub(crate) trace: String,
}

/// What an attempt needs of an event: a row type.
pub(crate) struct ToSend {
    pub(crate) id: EventId,
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    /// Sealed.
    pub(crate) payload: Vec<u8>,
    /// W3C traceparent, or nothing.
    pub(crate) trace: String,
}

/// Whether an event was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is new.
    New,
    /// It was there; nothing was changed.
    Known,
}

/// Writes an event, unless it is there.
pub(crate) async fn insert(connection: &mut AnyConnection, row: NewRow) -> Result<Inserted, Error> {
    let done = sqlx::query(
        "insert into event (id, account_id, mode, task_id, type, payload, created_at, trace)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (id) do nothing",
    )
    .bind(row.id.to_vec())
    .bind(row.account.to_vec())
    .bind(row.mode.as_str())
    // No bytes where it is about no task.
    .bind(row.task.map(TaskId::to_vec).unwrap_or_default())
    .bind(row.kind)
    .bind(row.payload)
    .bind(row.created_at)
    .bind(row.trace)
    .execute(connection)
    .await?;
    Ok(match done.rows_affected() {
        0 => Inserted::Known,
        _ => Inserted::New,
    })
}

/// Reads what an attempt needs.
pub(super) fn read(row: &AnyRow, event: EventId) -> Result<ToSend, Error> {
    Ok(ToSend {
        id: event,
        account: id(row, "account_id")?,
        mode: mode(row, "mode")?,
        payload: row.try_get("payload")?,
        trace: row.try_get("trace")?,
    })
}

/// What an event is about: its type, and its task if it has one. `None`: it is not there.
pub(crate) async fn about(
    reader: &AnyPool,
    event: EventId,
) -> Result<Option<(String, Option<TaskId>)>, Error> {
    let row = sqlx::query("select type, task_id from event where id = $1")
        .bind(event.to_vec())
        .fetch_optional(reader)
        .await?;
    let read = |row: AnyRow| {
        let task: Vec<u8> = row.try_get("task_id")?;
        Ok((row.try_get("type")?, TaskId::from_slice(&task)))
    };
    row.map(read).transpose()
}

/// What an event says, sealed. `None`: it is not there.
pub(crate) async fn payload(reader: &AnyPool, event: EventId) -> Result<Option<Vec<u8>>, Error> {
    let payload = sqlx::query_scalar("select payload from event where id = $1")
        .bind(event.to_vec())
        .fetch_optional(reader)
        .await?;
    Ok(payload)
}

/// The place a payload is sealed for.
pub(crate) fn payload_place(event: EventId) -> Vec<u8> {
    format!("event/{event}/payload").into_bytes()
}
