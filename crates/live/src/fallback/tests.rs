//! What a process alone takes, it gives back alone, key by key.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::memory::Limits;

const RATE: Rate = Rate {
    per_minute: 1,
    burst: 1,
};
const LIFE: Duration = Duration::from_secs(60);
const SLOT: [u8; 16] = [1; 16];

/// Shared state in memory that can go away.
struct Sometimes {
    memory: MemoryLive,
    away: Arc<AtomicBool>,
}

impl Sometimes {
    fn here(&self) -> Result<&MemoryLive, Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::Unavailable);
        }
        Ok(&self.memory)
    }
}

#[async_trait]
impl Live for Sometimes {
    async fn put_task(&self, snapshot: TaskSnapshot) -> Result<bool, Error> {
        self.here()?.put_task(snapshot).await
    }

    async fn get_task(&self, task: TaskId) -> Result<Option<TaskSnapshot>, Error> {
        self.here()?.get_task(task).await
    }

    async fn wait_task(
        &self,
        task: TaskId,
        after_version: i64,
        timeout: Duration,
    ) -> Result<Option<TaskSnapshot>, Error> {
        self.here()?.wait_task(task, after_version, timeout).await
    }

    async fn admit(&self, key: &str, rate: Rate) -> Result<Admission, Error> {
        self.here()?.admit(key, rate).await
    }

    async fn uncount(&self, key: &str, rate: Rate) -> Result<(), Error> {
        self.here()?.uncount(key, rate).await
    }

    async fn take_slot(
        &self,
        key: &str,
        slot: [u8; 16],
        limit: u32,
        life: Duration,
    ) -> Result<bool, Error> {
        self.here()?.take_slot(key, slot, limit, life).await
    }

    async fn give_slot(&self, key: &str, slot: [u8; 16]) -> Result<(), Error> {
        self.here()?.give_slot(key, slot).await
    }

    async fn notify(&self, notice: Notice) -> Result<(), Error> {
        self.here()?.notify(notice).await
    }

    fn notices(&self) -> BoxStream<'static, Notice> {
        self.memory.notices()
    }
}

fn fallback() -> (Fallback<Sometimes>, Arc<AtomicBool>) {
    let away = Arc::new(AtomicBool::new(false));
    let shared = Sometimes {
        memory: MemoryLive::new(&Limits::default()),
        away: Arc::clone(&away),
    };
    let own = MemoryLive::new(&Limits::default());
    (Fallback::new(shared, own, 1, Metrics::default()), away)
}

#[tokio::test]
async fn a_slot_of_two_keys_is_given_back_where_each_was_taken() {
    let (live, away) = fallback();
    assert!(live.take_slot("key", SLOT, 1, LIFE).await.unwrap());
    away.store(true, Ordering::SeqCst);
    assert!(live.take_slot("account", SLOT, 1, LIFE).await.unwrap());
    away.store(false, Ordering::SeqCst);
    live.give_slot("key", SLOT).await.unwrap();
    // The shared one is free again, that of the process is not.
    let other = [2; 16];
    assert!(live.take_slot("key", other, 1, LIFE).await.unwrap());
    away.store(true, Ordering::SeqCst);
    assert!(!live.take_slot("account", other, 1, LIFE).await.unwrap());
    away.store(false, Ordering::SeqCst);
    live.give_slot("account", SLOT).await.unwrap();
    away.store(true, Ordering::SeqCst);
    assert!(live.take_slot("account", other, 1, LIFE).await.unwrap());
}

#[tokio::test]
async fn a_call_is_taken_back_with_the_shared_state_away_too() {
    let (live, away) = fallback();
    for is_away in [false, true] {
        away.store(is_away, Ordering::SeqCst);
        for _ in 0..2 {
            let said = live.admit("key", RATE).await.unwrap();
            assert_eq!(said, Admission::Allowed { remaining: 0 });
            live.uncount("key", RATE).await.unwrap();
        }
    }
}
