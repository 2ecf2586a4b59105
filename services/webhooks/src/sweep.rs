//! Repairs what a dead process left: attempts whose lease ran out are due again, and lanes that were not woken are. Parks what waits for
//! endpoints that are disabled, and removes what ended long ago, a bounded number at a time. Takes no input, may run at any time and in
//! several processes at once: each is one transaction, and one look where there is nothing to mend. After the database was
//! away, those who live come first: they have answers in hand that could not be recorded meanwhile.

use std::sync::Arc;

use chassis::{Tasks, clock::micros, telemetry::causes};
use tokio::time::Instant;
use tracing::{debug, info, info_span, warn};

use crate::{
    Error, Shared,
    store::{delivery, ended, lane},
};

/// Transactions of one look that clear away, at most: what is more comes at the next one.
const ROUNDS: u32 = 20;
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
        sweeper.tidy_up().await;
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
        Ok(())
    }

    /// What can wait: clears away, and repairs now and then. What fails here is tried again at the next look, and keeps nobody from
    /// ending leases.
    async fn tidy_up(&mut self) {
        for _ in 0..ROUNDS {
            match clear(&self.shared).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    warn!(error = %causes(&error), "cannot clear deliveries away");
                    break;
                }
            }
        }
        if self.repaired.elapsed() < self.shared.config.places.repair {
            return;
        }
        self.repaired = Instant::now();
        let repaired = self.shared.db.alone(REPAIR, || repair(&self.shared)).await;
        if let Err(error) = repaired
            .map_err(Error::from)
            .and_then(|done| done.unwrap_or(Ok(())))
        {
            warn!(error = %causes(&error), "cannot repair lanes");
        }
    }
}

/// Parks, removes, and says of old rows whose they are, in one transaction; says whether there may be more.
async fn clear(shared: &Shared) -> Result<bool, Error> {
    let (now, at_once) = (shared.db.now_micros(), shared.limits.at_once);
    let before = now.saturating_sub(micros(shared.limits.retention));
    // Looking costs no commit.
    let any = ended::any_to_clear(shared.db.reader(), before);
    if !shared.db.read(any).await? {
        return Ok(false);
    }
    let clearing = shared.db.write(move |connection| {
        Box::pin(async move {
            let parked = ended::park(connection, now, at_once).await?;
            let removed = ended::remove(connection, before, at_once).await?;
            let owned = ended::own(connection, at_once).await?;
            Ok::<_, Error>((parked, removed, owned))
        })
    });
    let (parked, removed, owned) = clearing.await?;
    if parked + removed > 0 {
        info!(parked, removed, "deliveries were cleared away");
    }
    Ok(parked.max(removed).max(owned) >= u64::from(at_once))
}

/// Has those looked at who would be forgotten.
pub(crate) async fn repair(shared: &Shared) -> Result<(), Error> {
    let latest = shared.latest_look();
    let write = shared
        .db
        .write(move |connection| Box::pin(lane::repair(connection, latest)));
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
    let (now, latest) = (shared.db.now_micros(), shared.latest_look());
    let write = shared.db.write(move |connection| {
        Box::pin(async move {
            let count = delivery::end_leases(connection, by, now).await?;
            if count > 0 {
                lane::repair(connection, latest).await?;
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
