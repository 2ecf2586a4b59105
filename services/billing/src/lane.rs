//! The way to the ledger: operations wait in a bounded queue, a lane takes all that are there as one batch, one commit makes
//! them durable, and then everyone is answered. What arrives during a commit is the next batch.
//! A batch whose outcome nobody knows is sent again as it is: every operation says the same when it comes twice.
//! The work happens in the lane, never in a caller's future: a caller that goes away loses the answer, not the operation.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chassis::{
    Tasks,
    failpoint::{Point, reach},
};
use db::{Db, Engine};
use domain::OperationId;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::{error, info_span, warn};

use crate::{
    Error,
    caps::Refused,
    config::Limits,
    ledger::{Decision, Op, PostingKind, Refusal, Reply},
    metrics::Metrics,
    resend::until_known,
    store,
};

/// After a batch of so many, the next one waits to be as big.
const BUSY: usize = 8;
/// But no longer than this, and no batch takes turns for longer.
const GATHER_WAIT: Duration = Duration::from_millis(1);

/// What the ledger says to one operation.
type Answer = Result<Reply, Refusal>;

/// The way to the ledger. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    lanes: Arc<[mpsc::Sender<Job>]>,
    db: Db,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
    refused: Refused,
}

/// One operation on its way.
#[derive(Debug)]
struct Job {
    op: Op,
    /// What explains it, kept beside it when it takes effect.
    receipt: Option<String>,
    answer: oneshot::Sender<Result<Answer, Error>>,
}

/// What is decided and written at once, as often as it takes.
struct Batch {
    ops: Vec<Op>,
    receipts: Vec<Option<String>>,
}

/// One lane's worker.
struct Lane {
    db: Db,
    queue: mpsc::Receiver<Job>,
    limits: Arc<Limits>,
    metrics: Metrics,
    refused: Refused,
}

// === impl Ledger ===

impl Ledger {
    /// Opens the lanes.
    pub(crate) fn start(db: &Db, limits: &Arc<Limits>, metrics: &Metrics, tasks: &Tasks) -> Self {
        if cfg!(feature = "unbilled") {
            error!("this build is for the bench: it grants everything and charges nothing");
        }
        let lanes = match db.engine() {
            Engine::Sqlite => 1,
            Engine::Postgres => limits.lanes.max(1),
        };
        let refused = Refused::default();
        let lanes = (0..lanes).map(|_| {
            let (jobs, queue) = mpsc::channel(limits.queue);
            let lane = Lane {
                db: db.clone(),
                queue,
                limits: Arc::clone(limits),
                metrics: metrics.clone(),
                refused: refused.clone(),
            };
            // A lane outlives the word to stop: what is still running then has holds to settle. It may be cut at any
            // instruction: what was not answered was not promised.
            tasks.spawn_detached(info_span!("lane"), lane.run());
            jobs
        });
        let ledger = Self {
            lanes: lanes.collect(),
            db: db.clone(),
            limits: Arc::clone(limits),
            metrics: metrics.clone(),
            refused,
        };
        let (last, stop) = (ledger.clone(), tasks.clone());
        tasks.spawn(info_span!("lane"), async move {
            stop.stopping().await;
            last.finish_queued().await;
        });
        ledger
    }

    /// Applies one operation, and answers when it is on disk.
    ///
    /// # Errors
    /// When the queue is full, the process is stopping, or the database failed. Sending the same operation again is safe.
    pub(crate) async fn apply(&self, op: Op, receipt: Option<String>) -> Result<Answer, Error> {
        if cfg!(feature = "unbilled") {
            return Ok(Ok(unbilled(&op)));
        }
        let lane = self.lane(&op).ok_or_else(Error::stopped)?;
        let (answer, told) = oneshot::channel();
        let job = Job {
            op,
            receipt,
            answer,
        };
        lane.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded {
                retry_after: self.limits.retry_after,
            },
            mpsc::error::TrySendError::Closed(_) => Error::stopped(),
        })?;
        told.await.map_err(|_| Error::stopped())?
    }

    /// Word of the holds that its lanes refused for a key's cap.
    pub(crate) fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Now by the ledger's clock.
    pub(crate) fn now_micros(&self) -> i64 {
        self.db.now_micros()
    }

    /// Operations of one hold share a lane, so that they keep their order.
    fn lane(&self, op: &Op) -> Option<&mpsc::Sender<Job>> {
        let id = match op {
            Op::Hold { hold, .. }
            | Op::Capture { hold, .. }
            | Op::Late { hold, .. }
            | Op::Extend { hold, .. }
            | Op::Release { hold }
            | Op::Expire { hold, .. } => hold,
            Op::Transfer { id, .. } => id,
        };
        // The last bits of a UUIDv7 are random.
        let last = id.to_bytes().last().copied().map_or(0, usize::from);
        self.lanes.get(last.checked_rem(self.lanes.len())?)
    }

    /// Waits until everything queued so far is on disk.
    async fn finish_queued(&self) {
        for lane in self.lanes.iter() {
            // A capture of a hold that cannot exist is refused and changes nothing, but it waits its turn.
            let (answer, told) = oneshot::channel();
            let op = Op::Capture {
                hold: OperationId::NIL,
                amount: domain::Micros::ZERO,
            };
            let last = Job {
                op,
                receipt: None,
                answer,
            };
            if lane.send(last).await.is_ok() {
                // However it ends, everything before it has ended.
                let _ = told.await;
            }
        }
    }
}

// === impl Lane ===

