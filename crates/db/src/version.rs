//! Whether a schema is the one this program was made for, on either engine.

use sqlx::{AnyConnection, Row as _};

use crate::{Engine, Error, Migration};

/// Steps that were applied: version and checksum, rising.
pub(crate) type Applied = Vec<(i64, Vec<u8>)>;

/// Refuses a schema that is not exactly at the program's version.
///
/// # Errors
/// When it is older, newer or another, or cannot be read.
pub(crate) async fn check(
    connection: &mut AnyConnection,
    schema: &str,
    migrations: &[Migration],
) -> Result<(), Error> {
    let applied = applied(connection).await?;
    fits(schema, &applied, migrations, Engine::Postgres)?;
    let (found, needed) = (newest(&applied), needed(migrations));
    if applied.len() == migrations.len() {
        return Ok(());
    }
    Err(Error::Schema {
        schema: schema.to_owned(),
        found,
        needed,
    })
}

/// Refuses a schema that this program cannot bring to its version: one with steps it does not know.
///
/// # Errors
/// When it is newer or another.
pub(crate) fn fits(
    schema: &str,
    applied: &[(i64, Vec<u8>)],
    migrations: &[Migration],
    engine: Engine,
) -> Result<(), Error> {
    for (version, checksum) in applied {
        let Some(known) = migrations.iter().find(|step| step.version == *version) else {
            return Err(Error::Newer {
                schema: schema.to_owned(),
                found: newest(applied),
                needed: needed(migrations),
            });
        };
        if *known.step(engine).checksum != **checksum {
            return Err(Error::Altered {
                schema: schema.to_owned(),
                version: *version,
            });
        }
    }
    Ok(())
}

/// What was applied to the schema the connection looks at; nothing where there is no schema, or none the role may use.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn applied(connection: &mut AnyConnection) -> Result<Applied, Error> {
    let read = sqlx::query("select version, checksum from _sqlx_migrations order by version")
        .fetch_all(&mut *connection)
        .await
        .map_err(Error::from);
    let rows = match read {
        Ok(rows) => rows,
        // The table is not there: PostgreSQL has a state for that, SQLite only its most general code.
        Err(error) if matches!(error.state().as_deref(), Some("42P01" | "1")) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let read = |row: &sqlx::any::AnyRow| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(read).collect()
}

/// The version a schema is at; 0 for none.
pub(crate) fn newest(applied: &[(i64, Vec<u8>)]) -> i64 {
    applied.last().map_or(0, |(version, _)| *version)
}

/// The version that a program with these steps needs; 0 for none.
pub(crate) fn needed(migrations: &[Migration]) -> i64 {
    migrations
        .iter()
        .map(|step| step.version)
        .max()
        .unwrap_or(0)
}
