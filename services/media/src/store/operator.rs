//! What operators look for and do, on the tables `task`, `attempt` and `intervention`: one function per statement.

use chassis::secrets::Sealer;
use domain::{AccountId, EventId, TaskId};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _};

use super::{claim::Lease, task};
use crate::{Error, state::State, task::Task};

/// Which tasks are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    /// Up to before this id.
    pub(crate) before: Vec<u8>,
    /// In one of these; none: in any.
    pub(crate) states: Vec<State>,
    pub(crate) model: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) account: Option<AccountId>,
    pub(crate) limit: u32,
}

/// A run at a provider, and how its submit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) number: i64,
    pub(crate) provider: String,
    pub(crate) outcome: String,
    pub(crate) submitted_at: i64,
    /// What its provider answered when it was asked to stop it, and when.
    pub(crate) stop: Option<(String, i64)>,
    /// When it is looked at although its task does not wait for it.
    pub(crate) look_at: Option<i64>,
}

/// Something that an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intervention {
    pub(crate) id: EventId,
    pub(crate) at: i64,
    pub(crate) actor: String,
    pub(crate) request: String,
    pub(crate) action: String,
}

/// Whose step a task is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// From whoever is at it.
    FromAnybody,
    /// From nobody who may be submitting it: his answer would be lost.
    FromNobodySubmitting,
}

/// Tasks that were accepted, the newest first.
pub(crate) async fn find(
    pool: &AnyPool,
    search: &Search,
    sealer: &Sealer,
) -> Result<Vec<Task>, Error> {
    let states: Vec<String> = search
        .states
        .iter()
        .map(|state| format!("'{}'", state.as_str()))
        .collect();
    let states = if states.is_empty() {
        "state <> 'reserving'".to_owned()
    } else {
        format!("state in ({})", states.join(", "))
    };
    let filters = [
        search.model.as_ref().map(|_| "model = "),
        search.provider.as_ref().map(|_| "provider = "),
        search.account.as_ref().map(|_| "account = "),
    ];
    let filters: String = (3..)
        .zip(filters.into_iter().flatten())
        .map(|(place, filter)| format!(" and {filter}${place}"))
        .collect();
    let sql = format!(
        "select {} from task where id < $1 and {states}{filters} order by id desc limit $2",
        columns!()
    );
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(search.before.clone())
        .bind(i64::from(search.limit));
    for word in [&search.model, &search.provider].into_iter().flatten() {
        query = query.bind(word.clone());
    }
    if let Some(account) = search.account {
        query = query.bind(account.to_vec());
    }
    let rows = query.fetch_all(pool).await?;
    rows.iter().map(|row| task::read(row, sealer)).collect()
}

/// Takes an open task that is what it was, so that nobody else moves it. `None`: it was moved meanwhile, or cannot be taken now.
pub(crate) async fn take(
    connection: &mut AnyConnection,
    (task, take): (&Task, Take),
    lease: Lease,
    sealer: &Sealer,
) -> Result<Option<Task>, Error> {
    let row = sqlx::query(concat!(
        "update task set claims = claims + 1, lease_until = $1
         where id = $2 and version = $3 and completed_at is null and ($4 = 1 or lease_until <= $5 or state <> 'starting')
         returning ",
        columns!()
    ))
    .bind(lease.until)
    .bind(task.id.to_vec())
    .bind(task.version)
    .bind(i64::from(take == Take::FromAnybody))
    .bind(lease.now)
    .fetch_optional(connection)
    .await?;
    row.map(|row| task::read(&row, sealer)).transpose()
}

/// A task's runs, in order.
pub(crate) async fn attempts(pool: &AnyPool, task: TaskId) -> Result<Vec<Attempt>, Error> {
    let rows = sqlx::query(
        "select number, provider, outcome, submitted_at, stop, stop_at, look_at from attempt where task_id = $1 order by number",
    )
    .bind(task.to_vec())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let told: Option<String> = row.try_get("stop")?;
            let at: Option<i64> = row.try_get("stop_at")?;
            Ok(Attempt {
                number: row.try_get("number")?,
                provider: row.try_get("provider")?,
                outcome: row.try_get("outcome")?,
                submitted_at: row.try_get("submitted_at")?,
                stop: told.zip(at),
                look_at: row.try_get("look_at")?,
            })
        })
        .collect()
}

/// Writes down what an operator did, in the transaction that does it.
pub(crate) async fn note(
    connection: &mut AnyConnection,
    task: TaskId,
    done: &Intervention,
) -> Result<(), Error> {
    sqlx::query(
        "insert into intervention (id, task_id, at, actor, request, action) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(done.id.to_vec())
    .bind(task.to_vec())
    .bind(done.at)
    .bind(done.actor.as_str())
    .bind(done.request.as_str())
    .bind(done.action.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// What operators did to a task, in order.
pub(crate) async fn interventions(
    pool: &AnyPool,
    task: TaskId,
) -> Result<Vec<Intervention>, Error> {
    let rows = sqlx::query(
        "select id, at, actor, request, action from intervention where task_id = $1 order by id",
    )
    .bind(task.to_vec())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Intervention {
                id: task::id(row, "id")?,
                at: row.try_get("at")?,
                actor: row.try_get("actor")?,
                request: row.try_get("request")?,
                action: row.try_get("action")?,
            })
        })
        .collect()
}
