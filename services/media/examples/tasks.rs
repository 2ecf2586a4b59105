//! Makes copies of the tasks that a data directory has, any number of them, as if their account had submitted one every few seconds until now:
//! for the benchmark `pages`. `tasks DIRECTORY COUNT`; nothing may run there.

use std::path::Path;

use anyhow::{Context as _, ensure};
use chassis::{
    Tasks, clock,
    config::Settings,
    secrets::{Sealer, Secrets},
};
use db::Db;
use domain::TaskId;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

/// Between two of them, in milliseconds.
const PAUSE: u64 = 20_000;
/// Rows of one statement.
const ROWS: usize = 100;

/// A task that is copied, with what of it is sealed, opened.
struct Pattern {
    id: Vec<u8>,
    request: Vec<u8>,
    error: Option<Vec<u8>>,
}

/// One copy: its id, the pattern's, what is sealed for it, and when it was submitted (microseconds).
type Made = (Vec<u8>, Vec<u8>, Vec<u8>, Option<Vec<u8>>, i64);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().context("tasks DIRECTORY COUNT")?;
    let count: u64 = arguments.next().context("tasks DIRECTORY COUNT")?.parse()?;
    let directory = Path::new(&directory);
    let (settings, tasks) = (Settings::from_toml(""), Tasks::default());
    let secrets = Secrets::load_or_create(directory, &settings.section("secrets")?)?;
    let limits: db::Limits = settings.section("database")?;
    let file = directory.join("media.db");
    let db = Db::open(&file, media::MIGRATIONS, &limits, &tasks).await?;
    let filled = db.write(move |connection| {
        let sealer = secrets.content().clone();
        Box::pin(async move {
            let filled = fill(connection, &sealer, count).await;
            Ok::<_, db::Error>(filled)
        })
    });
    filled.await?
}

async fn fill(connection: &mut AnyConnection, sealer: &Sealer, count: u64) -> anyhow::Result<()> {
    let patterns = patterns(connection, sealer).await?;
    ensure!(!patterns.is_empty(), "there is no task to copy");
    sqlx::query("create table made (id blob primary key, pattern blob, request blob, error blob, at bigint)")
        .execute(&mut *connection)
        .await?;
    let now = u64::try_from(clock::now_micros())? / 1_000;
    let mut rows = Vec::new();
    for number in 0..count {
        let at = now - (count - number) * PAUSE;
        let turn = usize::try_from(number)?.checked_rem(patterns.len());
        let pattern = turn
            .and_then(|turn| patterns.get(turn))
            .context("no pattern")?;
        rows.push(copy(pattern, sealer, at)?);
        if rows.len() == ROWS {
            write(connection, std::mem::take(&mut rows)).await?;
        }
    }
    write(connection, rows).await?;
    for (table, key, own) in TABLES {
        let names = sqlx::query("select name from pragma_table_info($1)")
            .bind(table)
            .fetch_all(&mut *connection)
            .await?;
        let names: Vec<String> = names
            .iter()
            .map(|row| row.try_get("name"))
            .collect::<Result<_, _>>()?;
        let values = names.iter().map(|name| {
            let own = own.iter().find(|(column, _)| column == name);
            own.map_or_else(|| format!("there.{name}"), |(_, value)| (*value).to_owned())
        });
        let values: Vec<String> = values.collect();
        let sql = format!(
            "insert into {table} ({}) select {} from made join {table} there on there.{key} = made.pattern",
            names.join(", "),
            values.join(", ")
        );
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("drop table made").execute(connection).await?;
    Ok(())
}

/// Columns, and what stands in them.
type Differences = &'static [(&'static str, &'static str)];

/// The tables of a task, by which column they name it, and what of a row is not as the pattern's.
const TABLES: [(&str, &str, Differences); 3] = [
    (
        "task",
        "id",
        &[
            ("id", "made.id"),
            ("request", "made.request"),
            ("error", "made.error"),
            ("idempotency_key", "null"),
            ("once", "null"),
            ("created_at", "made.at"),
            ("started_at", "made.at + 100000"),
            ("completed_at", "made.at + 2000000"),
            ("deadline_at", "made.at + 600000000"),
        ],
    ),
    (
        "attempt",
        "task_id",
        &[("task_id", "made.id"), ("submitted_at", "made.at")],
    ),
    (
        "output",
        "task_id",
        &[("task_id", "made.id"), ("about", "null")],
    ),
];

/// The tasks that have ended.
async fn patterns(connection: &mut AnyConnection, sealer: &Sealer) -> anyhow::Result<Vec<Pattern>> {
    let rows = sqlx::query("select id, request, error from task where completed_at is not null")
        .fetch_all(connection)
        .await?;
    let pattern = |row: &sqlx::any::AnyRow| {
        let id: Vec<u8> = row.try_get("id")?;
        let task = TaskId::from_slice(&id).context("no id")?;
        let request: Vec<u8> = row.try_get("request")?;
        let error: Option<Vec<u8>> = row.try_get("error")?;
        let error = error.map(|error| sealer.open(&place(task, "error"), &error));
        Ok(Pattern {
            id,
            request: sealer.open(&place(task, "request"), &request)?,
            error: error.transpose()?,
        })
    };
    rows.iter().map(pattern).collect()
}

/// As `media/src/store/task.rs` has it.
fn place(task: TaskId, column: &str) -> Vec<u8> {
    format!("task/{task}/{column}").into_bytes()
}

/// A copy that was submitted at this millisecond.
fn copy(pattern: &Pattern, sealer: &Sealer, at: u64) -> anyhow::Result<Made> {
    // UUIDv7: milliseconds, version 7, and what no two that are seconds apart need.
    let bits = (u128::from(at) << 80) | (7 << 76) | (2 << 62);
    let id = bits.to_be_bytes();
    let task = TaskId::from_slice(&id).context("no id")?;
    let error = pattern.error.as_ref();
    let error = error.map(|error| sealer.seal(&place(task, "error"), error));
    Ok((
        id.to_vec(),
        pattern.id.clone(),
        sealer.seal(&place(task, "request"), &pattern.request)?,
        error.transpose()?,
        i64::try_from(at)? * 1_000,
    ))
}

async fn write(connection: &mut AnyConnection, rows: Vec<Made>) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let places = (0..rows.len()).map(|row| {
        let of = |column: usize| row * 5 + column;
        format!(
            "(${}, ${}, ${}, ${}, ${})",
            of(1),
            of(2),
            of(3),
            of(4),
            of(5)
        )
    });
    let places: Vec<String> = places.collect();
    let sql = format!("insert into made values {}", places.join(", "));
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (id, pattern, request, error, at) in rows {
        query = query
            .bind(id)
            .bind(pattern)
            .bind(request)
            .bind(error)
            .bind(at);
    }
    query.execute(connection).await?;
    Ok(())
}
