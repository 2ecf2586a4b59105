//! Repairs, every second, what a crash or a lost message left behind. Takes no input, and may run twice.

use std::time::Duration;

use chassis::{
    Tasks,
    clock::{micros, now_micros},
    telemetry::causes,
};
use futures::{StreamExt as _, stream};
use proto::code;
use tracing::{error, info_span, warn};

use crate::{
    Error, Media,
    moves::Move,
    state::Event,
    store::{self, task::Find},
    task::{Task, TaskError},
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// Tasks looked after at once, so that their commits are shared.
const AT_ONCE: usize = 64;

/// Starts the sweeper.
pub(crate) fn start(media: &Media, tasks: &Tasks) {
    let (media, stop) = (media.clone(), tasks.clone());
    tasks.spawn_loop(info_span!("sweep"), move || {
        let (media, stop) = (media.clone(), stop.clone());
        async move {
            while !stop.is_stopping() {
                media.sweep().await;
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = stop.stopping() => {}
                }
            }
        }
    });
}

impl Media {
    /// At the start of a process that owns the file alone: what the last one was at, nobody is at now.
    pub(crate) async fn forget_the_dead(&self) -> Result<(), Error> {
        let forgotten: Result<(), Error> = self
            .db
            .write(|connection| {
                Box::pin(async move {
                    db::outbox::forget_claims(&mut *connection).await?;
                    store::task::forget_leases(connection).await
                })
            })
            .await;
        forgotten?;
        // So that a customer who sends such a request again, with the same Idempotency-Key, need not wait.
        self.drop_never_accepted(now_micros()).await
    }

    /// Each part by itself: one that cannot be done does not keep the others from being done.
    async fn sweep(&self) {
        let before = now_micros().saturating_sub(micros(self.config.reserve));
        note("drop", self.drop_never_accepted(before).await);
        note("take up", self.look_after(Find::Untouched).await);
        note("lost", self.look_after(Find::Lost).await);
        note("late", self.look_after(Find::Late).await);
        note("ring", self.ring_for_queued().await);
        note("outputs", self.delete_expired_outputs().await);
    }

    /// Written down by that moment, and the process died before the hold was answered.
    async fn drop_never_accepted(&self, before: i64) -> Result<(), Error> {
        let found = store::task::find(
            self.db.reader(),
            Find::Reserving,
            before,
            self.secrets.content(),
        )
        .await?;
        for task in found {
            warn!(task.id = %task.id, "dropping a task that was never accepted");
            self.abandon(task.id).await?;
        }
        Ok(())
    }

    async fn look_after(&self, what: Find) -> Result<(), Error> {
        let found =
            store::task::find(self.db.reader(), what, now_micros(), self.secrets.content()).await?;
        let mended = stream::iter(found)
            .map(|task| self.mend(what, task))
            .buffer_unordered(AT_ONCE);
        mended
            .for_each(|mended| async move { note("mend", mended) })
            .await;
        Ok(())
    }

    async fn mend(&self, what: Find, task: Task) -> Result<(), Error> {
        match what {
            Find::Reserving => Ok(()),
            // The process died between taking a task and submitting it. Nobody has it: it waits in the queue again.
            Find::Untouched => {
                warn!(task.id = %task.id, "taking up a task that was never submitted");
                let Some(mut back) = Move::of(task, Event::PutBack) else {
                    return Ok(());
                };
                back.after.due_at = now_micros();
                self.make(back).await.map(drop)
            }
            // The process died between a paid submit and its answer. The provider may have it, and has no way to ask: the task
            // fails, free, and its attempt stays listed as unknown.
            Find::Lost => {
                warn!(task.id = %task.id, provider.name = task.provider, "a submit has an unknown outcome");
                if self
                    .fail(task, TaskError::of(code::SUBMIT_OUTCOME_UNKNOWN), None)
                    .await?
                {
                    self.metrics.unknown_submits.inc();
                }
                Ok(())
            }
            Find::Late => self
                .fail(task, TaskError::of(code::DEADLINE_EXCEEDED), None)
                .await
                .map(drop),
        }
    }

    /// The bell was not heard, or a task that was put back is due.
    async fn ring_for_queued(&self) -> Result<(), Error> {
        if !store::task::any_to_ring(self.db.reader()).await? {
            return Ok(());
        }
        let again = now_micros().saturating_add(micros(self.config.ring_again));
        let due: Result<Vec<_>, Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move { store::task::ring_due(connection, again).await })
            })
            .await;
        for task in due? {
            match self.ring_for(task).await {
                // Enough bells are ringing; these are rung for again.
                Err(Error::Queue(queue::Error::Full)) => return Ok(()),
                rung => rung?,
            }
        }
        Ok(())
    }

    async fn delete_expired_outputs(&self) -> Result<(), Error> {
        for (task, number) in store::output::expired(self.db.reader()).await? {
            self.outputs.delete(task, number).await?;
            let forgot: Result<(), Error> = self
                .db
                .write(move |connection| {
                    Box::pin(async move { store::output::forget(connection, task, number).await })
                })
                .await;
            forgot?;
        }
        Ok(())
    }
}

fn note(part: &str, outcome: Result<(), Error>) {
    if let Err(failure) = outcome {
        error!(error = %causes(&failure), part, "a sweep failed");
    }
}
