//! The writers of a server: each piece of work is a transaction of its own, run to its end by a task of its own, whatever becomes of
//! its caller. A connection in a state nobody knows is closed, and the server rolls back what it was at.

use std::{panic::AssertUnwindSafe, sync::Arc};

use chassis::Tasks;
use futures::{FutureExt as _, future::BoxFuture};
use sqlx::{Any, AnyConnection, AnyPool, Executor as _, pool::PoolConnection};
use tokio::{sync::Semaphore, time::timeout};
use tracing::{Span, debug};

use super::silent;
use crate::{Error, Limits};

/// Commits, unless a statement failed and the work went on as if it had not: PostgreSQL would answer such a commit by rolling back,
/// and call it a success. Any statement before it shows it, in the same trip.
const COMMIT: &str = "select 1; commit";

/// The writers of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Writers {
    pool: AnyPool,
    /// Room for those who wait and those who work.
    room: Arc<Semaphore>,
    limits: Arc<Limits>,
    tasks: Tasks,
}

/// What to do with a connection after a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Keep,
    Close,
}

// === impl Writers ===

impl Writers {
    pub(crate) fn new(pool: AnyPool, limits: &Limits, tasks: &Tasks) -> Self {
        Self {
            pool,
            room: Arc::new(Semaphore::new(limits.write_queue)),
            limits: Arc::new(limits.clone()),
            tasks: tasks.clone(),
        }
    }

    /// As [`crate::Db::write`] says.
    pub(crate) async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.map_err(|_closed| Error::Closed)?;
        let writers = self.clone();
        let ended = self.tasks.run_to_end(Span::current(), async move {
            let _room = room;
            writers.transaction(work).await
        });
        ended.await.unwrap_or_else(|| Err(Error::Panicked.into()))
    }

    async fn transaction<T, E, F>(&self, work: F) -> Result<T, E>
    where
        E: From<Error>,
        F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, E>>,
    {
        let mut connection = self.begin().await?;
        let ended = timeout(self.limits.write_timeout, piece(&mut connection, work)).await;
        let (outcome, then) = ended.unwrap_or_else(|_| (Err(silent().into()), Then::Close));
        match then {
            Then::Keep => self.give_back(connection),
            Then::Close => close(connection),
        }
        outcome
    }

    /// Returns a connection to the pool, which asks first whether it is alive, and would wait for the answer for ever. What dropping
    /// the connection does is done here instead, so that it can be given up: early enough for who waits for the place to get it.
    fn give_back(&self, mut connection: PoolConnection<Any>) {
        let longest = self.limits.write_acquire_timeout / 2;
        let returned = connection.return_to_pool();
        self.tasks.spawn_detached(Span::none(), async move {
            if timeout(longest, returned).await.is_err() {
                debug!("closed a connection that fell silent after its work");
            }
        });
    }

    /// A connection in a transaction. One that cannot begin has died in the pool, perhaps with all others when the server did:
    /// nothing was done on it, so the next one is tried.
    async fn begin(&self) -> Result<PoolConnection<Any>, Error> {
        let mut others = self.limits.writers;
        loop {
            let mut connection = self.pool.acquire().await?;
            let begun = timeout(
                self.limits.write_acquire_timeout,
                (&mut *connection).execute("begin"),
            );
            let error = match begun.await {
                Ok(Ok(_)) => return Ok(connection),
                Ok(Err(error)) => Error::from(error),
                Err(_) => silent(),
            };
            close(connection);
            if others == 0 || !error.is_away() {
                return Err(error);
            }
            others = others.saturating_sub(1);
        }
    }
}

async fn piece<T, E, F>(connection: &mut AnyConnection, work: F) -> (Result<T, E>, Then)
where
    E: From<Error>,
    F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, E>>,
{
    let worked = AssertUnwindSafe(async { work(&mut *connection).await });
    let outcome = match worked.catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_panic) => return (Err(Error::Panicked.into()), Then::Close),
    };
    let end = if outcome.is_ok() { COMMIT } else { "rollback" };
    match connection.execute(end).await {
        Ok(_) => (outcome, Then::Keep),
        // Whatever the work said, nobody knows whether it was committed.
        Err(error) => (
            outcome.and_then(|_| Err(Error::from(error).into())),
            Then::Close,
        ),
    }
}

/// Closes a connection without a word: the server may not be listening.
fn close(connection: PoolConnection<Any>) {
    drop(connection.detach());
}
