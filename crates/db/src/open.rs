//! Opening a SQLite file: WAL, every commit on disk before it is answered, one writer, several readers.

use std::{path::Path, time::Duration};

use chassis::config::duration;
use serde::Deserialize;
use sqlx::{
    AnyConnection, AnyPool, AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _,
    any::AnyPoolOptions,
    migrate::{Migration as SqlxMigration, MigrationType, Migrator},
};

use crate::Error;

/// What every connection is told. `synchronous = full`: a commit that was answered survives a power cut.
const PRAGMAS: &str = "pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 5000; \
                       pragma foreign_keys = on; pragma temp_store = memory; pragma cache_size = -16000";

/// One step of a schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Rises by one.
    pub version: i64,
    /// What it is for.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// The section `database`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Reading connections of each file.
    #[serde(default = "default_readers")]
    pub readers: u32,
    /// Pieces of work that may wait for the writer.
    #[serde(default = "default_queue")]
    pub write_queue: usize,
    /// Pieces of work that share one commit at most.
    #[serde(default = "default_batch")]
    pub write_batch: usize,
    /// How long a reader waits for a connection.
    #[serde(default = "default_acquire", with = "duration")]
    pub acquire_timeout: Duration,
}

/// The address of a file, as sqlx takes it.
pub(crate) fn url(path: &Path) -> String {
    format!("sqlite://{}?mode=rwc", path.display())
}

/// Opens the writer's connection.
pub(crate) async fn writer(url: &str) -> Result<AnyConnection, Error> {
    let mut writer = AnyConnection::connect(url).await?;
    writer.execute(PRAGMAS).await?;
    Ok(writer)
}

/// Opens the writer's connection, migrates, and opens the readers.
pub(crate) async fn sqlite(
    url: &str,
    migrations: &[Migration],
    limits: &Limits,
) -> Result<(AnyConnection, AnyPool), Error> {
    sqlx::any::install_default_drivers();
    let mut writer = writer(url).await?;
    migrate(&mut writer, migrations).await?;
    let readers = AnyPoolOptions::new()
        .max_connections(limits.readers)
        .acquire_timeout(limits.acquire_timeout)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(PRAGMAS).await?;
                connection.execute("pragma query_only = on").await?;
                Ok(())
            })
        })
        .connect(url)
        .await?;
    Ok((writer, readers))
}

async fn migrate(connection: &mut AnyConnection, migrations: &[Migration]) -> Result<(), Error> {
    let steps = migrations
        .iter()
        .map(|step| {
            let sql = AssertSqlSafe(step.sql).into_sql_str();
            SqlxMigration::new(
                step.version,
                step.name.into(),
                MigrationType::Simple,
                sql,
                false,
            )
        })
        .collect();
    Ok(Migrator::with_migrations(steps).run(connection).await?)
}

const fn default_readers() -> u32 {
    4
}

const fn default_queue() -> usize {
    8_192
}

const fn default_batch() -> usize {
    256
}

const fn default_acquire() -> Duration {
    Duration::from_millis(500)
}
