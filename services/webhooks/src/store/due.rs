//! What is due: found by the lanes whose time has come, so that it costs a look per such lane, however many others wait for later; chosen
//! by [`turns`], and claimed. One transaction, in which one process chooses at a time: else two of them could give one origin twice what it
//! may have. The lanes looked at are locked first and counted then, so that what becomes of each is decided by all that was committed.

use db::Engine;
use domain::{DeliveryId, EndpointId};
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use super::{array, event, id};
use crate::{
    Error,
    turns::{After, Blocked, Bounds, Head, Lane, Rests, Room, Slow, first_turns, turns},
};

/// Which part of the room is kept for lanes that have something in flight already: an eighth.
const SECOND_TURNS: usize = 8;

/// What a lane looks like; what follows says which lanes.
macro_rules! lanes {
    ($which:literal) => {
        concat!(
            "select lane.id, lane.origin, lane.slow, lane.rate_at, lane.next_at, endpoint.per_second,
                 (select host.slow from lane host where host.id = lane.origin) as origin_slow,
                 (select count(*) from delivery busy where busy.state = 'inflight' and busy.lane_id = lane.id) as busy,
                 (select count(*) from delivery busy where busy.state = 'inflight' and busy.origin = lane.origin) as origin_busy,
                 (select min(later.due_at) from delivery later
                  where later.state = 'due' and later.lane_id = lane.id and later.due_at > $1) as later
             from lane left join endpoint on endpoint.id = lane.endpoint_id
             where lane.id ",
            $which,
            " order by lane.next_at, lane.id"
        )
    };
}

/// What is claimed, with all that its attempt needs: `$which` are tables and conditions.
macro_rules! claimed {
    () => {
        "delivery.id, delivery.event_id, delivery.url, delivery.attempts, delivery.claims, delivery.endpoint_id,
         event.account_id, event.mode, event.payload, event.trace"
    };
}

/// When attempts begin, and until when nobody else begins them again. Microseconds UTC, by the database's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) now: i64,
    pub(crate) until: i64,
}

/// How much may be started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) bounds: Bounds,
    pub(crate) room: Room,
    pub(crate) rests: Rests,
    pub(crate) lease: Lease,
}

/// What begins.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) fast: Vec<Claimed>,
    pub(crate) slow: Vec<Claimed>,
    /// How many lanes were looked at.
    pub(crate) looked: usize,
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

/// When the next lane is to be looked at for which there is room. `None`: nothing waits for it.
pub(crate) async fn soonest(reader: &AnyPool, room: Room) -> Result<Option<i64>, Error> {
    let row = sqlx::query(
        "select (select min(next_at) from lane where slow = 0 and busy = 0 and next_at is not null) as fast,
                (select min(next_at) from lane where slow = 0 and busy = 1 and next_at is not null) as fast_busy,
                (select min(next_at) from lane where slow = 1 and busy = 0 and next_at is not null) as slow,
                (select min(next_at) from lane where slow = 1 and busy = 1 and next_at is not null) as slow_busy",
    )
    .fetch_one(reader)
    .await?;
    let mut soonest = None;
    for (columns, room) in [
        (["fast", "fast_busy"], room.fast),
        (["slow", "slow_busy"], room.slow),
    ] {
        for column in columns.into_iter().filter(|_| room > 0) {
            let at: Option<i64> = row.try_get(column)?;
            soonest = soonest.into_iter().chain(at).min();
        }
    }
    Ok(soonest)
}

/// Chooses among the lanes that are due, and records that attempts begin.
pub(crate) async fn take(connection: &mut AnyConnection, ask: Ask) -> Result<Taken, Error> {
    let now = ask.lease.now;
    alone(connection).await?;
    let (mut lanes, mut after) = (Vec::new(), Vec::new());
    for (slow, most) in [(0, ask.room.fast), (1, ask.room.slow)] {
        if most > 0 {
            let (found, later) = by_turns(connection, slow, most, ask).await?;
            lanes.extend(found);
            after.extend(later);
        }
    }
    let looked = lanes.len().saturating_add(after.len());
    let chosen = turns(&lanes, ask.bounds, ask.room, (now, ask.rests));
    after.extend(chosen.after);
    let taken = Taken {
        fast: claim(connection, &chosen.fast, ask.lease).await?,
        slow: claim(connection, &chosen.slow, ask.lease).await?,
        looked,
    };
    leave(connection, &after).await?;
    Ok(taken)
}

/// Some `most` lanes that are due, of those that are slow or not: first those whose origin has nothing in flight. Others that were found
/// among these come later, and are written down as such.
async fn by_turns(
    connection: &mut AnyConnection,
    slow: i64,
    most: usize,
    ask: Ask,
) -> Result<(Vec<Lane>, Vec<After>), Error> {
    // A part is for those who have had a turn, whoever keeps coming.
    let first = most - most / SECOND_TURNS;
    let found = look(connection, (slow, 0), first, ask).await?;
    let all = found.len() < first;
    let (mut lanes, others) = first_turns(found);
    let (mut after, mut left) = (Vec::new(), most - first);
    if all {
        lanes.extend(others);
        left = most.saturating_sub(lanes.len());
    } else {
        // More of the first turns are there for the next look.
        after.extend(others.iter().map(Lane::later));
    }
    if left > 0 {
        lanes.extend(look(connection, (slow, 1), left, ask).await?);
    }
    Ok((lanes, after))
}

