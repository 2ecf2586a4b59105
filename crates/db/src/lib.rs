//! A service's SQL: the file, its one writer with group commit, readers, migrations, and the outbox with its relay.
//! No table of any service is known here, but the outbox.

mod open;
pub mod outbox;
mod relay;
mod writer;

pub use open::{Limits, Migration};
pub use relay::{Deliver, Relay, RelayLimits, RetryLater};

use std::{path::Path, sync::Arc};

use chassis::Tasks;
use futures::future::BoxFuture;
use sqlx::{AnyConnection, AnyPool};

use crate::writer::Writer;

/// One service's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    writer: Writer,
    reader: AnyPool,
}

/// What can go wrong with the database itself.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A statement, a commit or a connection failed.
    #[error("database failed")]
    Sql(#[source] Arc<sqlx::Error>),
    /// The schema could not be brought to this version.
    #[error("migration failed")]
    Migrate(#[source] Arc<sqlx::migrate::MigrateError>),
    /// The process is stopping.
    #[error("database closed")]
    Closed,
    /// A piece of work panicked; it was rolled back.
    #[error("a write panicked")]
    Panicked,
}

// === impl Db ===

impl Db {
    /// Opens or makes the file, brings it to this version, and starts its writer.
    ///
    /// # Errors
    /// When the file cannot be opened or its schema is newer than this program.
    pub async fn open(
        path: &Path,
        migrations: &[Migration],
        limits: &Limits,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let url = open::url(path);
        let (connection, reader) = open::sqlite(&url, migrations, limits).await?;
        Ok(Self {
            writer: Writer::start(connection, url, limits, tasks),
            reader,
        })
    }

    /// Runs `work` on the one writer, inside a savepoint, and answers once it is on disk. Many pieces of work share one
    /// commit. An error rolls back this piece alone. The caller may go away: the work is not cancelled.
    ///
    /// # Errors
    /// What `work` says, or that the database failed.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// Connections for reading. They see what was committed.
    pub fn reader(&self) -> &AnyPool {
        &self.reader
    }
}

impl Error {
    /// Whether too many were waiting for a connection: nothing is wrong but the moment.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Sql(error) if matches!(**error, sqlx::Error::PoolTimedOut))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migrate(Arc::new(error))
    }
}
