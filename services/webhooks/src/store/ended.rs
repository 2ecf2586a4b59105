//! Deliveries that have ended, or will not be attempted: sent again, parked, removed. Times are microseconds UTC.

use domain::{AccountId, DeliveryId, EndpointId};
use sqlx::{AnyConnection, AnyPool};

use super::{Bound, id, lane};
use crate::{Error, whose::Whose};

/// What is said of a delivery whose endpoint is disabled.
const DISABLED: &str = "the endpoint is disabled";

/// Which given-up deliveries are sent again.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) whose: Whose,
    pub(crate) account: Option<AccountId>,
    pub(crate) endpoint: Option<EndpointId>,
    /// Made from then on, and before that moment.
    pub(crate) between: (i64, i64),
    /// So many at most.
    pub(crate) limit: u32,
}

/// Makes a delivery due again that has ended, with its whole schedule before it; says whether it had. It counts as a claim, so that an
/// attempt whose end comes late does not end it.
pub(crate) async fn replay(
    connection: &mut AnyConnection,
    delivery: DeliveryId,
    now: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update delivery set state = 'due', attempts = 0, claims = claims + 1, replays = replays + 1, due_at = $2,
             lease_until = 0, ended_at = null
         where id = $1 and state in ('delivered', 'dead')",
    )
    .bind(delivery.to_vec())
    .bind(now)
    .execute(&mut *connection)
    .await?;
    lane::wake_those(connection, &[delivery], now).await?;
    Ok(done.rows_affected() > 0)
}

/// Makes those due again that were given up and that something can be sent for, the oldest first; says how many.
pub(crate) async fn recover(
    connection: &mut AnyConnection,
    lost: Lost,
    now: i64,
) -> Result<u64, Error> {
    let mut bound = Bound::default();
    let at = bound.number(now);
    let mut which = String::new();
    let mut and = |clause: &str, place: String| which += &format!(" and lost.{clause} {place}");
    if let Whose::Owner(account, mode) = lost.whose {
        and("account_id =", bound.bytes(account.to_vec()));
        and("mode =", bound.text(mode.as_str().to_owned()));
    }
    if let Some(account) = lost.account {
        and("account_id =", bound.bytes(account.to_vec()));
    }
    if let Some(endpoint) = lost.endpoint {
        and("endpoint_id =", bound.bytes(endpoint.to_vec()));
    }
    let (since, until) = lost.between;
    and("created_at >=", bound.number(since));
    and("created_at <", bound.number(until));
    let limit = bound.number(i64::from(lost.limit));
    let sql = format!(
        "update delivery set state = 'due', attempts = 0, claims = claims + 1, replays = replays + 1, due_at = {at},
             lease_until = 0, ended_at = null
         where state = 'dead' and id in (
             select lost.id from delivery lost left join endpoint on endpoint.id = lost.endpoint_id
             where lost.state = 'dead'{which}
                 and (lost.endpoint_id is null or (endpoint.id is not null and endpoint.disabled_at is null))
             order by lost.id limit {limit})
         returning id"
    );
    let rows = bound.query(sql).fetch_all(&mut *connection).await?;
    let sent = rows.iter().map(|row| id(row, "id"));
    let sent = sent.collect::<Result<Vec<DeliveryId>, _>>()?;
    lane::wake_those(connection, &sent, now).await?;
    Ok(u64::try_from(sent.len()).unwrap_or(u64::MAX))
}

/// Gives up what waits for endpoints that are disabled, so many at most; says how many. It can be sent again.
pub(crate) async fn park(
    connection: &mut AnyConnection,
    now: i64,
    limit: u32,
) -> Result<u64, Error> {
    let done = sqlx::query(
        "update delivery set state = 'dead', last_error = $1, ended_at = $2, due_at = $2, lease_until = 0
         where state = 'due' and id in (
             select waiting.id from endpoint join delivery waiting on waiting.endpoint_id = endpoint.id
             where endpoint.disabled_at is not null and waiting.state = 'due' limit $3)",
    )
    .bind(DISABLED)
    .bind(now)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes deliveries that ended before then, with their attempts, so many at most, and as many events that have no delivery left; says
/// how many deliveries.
pub(crate) async fn remove(
    connection: &mut AnyConnection,
    before: i64,
    limit: u32,
) -> Result<u64, Error> {
    let done = sqlx::query(
        "delete from delivery where ended_at < $1 and id in (
             select id from delivery where ended_at < $1 order by ended_at limit $2)",
    )
    .bind(before)
    .bind(i64::from(limit))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "delete from event where id in (
             select event.id from event
             where event.created_at < $1 and not exists (select 1 from delivery where delivery.event_id = event.id)
             order by event.created_at limit $2)",
    )
    .bind(before)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Whether something waits for a disabled endpoint, ended before then, or has no owner yet.
pub(crate) async fn any_to_clear(reader: &AnyPool, before: i64) -> Result<bool, Error> {
    let found: Option<i64> = sqlx::query_scalar(
        "select 1 where exists (select 1 from delivery where ended_at < $1)
             or exists (select 1 from event where created_at < $1
                        and not exists (select 1 from delivery where delivery.event_id = event.id))
             or exists (select 1 from endpoint join delivery on delivery.endpoint_id = endpoint.id
                        where endpoint.disabled_at is not null and delivery.state = 'due')
             or exists (select 1 from delivery where account_id is null)",
    )
    .bind(before)
    .fetch_optional(reader)
    .await?;
    Ok(found.is_some())
}

/// Writes down whose deliveries are that an earlier version wrote, so many at most; says how many those were.
pub(crate) async fn own(connection: &mut AnyConnection, limit: u32) -> Result<u64, Error> {
    let done = sqlx::query(
        "update delivery set
             account_id = (select event.account_id from event where event.id = delivery.event_id),
             mode = (select event.mode from event where event.id = delivery.event_id)
         where id in (select id from delivery where account_id is null order by id limit $1)",
    )
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
