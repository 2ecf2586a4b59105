//! The table `attempt`: one function per statement.

use chassis::secrets::Sealer;
use domain::{TaskId, receipt};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _, any::AnyRow};

use super::claim::Lease;
use crate::{
    Error,
    providers::{Cancelled, Cost},
    task::Task,
};

/// The columns of a [`Run`].
const COLUMNS: &str = "number, provider, outcome, reason, submitted_at, cost, looks, stop";

/// How a run at a provider stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The provider certainly did not take it.
    Refused,
    /// The provider took it.
    Accepted,
    /// It made what it should.
    Succeeded,
    /// It did not.
    Failed,
}

/// What is found out about a run. What it leaves out stays as it was noted before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How it stands.
    pub outcome: Option<Outcome>,
    /// Why it failed, as a class of failure.
    pub reason: Option<&'static str>,
    /// What the provider says it billed.
    pub cost: Option<Cost>,
    /// When to look at it although its task does not wait for it any more, microseconds UTC.
    pub look_at: Option<i64>,
}

/// A run at a provider: a row of `attempt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// From 1.
    pub number: i64,
    /// Who was asked.
    pub provider: String,
    /// The word of its [`Outcome`], or `unknown`.
    pub outcome: String,
    /// Why it failed, as a class of failure; empty if it did not, or nobody knows.
    pub reason: String,
    /// When it was submitted, microseconds UTC.
    pub submitted_at: i64,
    /// What the provider says it billed.
    pub cost: Option<Cost>,
    /// How often it was looked at since its task does not wait for it any more.
    pub looks: i64,
    /// What its provider answered last when it was asked to stop it.
    pub stop: Option<Cancelled>,
}

/// A run that may still come to something although its task does not wait for it any more: a row of `attempt`.
#[derive(Clone, Debug)]
pub(crate) struct Late {
    /// The task.
    pub task: Task,
    /// Which of its runs.
    pub run: Run,
    /// What its provider calls it.
    pub job: String,
}

/// A run whose submit has an unknown outcome: a row of `attempt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// The task.
    pub task: TaskId,
    /// From 1.
    pub number: i64,
    /// Who was asked.
    pub provider: String,
    /// When, microseconds UTC.
    pub submitted_at: i64,
}

// === impl Outcome ===

impl Outcome {
    /// The word kept in SQL.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Accepted => "accepted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

// === impl Finding ===

impl From<Option<Outcome>> for Finding {
    fn from(outcome: Option<Outcome>) -> Self {
        Self {
            outcome,
            ..Self::default()
        }
    }
}

impl Finding {
    /// It did not do what it should.
    pub(crate) fn failed(outcome: Outcome, reason: &'static str) -> Self {
        Self {
            outcome: Some(outcome),
            reason: Some(reason),
            ..Self::default()
        }
    }
}

// === impl Run ===

impl Run {
    /// Whether its provider took it and did not finish it while its task waited for it. One that was stopped afterwards did not fail.
    pub(crate) fn has_failed(&self) -> bool {
        self.outcome == Outcome::Failed.as_str() && self.looks == 0
    }

