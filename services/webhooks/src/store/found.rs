//! Deliveries as they are looked for and looked at. Times are microseconds UTC.

use domain::{AccountId, DeliveryId, EndpointId, EventId, Mode, TaskId};
use sqlx::{AnyPool, Row as _, any::AnyRow};

use super::{Bound, id, mode};
use crate::{Error, whose::Whose};

/// The state of what was given up.
const DEAD: &str = "dead";

/// Every column of a delivery that is shown.
macro_rules! columns {
    () => {
        "delivery.id, delivery.event_id, event.account_id, event.mode, event.type, event.task_id, delivery.endpoint_id,
         delivery.state, delivery.attempts, delivery.replays, delivery.last_status, delivery.last_error, delivery.created_at,
         delivery.due_at, delivery.ended_at"
    };
}

/// What deliveries must be; `None`: whatever they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) account: Option<AccountId>,
    pub(crate) task: Option<TaskId>,
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) state: Option<String>,
    pub(crate) kind: Option<String>,
    /// Made from then on.
    pub(crate) since: Option<i64>,
    /// Made before then.
    pub(crate) until: Option<i64>,
    /// Older than this one.
    pub(crate) before: Option<DeliveryId>,
    pub(crate) limit: u32,
}

/// A delivery: a row type.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: DeliveryId,
    pub(crate) event: EventId,
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    /// The type of the event.
    pub(crate) kind: String,
    pub(crate) task: Option<TaskId>,
    /// Which endpoint it is for; `None`: a URL that a request named.
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) state: String,
    /// Attempts that ended, since it was last sent anew.
    pub(crate) attempts: i64,
    pub(crate) replays: i64,
    pub(crate) last_status: Option<i64>,
    pub(crate) last_error: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) due_at: i64,
    pub(crate) ended_at: Option<i64>,
}

/// Those that are what the filter says, the newest first.
pub(crate) async fn find(
    reader: &AnyPool,
    whose: Whose,
    filter: Filter,
) -> Result<Vec<Found>, Error> {
    let mut bound = Bound::default();
    let mut sql = concat!(
        "select ",
        columns!(),
        " from delivery join event on event.id = delivery.event_id where true"
    )
    .to_owned();
    let mut and = |clause: &str, place: String| sql += &format!(" and {clause} {place}");
    if let Whose::Owner(account, mode) = whose {
        and("delivery.account_id =", bound.bytes(account.to_vec()));
        and("delivery.mode =", bound.text(mode.as_str().to_owned()));
    }
    if let Some(account) = filter.account {
        and("delivery.account_id =", bound.bytes(account.to_vec()));
    }
    if let Some(task) = filter.task {
        and("event.task_id =", bound.bytes(task.to_vec()));
    }
    if let Some(endpoint) = filter.endpoint {
        and("delivery.endpoint_id =", bound.bytes(endpoint.to_vec()));
    }
    if let Some(state) = filter.state {
        // As it stands, so that the index of those given up serves everybody's.
        let state = match state.as_str() {
            DEAD => format!("'{DEAD}'"),
            _ => bound.text(state),
        };
        and("delivery.state =", state);
    }
    if let Some(kind) = filter.kind {
        and("event.type =", bound.text(kind));
    }
    if let Some(since) = filter.since {
        and("delivery.created_at >=", bound.number(since));
    }
    if let Some(until) = filter.until {
        and("delivery.created_at <", bound.number(until));
    }
    if let Some(before) = filter.before {
        and("delivery.id <", bound.bytes(before.to_vec()));
    }
    let limit = bound.number(i64::from(filter.limit));
    sql += &format!(" order by delivery.id desc limit {limit}");
    let rows = bound.query(sql).fetch_all(reader).await?;
    rows.iter().map(read).collect()
}

/// One of them.
pub(crate) async fn get(reader: &AnyPool, delivery: DeliveryId) -> Result<Option<Found>, Error> {
    let found = sqlx::query(concat!(
        "select ",
        columns!(),
        " from delivery join event on event.id = delivery.event_id where delivery.id = $1"
    ))
    .bind(delivery.to_vec())
    .fetch_optional(reader)
    .await?;
    found.as_ref().map(read).transpose()
}

fn read(row: &AnyRow) -> Result<Found, Error> {
    let task: Vec<u8> = row.try_get("task_id")?;
    Ok(Found {
        id: id(row, "id")?,
        event: id(row, "event_id")?,
        account: id(row, "account_id")?,
        mode: mode(row, "mode")?,
        kind: row.try_get("type")?,
        // No bytes where it is about no task.
        task: TaskId::from_slice(&task),
        endpoint: super::delivery::endpoint_of(row)?,
        state: row.try_get("state")?,
        attempts: row.try_get("attempts")?,
        replays: row.try_get("replays")?,
        last_status: row.try_get("last_status")?,
        last_error: row.try_get("last_error")?,
        created_at: row.try_get("created_at")?,
        due_at: row.try_get("due_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}
