//! The shared state of one process: for one binary and for tests.

mod limits;
mod slots;
mod table;

use std::{fmt, sync::Mutex, time::Duration};

use async_trait::async_trait;
use domain::TaskId;
use futures::stream::BoxStream;
use moka::{
    future::Cache,
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
};
use tokio::{
    sync::broadcast,
    time::{Instant, timeout},
};

pub use self::limits::Limits;
use self::{
    limits::Lives,
    slots::Slots,
    table::{Spent, Table},
};
use crate::{
    Admission, Error, Live, Notice, Rate, TaskSnapshot, gcra, locked, notices, waiters::Waiters,
};

/// What a snapshot takes besides its view: its other fields, its key, and what the cache keeps about it.
const SNAPSHOT_OVERHEAD_BYTES: usize = 300;

/// The shared state of one process.
pub struct MemoryLive {
    snapshots: Cache<TaskId, TaskSnapshot>,
    waiters: Waiters,
    rates: Mutex<Table<Due>>,
    slots: Mutex<Table<Slots>>,
    notices: broadcast::Sender<Notice>,
}

/// When the next call of a key would be due, if calls came evenly.
struct Due(Instant);

// === impl MemoryLive ===

impl MemoryLive {
    /// Empty.
    pub fn new(limits: &Limits) -> Self {
        Self {
            snapshots: snapshots(limits),
            waiters: Waiters::default(),
            rates: Mutex::new(Table::new(limits.keys)),
            slots: Mutex::new(Table::new(limits.keys)),
            notices: broadcast::Sender::new(limits.notices.clamp(1, Limits::MOST_NOTICES)),
        }
    }
}

#[async_trait]
impl Live for MemoryLive {
    async fn put_task(&self, snapshot: TaskSnapshot) -> Result<bool, Error> {
        // On drop, so that a put that is cancelled halfway wakes them too.
        let _wake = self.waiters.wake_on_drop(snapshot.task);
        let entry = self.snapshots.entry(snapshot.task);
        let put = entry.and_compute_with(async |known| match known {
            Some(known) if !snapshot.replaces(known.value()) => Op::Nop,
            Some(_) | None => Op::Put(snapshot),
        });
        Ok(match put.await {
            CompResult::Inserted(_) | CompResult::ReplacedWith(_) => true,
            CompResult::Unchanged(_) | CompResult::StillNone(_) | CompResult::Removed(_) => false,
        })
    }

    async fn get_task(&self, task: TaskId) -> Result<Option<TaskSnapshot>, Error> {
        Ok(self.snapshots.get(&task).await)
    }

    async fn wait_task(
        &self,
        task: TaskId,
        after_version: i64,
        patience: Duration,
    ) -> Result<Option<TaskSnapshot>, Error> {
        let waiter = self.waiters.enter(task);
        let newer = async {
            loop {
                // Listens before it looks, so that a put between the two is heard.
                let changed = waiter.changed();
                match self.snapshots.get(&task).await {
                    Some(snapshot) if snapshot.version > after_version => return snapshot,
                    Some(_) | None => changed.await,
                }
            }
        };
        Ok(timeout(patience, newer).await.ok())
    }

    async fn admit(&self, key: &str, rate: Rate) -> Result<Admission, Error> {
        let now = Instant::now();
        let mut rates = locked(&self.rates);
        let due = rates.entry(key, now, || Due(now))?;
        let ahead = due.0.saturating_duration_since(now);
        let (ahead, admission) = gcra::admit(ahead, rate);
        due.0 = later(now, ahead);
        Ok(admission)
    }

    async fn uncount(&self, key: &str, rate: Rate) -> Result<(), Error> {
        let now = Instant::now();
        locked(&self.rates).change(key, now, |due| {
            let ahead = due.0.saturating_duration_since(now);
            due.0 = later(now, gcra::uncount(ahead, rate));
        });
        Ok(())
    }

    async fn take_slot(
        &self,
        key: &str,
        slot: [u8; 16],
        limit: u32,
        life: Duration,
    ) -> Result<bool, Error> {
        let now = Instant::now();
        let mut slots = locked(&self.slots);
        let of_key = slots.entry(key, now, Slots::default)?;
        Ok(of_key.take(slot, limit, now, later(now, life)))
    }

    async fn give_slot(&self, key: &str, slot: [u8; 16]) -> Result<(), Error> {
        let now = Instant::now();
        locked(&self.slots).change(key, now, |of_key| of_key.give(slot));
        Ok(())
    }

    async fn notify(&self, notice: Notice) -> Result<(), Error> {
        // An error says that nobody listens, which is fine.
        let _ = self.notices.send(notice);
        Ok(())
    }

    fn notices(&self) -> BoxStream<'static, Notice> {
        notices::stream(self.notices.subscribe())
    }
}

impl fmt::Debug for MemoryLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLive").finish_non_exhaustive()
    }
}

// === impl Due ===

impl Spent for Due {
    fn is_spent(&self, now: Instant) -> bool {
        self.0 <= now
    }
}

fn snapshots(limits: &Limits) -> Cache<TaskId, TaskSnapshot> {
    Cache::builder()
        .max_capacity(limits.snapshot_bytes)
        .weigher(|_task, snapshot: &TaskSnapshot| {
            let bytes = snapshot.view.len().saturating_add(SNAPSHOT_OVERHEAD_BYTES);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        })
        // The default policy may turn a new entry away for an old one that is read often; a new task is polled at once.
        .eviction_policy(EvictionPolicy::lru())
        .expire_after(Lives::of(limits))
        .build()
}

/// A time too far away to be written is as good as a century.
fn later(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now + wait.min(CENTURY)
}

#[cfg(test)]
mod tests;
