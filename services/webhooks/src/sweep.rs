//! Repairs what a dead process left: attempts whose lease ran out are due again, and lanes that were not woken are. Takes no input, may
//! run at any time and in several processes at once: it is one transaction, and one look where there is nothing to mend. After the database was
//! away, those who live come first: they have answers in hand that could not be recorded meanwhile.

use std::sync::Arc;

use chassis::{Tasks, telemetry::causes};
use tokio::time::Instant;
use tracing::{debug, info, info_span, warn};

use crate::{
    Error, Shared,
    store::{delivery, lane},
};

/// Under this name one process at a time repairs.
const REPAIR: &str = "webhooks.lanes";

/// Sweeps now and then until told to stop.
pub(crate) fn run(shared: Arc<Shared>, tasks: &Tasks) {
    let stop = tasks.clone();
    tasks.spawn_loop(info_span!("webhooks.sweep"), move || {
        sweep_on(Arc::clone(&shared), stop.clone())
    });
}

async fn sweep_on(shared: Arc<Shared>, stop: Tasks) {
    let mut sweeper = Sweeper {
        shared,
        steady: None,
        seen: Instant::now(),
        repaired: Instant::now(),
    };
    while !stop.is_stopping() {
        if let Err(error) = sweeper.sweep().await {
            sweeper.steady = None;
            warn!(error = %causes(&error), "cannot sweep deliveries");
        }
        tokio::select! {
            () = tokio::time::sleep(sweeper.shared.config.sweep) => {}
            () = stop.stopping() => {}
        }
    }
}

struct Sweeper {
    shared: Arc<Shared>,
    /// Since when the database has answered each time.
    steady: Option<Instant>,
    /// When it last did.
    seen: Instant,
    /// When lanes were last repaired.
    repaired: Instant,
}

// === impl Sweeper ===

impl Sweeper {
    async fn sweep(&mut self) -> Result<(), Error> {
        let (shared, by) = (&self.shared, self.shared.db.now_micros());
        let lease = shared.config.lease;
        // Looking costs no commit, and shows whether the database is there.
        let over = delivery::any_lease_over(shared.db.reader(), by);
        let over = shared.db.read(over).await?;
        // An answer that was long in coming tells of an outage too, or of a process that slept.
        if self.seen.elapsed() > shared.config.sweep.saturating_add(lease / 2) {
            self.steady = None;
        }
        self.seen = Instant::now();
        let since = *self.steady.get_or_insert(self.seen);
        if over && since.elapsed() >= lease {
            end_leases(shared, by).await?;
        }
        if self.repaired.elapsed() >= shared.config.places.repair {
            self.repaired = Instant::now();
            if let Some(done) = shared.db.alone(REPAIR, || repair(shared)).await? {
                done?;
            }
        }
        Ok(())
    }
}

/// Has those looked at who would be forgotten.
pub(crate) async fn repair(shared: &Shared) -> Result<(), Error> {
    let write = shared
        .db
        .write(|connection| Box::pin(lane::repair(connection)));
    let count = write.await?;
    if count > 0 {
        debug!(count, "lanes are looked at again");
        shared.metrics.repaired(count);
        shared.bell.notify_one();
    }
    Ok(())
}

/// Ends every lease at the start of a process that has the database for itself: no attempt can be alive.
pub(crate) async fn end_all_leases(shared: &Shared) -> Result<(), Error> {
    if !shared.db.is_embedded() {
        return Ok(());
    }
    end_leases(shared, i64::MAX).await
}

async fn end_leases(shared: &Shared, by: i64) -> Result<(), Error> {
    let now = shared.db.now_micros();
    let write = shared.db.write(move |connection| {
        Box::pin(async move {
            let count = delivery::end_leases(connection, by, now).await?;
            if count > 0 {
                lane::repair(connection).await?;
            }
            Ok::<_, Error>(count)
        })
    });
    let count = write.await?;
    if count > 0 {
        info!(count, "deliveries left in flight are due again");
        shared.metrics.swept(count);
        shared.bell.notify_one();
    }
    Ok(())
}
