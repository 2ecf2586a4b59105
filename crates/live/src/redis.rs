//! The shared state of several processes, in Redis 7. Nothing there is true by itself, everything there ends by itself, and
//! nothing of customers' content can be read there.
//!
//! | key | type | what | life |
//! |---|---|---|---|
//! | `aio:task:{id}` | hash | version, whether it ended, the sealed snapshot | `ended_life`, `open_life` |
//! | `aio:rate:{key}` | string | when the next call would be due | until the key has its whole burst again |
//! | `aio:slots:{key}` | sorted set | slots, each with the end of its life | as the longest of them |
//! | `aio:probe` | string | nothing: whether Redis takes writes and runs scripts | a minute |
//!
//! Redis should evict nothing (`maxmemory-policy noeviction`): a rate that is evicted is a limit that is lifted. Its user
//! needs the commands of the scripts, HGET, ZREM, EVALSHA, SCRIPT LOAD, PING, PUBLISH and SUBSCRIBE, the keys
//! `aio:*` and the channels `aio:*`.
//!
//! Clocks of processes may differ, so every time is that of Redis. What times out may have happened all the same; each step
//! may be taken twice: a put and a slot change nothing then, and a call that counts twice errs on the strict side.

mod config;
mod ears;
mod keys;
mod link;
mod look;
mod owed;
mod scripts;
mod sealed;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chassis::{Tasks, secrets::Sealer};
use domain::{Secret, TaskId};
use futures::stream::BoxStream;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::info_span;

pub use self::{
    config::Config,
    look::{Look, look},
};
use self::{
    ears::Ears,
    keys::Names,
    link::{Dialer, Link, Unanswered},
    scripts::Scripts,
};
use crate::{Admission, Error, Live, Notice, Rate, TaskSnapshot, Terminal, gcra};

/// Lives and reaches beyond this are as good as this; the scripts' numbers stay exact.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The shared state in Redis. While Redis is away, everything is [`Error::Unavailable`], at once.
pub struct RedisLive {
    link: Arc<Link>,
    ears: Arc<Ears>,
    scripts: Scripts,
    names: Names,
    sealer: Sealer,
    ended_life: Duration,
    open_life: Duration,
}

// === impl RedisLive ===

impl RedisLive {
    /// Connects, and keeps connected until told to stop. It comes back after one attempt even if that was in vain.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub async fn connect(
        url: &Secret,
        config: &Config,
        sealer: &Sealer,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let names = Names::new(&config.prefix);
        let link = Arc::new(Link::new(Dialer::new(url.expose(), config)?, config));
        let ears = Arc::new(Ears::new(names.clone(), config.poll));
        let (kept, told) = (Arc::clone(&link), tasks.clone());
        tasks.spawn_loop(info_span!("redis"), move || {
            Arc::clone(&kept).keep(told.clone())
        });
        let (open, kept, told) = (Arc::clone(&ears), Arc::clone(&link), tasks.clone());
        tasks.spawn_loop(info_span!("redis_messages"), move || {
            Arc::clone(&open).listen(Arc::clone(&kept), told.clone())
        });
        link.tried().await;
        Ok(Self {
            link,
            ears,
            scripts: Scripts::new(),
            names,
            sealer: sealer.clone(),
            ended_life: config.ended_life,
            open_life: config.open_life,
        })
    }
}

#[async_trait]
impl Live for RedisLive {
    async fn put_task(&self, snapshot: TaskSnapshot) -> Result<bool, Error> {
        let Some(sealed) = sealed::seal(&self.sealer, &snapshot) else {
            return Ok(false);
        };
        let (ended, life) = match snapshot.terminal {
            Terminal::Ended => (1, self.ended_life),
            Terminal::Open => (0, self.open_life),
        };
        let mut put = self.scripts.task_put.key(self.names.task(snapshot.task));
        put.arg(sealed::version_text(snapshot.version))
            .arg(ended)
            .arg(sealed)
            .arg(millis(life))
            .arg(&self.names.tasks_channel)
            .arg(&snapshot.task.to_bytes());
        Ok(self.link.invoke(&put).await?)
    }

