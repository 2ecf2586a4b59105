//! Volatile state that the processes share: how tasks stand, who may call how often, who is at it now, what to forget.
//!
//! Nothing here is true by itself: SQL is. Whatever is lost here (a restart, a full memory, an entry past its life) costs a
//! read of SQL, a limit that starts afresh, or the few seconds that a cache lives; nothing else. So a caller treats an
//! absent snapshot and an [`Error`] alike: it asks SQL.
//!
//! One process alone has [`memory`]; several share [`redis`], and each lives on by itself while that is away
//! ([`fallback`]). [`open`] gives what the configuration asks for. What every implementation promises, `conformance` checks.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{AccountId, KeyId, Mode, TaskId};
use futures::stream::BoxStream;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod fallback;
mod gcra;
pub mod memory;
mod notices;
mod open;
pub mod redis;
mod waiters;

pub use open::{Config, open};

/// A failure of the shared state itself. A refusal is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More keys are limited at once than there is room for. Forgetting one would lift its limit, so a new one is refused.
    #[error("no room for another limited key")]
    Full,
    /// It is away, or did not answer in time; then it may have done what it was asked all the same. A slot that was not
    /// taken for this reason need not be given back.
    #[error("the shared state cannot be reached")]
    Unavailable,
    /// Where it should be is not an address.
    #[error("redis.url is not an address such as redis://host:6379/0")]
    Address,
}

/// What the processes share.
#[async_trait]
pub trait Live: Send + Sync {
    /// Keeps how a task stands now, and wakes those who wait for it. `false`: it was not kept. An equal or newer version
    /// is there already, and stays; so puts may arrive twice and in any order. And what ended does not open again.
    ///
    /// # Errors
    /// [`Error`]: see there.
    async fn put_task(&self, snapshot: TaskSnapshot) -> Result<bool, Error>;

    /// How a task stood when it was last put; `None` when it never was, or that was forgotten.
    ///
    /// # Errors
    /// [`Error`]: see there.
    async fn get_task(&self, task: TaskId) -> Result<Option<TaskSnapshot>, Error>;

    /// Waits for a version above `after_version`; returns at once when it is there, and `None` after `timeout`. It may skip
    /// versions that were replaced meanwhile.
    ///
    /// # Errors
    /// [`Error`]: see there.
    async fn wait_task(
        &self,
        task: TaskId,
        after_version: i64,
        timeout: Duration,
    ) -> Result<Option<TaskSnapshot>, Error>;

    /// Counts one call of `key` against `rate` by GCRA: `burst` calls at once, `per_minute` in the long run. A refused
    /// call does not count.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`].
    async fn admit(&self, key: &str, rate: Rate) -> Result<Admission, Error>;

    /// Takes back one call of `key` that was admitted by this rate: it was refused for another reason. What is taken back more
    /// often than it was counted changes nothing, and is never saved up.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn uncount(&self, key: &str, rate: Rate) -> Result<(), Error>;

    /// Takes one of the `limit` slots of `key`; `false` when all are taken. A slot that is not given back is free again
    /// after `life`, so a process that dies blocks nobody for long. Taking a slot one already has renews its life.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`].
    async fn take_slot(
        &self,
        key: &str,
        slot: [u8; 16],
        limit: u32,
        life: Duration,
    ) -> Result<bool, Error>;

    /// Renews the life of a slot one has. If it was forgotten meanwhile, it is taken again; `false` when all are taken. Unlike
    /// a slot that is taken, one whose renewal failed is still one's own.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`].
    async fn renew_slot(
        &self,
        key: &str,
        slot: [u8; 16],
        limit: u32,
        life: Duration,
    ) -> Result<bool, Error> {
        self.take_slot(key, slot, limit, life).await
    }

    /// Gives a slot back. Giving one that is not taken (any more) changes nothing.
    ///
    /// # Errors
    /// [`Error`]: see there.
    async fn give_slot(&self, key: &str, slot: [u8; 16]) -> Result<(), Error>;

    /// Tells every process that listens. A notice may be lost: what it speeds up must also happen without it.
    ///
    /// # Errors
    /// [`Error`]: see there.
    async fn notify(&self, notice: Notice) -> Result<(), Error>;

    /// Notices from now on, until the shared state is dropped.
    fn notices(&self) -> BoxStream<'static, Notice>;
}

/// The shared state as services hold it.
pub type SharedLive = Arc<dyn Live>;

/// How a task stood at one version.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskSnapshot {
    /// Which task.
    pub task: TaskId,
    /// Whose it is. Whoever answers a customer compares it: another's task does not exist.
    pub account: AccountId,
    /// Which balance it belongs to; compared likewise.
    pub mode: Mode,
    /// Rises with every change of the task's row.
    pub version: i64,
    /// Whether there is more to come.
    pub terminal: Terminal,
    /// What the customer sees; content is in it only sealed.
    pub view: Bytes,
}

/// Whether a task may still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// There is more to come.
    Open,
    /// Completed or failed; final.
    Ended,
}

/// A limit of calls. A zero in either field admits nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls per minute in the long run.
    pub per_minute: u32,
    /// Calls at once, after a pause that was long enough.
    pub burst: u32,
}

/// What a limit says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The call is counted.
    Allowed {
        /// Calls that would be admitted right now, after this one.
        remaining: u32,
    },
    /// The call is not counted.
    Refused {
        /// The shortest wait after which a call is admitted, if nobody else calls with this key.
        retry_after: Duration,
    },
}

/// What to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The key was revoked or changed.
    KeyChanged(KeyId),
    /// Notices may have been lost: forget everything that any of them could have named. It comes at any time.
    Missed,
}

// === impl TaskSnapshot ===

impl TaskSnapshot {
    /// Whether it may take the place of `known`.
    fn replaces(&self, known: &Self) -> bool {
        let opens = known.terminal == Terminal::Ended && self.terminal == Terminal::Open;
        self.version > known.version && !opens
    }
}

/// Without the view: it is the customer's.
impl fmt::Debug for TaskSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskSnapshot")
            .field("task", &self.task)
            .field("version", &self.version)
            .field("terminal", &self.terminal)
            .field("view_bytes", &self.view.len())
            .finish_non_exhaustive()
    }
}

/// What is behind these locks is whole between any two statements, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
