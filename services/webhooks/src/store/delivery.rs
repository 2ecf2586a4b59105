//! The table `delivery`: `due` -> `inflight` -> `delivered` | `dead`, or back to `due`. Times are microseconds UTC.

use db::Engine;
use domain::{DeliveryId, EndpointId, EventId, TaskId};
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use super::{event, id};
use crate::Error;

/// `lane`: every origin that has something waiting, found from one to the next by the index.
macro_rules! lanes {
    () => {
        "with recursive lane (origin) as (
             select (select origin from delivery where state = 'due' order by origin limit 1)
             union all
             select (select other.origin from delivery other
                     where other.state = 'due' and other.origin > lane.origin
                     order by other.origin limit 1)
             from lane where lane.origin is not null
         ), "
    };
}

/// `ranked`: the first of each lane that are due at `$1`, at most `$2`, with their places behind what is in flight.
macro_rules! sqlite_ranked {
    () => {
        "ranked as (
             select waiting.id, waiting.due_at,
                 (select count(*) from delivery busy
                  where busy.state = 'inflight' and busy.origin = waiting.origin)
                 + row_number() over (partition by waiting.origin order by waiting.due_at, waiting.id) as place
             from lane join delivery waiting on waiting.id in (
                 select head.id from delivery head
                 where head.state = 'due' and head.origin = lane.origin and head.due_at <= $1
                 order by head.due_at, head.id limit $2)
         ), "
    };
}

/// The same for PostgreSQL, which would try every delivery against every lane.
macro_rules! postgres_ranked {
    () => {
        "ranked as (
             select waiting.id, waiting.due_at,
                 (select count(*) from delivery busy
                  where busy.state = 'inflight' and busy.origin = waiting.origin)
                 + row_number() over (partition by waiting.origin order by waiting.due_at, waiting.id) as place
             from lane cross join lateral (
                 select head.id, head.origin, head.due_at from delivery head
                 where head.state = 'due' and head.origin = lane.origin and head.due_at <= $1
                 order by head.due_at, head.id limit $2) waiting
         ), "
    };
}

/// `chosen`: those that fit under their origin's bound `$2`, by turns, at most `$3`.
macro_rules! chosen {
    () => {
        "chosen as (
             select id from ranked where place <= $2 order by place, due_at, id limit $3
         ) "
    };
}

/// How much may be started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In flight to one origin.
    pub(crate) per_origin: i64,
    /// Started now.
    pub(crate) limit: i64,
}

/// When attempts begin, and until when nobody else begins them again. Microseconds UTC, by the database's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) now: i64,
    pub(crate) until: i64,
}

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
    /// Which endpoint it is for; `None`: a URL that a request named.
    pub(crate) endpoint: Option<EndpointId>,
    /// Sealed.
    pub(crate) url: Vec<u8>,
    pub(crate) event: event::ToSend,
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

/// What operators see of a delivery: a row type.
pub(crate) struct Told {
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

/// Writes a delivery of an event that is there.
pub(crate) async fn insert(connection: &mut AnyConnection, row: NewRow) -> Result<(), Error> {
    sqlx::query(
        "insert into delivery (id, event_id, url, origin, state, attempts, claims, due_at, lease_until, created_at,
                               endpoint_id, account_id, mode)
         select $1, event.id, $3, $4, 'due', 0, 0, $5, 0, $6, $7, event.account_id, event.mode
         from event where event.id = $2",
    )
    .bind(row.id.to_vec())
    .bind(row.event.to_vec())
    .bind(row.url)
    .bind(row.origin)
    .bind(row.due_at)
    .bind(row.created_at)
    .bind(row.endpoint.map(EndpointId::to_vec))
    .execute(connection)
    .await?;
    Ok(())
}

/// The deliveries to start at `now`, so that no origin has more than its bound in flight, whichever process is at it. Origins take
/// turns: the first of each comes before the second of any, whoever has waited longest. It costs one look per origin that has
/// anything waiting, however much that is.
pub(crate) async fn due(
    reader: &AnyPool,
    engine: Engine,
    bounds: Bounds,
    now: i64,
) -> Result<Vec<DeliveryId>, Error> {
    let statement = match engine {
        Engine::Sqlite => concat!(
            lanes!(),
            sqlite_ranked!(),
            chosen!(),
            "select id from chosen"
        ),
        Engine::Postgres => concat!(
            lanes!(),
            postgres_ranked!(),
            chosen!(),
            "select id from chosen"
        ),
    };
    let rows = sqlx::query(statement)
        .bind(now)
        .bind(bounds.per_origin)
        .bind(bounds.limit)
        .fetch_all(reader)
        .await?;
    rows.iter().map(|row| id(row, "id")).collect()
}

/// Records that attempts begin, of those that were `due` a moment ago and still are. Among several processes one chooses at a
/// time, and chooses anew: else two of them could give one origin twice what it may have.
pub(crate) async fn claim(
    connection: &mut AnyConnection,
    due: Vec<DeliveryId>,
    bounds: Bounds,
    lease: Lease,
) -> Result<Vec<Claimed>, Error> {
    match Engine::of(connection) {
        Engine::Sqlite => {
            let mut claimed = Vec::with_capacity(due.len());
            for id in due {
                claimed.extend(claim_one(connection, id, lease).await?);
            }
            Ok(claimed)
        }
        Engine::Postgres => claim_among_many(connection, bounds, lease).await,
    }
}

/// `None` when it is not due any more.
async fn claim_one(
    connection: &mut AnyConnection,
    delivery: DeliveryId,
    lease: Lease,
) -> Result<Option<Claimed>, Error> {
    let claimed = sqlx::query(
        "update delivery set state = 'inflight', claims = claims + 1, lease_until = $1
         where id = $2 and state = 'due' and due_at <= $3 returning id, event_id, url, attempts, claims, endpoint_id",
    )
    .bind(lease.until)
    .bind(delivery.to_vec())
    .bind(lease.now)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = claimed else {
        return Ok(None);
    };
    let event = event::to_send(connection, id(&row, "event_id")?).await?;
    read(&row, event).map(Some)
}

async fn claim_among_many(
    connection: &mut AnyConnection,
    bounds: Bounds,
    lease: Lease,
) -> Result<Vec<Claimed>, Error> {
    // Held until the commit. Made text, because nothing can be read from its own type.
    sqlx::query(
        "select pg_advisory_xact_lock(hashtextextended('webhooks.delivery.claim', 0))::text",
    )
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query(concat!(
        lanes!(),
        postgres_ranked!(),
        chosen!(),
        "update delivery set state = 'inflight', claims = delivery.claims + 1, lease_until = $4
         from chosen, event
         where delivery.id = chosen.id and delivery.state = 'due' and delivery.due_at <= $1
             and event.id = delivery.event_id
         returning delivery.id, delivery.event_id, delivery.url, delivery.attempts, delivery.claims,
                   delivery.endpoint_id, event.account_id, event.mode, event.payload, event.trace"
    ))
    .bind(lease.now)
    .bind(bounds.per_origin)
    .bind(bounds.limit)
    .bind(lease.until)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| read(row, event::read(row, id(row, "event_id")?)?))
        .collect()
}

fn read(row: &AnyRow, event: event::ToSend) -> Result<Claimed, Error> {
    Ok(Claimed {
        endpoint: endpoint_of(row)?,
        id: id(row, "id")?,
        claim: row.try_get("claims")?,
        attempts: row.try_get("attempts")?,
        url: row.try_get("url")?,
        event,
    })
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
        "select event.id as event_id, event.type, delivery.endpoint_id, delivery.state, delivery.attempts, delivery.last_status,
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
