//! A PostgreSQL server: how its connections are made and kept, waiting for one that is not there yet, and the pools.

mod look;
mod migrate;
mod role;
mod writers;

pub use look::{Look, look};
pub use migrate::migrate;
pub(crate) use writers::Writers;

use std::{io, str::FromStr as _, sync::Arc, time::Duration};

use chassis::{Tasks, config::Secret, telemetry::causes};
use sqlx::{
    AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _,
    Row as _,
    any::{AnyConnectOptions, AnyPoolOptions},
};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::{Error, Limits, Migration, Postgres, clock::Anchor, version};

/// How long one try to connect may take while starting.
const TRY: Duration = Duration::from_secs(5);
/// The waits between tries: doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection that stood idle for longer is asked whether it is alive before it is used.
const FRESH: Duration = Duration::from_secs(1);
/// How a connection says that it is alive and in no transaction, in which time stands still.
const FREE: &str = "select now() = statement_timestamp()";

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// Whether what is said to the server goes into this process's log, at its lowest level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statements {
    Logged,
    Unlogged,
}

/// How one kind of connection is made. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    url: Secret,
    schema: &'static str,
    /// What each connection is told first.
    setup: Arc<str>,
    statements: Statements,
}

/// Waits for the server, checks that the schema is at this version, and makes the pools.
///
/// # Errors
/// As [`crate::Db::connect`] says.
pub(crate) async fn connect(
    server: &Postgres,
    migrations: &[Migration],
    limits: &Limits,
    tasks: &Tasks,
) -> Result<(Writers, AnyPool, Anchor), Error> {
    sqlx::any::install_default_drivers();
    checked_name(server.schema)?;
    let writing = Door::writing(server, limits);
    let mut first = wait(&writing, limits.start_timeout, tasks).await?;
    version::check(&mut first, server.schema, migrations).await?;
    let clock = Anchor::read_first(&mut first).await?;
    // A connection that does not close well is closed all the same.
    let _ = first.close().await;
    let writers = writing
        .pool(limits.writers, limits.write_acquire_timeout)
        // Beginning a transaction shows whether a connection is alive.
        .test_before_acquire(false)
        .connect_lazy_with(writing.options()?);
    Ok((
        Writers::new(writers, limits, tasks),
        readers(&Door::new(server, limits, Access::Read), limits)?,
        clock,
    ))
}

/// Waits for a server that is not there yet.
async fn wait(door: &Door, longest: Duration, tasks: &Tasks) -> Result<AnyConnection, Error> {
    let deadline = Instant::now() + longest;
    let mut pause = FIRST_PAUSE;
    loop {
        let opened = timeout(TRY, door.open())
            .await
            .unwrap_or_else(|_| Err(silent()));
        let error = match opened {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        if !error.is_away() || Instant::now() + pause >= deadline {
            return Err(error);
        }
        warn!(error = %causes(&error), schema = door.schema, "the database cannot be reached yet");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = tasks.stopping() => return Err(Error::Closed),
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// The pool of readers. Their callers may go away in the middle of a question, so what comes back is looked at.
fn readers(door: &Door, limits: &Limits) -> Result<AnyPool, Error> {
    let patience = limits.acquire_timeout;
    let pool = door
        .pool(limits.readers, limits.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_release(move |connection, _| {
            Box::pin(async move {
                let asked = timeout(patience, connection.fetch_one(FREE)).await;
                match asked {
                    Ok(row) => row?.try_get(0),
                    Err(_) => Ok(false),
                }
            })
        });
    Ok(pool.connect_lazy_with(door.options()?))
}

/// The server did not answer in time: nobody knows what it did.
pub(crate) fn silent() -> Error {
    no_answer().into()
}

fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(
        io::ErrorKind::TimedOut,
        "the database did not answer in time",
    ))
}

/// A name that needs no quotes, so that it means the same in every statement.
fn checked_name(name: &str) -> Result<&str, Error> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts = name
        .bytes()
        .next()
        .is_some_and(|byte| !byte.is_ascii_digit());
    // PostgreSQL cuts longer ones.
    if starts && name.len() < 64 && name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(Error::Setting(
            "names of schemas, roles and tables are at most 63 lower-case letters, digits and underscores",
        ))
    }
}

// === impl Door ===

impl Door {
    /// Connections that write.
    pub(crate) fn writing(server: &Postgres, limits: &Limits) -> Self {
        Self::new(server, limits, Access::Write)
    }

    /// A connection that changes the schema: nothing hurries it. What it says of passwords is in no log.
    fn owning(server: &Postgres) -> Self {
        let setup = format!(
            "set client_min_messages to warning; set search_path to {}",
            server.schema
        );
        Self {
            url: server.url.clone(),
            schema: server.schema,
            setup: setup.into(),
            statements: Statements::Unlogged,
        }
    }

    fn new(server: &Postgres, limits: &Limits, access: Access) -> Self {
        let millis = |limit: Duration| limit.as_millis();
        let read_only = match access {
            Access::Read => "on",
            Access::Write => "off",
        };
        // What was answered is on disk, whatever the server's default; a stricter default stays. The server notices within half a
        // minute that this machine is gone, and frees what it held.
        let setup = format!(
            "set client_min_messages to warning; set search_path to {schema}; \
             set default_transaction_isolation to 'read committed'; \
             set default_transaction_read_only to {read_only}; \
             set statement_timeout to {statement}; set lock_timeout to {lock}; \
             set idle_in_transaction_session_timeout to {idle}; \
             set tcp_keepalives_idle to 10; set tcp_keepalives_interval to 5; set tcp_keepalives_count to 3; \
             select set_config('synchronous_commit', 'on', false) \
             where current_setting('synchronous_commit') in ('off', 'local')",
            schema = server.schema,
            statement = millis(limits.statement_timeout),
            lock = millis(limits.lock_timeout),
            idle = millis(limits.idle_in_transaction_timeout),
        );
        Self {
            url: server.url.clone(),
            schema: server.schema,
            setup: setup.into(),
            statements: Statements::Logged,
        }
    }

    /// Whose connections these are.
    pub(crate) fn schema(&self) -> &'static str {
        self.schema
    }

    /// Makes a connection that belongs to no pool.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub(crate) async fn open(&self) -> Result<AnyConnection, Error> {
        let mut connection = self.options()?.connect().await?;
        connection
            .execute(AssertSqlSafe(self.setup.to_string()))
            .await?;
        Ok(connection)
    }

    fn options(&self) -> Result<AnyConnectOptions, Error> {
        let options = AnyConnectOptions::from_str(self.url.expose())?;
        Ok(match self.statements {
            Statements::Logged => options,
            Statements::Unlogged => options.disable_statement_logging(),
        })
    }

    fn pool(&self, connections: u32, patience: Duration) -> AnyPoolOptions {
        let setup = Arc::clone(&self.setup);
        AnyPoolOptions::new()
            .max_connections(connections)
            // One is made at once and kept, so that a quiet service answers as fast as a busy one.
            .min_connections(1)
            .acquire_timeout(patience)
            .after_connect(move |connection, _| {
                let setup = AssertSqlSafe(setup.to_string());
                Box::pin(async move {
                    // The pool sets no limit here when it makes a connection that nobody waits for.
                    let told = timeout(patience, connection.execute(setup)).await;
                    told.map_err(|_| no_answer())?.map(drop)
                })
            })
    }
}
