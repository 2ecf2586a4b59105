//! Deliveries as they are looked for and looked at. Times are microseconds UTC.

use domain::{AccountId, DeliveryId, EndpointId, EventId, Mode, TaskId};
use sqlx::{AnyPool, Row as _, any::AnyRow};

use super::{Bound, id, mode};
use crate::{Error, whose::Whose};

/// Every column of a delivery that is shown.
macro_rules! columns {
    () => {
        "delivery.id, delivery.event_id, event.account_id, event.mode, event.type, event.task_id, delivery.endpoint_id,
         delivery.state, delivery.attempts, delivery.replays, delivery.last_status, delivery.last_error, delivery.created_at,
         delivery.due_at, delivery.ended_at"
    };
}

/// How far clocks may be apart, in microseconds: ten minutes.
const CLOCKS: i64 = 10 * 60 * 1_000_000;

/// Whose deliveries are.
const OWNER: (&str, &str) = ("delivery.account_id =", "delivery.mode =");
/// Whose deliveries are of a task or an endpoint that is named: said so that SQLite, which knows nothing of how many rows there are, does
/// not walk along all that their owner has.
const NAMED_OWNER: (&str, &str) = (
    "case when true then delivery.account_id end =",
    "case when true then delivery.mode end =",
);

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
    let (sql, bound) = statement(whose, filter);
    let rows = bound.query(sql).fetch_all(reader).await?;
    rows.iter().map(read).collect()
}

fn statement(whose: Whose, filter: Filter) -> (String, Bound) {
    let mut bound = Bound::default();
    let mut sql = concat!(
        "select ",
        columns!(),
        " from delivery join event on event.id = delivery.event_id where true"
    )
    .to_owned();
    let mut and = |clause: &str, place: String| sql += &format!(" and {clause} {place}");
    if let Whose::Owner(account, mode) = whose {
        let is_named = filter.task.is_some() || filter.endpoint.is_some();
        let (of_account, in_mode) = if is_named { NAMED_OWNER } else { OWNER };
        and(of_account, bound.bytes(account.to_vec()));
        and(in_mode, bound.text(mode.as_str().to_owned()));
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
        and(in_state(&state), bound.text(state));
    }
    if let Some(kind) = filter.kind {
        and("event.type =", bound.text(kind));
    }
    if let Some(since) = filter.since {
        and("delivery.created_at >=", bound.number(since));
        // So that the walk along an index ends there: ids rise with time, by the clock of whoever made them.
        and(
            "delivery.id >=",
            bound.bytes(first_id(since.saturating_sub(CLOCKS))),
        );
    }
    if let Some(until) = filter.until {
        and("delivery.created_at <", bound.number(until));
    }
    if let Some(before) = filter.before {
        and("delivery.id <", bound.bytes(before.to_vec()));
    }
    let limit = bound.number(i64::from(filter.limit));
    sql += &format!(" order by delivery.id desc limit {limit}");
    (sql, bound)
}

/// The least id that is made at a moment, in microseconds UTC.
fn first_id(micros: i64) -> Vec<u8> {
    let millis = micros.div_euclid(1_000).max(0).to_be_bytes();
    let mut id = millis.get(2..).unwrap_or_default().to_vec();
    id.resize(16, 0);
    id
}

/// That a delivery is in a state, which follows: also in the words of the index that has such ones alone. A value that is bound does not
/// tell SQLite that it may use that.
fn in_state(state: &str) -> &'static str {
    match state {
        "dead" => "delivery.state = 'dead' and delivery.state =",
        "due" | "inflight" => "delivery.state in ('due', 'inflight') and delivery.state =",
        _ => "delivery.state =",
    }
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

#[cfg(test)]
mod tests {
    use chassis::{Tasks, config::Settings};
    use db::Db;

    use super::*;

    #[tokio::test]
    async fn what_owners_look_for_is_found_by_an_index_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let limits = Settings::from_toml("").section("database").unwrap();
        let file = directory.path().join("webhooks.db");
        let db = Db::open(&file, crate::MIGRATIONS, &limits, &Tasks::default()).await;
        let db = db.unwrap();
        let looks = |task, endpoint, state: &str| Filter {
            task,
            endpoint,
            state: Some(state.to_owned()).filter(|state| !state.is_empty()),
            ..Filter::default()
        };
        let (task, endpoint) = (Some(TaskId::NIL), Some(EndpointId::NIL));
        for (filter, index) in [
            (looks(None, None, ""), "delivery USING INDEX delivery_owner"),
            (
                looks(None, None, "delivered"),
                "delivery USING INDEX delivery_owner",
            ),
            (
                looks(None, None, "dead"),
                "delivery USING INDEX delivery_dead",
            ),
            (
                looks(None, None, "due"),
                "delivery USING INDEX delivery_open",
            ),
            (
                looks(None, None, "inflight"),
                "delivery USING INDEX delivery_open",
            ),
            (
                looks(None, endpoint, ""),
                "delivery USING INDEX delivery_endpoint",
            ),
            (
                looks(None, endpoint, "dead"),
                "delivery USING INDEX delivery_endpoint",
            ),
            (looks(task, None, ""), "event USING INDEX event_task"),
        ] {
            let whose = Whose::Owner(AccountId::NIL, Mode::Test);
            let told = format!("{filter:?}");
            let (sql, bound) = statement(whose, filter);
            let explain = bound.query(format!("explain query plan {sql}"));
            let rows = explain.fetch_all(db.reader()).await.unwrap();
            let first: &str = rows[0].get("detail");
            assert!(
                first.starts_with(&format!("SEARCH {index} (")),
                "{told}: {first}"
            );
        }
    }
}