    /// As a receipt lists it.
    pub(crate) fn listed(self) -> receipt::Attempt {
        let outcome = if self.reason.is_empty() {
            self.outcome
        } else {
            self.reason
        };
        receipt::Attempt {
            provider: self.provider,
            model: None,
            outcome,
        }
    }
}

/// Written before a paid submit: from now on the provider may have it. Renews the lease, so that nobody can take the task for
/// untouched meanwhile. `refused`: why the run before was, if that was in the same step. May be said twice. `false`: the task is no longer
/// this worker's, and must not be submitted.
pub(crate) async fn begin(
    connection: &mut AnyConnection,
    task: &Task,
    provider: &str,
    lease: Lease,
    refused: Option<&'static str>,
) -> Result<bool, Error> {
    let renewed = sqlx::query(
        "update task set lease_until = $1, attempts = $2 where id = $3 and version = $4 and claims = $5",
    )
    .bind(lease.until)
    .bind(task.attempts)
    .bind(task.id.to_vec())
    .bind(task.version)
    .bind(task.claims)
    .execute(&mut *connection)
    .await?;
    if renewed.rows_affected() == 0 {
        return Ok(false);
    }
    if let Some(reason) = refused {
        let finding = Finding::failed(Outcome::Refused, reason);
        let before = task.attempts.saturating_sub(1);
        note(connection, (task.id, before), None, finding).await?;
    }
    sqlx::query(
        "insert into attempt (task_id, number, provider, outcome, submitted_at) values ($1, $2, $3, 'unknown', $4)
         on conflict (task_id, number) do update
         set provider = excluded.provider, outcome = 'unknown', submitted_at = excluded.submitted_at",
    )
    .bind(task.id.to_vec())
    .bind(task.attempts)
    .bind(provider)
    .bind(lease.now)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Notes what was found out about a run of a task, and what its provider calls it. When to look at it stays too, unless a look is noted
/// ([`looked`]): the task may have left it a moment ago.
pub(crate) async fn note(
    connection: &mut AnyConnection,
    (task, number): (TaskId, i64),
    job: Option<&str>,
    finding: Finding,
) -> Result<(), Error> {
    sqlx::query(
        "update attempt set outcome = coalesce($1, outcome), reason = coalesce($2, reason), cost = coalesce($3, cost),
                job = coalesce($4, job), look_at = coalesce($5, look_at)
         where task_id = $6 and number = $7",
    )
    .bind(finding.outcome.map(Outcome::as_str))
    .bind(finding.reason)
    .bind(finding.cost.map(|cost| cost.micro_usd))
    .bind(job)
    .bind(finding.look_at)
    .bind(task.to_vec())
    .bind(number)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a provider has taken a run whose task waits for it no longer: what it calls it, what is found out about it, and when to look at
/// it, if there is anything to look at. Only of a submit without an answer so far: the task of any other one waits for it, or did.
pub(crate) async fn left(
    connection: &mut AnyConnection,
    (task, provider): (&Task, &str),
    job: &str,
    found: Finding,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update attempt set outcome = coalesce($1, outcome), job = $2, cost = coalesce($3, cost), look_at = $4
         where task_id = $5 and number = $6 and provider = $7 and outcome = 'unknown'",
    )
    .bind(found.outcome.map(Outcome::as_str))
    .bind(job)
    .bind(found.cost.map(|cost| cost.micro_usd))
    .bind(found.look_at)
    .bind(task.id.to_vec())
    .bind(task.attempts)
    .bind(provider)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes what a provider has answered, when it was asked to stop a run. That it has stopped it stays: whoever asks for it a second time may
/// hear that it is too late.
pub(crate) async fn answered(
    connection: &mut AnyConnection,
    (task, number): (TaskId, i64),
    (told, now): (Cancelled, i64),
) -> Result<(), Error> {
    sqlx::query(
        "update attempt set stop = $1, stop_at = $2
         where task_id = $3 and number = $4 and (stop is null or stop <> $5)",
    )
    .bind(told.as_str())
    .bind(now)
    .bind(task.to_vec())
    .bind(number)
    .bind(Cancelled::Stopped.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// The runs of a task, in order.
pub(crate) async fn of_task(pool: &AnyPool, task: TaskId) -> Result<Vec<Run>, Error> {
    let sql = format!("select {COLUMNS} from attempt where task_id = $1 order by number");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(task.to_vec())
        .fetch_all(pool)
        .await?;
    rows.iter().map(run).collect()
}

/// Up to 100 runs that are to be looked at although their tasks do not wait for them any more.
pub(crate) async fn late(pool: &AnyPool, now: i64, sealer: &Sealer) -> Result<Vec<Late>, Error> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select task_id, job, {COLUMNS} from attempt where look_at <= $1 order by look_at limit 100"
    )))
    .bind(now)
    .fetch_all(pool)
    .await?;
    let mut late = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = super::task::id(row, "task_id")?;
        let Some(task) = super::task::get(pool, id, sealer).await? else {
            continue;
        };
        late.push(Late {
            task,
            run: run(row)?,
            job: row.try_get::<Option<String>, _>("job")?.unwrap_or_default(),
        });
    }
    Ok(late)
}

/// Puts off a look at a run that nobody waits for, if it is still to come.
pub(crate) async fn put_off(
    connection: &mut AnyConnection,
    (task, number): (TaskId, i64),
    looks: i64,
    until: i64,
) -> Result<(), Error> {
    sqlx::query(
        "update attempt set look_at = $1
         where task_id = $2 and number = $3 and looks = $4 and look_at is not null",
    )
    .bind(until)
    .bind(task.to_vec())
    .bind(number)
    .bind(looks)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes a look at a run that nobody waits for. Only the first that finds something out does; `false`: another one did.
pub(crate) async fn looked(
    connection: &mut AnyConnection,
    (task, number): (TaskId, i64),
    looks: i64,
    finding: Finding,
) -> Result<bool, Error> {
    let counted = sqlx::query(
        "update attempt set looks = looks + 1, look_at = null
         where task_id = $1 and number = $2 and looks = $3 and look_at is not null",
    )
    .bind(task.to_vec())
    .bind(number)
    .bind(looks)
    .execute(&mut *connection)
    .await?;
    if counted.rows_affected() == 0 {
        return Ok(false);
    }
    note(connection, (task, number), None, finding).await?;
    Ok(true)
}

fn run(row: &AnyRow) -> Result<Run, Error> {
    let cost: Option<i64> = row.try_get("cost")?;
    let stop: Option<&str> = row.try_get("stop")?;
    Ok(Run {
        number: row.try_get("number")?,
        provider: row.try_get("provider")?,
        outcome: row.try_get("outcome")?,
        reason: row.try_get("reason")?,
        submitted_at: row.try_get("submitted_at")?,
        cost: cost.map(|micro_usd| Cost { micro_usd }),
        looks: row.try_get("looks")?,
        stop: stop.and_then(Cancelled::parse),
    })
}

/// Runs whose submit has an unknown outcome, the latest first, of tasks that are over. (SQLite would begin with all tasks that are over;
/// it takes a `cross join` in the order in which it stands.)
pub(super) const UNKNOWN: &str =
    "select a.task_id, a.number, a.provider, a.submitted_at from attempt a cross join task t
     where t.id = a.task_id and a.outcome = 'unknown' and t.state in ('completed', 'failed')
     order by a.submitted_at desc limit $1";

/// Asks for [`UNKNOWN`].
pub(crate) async fn unknown(pool: &AnyPool, limit: i64) -> Result<Vec<Unknown>, Error> {
    let rows = sqlx::query(UNKNOWN).bind(limit).fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            Ok(Unknown {
                task: super::task::id(row, "task_id")?,
                number: row.try_get("number")?,
                provider: row.try_get("provider")?,
                submitted_at: row.try_get("submitted_at")?,
            })
        })
        .collect()
}
