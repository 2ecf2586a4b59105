//! Shared state that is sometimes away, and what a process does by itself meanwhile: it limits calls and slots from its own
//! memory, knows no snapshots, and goes on.
//!
//! Its own limits are the shared ones divided by the number of processes, so that together they hold about what was meant.
//! A slot is renewed where it was taken, and given back there and in the shared state.

use std::{collections::HashMap, fmt, sync::Mutex, time::Duration};

use async_trait::async_trait;
use domain::TaskId;
use futures::stream::BoxStream;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use crate::{Admission, Error, Live, Notice, Rate, TaskSnapshot, locked, memory::MemoryLive};

/// Shared state, and this process's own while that is away. While it is, a snapshot that is put is not kept, and one that is
/// asked for is not there.
pub struct Fallback<L> {
    shared: L,
    own: MemoryLive,
    /// Slots that were taken from `own`, and of which keys.
    taken_alone: Mutex<HashMap<[u8; 16], Vec<Box<str>>>>,
    replicas: u32,
    metrics: Metrics,
}

/// What is counted.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    alone: Counter,
    reachable: Gauge,
}

// === impl Metrics ===

impl Metrics {
    /// Makes the metrics known to the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "aio_live_local_limits",
            "Calls and slots that were limited by this process alone",
            metrics.alone.clone(),
        );
        registry.register(
            "aio_live_reachable",
            "Whether the shared state answered the last limited call",
            metrics.reachable.clone(),
        );
        metrics
    }
}

// === impl Fallback ===

impl<L: Live> Fallback<L> {
    /// Does without `shared` by means of `own` when it must, as one of `replicas` processes.
    pub fn new(shared: L, own: MemoryLive, replicas: u32, metrics: Metrics) -> Self {
        Self {
            shared,
            own,
            taken_alone: Mutex::default(),
            replicas: replicas.max(1),
            metrics,
        }
    }

    /// This process's part of a limit. Nothing stays nothing; of anything else, everybody has at least one.
    fn part(&self, limit: u32) -> u32 {
        (limit / self.replicas).max(limit.min(1))
    }

    fn took_alone(&self, key: &str, slot: [u8; 16]) -> bool {
        let taken_alone = locked(&self.taken_alone);
        let keys = taken_alone.get(&slot);
        keys.is_some_and(|keys| keys.iter().any(|known| **known == *key))
    }

    /// Whether it was taken from `own`, which is known no longer.
    fn forget_alone(&self, key: &str, slot: [u8; 16]) -> bool {
        let mut taken_alone = locked(&self.taken_alone);
        let Some(keys) = taken_alone.get_mut(&slot) else {
            return false;
        };
        let before = keys.len();
        keys.retain(|known| **known != *key);
        let known = keys.len() < before;
        if keys.is_empty() {
            taken_alone.remove(&slot);
        }
        known
    }

    /// What the shared state answered, or `None` when it is away. Absence is not news here: who is away says so itself.
    fn answered<T>(&self, answer: Result<T, Error>) -> Option<Result<T, Error>> {
        if matches!(answer, Err(Error::Unavailable)) {
            self.metrics.reachable.set(0);
            self.metrics.alone.inc();
            return None;
        }
        self.metrics.reachable.set(1);
        Some(answer)
    }
}

#[async_trait]
impl<L: Live> Live for Fallback<L> {
    async fn put_task(&self, snapshot: TaskSnapshot) -> Result<bool, Error> {
        match self.shared.put_task(snapshot).await {
            Err(Error::Unavailable) => Ok(false),
            answer => answer,
        }
    }

    async fn get_task(&self, task: TaskId) -> Result<Option<TaskSnapshot>, Error> {
        match self.shared.get_task(task).await {
            Err(Error::Unavailable) => Ok(None),
            answer => answer,
        }
    }

    /// Says [`Error::Unavailable`] at once: who waits knows better than we how often SQL may be asked instead.
    async fn wait_task(
        &self,
        task: TaskId,
        after_version: i64,
        timeout: Duration,
    ) -> Result<Option<TaskSnapshot>, Error> {
        self.shared.wait_task(task, after_version, timeout).await
    }

    async fn admit(&self, key: &str, rate: Rate) -> Result<Admission, Error> {
        if let Some(answer) = self.answered(self.shared.admit(key, rate).await) {
            return answer;
        }
        let rate = Rate {
            per_minute: self.part(rate.per_minute),
            burst: self.part(rate.burst),
        };
        self.own.admit(key, rate).await
    }

    /// Where it was counted, unless the shared state went or came back meanwhile: then a call counts too much or too little.
    async fn uncount(&self, key: &str, rate: Rate) -> Result<(), Error> {
        match self.shared.uncount(key, rate).await {
            Err(Error::Unavailable) => {
                let rate = Rate {
                    per_minute: self.part(rate.per_minute),
                    burst: self.part(rate.burst),
                };
                self.own.uncount(key, rate).await
            }
            answer => answer,
        }
    }

    async fn take_slot(
        &self,
        key: &str,
        slot: [u8; 16],
        limit: u32,
        life: Duration,
    ) -> Result<bool, Error> {
        let shared = self.shared.take_slot(key, slot, limit, life).await;
        if let Some(answer) = self.answered(shared) {
            return answer;
        }
        let taken = self
            .own
            .take_slot(key, slot, self.part(limit), life)
            .await?;
        if taken {
            let mut taken_alone = locked(&self.taken_alone);
            let keys = taken_alone.entry(slot).or_default();
            if !keys.iter().any(|known| **known == *key) {
                keys.push(key.into());
            }
        }
        Ok(taken)
    }

    /// Where it was taken. That the shared state is away now takes no slot here: it would be given back in the wrong place.
    async fn renew_slot(
        &self,
        key: &str,
        slot: [u8; 16],
        limit: u32,
        life: Duration,
    ) -> Result<bool, Error> {
        if self.took_alone(key, slot) {
            let part = self.part(limit);
            return self.own.renew_slot(key, slot, part, life).await;
        }
        match self.shared.renew_slot(key, slot, limit, life).await {
            Err(Error::Unavailable) => Ok(true),
            answer => answer,
        }
    }

    async fn give_slot(&self, key: &str, slot: [u8; 16]) -> Result<(), Error> {
        if self.forget_alone(key, slot) {
            self.own.give_slot(key, slot).await?;
        }
        // Another process may have renewed it there meanwhile. Giving what is not taken changes nothing.
        match self.shared.give_slot(key, slot).await {
            Err(Error::Unavailable) => Ok(()),
            answer => answer,
        }
    }

    async fn notify(&self, notice: Notice) -> Result<(), Error> {
        match self.shared.notify(notice).await {
            Err(Error::Unavailable) => Ok(()),
            answer => answer,
        }
    }

    fn notices(&self) -> BoxStream<'static, Notice> {
        self.shared.notices()
    }
}

impl<L> fmt::Debug for Fallback<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
