//! Starts what is due: as soon as it is rung, or by looking now and then. How many run at once is bounded here for this process,
//! and in the choice of what is due for each origin, whichever process is at it.

use std::sync::Arc;

use chassis::{
    Tasks,
    clock::micros,
    telemetry::{self, causes},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::{field, info_span, warn};

use crate::{
    Error, Shared,
    deliver::deliver,
    store::delivery::{self, Bounds, Claimed, Lease},
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
        let mut backoff = self.shared.config.backoff();
        while !self.tasks.is_stopping() {
            let wait = match self.step().await {
                // There may be more.
                Ok(1..) => continue,
                Ok(0) => {
                    backoff = self.shared.config.backoff();
                    self.shared.config.poll
                }
                Err(error) => {
                    warn!(error = %causes(&error), "cannot start deliveries");
                    backoff.next()
                }
            };
            tokio::select! {
                () = self.shared.bell.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.tasks.stopping() => {}
            }
        }
    }

    /// Starts what is due now and has a slot, and says how many attempts that were.
    pub(crate) async fn step(&self) -> Result<usize, Error> {
        let (config, db) = (&self.shared.config, &self.shared.db);
        let free = self.slots.available_permits().min(config.batch);
        if free == 0 {
            return Ok(0);
        }
        let bounds = Bounds {
            per_origin: i64::from(config.origin_concurrency),
            limit: i64::try_from(free).unwrap_or(i64::MAX),
        };
        let now = db.now_micros();
        let due = delivery::due(db.reader(), db.engine(), bounds, now);
        let due = db.read(due).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let lease = Lease {
            now,
            until: now.saturating_add(micros(config.lease)),
        };
        let begun = Instant::now();
        let claimed = db
            .write(move |connection| Box::pin(delivery::claim(connection, due, bounds, lease)))
            .await?;
        let count = claimed.len();
        for delivery in claimed {
            // Only this loop takes slots, so those that were free still are.
            let slot = Arc::clone(&self.slots).try_acquire_owned().ok();
            self.start(delivery, begun, slot);
        }
        Ok(count)
    }

    fn start(&self, claimed: Claimed, begun: Instant, slot: Option<OwnedSemaphorePermit>) {
        let shared = Arc::clone(&self.shared);
        // A client span, because the attempt is little more than its one request.
        let span = info_span!(
            "deliver",
            delivery.id = %claimed.id,
            otel.kind = "client",
            otel.status_code = field::Empty,
            http.request.method = "POST",
            http.response.status_code = field::Empty,
        );
        telemetry::adopt_text(&span, &claimed.event.trace);
        self.tasks.spawn(span, async move {
            let in_flight = shared.metrics.in_flight();
            if let Err(error) = Box::pin(deliver(&shared, claimed, begun)).await {
                // The lease runs out, and it is tried again.
                warn!(error = %causes(&error), "cannot end a delivery");
            }
            drop((slot, in_flight));
            // A slot is free, and perhaps this origin's turn has come.
            shared.bell.notify_one();
        });
    }
}
