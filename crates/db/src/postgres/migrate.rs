//! Bringing a schema to this program's version, as the database's owner: what `aio migrate` does for each service.

use chassis::Tasks;
use sqlx::{
    AnyConnection, AssertSqlSafe, Connection as _, Executor as _, migrate::Migrator, query,
    query_scalar,
};
use tracing::info;

use super::{Door, checked_name, role, wait};
use crate::{Engine, Error, Limits, Migrated, Postgres, Schema, version};

/// The advisory lock of everybody who changes schemas of a database: "aio" and a dice roll.
const LOCK: i64 = 0x61_69_6f_5d;

/// Brings a schema to this program's version: makes the schema, its tables, and the role the service signs in as, which may read
/// and write rows and nothing else. Two at once wait for each other; doing it again changes nothing. `server` is the database's
/// owner, who may create schemas and roles; a role that is there already needs no right to create one.
///
/// # Errors
/// When the server cannot be reached, refuses, or has a schema that is newer than this program.
pub async fn migrate(server: &Postgres, schema: &Schema) -> Result<Migrated, Error> {
    sqlx::any::install_default_drivers();
    let names = [server.schema, schema.name, schema.role.as_str()];
    for name in names.iter().chain(schema.append_only) {
        checked_name(name)?;
    }
    if server.schema != schema.name {
        return Err(Error::Setting(
            "the schema to migrate is not the one connected to",
        ));
    }
    let limits = Limits::default();
    let door = Door::owning(server);
    let mut connection = wait(&door, limits.start_timeout, &Tasks::default()).await?;
    let migrated = locked(&mut connection, schema).await;
    // With the connection, the lock is gone.
    let _ = connection.close().await;
    migrated
}

async fn locked(connection: &mut AnyConnection, schema: &Schema) -> Result<Migrated, Error> {
    lock(connection).await?;
    create(connection, schema.name).await?;
    let applied = version::applied(connection).await?;
    version::fits(schema.name, &applied, schema.migrations, Engine::Postgres)?;
    let steps = schema
        .migrations
        .iter()
        .map(|step| step.step(Engine::Postgres))
        .collect();
    let mut migrator = Migrator::with_migrations(steps);
    // This connection holds a lock already, for more than the migrator does.
    migrator.set_locking(false);
    migrator.run(&mut *connection).await?;
    role::provide(connection, schema).await?;
    let migrated = Migrated {
        before: version::newest(&applied),
        now: version::newest(&version::applied(connection).await?),
    };
    info!(
        schema = schema.name,
        before = migrated.before,
        now = migrated.now,
        "schema migrated"
    );
    Ok(migrated)
}

/// Waits until nobody else changes schemas of this database.
async fn lock(connection: &mut AnyConnection) -> Result<(), Error> {
    let free: bool = query_scalar("select pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut *connection)
        .await?;
    if !free {
        info!("waiting for another migration of this database to end");
        query("select pg_advisory_lock($1)")
            .bind(LOCK)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Makes the schema and the domain that lets one text serve both engines.
async fn create(connection: &mut AnyConnection, name: &str) -> Result<(), Error> {
    let schema = format!("create schema if not exists {name}");
    connection.execute(AssertSqlSafe(schema)).await?;
    let there: i64 = query_scalar(
        "select count(*) from pg_type join pg_namespace on pg_namespace.oid = typnamespace
         where typname = 'blob' and nspname = $1",
    )
    .bind(name.to_owned())
    .fetch_one(&mut *connection)
    .await?;
    if there == 0 {
        connection.execute("create domain blob as bytea").await?;
    }
    Ok(())
}
