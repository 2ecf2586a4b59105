//! The one writer of a SQLite file. What arrives during one commit shares the next: one fsync for many pieces of work.

use std::{panic::AssertUnwindSafe, sync::Arc};

use chassis::{Tasks, telemetry::causes};
use futures::{FutureExt as _, future::BoxFuture};
use sqlx::{AnyConnection, Connection as _, Executor as _};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument as _, Span, error};

use super::{file::Turns, writing};
use crate::{Error, Limits};

/// Tells one caller how it ended, once the commit has.
type Answer = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// One piece of work with its types erased.
type Job = Box<dyn for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, (Keep, Answer)> + Send>;

/// Whether a piece of work stays or is rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

/// The way to the writer.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn start(
        (connection, url): (AnyConnection, String),
        turns: Turns,
        limits: &Limits,
        tasks: &Tasks,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(limits.write_queue);
        let work = run((connection, url), turns, queue, limits.write_batch);
        // Cutting it between two commits, or in the middle of one, loses nothing that was answered.
        tasks.spawn_detached(Span::none(), work);
        Self { jobs }
    }

    pub(crate) async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        // What the work writes down of its trace is its caller's, not the writer's.
        let span = Span::current();
        let job: Job = Box::new(move |connection| {
            let piece = async move {
                let outcome = AssertUnwindSafe(work(connection)).catch_unwind().await;
                let outcome = outcome.unwrap_or_else(|_panic| Err(Error::Panicked.into()));
                let keep = if outcome.is_ok() { Keep::Yes } else { Keep::No };
                let answer: Answer = Box::new(move |committed| {
                    let told = outcome.and_then(|value| committed.map(|()| value).map_err(E::from));
                    // A caller that went away does not want to know.
                    let _ = sender.send(told);
                });
                (keep, answer)
            };
            Box::pin(piece.instrument(span))
        });
        self.jobs.send(job).await.map_err(|_| Error::Closed)?;
        receiver.await.map_err(|_| E::from(Error::Closed))?
    }
}

async fn run(
    (mut connection, url): (AnyConnection, String),
    turns: Turns,
    mut queue: mpsc::Receiver<Job>,
    batch_max: usize,
) {
    let mut batch = Vec::with_capacity(batch_max);
    while queue.recv_many(&mut batch, batch_max).await > 0 {
        let turn = turns.take().await;
        // What has come meanwhile goes along.
        while batch.len() < batch_max
            && let Ok(job) = queue.try_recv()
        {
            batch.push(job);
        }
        let mut answers = Vec::with_capacity(batch.len());
        let ended = transaction(&mut connection, &mut batch, &mut answers).await;
        if let Err(failure) = &ended {
            error!(error = %causes(failure), "a group commit failed");
            renew(&mut connection, &url).await;
        }
        drop(turn);
        for answer in answers {
            answer(ended.clone());
        }
        // Work that never ran is told so by its dropped answer.
        batch.clear();
    }
}

/// Whatever state the connection is in, the next commit starts on a fresh one.
async fn renew(connection: &mut AnyConnection, url: &str) {
    let fresh = match writing(url).await {
        Ok(fresh) => fresh,
        Err(failure) => {
            error!(error = %causes(&failure), "cannot reopen the database");
            return;
        }
    };
    // Its lock, if it has one, must be gone before the turn is.
    if let Err(failure) = std::mem::replace(connection, fresh).close().await {
        error!(error = %causes(&failure), "cannot close a connection");
    }
}

async fn transaction(
    connection: &mut AnyConnection,
    batch: &mut Vec<Job>,
    answers: &mut Vec<Answer>,
) -> Result<(), Error> {
    // Alone in its commit, a piece needs no savepoint: each statement is a trip to the database's thread.
    if batch.len() == 1
        && let Some(job) = batch.pop()
    {
        return alone(connection, job, answers).await;
    }
    say(connection, "begin immediate").await?;
    for job in batch.drain(..) {
        say(connection, "savepoint piece").await?;
        let (keep, answer) = job(connection).await;
        answers.push(answer);
        let end = match keep {
            Keep::Yes => "release piece",
            Keep::No => "rollback to piece; release piece",
        };
        say(connection, end).await?;
    }
    say(connection, "commit").await
}

async fn alone(
    connection: &mut AnyConnection,
    job: Job,
    answers: &mut Vec<Answer>,
) -> Result<(), Error> {
    say(connection, "begin immediate").await?;
    let (keep, answer) = job(connection).await;
    answers.push(answer);
    let end = match keep {
        Keep::Yes => "commit",
        Keep::No => "rollback",
    };
    say(connection, end).await
}

async fn say(connection: &mut AnyConnection, sql: &'static str) -> Result<(), Error> {
    connection
        .execute(sql)
        .await
        .map_err(|failure| Error::Sql(Arc::new(failure)))?;
    Ok(())
}
