//! Repairs what a dead process left: attempts whose lease ran out are due again. Takes no input, may run at any time.

use std::sync::Arc;

use chassis::{Tasks, clock::now_micros, telemetry::causes};
use tracing::{info, info_span, warn};

use crate::{Error, Shared, store::delivery};

/// Sweeps now and then until told to stop.
pub(crate) fn run(shared: Arc<Shared>, tasks: &Tasks) {
    let stop = tasks.clone();
    tasks.spawn_loop(info_span!("webhooks.sweep"), move || {
        sweep_on(Arc::clone(&shared), stop.clone())
    });
}

async fn sweep_on(shared: Arc<Shared>, stop: Tasks) {
    while !stop.is_stopping() {
        if let Err(error) = sweep(&shared).await {
            warn!(error = %causes(&error), "cannot sweep deliveries");
        }
        tokio::select! {
            () = tokio::time::sleep(shared.config.sweep) => {}
            () = stop.stopping() => {}
        }
    }
}

/// Ends every lease: at the start of a process that owns the database alone, when no attempt can be alive.
pub(crate) async fn end_all_leases(shared: &Shared) -> Result<(), Error> {
    end_leases(shared, i64::MAX).await
}

async fn sweep(shared: &Shared) -> Result<(), Error> {
    end_leases(shared, now_micros()).await
}

async fn end_leases(shared: &Shared, by: i64) -> Result<(), Error> {
    // Looking costs no commit.
    if !delivery::any_lease_over(shared.db.reader(), by).await? {
        return Ok(());
    }
    let write = shared
        .db
        .write(move |connection| Box::pin(delivery::end_leases(connection, by)));
    let count = write.await?;
    if count > 0 {
        info!(count, "deliveries left in flight are due again");
        shared.metrics.swept(count);
        shared.bell.notify_one();
    }
    Ok(())
}
