//! Who waits for which task. A task is in the table only while somebody waits for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use domain::TaskId;
use tokio::sync::{Notify, futures::Notified};

use crate::locked;

/// Those who wait, by task.
#[derive(Default)]
pub(crate) struct Waiters {
    by_task: Mutex<HashMap<TaskId, Waiting>>,
}

struct Waiting {
    count: usize,
    bell: Arc<Notify>,
}

/// One who waits. Being dropped, however that comes about, it leaves nothing behind.
pub(crate) struct Waiter<'w> {
    waiters: &'w Waiters,
    task: TaskId,
    bell: Arc<Notify>,
}

/// Wakes those who wait for a task when it is dropped.
pub(crate) struct WakeOnDrop<'w> {
    waiters: &'w Waiters,
    task: TaskId,
}

// === impl Waiters ===

impl Waiters {
    pub(crate) fn enter(&self, task: TaskId) -> Waiter<'_> {
        let mut by_task = locked(&self.by_task);
        let waiting = by_task.entry(task).or_insert_with(|| Waiting {
            count: 0,
            bell: Arc::default(),
        });
        waiting.count += 1;
        Waiter {
            waiters: self,
            task,
            bell: Arc::clone(&waiting.bell),
        }
    }

    pub(crate) fn wake_on_drop(&self, task: TaskId) -> WakeOnDrop<'_> {
        WakeOnDrop {
            waiters: self,
            task,
        }
    }

    /// Wakes everyone: what they wait for may have happened unheard.
    pub(crate) fn wake_all(&self) {
        for waiting in locked(&self.by_task).values() {
            waiting.bell.notify_waiters();
        }
    }

    fn leave(&self, task: TaskId) {
        let mut by_task = locked(&self.by_task);
        let Some(waiting) = by_task.get_mut(&task) else {
            return;
        };
        waiting.count = waiting.count.saturating_sub(1);
        if waiting.count == 0 {
            by_task.remove(&task);
        }
    }

    /// Wakes those who wait for a task.
    pub(crate) fn wake(&self, task: TaskId) {
        if let Some(waiting) = locked(&self.by_task).get(&task) {
            waiting.bell.notify_waiters();
        }
    }

    /// Tasks that somebody waits for.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> usize {
        locked(&self.by_task).len()
    }
}

// === impl Waiter ===

impl Waiter<'_> {
    /// Ends at the next change after this call, even if it is polled only later.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.bell.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiters.leave(self.task);
    }
}

// === impl WakeOnDrop ===

impl Drop for WakeOnDrop<'_> {
    fn drop(&mut self) {
        self.waiters.wake(self.task);
    }
}
