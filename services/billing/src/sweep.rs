//! Periodic repair: ends chat holds whose request never came back. Safe to run at any time, anywhere; of many processes one does
//! it. And periodic counting: how many holds are open, and how old the oldest is, is asked of the database, as each process sees only its own.

use std::time::Instant;

use chassis::{Tasks, telemetry::causes};
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
    let mut aged: Option<Instant> = None;
    while !stop.is_stopping() {
        let every = ledger.limits.jobs.age_every;
        if aged.is_none_or(|last| last.elapsed() >= every) {
            aged = Some(Instant::now());
            if let Err(error) = look_how_old(&db, &ledger).await {
                warn!(error = %causes(&error), "cannot look how old the oldest hold is");
            }
        }
        if let Err(error) = step(&db, &ledger).await {
            warn!(error = %causes(&error), "cannot sweep holds");
        }
        tokio::select! {
            () = tokio::time::sleep(ledger.limits.sweep_every) => {}
            () = stop.stopping() => {}
        }
    }
}

async fn step(db: &Db, ledger: &Ledger) -> Result<(), Error> {
    let now = db.now_micros();
    let swept = db.alone("billing.expire", || expire(db, ledger, now)).await;
    count_open(db, ledger).await?;
    if let Some(expired) = swept? {
        expired?;
    }
    Ok(())
}

/// Ends chat holds past their moment, looks what is open, and says how many ended.
pub(crate) async fn sweep(db: &Db, ledger: &Ledger, now: i64) -> Result<u64, Error> {
    let expired = expire(db, ledger, now).await?;
    count_open(db, ledger).await?;
    look_how_old(db, ledger).await?;
    Ok(expired)
}

/// Sets the metric of open holds to what the database says.
pub(crate) async fn count_open(db: &Db, ledger: &Ledger) -> Result<(), Error> {
    let counted: Result<i64, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            store::ledger::open_holds(&mut connection).await
        })
        .await;
    let open = counted?;
    ledger.metrics.open_holds.set(open);
    Ok(())
}

/// Sets the metric of the oldest open hold to what the database says.
async fn look_how_old(db: &Db, ledger: &Ledger) -> Result<(), Error> {
    let looked: Result<Option<i64>, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            store::ledger::oldest_hold(&mut connection).await
        })
        .await;
    let age = looked?.map_or(0, |opened| db.now_micros().saturating_sub(opened).max(0));
    ledger.metrics.oldest_hold.set(age / 1_000_000);
    Ok(())
}

async fn expire(db: &Db, ledger: &Ledger, now: i64) -> Result<u64, Error> {
    let limit = i64::from(ledger.limits.sweep_batch);
    let mut expired: u64 = 0;
    loop {
        let due: Result<Vec<_>, Error> = db
            .read(async {
                let mut connection = db.reader().acquire().await?;
                store::ledger::due_holds(&mut connection, now, limit).await
            })
            .await;
        let ops = due?.into_iter().map(|hold| Op::Expire { hold, now });
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
