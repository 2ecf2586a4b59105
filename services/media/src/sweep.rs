//! Repairs, every second, what a crash or a lost message left behind. Takes no input, and may run twice.

use chassis::telemetry::causes;
use std::time::Duration;

use chassis::{
    Tasks,
    clock::{micros, now_micros},
};
use proto::code;
use tracing::{error, info_span, warn};

use crate::{
    Error, Media,
    execute::show_again,
    store::{self, task::Find},
    task::TaskError,
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// Starts the sweeper.
pub(crate) fn start(media: &Media, tasks: &Tasks) {
    let (media, tasks_seen) = (media.clone(), tasks.clone());
    tasks.spawn(info_span!("sweep"), async move {
        while !tasks_seen.is_stopping() {
            if let Err(failure) = media.sweep().await {
                error!(error = %causes(&failure), "sweep failed");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = tasks_seen.stopping() => {}
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

    async fn sweep(&self) -> Result<(), Error> {
        let before = now_micros().saturating_sub(micros(self.config.reserve));
        self.drop_never_accepted(before).await?;
        self.take_up_untouched().await?;
        self.ring_for_queued().await?;
        self.fail_lost_submits().await?;
        self.fail_late().await?;
        self.delete_expired_outputs().await
    }

    /// Written down by that moment, and the process died before the hold was answered.
    async fn drop_never_accepted(&self, before: i64) -> Result<(), Error> {
        for task in store::task::find(
            self.db.reader(),
            Find::Reserving,
            before,
            self.secrets.content(),
        )
        .await?
        {
            warn!(task.id = %task.id, "dropping a task that was never accepted");
            self.abandon(task.id).await?;
        }
        Ok(())
    }

    /// A process died between taking a task and submitting it. Nobody has it: it waits in the queue again.
    async fn take_up_untouched(&self) -> Result<(), Error> {
        let now = now_micros();
        let sealer = self.secrets.content();
        for task in store::task::find(self.db.reader(), Find::Untouched, now, sealer).await? {
            warn!(task.id = %task.id, "taking up a task that was never submitted");
            let row = task.clone();
            let put_back: Result<bool, Error> = self
                .db
                .write(move |connection| {
                    Box::pin(async move { store::task::put_back(connection, &row, now).await })
                })
                .await;
            if put_back? {
                show_again(self, &task).await?;
            }
        }
        Ok(())
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
            self.ring_for(task).await?;
        }
        Ok(())
    }

    /// A process died between a paid submit and its answer. The provider may have it, and has no way to ask: the task fails,
    /// free, and its attempt stays listed as unknown.
    async fn fail_lost_submits(&self) -> Result<(), Error> {
        for task in store::task::find(
            self.db.reader(),
            Find::Lost,
            now_micros(),
            self.secrets.content(),
        )
        .await?
        {
            warn!(task.id = %task.id, provider.name = task.provider, "a submit has an unknown outcome");
            self.metrics.unknown_submits.inc();
            self.fail(task, TaskError::of(code::SUBMIT_OUTCOME_UNKNOWN), None)
                .await?;
        }
        Ok(())
    }

    async fn fail_late(&self) -> Result<(), Error> {
        for task in store::task::find(
            self.db.reader(),
            Find::Late,
            now_micros(),
            self.secrets.content(),
        )
        .await?
        {
            self.fail(task, TaskError::of(code::DEADLINE_EXCEEDED), None)
                .await?;
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
