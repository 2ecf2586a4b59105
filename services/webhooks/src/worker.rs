//! Starts what is due: as soon as it is rung, or by looking now and then. How many run at once is bounded here for all,
//! and in the choice of what is due for each origin.

use std::sync::Arc;

use chassis::{Tasks, clock::micros, telemetry::causes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info_span, warn};

use crate::{
    Error, Shared,
    deliver::deliver,
    store::delivery::{self, Claimed},
};

/// The one loop that starts attempts.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    tasks: Tasks,
    slots: Arc<Semaphore>,
}

// === impl Worker ===

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, tasks: Tasks) -> Self {
        let slots = Arc::new(Semaphore::new(shared.config.concurrency));
        Self {
            shared,
            tasks,
            slots,
        }
    }

    /// Starts attempts until told to stop. Attempts in flight then run to their end.
    pub(crate) fn run(self) {
        let worker = Arc::new(self);
        let tasks = worker.tasks.clone();
        tasks.spawn_loop(info_span!("webhooks"), move || {
            let worker = Arc::clone(&worker);
            async move { worker.work().await }
        });
    }

    async fn work(&self) {
        while !self.tasks.is_stopping() {
            let started = self.step().await.unwrap_or_else(|error| {
                warn!(error = %causes(&error), "cannot start deliveries");
                0
            });
            if started > 0 {
                continue;
            }
            tokio::select! {
                () = self.shared.bell.notified() => {}
                () = tokio::time::sleep(self.shared.config.poll) => {}
                () = self.tasks.stopping() => {}
            }
        }
    }

    /// Starts what is due now and has a slot, and says how many attempts that were.
    pub(crate) async fn step(&self) -> Result<usize, Error> {
        let config = &self.shared.config;
        let free = self.slots.available_permits().min(config.batch);
        if free == 0 {
            return Ok(0);
        }
        let due = delivery::due(
            self.shared.db.reader(),
            i64::from(config.origin_concurrency),
            i64::try_from(free).unwrap_or(i64::MAX),
        )
        .await?;
        if due.is_empty() {
            return Ok(0);
        }
        let lease = micros(config.lease);
        let claimed = self
            .shared
            .db
            .write(move |connection| {
                Box::pin(async move {
                    let mut claimed = Vec::with_capacity(due.len());
                    for id in due {
                        claimed.extend(delivery::claim(connection, id, lease).await?);
                    }
                    Ok::<_, Error>(claimed)
                })
            })
            .await?;
        let count = claimed.len();
        for delivery in claimed {
            // Only this loop takes slots, so those that were free still are.
            let slot = Arc::clone(&self.slots).try_acquire_owned().ok();
            self.start(delivery, slot);
        }
        Ok(count)
    }

    fn start(&self, claimed: Claimed, slot: Option<OwnedSemaphorePermit>) {
        let shared = Arc::clone(&self.shared);
        let span = info_span!("delivery", id = %claimed.id);
        self.tasks.spawn(span, async move {
            let in_flight = shared.metrics.in_flight();
            if let Err(error) = Box::pin(deliver(&shared, claimed)).await {
                // The lease runs out, and it is tried again.
                warn!(error = %causes(&error), "cannot record a delivery");
            }
            drop((slot, in_flight));
            // A slot is free, and perhaps this origin's turn has come.
            shared.bell.notify_one();
        });
    }
}
