//! What operators see of all tasks together: what waits and runs, and how providers have done.

use domain::Mode;
use sqlx::{AnyPool, Row as _};

use crate::Error;

/// Tasks that wait to be submitted; the index `task_operator` has those of each state together, the oldest first.
pub(crate) const QUEUED: &str =
    "select created_at as at from task where state = 'queued' order by id";
/// Tasks that are being submitted.
pub(crate) const STARTING: &str =
    "select created_at as at from task where state = 'starting' order by id";
/// Tasks that a provider has.
pub(crate) const RUNNING: &str =
    "select created_at as at from task where state = 'running' order by id";
/// Runs whose submit has an unknown outcome; the index `attempt_unknown` holds nothing else.
pub(crate) const UNKNOWN: &str =
    "select submitted_at as at from attempt where outcome = 'unknown' order by submitted_at";

/// Runs that are summed up at most, the newest.
const MOST_RUNS: i64 = 20_000;

/// Runs at a provider that went alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunSum {
    pub(crate) mode: Mode,
    pub(crate) provider: String,
    pub(crate) outcome: String,
    pub(crate) runs: i64,
    /// Those of which is known what the provider bills.
    pub(crate) known: i64,
    /// The sum of that, in millionths of a US dollar.
    pub(crate) micro_usd: i64,
}

/// How runs of tasks went whose ids are this one or later, and whether there were more than are summed up.
pub(crate) async fn runs(pool: &AnyPool, from: Vec<u8>) -> Result<(Vec<RunSum>, bool), Error> {
    let rows = sqlx::query(
        "select task.mode, run.provider, run.outcome, count(*) as runs, count(run.cost) as known,
             cast(coalesce(sum(run.cost), 0) as bigint) as micro_usd
         from (select task_id, provider, outcome, cost from attempt where task_id >= $1 order by task_id desc limit $2) as run
             join task on task.id = run.task_id
         group by task.mode, run.provider, run.outcome order by task.mode, run.provider, run.outcome",
    )
    .bind(from)
    .bind(MOST_RUNS)
    .fetch_all(pool)
    .await?;
    let read = |row: &sqlx::any::AnyRow| {
        let mode: String = row.try_get("mode")?;
        Ok(RunSum {
            mode: Mode::parse(&mode).ok_or(Error::Damaged("a mode"))?,
            provider: row.try_get("provider")?,
            outcome: row.try_get("outcome")?,
            runs: row.try_get("runs")?,
            known: row.try_get("known")?,
            micro_usd: row.try_get("micro_usd")?,
        })
    };
    let sums: Vec<RunSum> = rows.iter().map(read).collect::<Result<_, Error>>()?;
    let all = sums.iter().map(|sum| sum.runs).fold(0, i64::saturating_add);
    Ok((sums, all >= MOST_RUNS))
}
