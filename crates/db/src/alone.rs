//! Sweeps that run once among all processes. In one process a set of names is enough; among many, one session of the server
//! holds an advisory lock for each sweep that runs here. The server frees the locks of a process that dies, and not those of one
//! that stands still: whoever was refused for too long sweeps without the lock.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chassis::{Tasks, telemetry::causes};
use sqlx::{AnyConnection, query_scalar};
use tokio::time::{Instant, timeout};
use tracing::{Span, debug};

use crate::{
    Error, Limits, Postgres,
    postgres::{self, Door},
};

/// How long a sweep is refused because another process runs it. No sweep takes that long, and if one does, another beside it does
/// no harm.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Who sweeps what in this process, and the session that says so to the others. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Alone {
    running: Arc<Mutex<HashSet<&'static str>>>,
    /// Since when another process has been said to run a sweep, each time this one asked.
    refused: Arc<Mutex<HashMap<&'static str, Instant>>>,
    session: Option<Arc<Session>>,
}

/// One sweep's right to run. Dropped without being released, it releases itself soon after.
#[derive(Debug)]
pub(crate) struct Held {
    name: &'static str,
    running: Arc<Mutex<HashSet<&'static str>>>,
    lock: Option<(Arc<Session>, u64)>,
}

/// A connection that holds locks.
#[derive(Debug)]
struct Session {
    door: Door,
    /// How long the server may take to answer.
    patience: Duration,
    tasks: Tasks,
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<AnyConnection>,
    /// Counts connections: what an earlier one held is gone.
    generation: u64,
}

// === impl Alone ===

impl Alone {
    /// Among the sweeps of this process.
    pub(crate) fn of_process() -> Self {
        Self {
            running: Arc::default(),
            refused: Arc::default(),
            session: None,
        }
    }

    /// Among the sweeps of all processes that use this schema.
    pub(crate) fn of_schema(server: &Postgres, limits: &Limits, tasks: &Tasks) -> Self {
        let session = Session {
            door: Door::writing(server, limits),
            patience: limits.write_acquire_timeout,
            tasks: tasks.clone(),
            state: tokio::sync::Mutex::default(),
        };
        Self {
            running: Arc::default(),
            refused: Arc::default(),
            session: Some(Arc::new(session)),
        }
    }

    /// The right to run a sweep, unless somebody else has it: in this process, or in another one and not for `patience` yet.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(crate) async fn take(
        &self,
        name: &'static str,
        patience: Duration,
    ) -> Result<Option<Held>, Error> {
        if !lock(&self.running).insert(name) {
            return Ok(None);
        }
        let mut held = Held {
            name,
            running: Arc::clone(&self.running),
            lock: None,
        };
        let Some(session) = &self.session else {
            return Ok(Some(held));
        };
        if let Some(generation) = session.lock(name).await? {
            lock(&self.refused).remove(name);
            held.lock = Some((Arc::clone(session), generation));
            return Ok(Some(held));
        }
        // No timeout of the server ends the session of a process that stands still with the lock.
        let since = *lock(&self.refused).entry(name).or_insert_with(Instant::now);
        if since.elapsed() < patience {
            return Ok(None);
        }
        debug!(name, "another process has had this sweep for too long");
        Ok(Some(held))
    }
}

// === impl Held ===

impl Held {
    /// Lets others run the sweep.
    pub(crate) async fn release(mut self) {
        if let Some((session, generation)) = self.lock.take() {
            session.unlock(self.name, generation).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.running).remove(self.name);
        if let Some((session, generation)) = self.lock.take() {
            let (name, tasks) = (self.name, session.tasks.clone());
            tasks.spawn_detached(Span::none(), async move {
                session.unlock(name, generation).await;
            });
        }
    }
}

// === impl Session ===

impl Session {
    /// Takes a lock unless another session has it, and says in which connection.
    async fn lock(&self, name: &str) -> Result<Option<u64>, Error> {
        let mut state = self.state.lock().await;
        // The server may have ended a session that stood idle: an old connection gets no second chance, a new one is made.
        let used = state.connection.is_some();
        let taken = match self
            .ask(
                &mut state,
                "select pg_try_advisory_lock(hashtextextended($1, 0))",
                name,
            )
            .await
        {
            Err(error) if used && error.is_away() => {
                self.ask(
                    &mut state,
                    "select pg_try_advisory_lock(hashtextextended($1, 0))",
                    name,
                )
                .await?
            }
            answer => answer?,
        };
        Ok(taken.then_some(state.generation))
    }

    /// Frees a lock, if the connection that took it is still there.
    async fn unlock(&self, name: &str, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation != generation || state.connection.is_none() {
            return;
        }
        let freed = self
            .ask(
                &mut state,
                "select pg_advisory_unlock(hashtextextended($1, 0))",
                name,
            )
            .await;
        if let Err(error) = freed {
            // Its connection is closed, and with it the lock is gone.
            debug!(error = %causes(&error), name, "cannot free the lock of a sweep");
        }
    }

    /// Asks one question about one lock. The connection stays only if it was answered.
    async fn ask(
        &self,
        state: &mut State,
        question: &'static str,
        name: &str,
    ) -> Result<bool, Error> {
        let answered = timeout(self.patience, async {
            let mut connection = match state.connection.take() {
                Some(connection) => connection,
                None => {
                    state.generation = state.generation.wrapping_add(1);
                    self.door.open().await?
                }
            };
            let answer: bool = query_scalar(question)
                .bind(format!("aio {} {name}", self.door.schema()))
                .fetch_one(&mut connection)
                .await?;
            state.connection = Some(connection);
            Ok::<_, Error>(answer)
        });
        answered.await.unwrap_or_else(|_| Err(postgres::silent()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
