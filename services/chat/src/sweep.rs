//! Repairs, every few seconds, what dead processes left of requests with an Idempotency-Key: their holds are given back and their
//! keys are free again; answers, responses and what the cache has that are kept no longer are forgotten. Takes no input and may run twice. Of several processes one
//! sweeps at a time.

use std::sync::Arc;

use chassis::{Tasks, telemetry::causes};
use sqlx::{AnyConnection, AnyPool};
use tokio::time::Instant;
use tracing::{debug, info_span, warn};

use crate::{
    Service, StoreError,
    keyed::end_left_behind,
    replay::{Earlier, Fate},
    store::{cache, replay as table, response},
};

/// Starts the sweeper.
pub(crate) fn start(service: &Arc<Service>, tasks: &Tasks) {
    let (service, stop) = (Arc::clone(service), tasks.clone());
    tasks.spawn_loop(info_span!("chat.sweep"), move || {
        let (service, stop) = (Arc::clone(&service), stop.clone());
        async move {
            let mut sweeper = Sweeper {
                service,
                steady: None,
            };
            while !stop.is_stopping() {
                sweeper.sweep().await;
                tokio::select! {
                    () = tokio::time::sleep(sweeper.service.config.replay.sweep) => {}
                    () = stop.stopping() => {}
                }
            }
        }
    });
}

/// At the start of a process that has the database for itself: what the last one was at, nobody is at now.
pub(crate) async fn forget_the_dead(service: &Service) -> Result<(), StoreError> {
    if !service.replays.db.is_embedded() {
        return Ok(());
    }
    let write = service
        .replays
        .db
        .write(|connection| Box::pin(async move { table::unlock_all(connection).await }));
    write.await
}

struct Sweeper {
    service: Arc<Service>,
    /// Since when the database has answered each time.
    steady: Option<Instant>,
}

/// What is kept for a while.
#[derive(Clone, Copy)]
enum Expiring {
    /// Answers for an Idempotency-Key.
    Replays,
    Responses,
    /// Answers for equal requests.
    Answers,
}

// === impl Sweeper ===

impl Sweeper {
    async fn sweep(&mut self) {
        let db = &self.service.replays.db;
        let swept = db.alone("chat.sweep", || self.all()).await;
        match swept.map_err(StoreError::from) {
            Ok(Some(Ok(())) | None) => {
                self.steady.get_or_insert_with(Instant::now);
            }
            Ok(Some(Err(failure))) | Err(failure) => {
                self.steady = None;
                warn!(error = %causes(&failure), "cannot sweep what is kept");
            }
        }
    }

    /// While the database was away nobody could give a sign of life: once it is back, those who live come first.
    fn may_give_up(&self) -> bool {
        let lease = self.service.config.replay.lease;
        let steady = self.steady.is_some_and(|since| since.elapsed() >= lease);
        steady || self.service.replays.db.is_embedded()
    }

    async fn all(&self) -> Result<(), StoreError> {
        if self.may_give_up() {
            self.end_left_behind().await?;
        }
        let mut outcome = Ok(());
        for what in Expiring::ALL {
            // One that cannot be swept does not keep the others.
            outcome = outcome.and(self.forget_expired(what).await);
        }
        outcome
    }

    async fn end_left_behind(&self) -> Result<(), StoreError> {
        let db = &self.service.replays.db;
        let found = table::left_behind(db.reader(), db.now_micros());
        for earlier in db.read(found).await? {
            match end_left_behind(&self.service, &earlier).await {
                Ok(Fate::Free) => self.free(&earlier).await?,
                Ok(Fate::Done) => {}
                Err(fault) => {
                    // Billing is away, so it is for the others. They keep.
                    debug!(code = fault.code.word, "left-behind requests are kept");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn free(&self, earlier: &Earlier) -> Result<(), StoreError> {
        debug!(operation = %earlier.operation, "freeing the key of a request that was left behind");
        let earlier = (earlier.operation, earlier.state);
        let write = self
            .service
            .replays
            .db
            .write(move |connection| Box::pin(table::free_left_behind(connection, earlier)));
        write.await
    }

    async fn forget_expired(&self, what: Expiring) -> Result<(), StoreError> {
        let db = &self.service.replays.db;
        let now = db.now_micros();
        // Looking costs no commit.
        while db.read(what.any(db.reader(), now)).await? {
            let forgotten: Result<u64, StoreError> = db
                .write(move |connection| Box::pin(what.forget(connection, now)))
                .await;
            if forgotten? == 0 {
                // Others are at them.
                break;
            }
        }
        Ok(())
    }
}

// === impl Expiring ===

impl Expiring {
    const ALL: [Self; 3] = [Self::Replays, Self::Responses, Self::Answers];

    async fn any(self, pool: &AnyPool, now: i64) -> Result<bool, StoreError> {
        match self {
            Self::Replays => table::any_expired(pool, now).await,
            Self::Responses => response::any_expired(pool, now).await,
            Self::Answers => cache::any_expired(pool, now).await,
        }
    }

    /// A batch of them; says how many.
    async fn forget(self, connection: &mut AnyConnection, now: i64) -> Result<u64, StoreError> {
        match self {
            Self::Replays => table::forget_expired(connection, now).await,
            Self::Responses => response::forget_expired(connection, now).await,
            Self::Answers => cache::forget_expired(connection, now).await,
        }
    }
}
