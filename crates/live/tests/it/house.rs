//! A Redis of one's own, and processes that share it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chassis::{Tasks, secrets::Secrets};
use domain::{Id, Mode, Secret, ids::Kind};
use live::{
    Live, TaskSnapshot, Terminal,
    fallback::{Fallback, Metrics},
    memory::{Limits, MemoryLive},
    redis::{Config, RedisLive},
};
use redis::{FromRedisValue, aio::MultiplexedConnection};
use testkit::servers::Redis;

/// Longer than any test runs.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// What the customer sees, and nobody else may.
pub(crate) const CONTENT: &[u8] = b"a prompt about foxes";

/// A Redis, and what is needed to share it.
pub(crate) struct House {
    pub(crate) server: Redis,
    pub(crate) secrets: Secrets,
    pub(crate) tasks: Tasks,
    prefixes: AtomicU32,
}

// === impl House ===

impl House {
    pub(crate) async fn start() -> Self {
        Self {
            server: Redis::start().await.unwrap(),
            secrets: Secrets::random(),
            tasks: Tasks::default(),
            prefixes: AtomicU32::new(0),
        }
    }

    /// A process that shares Redis with the others of this house.
    pub(crate) async fn process(&self) -> RedisLive {
        self.process_with(|_| {}).await
    }

    /// The same, told otherwise.
    pub(crate) async fn process_with(&self, change: impl FnOnce(&mut Config)) -> RedisLive {
        self.connect(&self.server.url(), change).await
    }

    /// A process with a Redis of its own, as it seems to it.
    pub(crate) async fn process_alone(&self) -> RedisLive {
        let number = self.prefixes.fetch_add(1, Ordering::SeqCst);
        self.process_with(|config| config.prefix = format!("alone{number}"))
            .await
    }

    /// A process whose Redis is elsewhere.
    pub(crate) async fn connect(&self, url: &str, change: impl FnOnce(&mut Config)) -> RedisLive {
        let mut config = Config {
            connect_timeout: Duration::from_secs(10),
            // The machine has other things to do, too.
            response_timeout: Duration::from_secs(10),
            ..Config::default()
        };
        change(&mut config);
        RedisLive::connect(
            &Secret::new(url),
            &config,
            self.secrets.content(),
            &self.tasks,
        )
        .await
        .unwrap()
    }

    /// A connection of one's own.
    pub(crate) async fn operator(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.server.url()).unwrap();
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(LONG))
            .set_response_timeout(Some(LONG));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        connecting.await.unwrap()
    }

    /// Says a command to Redis.
    pub(crate) async fn say<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.operator().await;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await.unwrap()
    }
}

/// A process that does without Redis when it must, as one of `replicas`.
pub(crate) fn enduring(shared: RedisLive, replicas: u32) -> Fallback<RedisLive> {
    let own = MemoryLive::new(&Limits::default());
    Fallback::new(shared, own, replicas, Metrics::default())
}

/// An id that tests tell apart by a number.
pub(crate) fn id<K: Kind>(number: u32) -> Id<K> {
    Id::from_slice(&u128::from(number).to_be_bytes()).unwrap()
}

/// How a task stands at a version.
pub(crate) fn snapshot(task: u32, version: i64, terminal: Terminal) -> TaskSnapshot {
    TaskSnapshot {
        task: id(task),
        account: id(1),
        mode: Mode::Live,
        version,
        terminal,
        view: Bytes::from_static(CONTENT),
    }
}

/// An open task.
pub(crate) fn open(task: u32, version: i64) -> TaskSnapshot {
    snapshot(task, version, Terminal::Open)
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looked = testkit::eventually(what, async || Ok(holds().await.then_some(())));
    looked.await.unwrap();
}

/// Waits until Redis takes puts again.
pub(crate) async fn until_back(live: &RedisLive) {
    let mut version = 0;
    until("Redis is back", async || {
        version += 1;
        live.put_task(open(u32::MAX, version)).await.is_ok()
    })
    .await;
}

/// Several hands on one process.
pub(crate) fn shared<L: Live>(live: L) -> Arc<L> {
    Arc::new(live)
}
