//! The section `redis`.

use std::time::Duration;

use chassis::config::duration;
use domain::Secret;
use redis::IntoConnectionInfo as _;
use serde::Deserialize;

use crate::Error;

/// The section `redis`. What a field is when it is left out, its `Default` says, and nothing else.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where Redis 7 is, such as `redis://user:password@host:6379/0`; `rediss://` for TLS. Default: nowhere, and a process
    /// keeps everything by itself.
    pub url: Option<Secret>,
    /// What every key and channel begins with, so that several installations may share one Redis. Default `aio`.
    pub prefix: String,
    /// How long connecting may take. Default `1s`.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long an answer may take: the longest that Redis ever holds up a request. Default `250ms`.
    #[serde(with = "duration")]
    pub response_timeout: Duration,
    /// After so many failures in a row Redis is left alone and probed in the background. Default 5.
    pub failures: u32,
    /// How long the snapshot of an ended task is kept. Default `1h`.
    #[serde(with = "duration")]
    pub ended_life: Duration,
    /// How long the snapshot of an open task is believed. A process that dies, or does not reach Redis, between its write
    /// to SQL and its put leaves an old snapshot behind; it misleads nobody for longer than this. Default `30s`.
    #[serde(with = "duration")]
    pub open_life: Duration,
    /// How often a task that somebody waits for is looked at although no change was heard of: messages may be lost.
    /// Default `5s`.
    #[serde(with = "duration")]
    pub poll: Duration,
    /// How many processes share the limits: while Redis is away, each grants this part of them. Default 1.
    pub replicas: u32,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            prefix: "aio".to_owned(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(250),
            failures: 5,
            ended_life: Duration::from_secs(60 * 60),
            open_life: Duration::from_secs(30),
            poll: Duration::from_secs(5),
            replicas: 1,
        }
    }
}

impl Config {
    /// Checks the address, if there is one, and opens nothing.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn validate(&self) -> Result<(), Error> {
        let info = self
            .url
            .as_ref()
            .map(|url| url.expose().into_connection_info());
        info.transpose().map_err(|_| Error::Address).map(drop)
    }
}