/// Waits until no other process chooses. Held until the commit.
async fn alone(connection: &mut AnyConnection) -> Result<(), Error> {
    if Engine::of(connection) == Engine::Postgres {
        // Made text, because nothing can be read from its own type.
        sqlx::query(
            "select pg_advisory_xact_lock(hashtextextended('webhooks.delivery.claim', 0))::text",
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// The first `most` lanes that are due, of those that are slow or not and busy or not, with what is due of each.
async fn look(
    connection: &mut AnyConnection,
    (slow, busy): (i64, i64),
    most: usize,
    ask: Ask,
) -> Result<Vec<Lane>, Error> {
    let (now, most) = (ask.lease.now, i64::try_from(most).unwrap_or(i64::MAX));
    let heads = ask.bounds.per_lane.saturating_add(1);
    match Engine::of(connection) {
        Engine::Sqlite => {
            let lanes = sqlx::query(lanes!(
                "in (select id from lane where slow = $2 and busy = $3 and next_at <= $1 order by next_at, id limit $4)"
            ))
            .bind(now)
            .bind(slow)
            .bind(busy)
            .bind(most)
            .fetch_all(&mut *connection)
            .await?;
            let mut read = Vec::with_capacity(lanes.len());
            for row in &lanes {
                let mut lane = lane(row)?;
                lane.heads = heads_of(connection, &lane.id, now, heads).await?;
                read.push(lane);
            }
            Ok(read)
        }
        Engine::Postgres => {
            // In the order in which everybody locks lanes. Whoever is faster is done when it commits; a lane that is always being added to
            // has its turn like others.
            let locked = sqlx::query(
                "select id from lane where id in (
                     select id from lane where slow = $2 and busy = $3 and next_at <= $1 order by next_at, id limit $4)
                 order by id for update",
            )
            .bind(now)
            .bind(slow)
            .bind(busy)
            .bind(most)
            .fetch_all(&mut *connection)
            .await?;
            let locked = locked.iter().map(|row| row.try_get("id"));
            let locked = locked.collect::<Result<Vec<Vec<u8>>, _>>()?;
            let locked = array::bytes(locked.iter().map(Vec::as_slice));
            among(connection, locked, now, heads).await
        }
    }
}

/// The lanes of these ids with what is due of each.
async fn among(
    connection: &mut AnyConnection,
    ids: String,
    now: i64,
    heads: i64,
) -> Result<Vec<Lane>, Error> {
    let rows = sqlx::query(lanes!("= any(cast($2 as bytea[]))"))
        .bind(now)
        .bind(ids.clone())
        .fetch_all(&mut *connection)
        .await?;
    let mut lanes = rows.iter().map(lane).collect::<Result<Vec<_>, _>>()?;
    let due = sqlx::query(
        "select lane.id as lane_id, head.id, head.due_at
         from unnest(cast($2 as bytea[])) as lane (id) cross join lateral (
             select delivery.id, delivery.due_at from delivery
             where delivery.state = 'due' and delivery.lane_id = lane.id and delivery.due_at <= $1
             order by delivery.due_at, delivery.id limit $3) head
         order by head.due_at, head.id",
    )
    .bind(now)
    .bind(ids)
    .bind(heads)
    .fetch_all(connection)
    .await?;
    let mut by_lane: std::collections::HashMap<Vec<u8>, Vec<Head>> = Default::default();
    for row in &due {
        by_lane
            .entry(row.try_get("lane_id")?)
            .or_default()
            .push(head(row)?);
    }
    for lane in &mut lanes {
        lane.heads = by_lane.remove(&lane.id).unwrap_or_default();
    }
    Ok(lanes)
}

async fn heads_of(
    connection: &mut AnyConnection,
    lane: &[u8],
    now: i64,
    most: i64,
) -> Result<Vec<Head>, Error> {
    let rows = sqlx::query(
        "select id, due_at from delivery where state = 'due' and lane_id = $1 and due_at <= $2
         order by due_at, id limit $3",
    )
    .bind(lane.to_vec())
    .bind(now)
    .bind(most)
    .fetch_all(connection)
    .await?;
    rows.iter().map(head).collect()
}

fn lane(row: &AnyRow) -> Result<Lane, Error> {
    let is = |word: Option<i64>| word == Some(1);
    Ok(Lane {
        id: row.try_get("id")?,
        origin: row.try_get("origin")?,
        slow: Slow {
            lane: is(row.try_get("slow")?),
            origin: is(row.try_get("origin_slow")?),
        },
        busy: row.try_get("busy")?,
        origin_busy: row.try_get("origin_busy")?,
        per_second: row.try_get("per_second")?,
        rate_at: row.try_get("rate_at")?,
        next_at: row.try_get("next_at")?,
        heads: Vec::new(),
        later: row.try_get("later")?,
    })
}

fn head(row: &AnyRow) -> Result<Head, Error> {
    Ok(Head {
        id: id(row, "id")?,
        due_at: row.try_get("due_at")?,
    })
}

/// Records that attempts begin, of those that still are due. Each counts for the origin that its lane has now: an endpoint may have moved.
async fn claim(
    connection: &mut AnyConnection,
    due: &[DeliveryId],
    lease: Lease,
) -> Result<Vec<Claimed>, Error> {
    if due.is_empty() {
        return Ok(Vec::new());
    }
    match Engine::of(connection) {
        Engine::Sqlite => {
            let mut claimed = Vec::with_capacity(due.len());
            for id in due {
                claimed.push(claim_one(connection, *id, lease).await?);
            }
            Ok(claimed)
        }
        Engine::Postgres => {
            let ids: Vec<_> = due.iter().map(|id| id.to_bytes()).collect();
            let rows = sqlx::query(concat!(
                "update delivery set state = 'inflight', claims = delivery.claims + 1, lease_until = $2,
                     origin = coalesce((select lane.origin from lane where lane.id = delivery.lane_id), delivery.origin)
                 from event
                 where delivery.id = any(cast($1 as bytea[])) and delivery.state = 'due' and event.id = delivery.event_id
                 returning ",
                claimed!()
            ))
            .bind(array::bytes(ids.iter().map(<[u8; 16]>::as_slice)))
            .bind(lease.until)
            .fetch_all(connection)
            .await?;
            rows.iter().map(read).collect()
        }
    }
}

/// The file has one writer, so what was due a moment ago is.
async fn claim_one(
    connection: &mut AnyConnection,
    delivery: DeliveryId,
    lease: Lease,
) -> Result<Claimed, Error> {
    sqlx::query(
        "update delivery set state = 'inflight', claims = claims + 1, lease_until = $2,
             origin = coalesce((select lane.origin from lane where lane.id = delivery.lane_id), origin)
         where id = $1",
    )
    .bind(delivery.to_vec())
    .bind(lease.until)
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query(concat!(
        "select ",
        claimed!(),
        " from delivery join event on event.id = delivery.event_id where delivery.id = $1"
    ))
    .bind(delivery.to_vec())
    .fetch_one(connection)
    .await?;
    read(&row)
}

fn read(row: &AnyRow) -> Result<Claimed, Error> {
    Ok(Claimed {
        endpoint: super::delivery::endpoint_of(row)?,
        id: id(row, "id")?,
        claim: row.try_get("claims")?,
        attempts: row.try_get("attempts")?,
        url: row.try_get("url")?,
        event: event::read(row, id(row, "event_id")?)?,
    })
}

/// Writes down what became of the lanes that were looked at.
async fn leave(connection: &mut AnyConnection, lanes: &[After]) -> Result<(), Error> {
    match Engine::of(connection) {
        Engine::Sqlite => {
            for lane in lanes {
                sqlx::query(
                    "update lane set next_at = $2, rate_at = $3, blocked = $4, busy = $5 where id = $1",
                )
                .bind(lane.lane.clone())
                .bind(lane.next_at)
                .bind(lane.rate_at)
                .bind(word(lane.blocked))
                .bind(i64::from(lane.busy))
                .execute(&mut *connection)
                .await?;
            }
        }
        Engine::Postgres if lanes.is_empty() => {}
        Engine::Postgres => {
            sqlx::query(
                "update lane set next_at = new.next_at, rate_at = new.rate_at, blocked = new.blocked, busy = new.busy
                 from unnest(cast($1 as bytea[]), cast($2 as bigint[]), cast($3 as bigint[]), cast($4 as bigint[]),
                             cast($5 as bigint[])) as new (id, next_at, rate_at, blocked, busy)
                 where lane.id = new.id",
            )
            .bind(array::bytes(lanes.iter().map(|lane| lane.lane.as_slice())))
            .bind(array::numbers(lanes.iter().map(|lane| lane.next_at)))
            .bind(array::numbers(lanes.iter().map(|lane| Some(lane.rate_at))))
            .bind(array::numbers(lanes.iter().map(|lane| Some(word(lane.blocked)))))
            .bind(array::numbers(
                lanes.iter().map(|lane| Some(i64::from(lane.busy))),
            ))
            .execute(connection)
            .await?;
        }
    }
    Ok(())
}

/// As it is written in `lane.blocked`.
fn word(blocked: Blocked) -> i64 {
    match blocked {
        Blocked::No => 0,
        Blocked::Full => 1,
        Blocked::Held => 2,
    }
}