    async fn get_task(&self, task: TaskId) -> Result<Option<TaskSnapshot>, Error> {
        let mut get = redis::cmd("HGET");
        get.arg(self.names.task(task)).arg("s");
        let sealed: Option<Vec<u8>> = self.link.query(&get).await?;
        // What does not open was sealed with a key that is not ours (any more): that is as good as absent.
        Ok(sealed.and_then(|sealed| sealed::open(&self.sealer, task, &sealed)))
    }

    async fn wait_task(
        &self,
        task: TaskId,
        after_version: i64,
        patience: Duration,
    ) -> Result<Option<TaskSnapshot>, Error> {
        let end = Instant::now() + patience.min(LONGEST);
        self.ears.want();
        let waiter = self.ears.waiters.enter(task);
        loop {
            // Listens before it looks, so that a put between the two is heard.
            let changed = waiter.changed();
            match self.get_task(task).await? {
                Some(snapshot) if snapshot.version > after_version => return Ok(Some(snapshot)),
                Some(_) | None => {}
            }
            let heard = timeout(self.ears.poll(), changed);
            if timeout_at(end, heard).await.is_err() {
                return Ok(None);
            }
        }
    }

    async fn admit(&self, key: &str, rate: Rate) -> Result<Admission, Error> {
        let Some((interval, reach)) = gcra::micros(rate, LONGEST) else {
            return Ok(gcra::never());
        };
        let mut call = self.scripts.gcra.key(self.names.rate(key));
        call.arg(interval).arg(reach);
        let (allowed, number): (u8, u64) = self.link.invoke(&call).await?;
        Ok(if allowed == 1 {
            let remaining = u32::try_from(number).unwrap_or(u32::MAX);
            Admission::Allowed { remaining }
        } else {
            let retry_after = Duration::from_micros(number);
            Admission::Refused { retry_after }
        })
    }

    async fn uncount(&self, key: &str, rate: Rate) -> Result<(), Error> {
        if let Some((interval, _)) = gcra::micros(rate, LONGEST) {
            let mut call = self.scripts.gcra_back.key(self.names.rate(key));
            call.arg(interval);
            let _changed: u8 = self.link.invoke(&call).await?;
        }
        Ok(())
    }

    async fn take_slot(
        &self,
        key: &str,
        slot: [u8; 16],
        limit: u32,
        life: Duration,
    ) -> Result<bool, Error> {
        let key = self.names.slots(key);
        let taken = self.ask_for_slot(&key, slot, limit, life).await;
        if matches!(taken, Err(Unanswered::Unknown)) {
            self.link.owed().add(key, slot);
        }
        Ok(taken?)
    }

    /// A renewal that failed owes nothing: the slot is in use.
    async fn renew_slot(
        &self,
        key: &str,
        slot: [u8; 16],
        limit: u32,
        life: Duration,
    ) -> Result<bool, Error> {
        let key = self.names.slots(key);
        Ok(self.ask_for_slot(&key, slot, limit, life).await?)
    }

    async fn give_slot(&self, key: &str, slot: [u8; 16]) -> Result<(), Error> {
        let key = self.names.slots(key);
        let mut give = redis::cmd("ZREM");
        give.arg(&key).arg(&slot);
        let given = self.link.query(&give).await;
        if given.is_err() {
            self.link.owed().add(key, slot);
        }
        Ok(given?)
    }

    async fn notify(&self, notice: Notice) -> Result<(), Error> {
        // Here it is heard even if Redis is away.
        self.ears.tell(notice);
        let mut publish = redis::cmd("PUBLISH");
        publish
            .arg(&self.names.notices_channel)
            .arg(ears::text(notice));
        Ok(self.link.query(&publish).await?)
    }

    fn notices(&self) -> BoxStream<'static, Notice> {
        self.ears.notices()
    }
}

impl RedisLive {
    async fn ask_for_slot(
        &self,
        key: &str,
        slot: [u8; 16],
        limit: u32,
        life: Duration,
    ) -> Result<bool, Unanswered> {
        let mut take = self.scripts.take_slot.key(key);
        take.arg(&slot).arg(limit).arg(millis(life));
        self.link.invoke(&take).await
    }
}

impl fmt::Debug for RedisLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLive").finish_non_exhaustive()
    }
}

/// A life as Redis takes it: at least a millisecond.
fn millis(life: Duration) -> u64 {
    let millis = life.min(LONGEST).as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX).max(1)
}
