//! Looking at a server without using it: for who asks what is wrong.

use chassis::{clock::now_micros, config::Secret};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, query_scalar};

use super::{Door, checked_name};
use crate::{Error, Limits, Migration, Postgres, version};

/// What is on a server, as one of its roles sees it.
#[derive(Debug)]
pub struct Look {
    /// The server's version: `15.8`.
    pub server: String,
    /// How far the server's clock is ahead of this machine's, in microseconds.
    pub ahead: i64,
    /// The schemas that the role may use, each with its version or with what is wrong with it.
    pub schemas: Vec<(&'static str, Result<i64, Error>)>,
}

/// Looks at a server, and at which versions those of the schemas are that the role of `url` may use. Tries once.
///
/// # Errors
/// When the server cannot be reached, refuses the role, or does not answer.
pub async fn look(
    url: &Secret,
    schemas: &[(&'static str, &[Migration])],
    limits: &Limits,
) -> Result<Look, Error> {
    sqlx::any::install_default_drivers();
    let place = Postgres {
        url: url.clone(),
        schema: "pg_catalog",
    };
    let mut connection = Door::writing(&place, limits).open().await?;
    let looked = look_at(&mut connection, schemas).await;
    // A connection that does not close well is closed all the same.
    let _ = connection.close().await;
    looked
}

async fn look_at(
    connection: &mut AnyConnection,
    schemas: &[(&'static str, &[Migration])],
) -> Result<Look, Error> {
    let server = query_scalar("select split_part(current_setting('server_version'), ' ', 1)")
        .fetch_one(&mut *connection)
        .await?;
    let before = now_micros();
    let theirs: i64 =
        query_scalar("select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)")
            .fetch_one(&mut *connection)
            .await?;
    // It is taken to have been read in the middle of the question's way there and back.
    let took = now_micros().saturating_sub(before);
    let ahead = theirs.saturating_sub(before.saturating_add(took / 2));
    let mut seen = Vec::new();
    for (schema, migrations) in schemas {
        if is_open(connection, schema).await? {
            let standing = standing(connection, schema, migrations).await;
            seen.push((*schema, standing));
        }
    }
    Ok(Look {
        server,
        ahead,
        schemas: seen,
    })
}

/// Whether the schema is there, and for this role.
async fn is_open(connection: &mut AnyConnection, schema: &str) -> Result<bool, Error> {
    let open: i64 = query_scalar(
        "select count(*) from pg_namespace where nspname = $1 and has_schema_privilege(oid, 'usage')",
    )
    .bind(schema.to_owned())
    .fetch_one(connection)
    .await?;
    Ok(open > 0)
}

async fn standing(
    connection: &mut AnyConnection,
    schema: &str,
    migrations: &[Migration],
) -> Result<i64, Error> {
    let path = format!("set search_path to {}", checked_name(schema)?);
    connection.execute(AssertSqlSafe(path)).await?;
    version::check(connection, schema, migrations).await?;
    Ok(version::needed(migrations))
}
