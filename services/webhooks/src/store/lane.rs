//! The table `lane`: who takes turns, and when each is looked at. Who adds something that is due wakes its lane in the same transaction, and
//! so does who ends an attempt; what was missed all the same, the repair finds. A row is locked by whoever changes it until the commit, so
//! that nobody counts a lane while it changes: `due.rs`.

use db::Engine;
use domain::{AccountId, DeliveryId, EndpointId, Mode};
use sqlx::{AnyConnection, Row as _};

use super::delivery::NewRow;
use crate::{Error, schedule::Heard};

/// What fills `delivery.lane_id`, as [`key`] does: for SQLite, whose `||` makes a text of bytes, and for PostgreSQL.
const FILL_SQLITE: &str = "update delivery set lane_id = coalesce(endpoint_id, (
        select cast(event.account_id || event.mode || delivery.origin as blob) from event where event.id = delivery.event_id))
    where lane_id is null and state in ('due', 'inflight')";
const FILL_POSTGRES: &str = "update delivery set lane_id = coalesce(endpoint_id, (
        select event.account_id || convert_to(event.mode, 'UTF8') || delivery.origin from event where event.id = delivery.event_id))
    where lane_id is null and state in ('due', 'inflight')";

/// An attempt that ended: what its lane is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) delivery: DeliveryId,
    pub(crate) heard: Heard,
    /// When its delivery is due again; `None`: never.
    pub(crate) due_at: Option<i64>,
}

/// What makes a lane slow, and whom an end wakes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// So many attempts in a row that timed out.
    pub(crate) slow_timeouts: i64,
    /// Lanes of an origin that are looked at when one of its attempts has ended.
    pub(crate) woken: i64,
}

/// The lane of what is told to an endpoint, or else to an account's URLs at an origin.
pub(crate) fn key(
    endpoint: Option<EndpointId>,
    (account, mode): (AccountId, Mode),
    origin: &[u8],
) -> Vec<u8> {
    match endpoint {
        Some(endpoint) => endpoint.to_vec(),
        None => [&account.to_bytes(), mode.as_str().as_bytes(), origin].concat(),
    }
}

