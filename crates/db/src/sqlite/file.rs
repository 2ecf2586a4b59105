//! A second way to write to a SQLite file: a connection in a thread of its own, on which a piece of work binds rows itself. For work
//! that brings a whole batch of small statements: over the other connection, each is a trip between threads.
//! A file has one writer at a time: this one and the other take turns.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use chassis::{Tasks, telemetry::causes};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};
use tracing::{Span, error};

use super::{PRAGMAS, WRITERS_PAGES};
use crate::Error;

/// Statements that are kept prepared.
const PREPARED: usize = 32;

/// One piece of work with its types erased.
type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// Whose turn it is to write to a file. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<Thread>>);

/// The thread, once somebody has needed it. Whoever has the turn has it.
#[derive(Debug, Default)]
struct Thread(Option<mpsc::UnboundedSender<Job>>);

/// The right to write, until it is dropped.
pub(crate) struct Turn(OwnedMutexGuard<Thread>);

/// A SQLite file, for work that binds rows itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct File {
    path: Arc<Path>,
    turns: Turns,
    tasks: Tasks,
}

/// What the thread works with.
struct Desk {
    path: PathBuf,
    /// None before the first piece, and after one whose end is not known: the next one starts on a fresh connection.
    connection: Option<Connection>,
}

// === impl Turns ===

impl Turns {
    /// Waits for the turn; who came first has it first.
    pub(crate) async fn take(&self) -> Turn {
        Turn(Arc::clone(&self.0).lock_owned().await)
    }
}

// === impl File ===

impl File {
    pub(super) fn new(path: &Path, turns: Turns, tasks: &Tasks) -> Self {
        Self {
            path: path.into(),
            turns,
            tasks: tasks.clone(),
        }
    }

    /// Runs `work` in a transaction of its own and answers once it is on disk. An error or a panic rolls it back. A caller that goes
    /// away before its turn has asked for nothing; from then on the work is not cancelled.
    ///
    /// # Errors
    /// What `work` says, or that the database failed. After a failed commit nobody knows whether it happened.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let mut turn = self.turns.take().await;
        let jobs = self.thread(&mut turn)?;
        let (sender, receiver) = oneshot::channel();
        // What the work writes down of its trace is its caller's.
        let span = Span::current();
        let job: Job = Box::new(move |desk| {
            let outcome = span.in_scope(|| desk.transaction(work));
            drop(turn);
            // A caller that went away does not want to know.
            let _ = sender.send(outcome);
        });
        jobs.send(job).map_err(|_| Error::Closed)?;
        receiver.await.map_err(|_| E::from(Error::Closed))?
    }

    /// The way to the thread, which starts when it is first needed.
    fn thread(&self, turn: &mut Turn) -> Result<mpsc::UnboundedSender<Job>, Error> {
        if let Some(jobs) = &turn.0.0
            && !jobs.is_closed()
        {
            return Ok(jobs.clone());
        }
        // Without a bound: only who has the turn sends.
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let mut desk = Desk {
            path: self.path.to_path_buf(),
            connection: None,
        };
        // Cutting it between two commits, or in the middle of one, loses nothing that was answered.
        self.tasks.spawn_thread("sqlite", move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut desk);
            }
        })?;
        turn.0.0 = Some(jobs.clone());
        Ok(jobs)
    }
}

// === impl Desk ===

impl Desk {
    fn transaction<T, E>(&mut self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open(&self.path)?,
        };
        say(&connection, "begin immediate")?;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&connection)));
        let outcome = outcome.unwrap_or_else(|_panic| Err(Error::Panicked.into()));
        let end = if outcome.is_ok() {
            "commit"
        } else {
            "rollback"
        };
        // SQLite rolls some failures back by itself.
        let is_over = outcome.is_err() && connection.is_autocommit();
        let ended = if is_over {
            Ok(())
        } else {
            say(&connection, end)
        };
        if ended.is_ok() {
            self.connection = Some(connection);
        }
        outcome.and_then(|value| ended.map(|()| value).map_err(E::from))
    }
}

fn open(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(PRAGMAS)?;
    connection.execute_batch(WRITERS_PAGES)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

fn say(connection: &Connection, sql: &'static str) -> Result<(), Error> {
    let said = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map_err(Error::from);
    if let Err(failure) = &said {
        error!(error = %causes(failure), sql, "a transaction failed");
    }
    said.map(drop)
}
