//! The table `delivery`: `due` -> `inflight` -> `delivered` | `dead`, or back to `due`. Times are microseconds UTC.

use domain::{DeliveryId, EventId};
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::{event, id};
use crate::Error;

/// A new delivery: a row type.
pub(crate) struct NewRow {
    pub(crate) id: DeliveryId,
    pub(crate) event: EventId,
    /// Sealed.
    pub(crate) url: Vec<u8>,
    /// The keyed MAC of its origin.
    pub(crate) origin: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) due_at: i64,
}

/// A delivery whose attempt begins: a row type.
pub(crate) struct Claimed {
    pub(crate) id: DeliveryId,
    /// Which claim this is; a later one takes the delivery away from it.
    pub(crate) claim: i64,
    /// Attempts that ended before this one.
    pub(crate) attempts: i64,
    /// Sealed.
    pub(crate) url: Vec<u8>,
    pub(crate) event: event::ToSend,
}

/// What an ended attempt leaves: a row type.
pub(crate) struct Ended {
    pub(crate) id: DeliveryId,
    pub(crate) claim: i64,
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

/// Whether a claim was still the delivery's last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// It was, and its end is recorded.
    Yes,
    /// It had run out; nothing was changed.
    No,
}

/// Writes a delivery.
pub(crate) async fn insert(connection: &mut AnyConnection, row: NewRow) -> Result<(), Error> {
    sqlx::query(
        "insert into delivery (id, event_id, url, origin, state, attempts, claims, due_at, lease_until, created_at)
         values ($1, $2, $3, $4, 'due', 0, 0, $5, 0, $6)",
    )
    .bind(row.id.to_vec())
    .bind(row.event.to_vec())
    .bind(row.url)
    .bind(row.origin)
    .bind(row.due_at)
    .bind(row.created_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// The deliveries to start now, at most `limit`, so that no origin has more than `per_origin` in flight. Origins take turns: the
/// first of each comes before the second of any, whoever has waited longest. It costs
/// one look per origin that has anything waiting, however much that is.
pub(crate) async fn due(
    reader: &AnyPool,
    per_origin: i64,
    limit: i64,
) -> Result<Vec<DeliveryId>, Error> {
    let rows = sqlx::query(
        "with recursive lane (origin) as (
             select (select origin from delivery where state = 'due' order by origin limit 1)
             union all
             select (select other.origin from delivery other
                     where other.state = 'due' and other.origin > lane.origin
                     order by other.origin limit 1)
             from lane where lane.origin is not null
         ), ranked as (
             select waiting.id, waiting.due_at,
                 (select count(*) from delivery busy
                  where busy.state = 'inflight' and busy.origin = waiting.origin)
                 + row_number() over (partition by waiting.origin order by waiting.due_at, waiting.id) as place
             from lane join delivery waiting on waiting.id in (
                 select head.id from delivery head
                 where head.state = 'due' and head.origin = lane.origin and head.due_at <= $1
                 order by head.due_at, head.id limit $2)
         )
         select id from ranked where place <= $2 order by place, due_at, id limit $3",
    )
    .bind(chassis::clock::now_micros())
    .bind(per_origin)
    .bind(limit)
    .fetch_all(reader)
    .await?;
    rows.iter().map(|row| id(row, "id")).collect()
}

/// Records that an attempt begins, with a lease of `lease` microseconds; `None` when somebody else was faster.
pub(crate) async fn claim(
    connection: &mut AnyConnection,
    delivery: DeliveryId,
    lease: i64,
) -> Result<Option<Claimed>, Error> {
    let now = chassis::clock::now_micros();
    let claimed = sqlx::query(
        "update delivery set state = 'inflight', claims = claims + 1, lease_until = $1
         where id = $2 and state = 'due' and due_at <= $3 returning event_id, url, attempts, claims",
    )
    .bind(now.saturating_add(lease))
    .bind(delivery.to_vec())
    .bind(now)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = claimed else {
        return Ok(None);
    };
    Ok(Some(Claimed {
        id: delivery,
        claim: row.try_get("claims")?,
        attempts: row.try_get("attempts")?,
        url: row.try_get("url")?,
        event: event::to_send(connection, id(&row, "event_id")?).await?,
    }))
}

/// Records how an attempt ended, unless its lease ran out meanwhile.
pub(crate) async fn end(connection: &mut AnyConnection, ended: Ended) -> Result<Held, Error> {
    let now = chassis::clock::now_micros();
    let (word, due_at, ended_at) = match ended.state {
        State::Due(at) => ("due", at, None),
        State::Delivered => ("delivered", now, Some(now)),
        State::Dead => ("dead", now, Some(now)),
    };
    let done = sqlx::query(
        "update delivery set state = $1, attempts = attempts + 1, due_at = $2, lease_until = 0,
             last_status = $3, last_error = $4, ended_at = $5
         where id = $6 and claims = $7 and state = 'inflight'",
    )
    .bind(word)
    .bind(due_at)
    .bind(ended.last_status.map(i64::from))
    .bind(ended.last_error)
    .bind(ended_at)
    .bind(ended.id.to_vec())
    .bind(ended.claim)
    .execute(connection)
    .await?;
    Ok(match done.rows_affected() {
        0 => Held::No,
        _ => Held::Yes,
    })
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
pub(crate) async fn end_leases(connection: &mut AnyConnection, by: i64) -> Result<u64, Error> {
    let done = sqlx::query(
        "update delivery set state = 'due', due_at = $1, lease_until = 0
         where state = 'inflight' and lease_until <= $2",
    )
    .bind(chassis::clock::now_micros())
    .bind(by)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// The place a URL is sealed for.
pub(crate) fn url_place(delivery: DeliveryId) -> Vec<u8> {
    format!("delivery/{delivery}/url").into_bytes()
}
