//! A request's right to its Idempotency-Key: a row of `replay` under a lease that is renewed while the request runs.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use chassis::{clock::micros, secrets::Sealer, telemetry::causes};
use db::Db;
use domain::{Micros, OperationId};
use proto::{Fault, code};
use tokio::time::Instant;
use tracing::{error, warn};

use crate::{
    StoreError,
    config::ReplayLimits,
    kept::Kept,
    replay::{Earlier, Key},
    store::replay::{self as table, New, Settled},
};

/// The first pause between two tries to write; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// When to come again after a moment's trouble.
const SOON: Duration = Duration::from_secs(1);

/// The rows of `replay`.
pub(crate) struct Replays {
    pub(crate) db: Db,
    sealer: Sealer,
    pub(crate) limits: ReplayLimits,
}

/// One request that has its key. Cheap to clone; every clone stands for the same row.
#[derive(Clone)]
pub(crate) struct Claim {
    replays: Arc<Replays>,
    operation: OperationId,
}

// === impl Replays ===

impl Replays {
    pub(crate) fn new(db: Db, sealer: Sealer, limits: ReplayLimits) -> Self {
        Self { db, sealer, limits }
    }

    /// What this key stands for.
    pub(crate) async fn find(&self, key: &Key) -> Result<Option<Earlier>, StoreError> {
        let found = table::by_key(self.db.reader(), key);
        self.db.read(found).await
    }

    /// Takes a key that stands for nothing. `None`: somebody was faster.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        key: Key,
        (operation, body_hash): (OperationId, [u8; 32]),
    ) -> Result<Option<Claim>, StoreError> {
        let new = self.new_row(operation, body_hash);
        let write = self.db.write(move |connection| {
            Box::pin(async move { table::insert(connection, &key, new).await })
        });
        let taken = write.await?;
        Ok(taken.then(|| self.claimed(operation)))
    }

    /// Takes the key of a request whose hold has ended. `None`: somebody was faster.
    pub(crate) async fn take_over(
        self: &Arc<Self>,
        earlier: &Earlier,
        (operation, body_hash): (OperationId, [u8; 32]),
    ) -> Result<Option<Claim>, StoreError> {
        let new = self.new_row(operation, body_hash);
        let earlier = (earlier.operation, earlier.state);
        let write = self
            .db
            .write(move |connection| Box::pin(table::replace(connection, earlier, new)));
        let taken = write.await?;
        Ok(taken.then(|| self.claimed(operation)))
    }

    /// The charge of a request is booked: from here on its answer is given without a question.
    pub(crate) async fn finish(
        &self,
        operation: OperationId,
        charged: Micros,
    ) -> Result<(), StoreError> {
        let charged = charged.get();
        let write = self
            .db
            .write(move |connection| Box::pin(table::finish(connection, operation, charged)));
        write.await
    }

    /// The kept answer of a request, if there is one that opens.
    pub(crate) fn open(&self, earlier: &Earlier) -> Option<Kept> {
        let sealed = earlier.answer.as_ref()?;
        let opened = self.sealer.open(&place(earlier.operation), sealed).ok();
        let kept = opened.and_then(|plain| Kept::decode(&plain));
        if kept.is_none() {
            error!(operation = %earlier.operation, "a kept answer does not open: was secrets.content_key changed?");
        }
        kept
    }

    fn claimed(self: &Arc<Self>, operation: OperationId) -> Claim {
        Claim {
            replays: Arc::clone(self),
            operation,
        }
    }

    fn new_row(&self, operation: OperationId, body_hash: [u8; 32]) -> New {
        let now = self.db.now_micros();
        New {
            operation,
            body_hash,
            now,
            locked_until: self.lease_from(now),
            expires_at: now.saturating_add(micros(self.limits.kept)),
        }
    }

    fn lease_from(&self, now: i64) -> i64 {
        now.saturating_add(micros(self.limits.lease))
    }
}

// === impl Claim ===

impl Claim {
    /// Gives signs of life. Never ends: it runs beside the work. One that finds out that it slept too long only stops, since the
    /// row keeps its work from being charged.
    pub(crate) async fn stay_alive(self) -> Infallible {
        let (replays, operation) = (&self.replays, self.operation);
        let third = replays.limits.lease.checked_div(3).unwrap_or_default();
        let mut held = true;
        while held {
            tokio::time::sleep(third).await;
            let until = replays.lease_from(replays.db.now_micros());
            let renewed: Result<bool, StoreError> = replays
                .db
                .write(move |connection| Box::pin(table::renew(connection, operation, until)))
                .await;
            held = renewed.unwrap_or_else(|failure| {
                // Nobody else can take it either while the database is away.
                warn!(error = %causes(&failure), "cannot renew the lease of an Idempotency-Key");
                true
            });
        }
        std::future::pending().await
    }

    /// Writes down what the request comes to, before it is charged: the answer, unless it is too long to be kept.
    ///
    /// # Errors
    /// When the database is away for too long, or the key was taken over. Then nothing may be charged.
    pub(crate) async fn settle(
        &self,
        answer: Option<Kept>,
        amount: Micros,
        receipt: &[u8],
    ) -> Result<(), Fault> {
        let operation = self.operation;
        let plain = answer.and_then(|kept| kept.encode(self.replays.limits.max_bytes));
        let sealed = plain.map(|plain| self.replays.sealer.seal(&place(operation), &plain));
        let settled = Settled {
            answer: sealed.transpose().map_err(StoreError::from)?,
            charged: amount.get(),
            receipt: String::from_utf8_lossy(receipt).into_owned(),
        };
        let write = || {
            let settled = settled.clone();
            self.replays.db.write(move |connection| {
                Box::pin(async move { table::settle(connection, operation, settled).await })
            })
        };
        if self.patiently(write).await? {
            return Ok(());
        }
        warn!(%operation, "another request took the key over while this one stood still");
        Err(Fault::of(code::OVERLOADED).retry_after(SOON))
    }

    /// The charge is booked. That this cannot be written down does no harm: a retry asks billing again.
    pub(crate) async fn finish(&self, charged: Micros) {
        if let Err(failure) = self.replays.finish(self.operation, charged).await {
            warn!(error = %causes(&failure), operation = %self.operation, "cannot write down that an answer is charged");
        }
    }

    /// Frees the key: the hold was given back, or was charged for what is no answer. What cannot be written now, a sweep does.
    pub(crate) async fn free(&self) {
        let operation = self.operation;
        let write = || {
            self.replays.db.write(move |connection| {
                Box::pin(async move { table::free(connection, operation).await })
            })
        };
        if let Err(failure) = self.patiently(write).await {
            warn!(error = %causes(&failure), %operation, "cannot free an Idempotency-Key");
        }
    }

    /// Tries for as long as `store_window` while the database may come back.
    async fn patiently<T, F>(&self, work: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let until = Instant::now() + self.replays.limits.store_window;
        let mut pause = FIRST_PAUSE;
        loop {
            match work().await {
                Err(failure)
                    if failure.may_pass()
                        && until.saturating_duration_since(Instant::now()) > pause => {}
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
    }
}

/// The place a sealed answer belongs to.
fn place(operation: OperationId) -> Vec<u8> {
    format!("replay/{operation}/answer").into_bytes()
}
