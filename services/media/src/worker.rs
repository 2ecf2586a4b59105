//! Takes tasks: new ones when the bell rings, running ones when their next look is due and may be made; those that wait for room at
//! their providers, `line.rs` takes. While the queue is away there is no bell:
//! then new ones are taken straight from the database, at a lower rate. Each step runs in a task of its own, and there are only so
//! many steps at once. Nothing is taken before a step is free for it.

use std::sync::Arc;

use chassis::{
    Tasks,
    failpoint::{Point, reach},
    telemetry::{self, causes},
};
use domain::TaskId;
use futures::{FutureExt as _, future::join_all};
use queue::Delivery;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::{error, info, info_span, warn};

use crate::{
    Error, Media,
    execute::execute,
    line,
    moves::Backoff,
    pace::{MODES, Place},
    store::{claim, line as table},
    task::Task,
    tell::RUN,
};

/// Bells answered at once. More would have as many steps begin at the same moment, each of which writes something down before long.
const BELLS: u32 = 8;

/// Starts the loops.
pub(crate) fn start(media: &Media, tasks: &Tasks) {
    let steps = Arc::new(Semaphore::new(media.config.max_steps));
    let worker = Worker {
        media: media.clone(),
        steps,
        tasks: tasks.clone(),
    };
    let (looker, fallback) = (worker.clone(), worker.clone());
    line::start(&worker);
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

/// Takes tasks, and starts their steps.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) media: Media,
    steps: Arc<Semaphore>,
    pub(crate) tasks: Tasks,
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
                Ok(()) => backoff = self.media.backoff(),
                Err(failure) => self.pause(&failure, &mut backoff).await,
            }
        }
    }

    /// Waits for the bell, then for a free step: a step that waited for the bell would be one less for running tasks, and with only
    /// one there would be none. A few bells that ring by then are answered with it, as far as steps are free: their claims share a
    /// commit. Claims the tasks, and only then settles with the queue.
    async fn take(&self) -> Result<(), Error> {
        let queue = &self.media.peers.queue;
        let mut rung = vec![queue.receive(RUN).await?];
        let steps = self.free_steps(BELLS).await?;
        while rung.len() < steps.len() {
            match queue.receive(RUN).now_or_never() {
                Some(delivery) => rung.push(delivery?),
                None => break,
            }
        }
        let ids = rung
            .iter()
            .map(|delivery| TaskId::from_slice(&delivery.id).ok_or(Error::Damaged("queued id")));
        let mut ids: Vec<TaskId> = ids.collect::<Result<_, _>>()?;
        // In one order in every process.
        ids.sort_unstable();
        // The bells are kept in hand while the database is away: given back, they would only ring again at once.
        reach(Point::MediaBeforeClaim);
        let claimed = self
            .media
            .patiently("take tasks", || self.claim(ids.clone()))
            .await?;
        reach(Point::MediaAfterClaim);
        for (task, step) in claimed.into_iter().zip(steps) {
            self.begin(task, step).await;
        }
        for settled in join_all(rung.into_iter().map(Delivery::ack)).await {
            if let Err(error) = settled {
                // It rings again, and the claim says that nothing is to be done.
                warn!(%error, "cannot settle with the queue");
            }
        }
        Ok(())
    }

    async fn claim(&self, ids: Vec<TaskId>) -> Result<Vec<Task>, Error> {
        let (lease, sealer) = (self.media.lease(), self.media.secrets.content().clone());
        self.media
            .db
            .write(move |connection| {
                Box::pin(async move {
                    let mut claimed = Vec::with_capacity(ids.len());
                    for id in ids {
                        claimed.extend(claim::claim(connection, id, lease, &sealer).await?);
                    }
                    Ok(claimed)
                })
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

    /// Looks at what is due, provider by provider, so that one that must not be asked now does not hold up the others. Says how many
    /// were looked at.
    async fn look(&self) -> Result<usize, Error> {
        let (db, mut count) = (&self.media.db, 0_usize);
        if !db
            .read(claim::any_due(db.reader(), db.now_micros()))
            .await?
        {
            return Ok(0);
        }
        for mode in MODES {
            let limit = (db.now_micros(), self.media.config.batch.into());
            let due = table::due_at(db.reader(), mode, limit);
            for (provider, due) in db.read(due).await? {
                let (provider, due) = (provider.as_str(), u32::try_from(due).unwrap_or(u32::MAX));
                let looks = self.look_at(Place { mode, provider }, due).await?;
                count = count.saturating_add(looks);
            }
        }
        Ok(count)
    }

    async fn look_at(&self, place: Place<'_>, due: u32) -> Result<usize, Error> {
        let pace = &self.media.peers.pace;
        let mut steps = self.free_steps(due).await?;
        let wanted = pace.looks(place, steps.len()).await;
        steps.truncate(wanted);
        if wanted == 0 {
            return Ok(0);
        }
        let count = i64::try_from(wanted).unwrap_or(i64::MAX);
        let (lease, sealer) = (self.media.lease(), self.media.secrets.content().clone());
        let (mode, provider) = (place.mode, place.provider.to_owned());
        let taken: Result<Vec<Task>, Error> = self
            .media
            .db
            .write(move |connection| {
                Box::pin(async move {
                    let at = (mode, provider.as_str());
                    claim::claim_due(connection, at, count, lease, &sealer).await
                })
            })
            .await;
        let looks = taken.as_ref().map_or(0, Vec::len);
        pace.unlook(place, wanted.saturating_sub(looks)).await;
        let taken = taken?;
        self.media.keep_slots(place, &taken).await;
        for (task, step) in taken.into_iter().zip(steps) {
            self.step(task, step);
        }
        Ok(looks)
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
        match self.take_queued().await {
            Ok(0) => {}
            Ok(count) => info!(count, "the queue is away; took tasks without it"),
            Err(failure) => warn!(error = %causes(&failure), "cannot take tasks"),
        }
    }

    /// Takes as many queued tasks as there are free steps, and starts them.
    async fn take_queued(&self) -> Result<usize, Error> {
        let steps = self.free_steps(self.media.config.fallback.batch).await?;
        let count = i64::try_from(steps.len()).unwrap_or(i64::MAX);
        let (lease, sealer) = (self.media.lease(), self.media.secrets.content().clone());
        let taken: Result<Vec<Task>, Error> = self
            .media
            .db
            .write(move |connection| {
                Box::pin(
                    async move { claim::claim_queued(connection, count, lease, &sealer).await },
                )
            })
            .await;
        let taken = taken?;
        let count = taken.len();
        for (task, step) in taken.into_iter().zip(steps) {
            self.begin(task, step).await;
        }
        Ok(count)
    }

    /// Shows a task that was taken to be submitted, and starts its step.
    pub(crate) async fn begin(&self, task: Task, step: OwnedSemaphorePermit) {
        self.media.show(&task, &[]).await;
        self.step(task, step);
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
            media.peers.pace.done(task.id);
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
    pub(crate) async fn free_steps(&self, limit: u32) -> Result<Vec<OwnedSemaphorePermit>, Error> {
        let mut steps = vec![self.free_step().await?];
        let more = std::iter::from_fn(|| Arc::clone(&self.steps).try_acquire_owned().ok());
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        steps.extend(more.take(limit.saturating_sub(1)));
        Ok(steps)
    }

    pub(crate) async fn pause(&self, failure: &Error, backoff: &mut Backoff) {
        if !self.tasks.is_stopping() {
            error!(error = %causes(failure), "cannot take tasks");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            () = self.tasks.stopping() => {}
        }
    }
}
