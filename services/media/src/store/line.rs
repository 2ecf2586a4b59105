//! Tasks that wait for room at their providers, on the table `task`: one function per statement. Each finds the next of something in an
//! index, so that it costs the same however many wait.

use domain::{AccountId, Mode, TaskId};
use sqlx::{AnyPool, Row as _, any::AnyRow};

use super::task::id;
use crate::Error;

/// A task, and when it ends at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) task: TaskId,
    pub(crate) deadline_at: i64,
}

/// The lines in which somebody stands.
pub(crate) async fn lines(pool: &AnyPool) -> Result<Vec<String>, Error> {
    let rows = sqlx::query(
        "with recursive found(line) as (
             select (select line from task where state = 'queued' and line <> '' and line > '' order by line limit 1)
             union all
             select (select t.line from task t where t.state = 'queued' and t.line <> '' and t.line > found.line
                     order by t.line limit 1)
             from found where found.line is not null
         )
         select line from found where line is not null",
    )
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("line")?)).collect()
}

/// Accounts that stand in a line, behind this one, in order.
pub(crate) async fn accounts(
    pool: &AnyPool,
    line: &str,
    behind: &[u8],
    limit: i64,
) -> Result<Vec<AccountId>, Error> {
    let rows = sqlx::query(
        "with recursive found(account) as (
             select (select account from task where state = 'queued' and line <> '' and line = $1 and account > $2
                     order by account limit 1)
             union all
             select (select t.account from task t where t.state = 'queued' and t.line <> '' and t.line = $1
                     and t.account > found.account order by t.account limit 1)
             from found where found.account is not null
         )
         select account from found where account is not null limit $3",
    )
    .bind(line)
    .bind(behind.to_vec())
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| id(row, "account")).collect()
}

/// Whose turn it is among an account's tasks in a line, in order.
pub(crate) async fn turns(
    pool: &AnyPool,
    line: &str,
    account: AccountId,
    (now, limit): (i64, i64),
) -> Result<Vec<Ending>, Error> {
    let rows = sqlx::query(
        "select id, deadline_at from task
         where state = 'queued' and line <> '' and line = $1 and account = $2 and not_before <= $3 and deadline_at > $3
         order by not_before limit $4",
    )
    .bind(line)
    .bind(account.to_vec())
    .bind(now)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(ending).collect()
}

/// Providers that have jobs of a mode which are due to be looked at, and how many, up to a limit.
pub(crate) async fn due_at(
    pool: &AnyPool,
    mode: Mode,
    (now, limit): (i64, i64),
) -> Result<Vec<(String, i64)>, Error> {
    let rows = sqlx::query(
        "with recursive found(provider) as (
             select (select provider from task where state = 'running' and mode = $1 order by provider limit 1)
             union all
             select (select t.provider from task t where t.state = 'running' and t.mode = $1
                     and t.provider > found.provider order by t.provider limit 1)
             from found where found.provider is not null
         )
         select provider, due from (
             select provider, (select count(*) from (
                 select 1 from task d where d.state = 'running' and d.mode = $1 and d.provider = found.provider
                     and d.due_at <= $2 and d.lease_until <= $2 and d.deadline_at > $2 limit $3
             ) as some_of_them) as due
             from found where provider is not null
         ) as counted where due > 0",
    )
    .bind(mode.as_str())
    .bind(now)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let due = |row: &AnyRow| Ok((row.try_get("provider")?, row.try_get("due")?));
    rows.iter().map(due).collect()
}

/// Jobs that run at a provider.
pub(crate) async fn jobs(
    pool: &AnyPool,
    mode: Mode,
    provider: &str,
    limit: i64,
) -> Result<Vec<Ending>, Error> {
    let rows = sqlx::query(
        "select id, deadline_at from task where state = 'running' and mode = $1 and provider = $2 limit $3",
    )
    .bind(mode.as_str())
    .bind(provider)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(ending).collect()
}

fn ending(row: &AnyRow) -> Result<Ending, Error> {
    Ok(Ending {
        task: id(row, "id")?,
        deadline_at: row.try_get("deadline_at")?,
    })
}
