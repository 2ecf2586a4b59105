//! Takes tasks: new ones when the bell rings, running ones when their next look is due. While the queue is away there is no bell:
//! then new ones are taken straight from the database, at a lower rate. Each step runs in a task of its own, and there are only so
//! many steps at once. Nothing is taken before a step is free for it.

use std::sync::Arc;

use chassis::{
    Tasks,
    telemetry::{self, causes},
};
use domain::TaskId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::{error, info, info_span, warn};

use crate::{Error, Media, execute::execute, moves::Backoff, store::claim, task::Task, tell::RUN};

/// Starts the three loops.
pub(crate) fn start(media: &Media, tasks: &Tasks) {
    let steps = Arc::new(Semaphore::new(media.config.max_steps));
    let worker = Worker {
        media: media.clone(),
        steps,
        tasks: tasks.clone(),
    };
    let (looker, fallback) = (worker.clone(), worker.clone());
    tasks.spawn_loop(info_span!("worker"), move || {
        let worker = worker.clone();
        async move { worker.answer_the_bell().await }
    });
    tasks.spawn_loop(info_span!("looker"), move || {
        let looker = looker.clone();
        async move { looker.look_when_due().await }
    });
    tasks.spawn_loop(info_span!("fallback"), move || {
        let fallback = fallback.clone();
        async move { fallback.do_without_the_bell().await }
    });
}

/// What tasks wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// To be submitted.
    Submit,
    /// To be looked at where they run.
    Look,
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
        let mut backoff = self.media.backoff();
        loop {
            let taken = tokio::select! {
                taken = self.take() => taken,
                () = self.tasks.stopping() => return,
            };
            match taken {
                Ok(Some((task, step))) => {
                    self.step(task, step);
                    backoff = self.media.backoff();
                }
                Ok(None) => backoff = self.media.backoff(),
                Err(failure) => self.pause(&failure, &mut backoff).await,
            }
        }
    }

    /// Waits for the bell, then for a free step: a step that waited for the bell would be one less for running tasks, and with only
    /// one there would be none. Claims the task, and only then settles with the queue.
    async fn take(&self) -> Result<Option<(Task, OwnedSemaphorePermit)>, Error> {
        let delivery = self.media.peers.queue.receive(RUN).await?;
        let id = TaskId::from_slice(&delivery.id).ok_or(Error::Damaged("queued id"))?;
        let step = self.free_step().await?;
        // The bell is kept in hand while the database is away: given back, it would only ring again at once.
        let claimed = self
            .media
            .patiently("take a task", || self.claim(id))
            .await?;
        if let Err(error) = delivery.ack().await {
            // It rings again, and the claim says that nothing is to be done.
            warn!(%error, "cannot settle with the queue");
        }
        let Some(task) = claimed else { return Ok(None) };
        self.media.show(&task, &[]).await;
        Ok(Some((task, step)))
    }

    async fn claim(&self, id: TaskId) -> Result<Option<Task>, Error> {
        let (lease, sealer) = (self.media.lease(), self.media.secrets.content().clone());
        self.media
            .db
            .write(move |connection| {
                Box::pin(async move { claim::claim(connection, id, lease, &sealer).await })
            })
            .await
    }

    async fn look_when_due(self) {
        let mut backoff = self.media.backoff();
        while !self.tasks.is_stopping() {
            match self.look().await {
                Ok(0) => {}
                // There may be more.
                Ok(_) => continue,
                Err(failure) => {
                    self.pause(&failure, &mut backoff).await;
                    continue;
                }
            }
            backoff = self.media.backoff();
            tokio::select! {
                () = tokio::time::sleep(self.media.config.tick) => {}
                () = self.tasks.stopping() => {}
            }
        }
    }

    async fn look(&self) -> Result<usize, Error> {
        let db = &self.media.db;
        let due = claim::any_due(db.reader(), db.now_micros());
        if !db.read(due).await? {
            return Ok(0);
        }
        self.take_many(Waiting::Look, self.media.config.batch).await
    }

    async fn do_without_the_bell(self) {
        let config = &self.media.config.fallback;
        let mut silent: Option<Instant> = None;
        while !self.tasks.is_stopping() {
            if self.media.peers.queue.is_available() {
                silent = None;
            } else if silent.get_or_insert_with(Instant::now).elapsed() >= config.after {
                self.take_unrung().await;
            }
            tokio::select! {
                () = tokio::time::sleep(config.every) => {}
                () = self.tasks.stopping() => {}
            }
        }
    }

    async fn take_unrung(&self) {
        match self
            .take_many(Waiting::Submit, self.media.config.fallback.batch)
            .await
        {
            Ok(0) => {}
            Ok(count) => info!(count, "the queue is away; took tasks without it"),
            Err(failure) => warn!(error = %causes(&failure), "cannot take tasks"),
        }
    }

    /// Takes as many tasks as there are free steps, and starts them.
    async fn take_many(&self, what: Waiting, limit: u32) -> Result<usize, Error> {
        let steps = self.free_steps(limit).await?;
        let count = i64::try_from(steps.len()).unwrap_or(i64::MAX);
        let (lease, sealer) = (self.media.lease(), self.media.secrets.content().clone());
        let taken: Vec<Task> = self
            .media
            .db
            .write(move |connection| {
                Box::pin(async move {
                    match what {
                        Waiting::Look => claim::claim_due(connection, count, lease, &sealer).await,
                        Waiting::Submit => {
                            claim::claim_queued(connection, count, lease, &sealer).await
                        }
                    }
                })
            })
            .await?;
        let count = taken.len();
        for (task, step) in taken.into_iter().zip(steps) {
            if what == Waiting::Submit {
                self.media.show(&task, &[]).await;
            }
            self.step(task, step);
        }
        Ok(count)
    }

    fn step(&self, task: Task, step: OwnedSemaphorePermit) {
        let media = self.media.clone();
        let state = task.state.as_str();
        let span = info_span!("step", task.id = %task.id, state, otel.kind = "consumer");
        telemetry::adopt_text(&span, &task.trace);
        self.tasks.spawn(span, async move {
            media.metrics.steps.inc();
            let work = Box::pin(execute(&media, task.clone()));
            let done = tokio::select! {
                biased;
                done = work => done,
                never = media.stay_alive(&task) => match never {},
            };
            if let Err(failure) = done {
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

    /// Waits for one free step, and takes those that are free besides, up to `limit`.
    async fn free_steps(&self, limit: u32) -> Result<Vec<OwnedSemaphorePermit>, Error> {
        let mut steps = vec![self.free_step().await?];
        let more = std::iter::from_fn(|| Arc::clone(&self.steps).try_acquire_owned().ok());
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        steps.extend(more.take(limit.saturating_sub(1)));
        Ok(steps)
    }

    async fn pause(&self, failure: &Error, backoff: &mut Backoff) {
        if !self.tasks.is_stopping() {
            error!(error = %causes(failure), "cannot take tasks");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            () = self.tasks.stopping() => {}
        }
    }
}
