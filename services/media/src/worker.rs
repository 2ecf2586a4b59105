//! Takes tasks: new ones when the bell rings, running ones when their next look is due. Each step runs in a task of its own,
//! and there are only so many steps at once.

use std::sync::Arc;

use chassis::{
    Tasks,
    clock::{micros, now_micros},
    telemetry::causes,
};
use domain::TaskId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{error, info_span};

use crate::{Error, Media, execute::execute, store, task::Task, tell::RUN};

/// Starts the two loops.
pub(crate) fn start(media: &Media, tasks: &Tasks) {
    let steps = Arc::new(Semaphore::new(media.config.max_steps));
    let worker = Worker {
        media: media.clone(),
        steps,
        tasks: tasks.clone(),
    };
    let looker = worker.clone();
    tasks.spawn_loop(info_span!("worker"), move || {
        let worker = worker.clone();
        async move { worker.answer_the_bell().await }
    });
    tasks.spawn_loop(info_span!("looker"), move || {
        let looker = looker.clone();
        async move { looker.look_when_due().await }
    });
}

#[derive(Clone)]
struct Worker {
    media: Media,
    steps: Arc<Semaphore>,
    tasks: Tasks,
}

// === impl Worker ===

impl Worker {
    async fn answer_the_bell(self) {
        loop {
            let taken = tokio::select! {
                taken = self.take() => taken,
                () = self.tasks.stopping() => return,
            };
            match taken {
                Ok(Some((task, step))) => self.step(task, step),
                Ok(None) => {}
                Err(failure) => self.pause(&failure).await,
            }
        }
    }

    /// Waits for the bell, then for a free step: a step that waited for the bell would be one less for running tasks, and with only
    /// one there would be none. Claims the task, and only then settles with the queue.
    async fn take(&self) -> Result<Option<(Task, OwnedSemaphorePermit)>, Error> {
        let delivery = self.media.peers.queue.receive(RUN).await?;
        let id = TaskId::from_slice(&delivery.id).ok_or(Error::Damaged("queued id"))?;
        let step = self.free_step().await?;
        let claimed = self.claim(id).await?;
        if let Err(error) = delivery.ack().await {
            // It rings again, and the claim says that nothing is to be done.
            error!(%error, "cannot settle with the queue");
        }
        let Some(task) = claimed else { return Ok(None) };
        self.media.show(&task, &[]).await;
        Ok(Some((task, step)))
    }

    async fn claim(&self, id: TaskId) -> Result<Option<Task>, Error> {
        let sealer = self.media.secrets.content().clone();
        let lease_until = self.lease_until();
        self.media
            .db
            .write(move |connection| {
                Box::pin(
                    async move { store::task::claim(connection, id, lease_until, &sealer).await },
                )
            })
            .await
    }

    async fn look_when_due(self) {
        while !self.tasks.is_stopping() {
            match self.look().await {
                Ok(0) => {}
                // There may be more.
                Ok(_) => continue,
                Err(failure) => self.pause(&failure).await,
            }
            tokio::select! {
                () = tokio::time::sleep(self.media.config.tick) => {}
                () = self.tasks.stopping() => {}
            }
        }
    }

    async fn look(&self) -> Result<usize, Error> {
        if !store::task::any_due(self.media.db.reader()).await? {
            return Ok(0);
        }
        // One step at least is free, so that what is claimed soon runs.
        drop(self.free_step().await?);
        let free = u32::try_from(self.steps.available_permits()).unwrap_or(u32::MAX);
        let limit = i64::from(free.clamp(1, self.media.config.batch));
        let sealer = self.media.secrets.content().clone();
        let lease_until = self.lease_until();
        let due: Vec<Task> = self
            .media
            .db
            .write(move |connection| {
                Box::pin(async move {
                    store::task::claim_due(connection, limit, lease_until, &sealer).await
                })
            })
            .await?;
        let count = due.len();
        for task in due {
            let step = self.free_step().await?;
            self.step(task, step);
        }
        Ok(count)
    }

    fn step(&self, task: Task, step: OwnedSemaphorePermit) {
        let media = self.media.clone();
        let span = info_span!("step", task.id = %task.id, state = task.state.as_str());
        self.tasks.spawn(span, async move {
            media.metrics.steps.inc();
            if let Err(failure) = execute(&media, task).await {
                // The lease runs out, and a sweep looks after the task.
                error!(error = %causes(&failure), "step failed");
            }
            media.metrics.steps.dec();
            drop(step);
        });
    }

    async fn free_step(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.steps)
            .acquire_owned()
            .await
            .map_err(|_| Error::Damaged("no more steps"))
    }

    fn lease_until(&self) -> i64 {
        now_micros().saturating_add(micros(self.media.config.lease))
    }

    async fn pause(&self, failure: &Error) {
        if !self.tasks.is_stopping() {
            error!(
                error = %causes(failure),
                "cannot take tasks"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(self.media.config.tick) => {}
            () = self.tasks.stopping() => {}
        }
    }
}