/// Has the lane of a new delivery looked at when it is due, unless it has to wait for an end first.
pub(super) async fn wake(connection: &mut AnyConnection, row: &NewRow) -> Result<(), Error> {
    sqlx::query(
        "insert into lane (id, origin, endpoint_id, next_at, rate_at, timeouts, slow, busy, blocked)
         values ($1, $2, $3, $4, 0, 0, 0, 0, 0)
         on conflict (id) do update set next_at = excluded.next_at
         where lane.blocked = 0 and (lane.next_at is null or lane.next_at > excluded.next_at)",
    )
    .bind(row.lane.clone())
    .bind(row.origin.clone())
    .bind(row.endpoint.map(EndpointId::to_vec))
    .bind(row.due_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Has the lanes of deliveries looked at that are due again, and finds one for what an earlier version wrote.
pub(super) async fn wake_those(
    connection: &mut AnyConnection,
    deliveries: &[DeliveryId],
    now: i64,
) -> Result<(), Error> {
    fill(connection).await?;
    for delivery in deliveries {
        sqlx::query(
            "insert into lane (id, origin, endpoint_id, next_at, rate_at, timeouts, slow, busy, blocked)
             select lane_id, origin, endpoint_id, due_at, 0, 0, 0, 0, 0 from delivery where id = $1 and state = 'due'
             on conflict (id) do update set next_at = $2
             where lane.blocked = 0 and (lane.next_at is null or lane.next_at > $2)",
        )
        .bind(delivery.to_vec())
        .bind(now)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Lets an endpoint share the bound of the origin that it has now, from its next attempt on.
pub(crate) async fn moved(
    connection: &mut AnyConnection,
    endpoint: EndpointId,
    origin: Vec<u8>,
    now: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update lane set origin = $2, timeouts = 0, slow = 0,
             next_at = case when blocked = 2 then $3 else next_at end, blocked = case when blocked = 2 then 0 else blocked end
         where id = $1",
    )
    .bind(endpoint.to_vec())
    .bind(origin)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells lane and origin how an attempt ended, and wakes who waited for that.
pub(crate) async fn ended(
    connection: &mut AnyConnection,
    ended: Ended,
    rules: Rules,
    now: i64,
) -> Result<(), Error> {
    let (keep, more) = match ended.heard {
        Heard::Answered => (0, 0),
        Heard::TimedOut => (1, 1),
        Heard::Nothing => (1, 0),
    };
    if ended.heard == Heard::TimedOut {
        know_origin(connection, ended.delivery).await?;
    }
    let rows = sqlx::query(
        "update lane set timeouts = timeouts * $2 + $3, slow = case when timeouts * $2 + $3 >= $4 then 1 else 0 end,
             busy = 0, blocked = 0,
             next_at = case when id = origin then null when blocked > 0 then $5
                            when $6 < coalesce(next_at, $7) then $6 else next_at end
         where id in (select lane_id from delivery where id = $1 union all select origin from delivery where id = $1)
         returning (select count(*) from (
             select 1 from lane held where held.origin = lane.origin and held.blocked = 2 limit 1) waiting) as held",
    )
    .bind(ended.delivery.to_vec())
    .bind(keep)
    .bind(more)
    .bind(rules.slow_timeouts)
    .bind(now)
    .bind(ended.due_at.unwrap_or(i64::MAX))
    .bind(i64::MAX)
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        if row.try_get::<i64, _>("held")? > 0 {
            return wake_held(connection, ended.delivery, rules, now).await;
        }
    }
    Ok(())
}

/// Writes down the origin of a delivery, to count by.
async fn know_origin(connection: &mut AnyConnection, delivery: DeliveryId) -> Result<(), Error> {
    sqlx::query(
        "insert into lane (id, origin, endpoint_id, next_at, rate_at, timeouts, slow, busy, blocked)
         select origin, origin, null, null, 0, 0, 0, 0, 0 from delivery where id = $1
         on conflict (id) do nothing",
    )
    .bind(delivery.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// Wakes those lanes of an origin that have waited longest for one of its places.
async fn wake_held(
    connection: &mut AnyConnection,
    delivery: DeliveryId,
    rules: Rules,
    now: i64,
) -> Result<(), Error> {
    let wake = |held: &'static str| {
        sqlx::query::<sqlx::Any>(held)
            .bind(now)
            .bind(delivery.to_vec())
            .bind(rules.woken)
    };
    let held = match Engine::of(connection) {
        Engine::Sqlite => wake(
            "update lane set next_at = $1, blocked = 0 where id in (
                 select id from lane where blocked = 2 and origin = (select origin from delivery where id = $2)
                 order by next_at limit $3)",
        ),
        // Who is locked is woken by whoever has it, or is being looked at.
        Engine::Postgres => wake(
            "update lane set next_at = $1, blocked = 0 where id in (
                 select id from lane where blocked = 2 and origin = (select origin from delivery where id = $2)
                 order by next_at limit $3 for update skip locked)",
        ),
    };
    held.execute(connection).await?;
    Ok(())
}

/// Finds a lane for what an earlier version wrote, which knew none.
async fn fill(connection: &mut AnyConnection) -> Result<(), Error> {
    let fill = match Engine::of(connection) {
        Engine::Sqlite => FILL_SQLITE,
        Engine::Postgres => FILL_POSTGRES,
    };
    sqlx::query(fill).execute(connection).await?;
    Ok(())
}

/// Has every lane looked at that would be looked at too late, or not at all, by what waits in `delivery`; also what an earlier version
/// wrote. A lane that waits on purpose does so until `latest` at most. It costs a look per lane that has anything waiting, and writes
/// nothing where nothing is wrong. Says how many those were.
pub(crate) async fn repair(connection: &mut AnyConnection, latest: i64) -> Result<u64, Error> {
    fill(connection).await?;
    let done = sqlx::query(
        "with recursive waiting (id) as (
             select (select lane_id from delivery where state = 'due' and lane_id is not null order by lane_id limit 1)
             union all
             select (select other.lane_id from delivery other
                     where other.state = 'due' and other.lane_id > waiting.id order by other.lane_id limit 1)
             from waiting where waiting.id is not null
         ), front (id, due_at) as (
             select waiting.id, (select min(due_at) from delivery where state = 'due' and lane_id = waiting.id)
             from waiting where waiting.id is not null
         )
         insert into lane (id, origin, endpoint_id, next_at, rate_at, timeouts, slow, busy, blocked)
         select front.id,
             (select origin from delivery where state = 'due' and lane_id = front.id limit 1),
             (select endpoint_id from delivery where state = 'due' and lane_id = front.id limit 1),
             front.due_at, 0, 0, 0, 0, 0
         from front left join lane on lane.id = front.id
         where lane.id is null or lane.next_at is null or (lane.next_at > front.due_at and lane.next_at > $1)
         order by front.id
         on conflict (id) do update set blocked = 0,
             next_at = case when lane.next_at < excluded.next_at then lane.next_at else excluded.next_at end",
    )
    .bind(latest)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
