//! Periodic repair: ends chat holds whose request never came back. Safe to run at any time, anywhere.

use chassis::{Tasks, clock::now_micros, telemetry::causes};
use db::Db;
use futures::future::join_all;
use tracing::{info, info_span, warn};

use crate::{
    Error,
    lane::Ledger,
    ledger::{Op, Reply},
    store,
};

/// Sweeps again and again until told to stop.
pub(crate) fn run(db: &Db, ledger: &Ledger, tasks: &Tasks) {
    let (db, ledger, stop) = (db.clone(), ledger.clone(), tasks.clone());
    tasks.spawn_loop(info_span!("billing.sweep"), move || {
        sweep_on(db.clone(), ledger.clone(), stop.clone())
    });
}

async fn sweep_on(db: Db, ledger: Ledger, stop: Tasks) {
    while !stop.is_stopping() {
        if let Err(error) = sweep(&db, &ledger, now_micros()).await {
            warn!(error = %causes(&error), "cannot sweep holds");
        }
        tokio::select! {
            () = tokio::time::sleep(ledger.limits.sweep_every) => {}
            () = stop.stopping() => {}
        }
    }
}

/// Ends chat holds past their moment, and says how many.
pub(crate) async fn sweep(db: &Db, ledger: &Ledger, now: i64) -> Result<u64, Error> {
    let limit = i64::from(ledger.limits.sweep_batch);
    let mut expired: u64 = 0;
    loop {
        let mut connection = db.reader().acquire().await?;
        let due = store::ledger::due_holds(&mut connection, now, limit).await?;
        drop(connection);
        let ops = due.into_iter().map(|hold| Op::Expire { hold, now });
        let answers = join_all(ops.map(|op| ledger.apply(op, None))).await;
        let mut ended: u64 = 0;
        for answer in answers {
            if matches!(answer?, Ok(Reply::Expired)) {
                ended = ended.saturating_add(1);
            }
        }
        expired = expired.saturating_add(ended);
        // Nothing ended: whatever is still due was settled meanwhile.
        if ended == 0 {
            break;
        }
    }
    if expired > 0 {
        ledger.metrics.expired_holds.inc_by(expired);
        info!(holds = expired, "expired chat holds");
    }
    Ok(expired)
}
