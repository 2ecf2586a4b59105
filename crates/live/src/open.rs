//! Which shared state a process has: the one that several share when there is a `redis.url`, its own otherwise.

use std::sync::Arc;

use chassis::{Tasks, config::Settings, secrets::Sealer};
use prometheus_client::registry::Registry;

use crate::{
    Error, SharedLive,
    fallback::{Fallback, Metrics},
    memory::{self, MemoryLive},
    redis::{self, RedisLive},
};

/// Everything about the shared state that can be configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// The section `live`: what a process keeps by itself.
    pub memory: memory::Limits,
    /// The section `redis`: what processes share.
    pub redis: redis::Config,
}

// === impl Config ===

impl Config {
    /// Reads the sections `live` and `redis`.
    ///
    /// # Errors
    /// When a setting has a wrong value or a name nobody knows.
    pub fn read(settings: &Settings) -> Result<Self, chassis::config::Error> {
        Ok(Self {
            memory: settings.section("live")?,
            redis: settings.section("redis")?,
        })
    }
}

/// Opens the shared state. With Redis, it is there even if Redis is not: it goes on trying, and does without until then.
///
/// # Errors
/// [`Error::Address`].
pub async fn open(
    config: &Config,
    sealer: &Sealer,
    registry: &mut Registry,
    tasks: &Tasks,
) -> Result<SharedLive, Error> {
    let alone = MemoryLive::new(&config.memory);
    let Some(url) = &config.redis.url else {
        return Ok(Arc::new(alone));
    };
    let metrics = Metrics::register(registry);
    let shared = RedisLive::connect(url, &config.redis, sealer, tasks).await?;
    Ok(Arc::new(Fallback::new(
        shared,
        alone,
        config.redis.replicas,
        metrics,
    )))
}
