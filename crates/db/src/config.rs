//! The section `database`: where the truth is, and every limit of it with its default.

use std::{collections::BTreeMap, time::Duration};

use chassis::config::{Secret, duration};
use serde::Deserialize;

use crate::Migration;

/// The section `database`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The PostgreSQL server and database: `postgres://role:password@host/name`. Absent: SQLite files in the data directory.
    #[serde(default)]
    pub url: Option<Secret>,
    /// The password each service's role gets from `aio migrate`, by service. Only that command reads them.
    #[serde(default)]
    pub passwords: BTreeMap<String, Secret>,
    /// The limits, in the same section.
    #[serde(flatten)]
    pub limits: Limits,
}

/// The limits of the section `database`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Reading connections of each service.
    #[serde(default = "default_readers")]
    pub readers: u32,
    /// PostgreSQL: writing connections of each service's process. SQLite has one.
    #[serde(default = "default_writers")]
    pub writers: u32,
    /// Pieces of work that may wait for a writer.
    #[serde(default = "default_queue")]
    pub write_queue: usize,
    /// SQLite: pieces of work that share one commit at most.
    #[serde(default = "default_batch")]
    pub write_batch: usize,
    /// How long a reader waits for a connection; also how long a connection may take to answer whether it is alive.
    #[serde(default = "default_acquire", with = "duration")]
    pub acquire_timeout: Duration,
    /// PostgreSQL: how long a writer waits for a connection.
    #[serde(default = "default_write_acquire", with = "duration")]
    pub write_acquire_timeout: Duration,
    /// PostgreSQL: how long a whole write may take. Then its connection is closed, and its outcome is unknown.
    #[serde(default = "default_write", with = "duration")]
    pub write_timeout: Duration,
    /// PostgreSQL: how long one statement may run before the server ends it; 0 for no limit. A question without an answer is
    /// given up a second later.
    #[serde(default = "default_statement", with = "duration")]
    pub statement_timeout: Duration,
    /// PostgreSQL: how long a statement may wait for a lock before the server ends it.
    #[serde(default = "default_lock", with = "duration")]
    pub lock_timeout: Duration,
    /// PostgreSQL: how long a transaction may stand idle before the server ends it. A process that is frozen in one holds its locks
    /// for as long: well under what others keep trying for, and longer than a living one ever pauses between two statements.
    #[serde(default = "default_idle", with = "duration")]
    pub idle_in_transaction_timeout: Duration,
    /// PostgreSQL: how long a starting process waits for a server that is not there yet.
    #[serde(default = "default_start", with = "duration")]
    pub start_timeout: Duration,
    /// PostgreSQL: how often the server's clock is read anew.
    #[serde(default = "default_clock", with = "duration")]
    pub clock_interval: Duration,
}

/// A schema on a PostgreSQL server.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// The server, the database, and as whom: `postgres://role:password@host/name`.
    pub url: Secret,
    /// The service's schema.
    pub schema: &'static str,
}

/// What a schema should be: for [`crate::migrate`].
#[derive(Clone, Debug)]
pub struct Schema {
    /// Its name, which is the service's.
    pub name: &'static str,
    /// The role the service signs in as: `aio_billing`.
    pub role: String,
    /// The role's password; without one, whatever it has is left alone.
    pub role_password: Option<Secret>,
    /// Its steps.
    pub migrations: &'static [Migration],
    /// Tables whose rows the role may add and read, and never change or delete.
    pub append_only: &'static [&'static str],
}

/// What [`crate::migrate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; 0 when there was nothing.
    pub before: i64,
    /// The version now.
    pub now: i64,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            readers: default_readers(),
            writers: default_writers(),
            write_queue: default_queue(),
            write_batch: default_batch(),
            acquire_timeout: default_acquire(),
            write_acquire_timeout: default_write_acquire(),
            write_timeout: default_write(),
            statement_timeout: default_statement(),
            lock_timeout: default_lock(),
            idle_in_transaction_timeout: default_idle(),
            start_timeout: default_start(),
            clock_interval: default_clock(),
        }
    }
}

const fn default_readers() -> u32 {
    4
}

const fn default_writers() -> u32 {
    16
}

const fn default_queue() -> usize {
    8_192
}

const fn default_batch() -> usize {
    256
}

const fn default_acquire() -> Duration {
    Duration::from_millis(500)
}

const fn default_write_acquire() -> Duration {
    Duration::from_secs(1)
}

const fn default_write() -> Duration {
    Duration::from_secs(15)
}

const fn default_statement() -> Duration {
    Duration::from_secs(5)
}

const fn default_lock() -> Duration {
    Duration::from_secs(2)
}

const fn default_idle() -> Duration {
    Duration::from_secs(3)
}

const fn default_start() -> Duration {
    Duration::from_secs(60)
}

const fn default_clock() -> Duration {
    Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use chassis::config::Settings;

    use super::*;

    fn read(text: &str) -> Result<Config, chassis::config::Error> {
        Settings::from_toml(text).section("database")
    }

    #[test]
    fn the_limits_stand_beside_the_address() {
        let config = read(
            "[database]\nurl = 'postgres://a:b@c/d'\nwriters = 3\nlock_timeout = '1s'\n[database.passwords]\nbilling = 'p'",
        );
        let config = config.unwrap();
        assert_eq!(config.url.unwrap().expose(), "postgres://a:b@c/d");
        assert_eq!(config.passwords["billing"].expose(), "p");
        assert_eq!((config.limits.writers, config.limits.readers), (3, 4));
        assert_eq!(config.limits.lock_timeout, Duration::from_secs(1));
    }

    #[test]
    fn an_absent_section_is_a_file_with_the_defaults() {
        let config = read("").unwrap();
        assert!(config.url.is_none() && config.passwords.is_empty());
        assert_eq!(config.limits.writers, Limits::default().writers);
    }

    #[test]
    fn a_mistake_is_named() {
        let misspelt = read("[database]\nwriter = 3").unwrap_err().to_string();
        assert!(misspelt.contains("writer"), "{misspelt}");
        let wrong = read("[database]\nwriters = 'many'")
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("many") && wrong.contains("u32"), "{wrong}");
    }
}