impl Lane {
    async fn run(mut self) {
        let most = self.limits.batch.max(1);
        let (mut batch, mut last) = (Vec::new(), 0);
        while self.queue.recv_many(&mut batch, most).await > 0 {
            self.gather(&mut batch, last, most).await;
            last = batch.len();
            self.commit(std::mem::take(&mut batch)).await;
        }
    }

    /// Takes into a batch whatever will be there at once: a commit costs nearly the same for one as for many.
    async fn gather(&mut self, batch: &mut Vec<Job>, last: usize, most: usize) {
        // Whoever can ask gets a turn to do so, as long as such turns bring more. Where nothing else runs, a turn is over at once.
        let began = Instant::now();
        while began.elapsed() < GATHER_WAIT {
            let before = batch.len();
            tokio::task::yield_now().await;
            while batch.len() < most
                && let Ok(job) = self.queue.try_recv()
            {
                batch.push(job);
            }
            if batch.len() == before {
                break;
            }
        }
        // Where many asked at once, they will ask at once again: who is first waits a moment for the others, or every second
        // batch would be tiny.
        if last < BUSY {
            return;
        }
        let others = async {
            while batch.len() < last {
                let room = most.saturating_sub(batch.len());
                if self.queue.recv_many(batch, room).await == 0 {
                    return;
                }
            }
        };
        // Whoever is not there by then is in the next one.
        let _ = timeout(GATHER_WAIT, others).await;
    }

    async fn commit(&self, batch: Vec<Job>) {
        let mut ops = Vec::with_capacity(batch.len());
        let mut receipts = Vec::with_capacity(batch.len());
        let mut callers = Vec::with_capacity(batch.len());
        for job in batch {
            ops.push(job.op);
            receipts.push(job.receipt);
            callers.push(job.answer);
        }
        let started = Instant::now();
        reach(Point::BillingBeforeCommit);
        let batch = Arc::new(Batch { ops, receipts });
        let decided = self.decide(Arc::clone(&batch)).await;
        reach(Point::BillingAfterCommit);
        self.metrics
            .commit_seconds
            .observe(started.elapsed().as_secs_f64());
        match decided {
            Ok(decision) => {
                self.count(&decision);
                self.leave_word(&batch, &decision);
                for (caller, answer) in callers.into_iter().zip(decision.answers) {
                    // A caller that went away does not want to know.
                    let _ = caller.send(Ok(answer));
                }
            }
            Err(failure) => {
                // The cause stands in the log of every request of the batch.
                warn!(operations = callers.len(), "a batch of the ledger failed");
                for caller in callers {
                    let _ = caller.send(Err(same_for_all(&failure)));
                }
            }
        }
    }

    async fn decide(&self, batch: Arc<Batch>) -> Result<Decision, Error> {
        until_known(&self.limits, || {
            let (batch, now) = (Arc::clone(&batch), self.db.now_micros());
            async move {
                let Some(file) = self.db.file() else {
                    let write = self.db.write(move |connection| {
                        Box::pin(async move {
                            store::ledger::apply(connection, &batch.ops, &batch.receipts, now).await
                        })
                    });
                    return write.await;
                };
                file.write(move |connection| {
                    store::ledger::apply_to_file(connection, &batch.ops, &batch.receipts, now)
                })
                .await
            }
        })
        .await
    }

    /// Of holds that a key's cap has no room for: whoever is behind the lanes looks whether that is to be told.
    fn leave_word(&self, batch: &Batch, decision: &Decision) {
        for (op, answer) in batch.ops.iter().zip(&decision.answers) {
            if matches!(answer, Err(Refusal::CapReached { .. })) {
                self.refused.note(op);
            }
        }
    }

    fn count(&self, decision: &Decision) {
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let operations = u32::try_from(decision.answers.len()).unwrap_or(u32::MAX);
        self.metrics.batch_operations.observe(operations.into());
        let refused = decision.answers.iter().filter(|answer| {
            matches!(
                answer,
                Err(Refusal::Insufficient { .. } | Refusal::CapReached { .. })
            )
        });
        self.metrics.refused_holds.inc_by(count(refused.count()));
        let losses = decision.changes.postings.iter();
        let losses = losses.filter(|posting| posting.kind == PostingKind::WriteOff);
        for loss in losses {
            self.metrics
                .written_off
                .inc_by(loss.amount.get().unsigned_abs());
        }
        let over = count(decision.changes.over_reports.len());
        self.metrics.over_reports.inc_by(over);
    }
}

/// What is said without a ledger: everything is granted, and nothing is kept. Only for a build that measures what the ledger costs.
const fn unbilled(op: &Op) -> Reply {
    match op {
        Op::Hold { terms, .. } => Reply::Held {
            granted: terms.amount,
            available: terms.amount,
        },
        Op::Capture { amount, .. } | Op::Late { amount, .. } => {
            Reply::Captured { captured: *amount }
        }
        Op::Extend { .. } => Reply::Extended,
        Op::Release { .. } => Reply::Released,
        Op::Expire { .. } => Reply::Expired,
        Op::Transfer { transfer, .. } => Reply::Booked {
            available: transfer.amount,
        },
    }
}

/// The one failure of a batch, for each of its operations.
fn same_for_all(failure: &Error) -> Error {
    match failure {
        Error::Db(cause) => Error::Db(cause.clone()),
        Error::Corrupt(what) => Error::Corrupt(what),
        Error::Overtaken => Error::Overtaken,
        Error::Overloaded { .. }
        | Error::Refused(_)
        | Error::Insufficient { .. }
        | Error::TransferConflict
        | Error::Invalid { .. }
        | Error::NotFound(_)
        | Error::Denied(_)
        | Error::Orders(_)
        | Error::Start(_) => Error::stopped(),
    }
}
