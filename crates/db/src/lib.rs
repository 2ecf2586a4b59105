//! A service's SQL on either engine: the writer of a file or a server's pools, readers, migrations, the database's clock,
//! sweeps that run alone, and the outbox with its relay. No table of any service is known here, but the outbox.

mod alone;
mod backlog;
mod clock;
mod config;
mod engine;
mod error;
pub mod outbox;
mod postgres;
mod reader;
mod relay;
mod sqlite;
mod version;

pub use backlog::Backlog;
pub use config::{Config, Limits, Migrated, Postgres, Schema};
pub use engine::{Engine, Migration};
pub use error::Error;
pub use postgres::{Look, look, migrate};
pub use relay::{Deliver, Relay, RelayLimits, RetryLater};
pub use sqlite::{Contents, File, Moment, contents, standing};

use std::{future::Future, path::Path, time::Duration};

use chassis::Tasks;
use futures::future::BoxFuture;
use sqlx::{AnyConnection, AnyPool};

use crate::{alone::Alone, clock::Clock, reader::Reader};

/// One service's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    writer: Writer,
    /// A SQLite file, for those who bind rows themselves.
    file: Option<File>,
    reader: Reader,
    clock: Clock,
    alone: Alone,
}

/// Who writes.
#[derive(Clone, Debug)]
enum Writer {
    /// The one writer of a file.
    Sqlite(sqlite::Writer),
    /// A pool of writers of a server.
    Postgres(postgres::Writers),
}

// === impl Db ===

impl Db {
    /// Opens or makes a SQLite file, brings it to this version, and starts its writer.
    ///
    /// # Errors
    /// When the file cannot be opened or its schema is newer than this program.
    pub async fn open(
        path: &Path,
        migrations: &[Migration],
        limits: &Limits,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let (writer, file, reader) = sqlite::open(path, migrations, limits, tasks).await?;
        Ok(Self {
            writer: Writer::Sqlite(writer),
            file: Some(file),
            reader: Reader::of_file(reader),
            clock: Clock::Process,
            alone: Alone::of_process(),
        })
    }

    /// Connects to a schema on a PostgreSQL server, which must be exactly at this version; waits for a server that is not there
    /// yet. `tasks` keeps a stopping process alive until what is being written is committed.
    ///
    /// # Errors
    /// When the server cannot be reached within `start_timeout` or refuses the role, and when the schema is not at this version.
    pub async fn connect(
        server: &Postgres,
        migrations: &[Migration],
        limits: &Limits,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let (writers, pool, anchor) = postgres::connect(server, migrations, limits, tasks).await?;
        let reader = Reader::of_server(pool, limits);
        Ok(Self {
            clock: Clock::follow(anchor, &reader, limits.clock_interval, tasks),
            alone: Alone::of_schema(server, limits, tasks),
            writer: Writer::Postgres(writers),
            file: None,
            reader,
        })
    }

    /// Runs `work` in a transaction and answers once it is on disk. An error or a panic rolls back this piece alone. The caller
    /// may go away: the work is not cancelled. In a file there is one writer, and many pieces share one commit; on a server many
    /// write at once, here and in other processes, and each sees what was committed before each of its statements: what is read
    /// and then decided upon needs `for update`, a compare-and-set or `on conflict`.
    ///
    /// # Errors
    /// What `work` says, or that the database failed. After a failed commit nobody knows whether it happened.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    {
        match &self.writer {
            Writer::Sqlite(writer) => writer.write(work).await,
            Writer::Postgres(writers) => writers.write(work).await,
        }
    }

    /// The way to write for work that binds rows itself; `None` on a server. It and [`Db::write`] take turns.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Connections for reading. They see what was committed. A server that vanished never answers: whoever has no deadline of
    /// its own, as a loop has none, asks within [`Db::read`].
    pub fn reader(&self) -> &AnyPool {
        self.reader.pool()
    }

    /// Asks `question` of [`Db::reader`], and gives it up when a server is silent for longer than it may take by
    /// `acquire_timeout` and `statement_timeout`, and a second more. Its connection is then closed, unless it answers after all.
    ///
    /// # Errors
    /// What `question` says, and that the server is away ([`Error::is_away`]).
    pub async fn read<T, E>(&self, question: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.reader.read(question).await
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        match self.writer {
            Writer::Sqlite(_) => Engine::Sqlite,
            Writer::Postgres(_) => Engine::Postgres,
        }
    }

    /// Whether the database belongs to this process alone: what it was at when it died is nobody's now.
    pub fn is_embedded(&self) -> bool {
        self.engine() == Engine::Sqlite
    }

    /// Now by the database's clock, in microseconds UTC. Every time that goes into SQL or is compared there is this one.
    pub fn now_micros(&self) -> i64 {
        self.clock.now_micros()
    }

    /// Runs a sweep unless somebody else runs the one of this name now, in this process or another, and hands over what it made;
    /// `None` when it did not run. Two may still run at once, for a moment after a connection was lost, and when the other process
    /// has been at it for half a minute, as one that stands still: a sweep must be right without this, and is only cheaper with it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn alone<T, F, W>(&self, name: &'static str, work: F) -> Result<Option<T>, Error>
    where
        F: FnOnce() -> W,
        W: Future<Output = T>,
    {
        self.alone_within(name, alone::PATIENCE, work).await
    }

    /// [`Db::alone`], but another process at it is waited for no longer than `patience` from the first time it was.
    ///
    /// # Errors
    /// As there.
    pub async fn alone_within<T, F, W>(
        &self,
        name: &'static str,
        patience: Duration,
        work: F,
    ) -> Result<Option<T>, Error>
    where
        F: FnOnce() -> W,
        W: Future<Output = T>,
    {
        let Some(held) = self.alone.take(name, patience).await? else {
            return Ok(None);
        };
        let made = work().await;
        held.release().await;
        Ok(Some(made))
    }
}
