//! The table `delivery`: `due` -> `inflight` -> `delivered` | `dead`, or back to `due`. Times are microseconds UTC.

use domain::{DeliveryId, EndpointId, EventId, TaskId};
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use super::{id, lane};
use crate::{Error, schedule::Heard};

/// A new delivery: a row type.
#[derive(Clone)]
pub(crate) struct NewRow {
    pub(crate) id: DeliveryId,
    pub(crate) event: EventId,
    /// Which endpoint it is for; `None`: a URL that a request named.
    pub(crate) endpoint: Option<EndpointId>,
    /// Sealed.
    pub(crate) url: Vec<u8>,
    /// The keyed MAC of its origin.
    pub(crate) origin: Vec<u8>,
    /// Where it waits for its turn: [`lane::key`].
    pub(crate) lane: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) due_at: i64,
}

/// What an ended attempt leaves: a row type.
#[derive(Clone)]
pub(crate) struct Ended {
    pub(crate) id: DeliveryId,
    pub(crate) claim: i64,
    /// Attempts that ended before this one.
    pub(crate) attempts: i64,
    pub(crate) state: State,
    pub(crate) last_status: Option<u16>,
    pub(crate) last_error: Option<String>,
}

/// Where a delivery is after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits until then.
    Due(i64),
    /// It arrived.
    Delivered,
    /// It was given up.
    Dead,
}

/// What is told of a delivery of a task: a row type.
pub(crate) struct Told {
    pub(crate) id: DeliveryId,
    pub(crate) event: EventId,
    /// The type of the event.
    pub(crate) kind: String,
    /// Which endpoint it is for; `None`: a URL that a request named.
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) state: String,
    /// Attempts that ended.
    pub(crate) attempts: i64,
    pub(crate) last_status: Option<u32>,
    pub(crate) last_error: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) due_at: i64,
    pub(crate) ended_at: Option<i64>,
}

/// Whether a claim was still the delivery's last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// It was, and its end is recorded.
    Yes,
    /// Another attempt has begun, or this end is recorded already; nothing was changed.
    No,
}

// === impl Ended ===

impl Ended {
    /// What its lane is told.
    pub(crate) fn told(&self, heard: Heard) -> lane::Ended {
        lane::Ended {
            delivery: self.id,
            heard,
            due_at: match self.state {
                State::Due(at) => Some(at),
                State::Delivered | State::Dead => None,
            },
        }
    }
}

/// Writes a delivery, and has its lane looked at when it is due. Whoever writes several at once goes by the order of their lanes, as everybody
/// does: each is locked until the commit.
pub(crate) async fn insert(connection: &mut AnyConnection, row: NewRow) -> Result<(), Error> {
    sqlx::query(
        "insert into delivery (id, event_id, url, origin, state, attempts, claims, due_at, lease_until, created_at,
                               endpoint_id, lane_id, account_id, mode)
         select $1, event.id, $3, $4, 'due', 0, 0, $5, 0, $6, $7, $8, event.account_id, event.mode
         from event where event.id = $2",
    )
    .bind(row.id.to_vec())
    .bind(row.event.to_vec())
    .bind(row.url.clone())
    .bind(row.origin.clone())
    .bind(row.due_at)
    .bind(row.created_at)
    .bind(row.endpoint.map(EndpointId::to_vec))
    .bind(row.lane.clone())
    .execute(&mut *connection)
    .await?;
    lane::wake(connection, &row).await
}

/// Records how an attempt ended, unless another one has begun, even when its lease ran out: what is known to have arrived is not
/// sent again. Recording the same end twice changes nothing the second time.
pub(crate) async fn end(
    connection: &mut AnyConnection,
    ended: Ended,
    now: i64,
) -> Result<Held, Error> {
    let (word, due_at, ended_at) = match ended.state {
        State::Due(at) => ("due", at, None),
        State::Delivered => ("delivered", now, Some(now)),
        State::Dead => ("dead", now, Some(now)),
    };
    let done = sqlx::query(
        "update delivery set state = $1, attempts = attempts + 1, due_at = $2, lease_until = 0,
             last_status = $3, last_error = $4, ended_at = $5
         where id = $6 and claims = $7 and attempts = $8 and state in ('inflight', 'due')",
    )
    .bind(word)
    .bind(due_at)
    .bind(ended.last_status.map(i64::from))
    .bind(ended.last_error.as_deref())
    .bind(ended_at)
    .bind(ended.id.to_vec())
    .bind(ended.claim)
    .bind(ended.attempts)
    .execute(connection)
    .await?;
    Ok(match done.rows_affected() {
        0 => Held::No,
        _ => Held::Yes,
    })
}

/// What became of the latest events of a task, the oldest first.
pub(crate) async fn of_task(reader: &AnyPool, task: TaskId, most: i64) -> Result<Vec<Told>, Error> {
    let rows = sqlx::query(
        "select delivery.id, event.id as event_id, event.type, delivery.endpoint_id, delivery.state, delivery.attempts, delivery.last_status,
                delivery.last_error, delivery.created_at, delivery.due_at, delivery.ended_at
         from event join delivery on delivery.event_id = event.id
         where event.task_id = $1 order by delivery.created_at desc, delivery.id desc limit $2",
    )
    .bind(task.to_vec())
    .bind(most)
    .fetch_all(reader)
    .await?;
    let told = |row: &AnyRow| {
        let status: Option<i64> = row.try_get("last_status")?;
        Ok(Told {
            id: id(row, "id")?,
            event: id(row, "event_id")?,
            kind: row.try_get("type")?,
            endpoint: endpoint_of(row)?,
            state: row.try_get("state")?,
            attempts: row.try_get("attempts")?,
            last_status: status.and_then(|status| u32::try_from(status).ok()),
            last_error: row.try_get("last_error")?,
            created_at: row.try_get("created_at")?,
            due_at: row.try_get("due_at")?,
            ended_at: row.try_get("ended_at")?,
        })
    };
    rows.iter().rev().map(told).collect()
}

/// Which endpoint a delivery is for.
pub(super) fn endpoint_of(row: &AnyRow) -> Result<Option<EndpointId>, Error> {
    let endpoint: Option<Vec<u8>> = row.try_get("endpoint_id")?;
    let read = |bytes: Vec<u8>| {
        EndpointId::from_slice(&bytes).ok_or(Error::Damaged("an id is not 16 bytes"))
    };
    endpoint.map(read).transpose()
}

/// Whether a lease has run out by `by`.
pub(crate) async fn any_lease_over(reader: &AnyPool, by: i64) -> Result<bool, Error> {
    let found: Option<i64> = sqlx::query_scalar(
        "select 1 from delivery where state = 'inflight' and lease_until <= $1 limit 1",
    )
    .bind(by)
    .fetch_optional(reader)
    .await?;
    Ok(found.is_some())
}

/// Makes every delivery due again whose lease has run out by `by`, and says how many those were. The lost attempt does not
/// count against the schedule: nobody knows how it ended.
pub(crate) async fn end_leases(
    connection: &mut AnyConnection,
    by: i64,
    now: i64,
) -> Result<u64, Error> {
    let done = sqlx::query(
        "update delivery set state = 'due', due_at = $1, lease_until = 0
         where state = 'inflight' and lease_until <= $2",
    )
    .bind(now)
    .bind(by)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// The place a URL is sealed for.
pub(crate) fn url_place(delivery: DeliveryId) -> Vec<u8> {
    format!("delivery/{delivery}/url").into_bytes()
}
