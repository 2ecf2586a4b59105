//! How much is kept in memory, and for how long.

use std::time::{Duration, Instant};

use domain::TaskId;
use moka::Expiry;
use serde::Deserialize;

use crate::{TaskSnapshot, Terminal};

/// The section `live`. What a field is when it is left out, its `Default` says, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long the snapshot of an ended task is kept. Default `1h`.
    #[serde(with = "chassis::config::duration")]
    pub ended_life: Duration,
    /// How long the snapshot of an open task is kept after its last change. Default `24h`.
    #[serde(with = "chassis::config::duration")]
    pub open_life: Duration,
    /// What all snapshots together may take, in bytes; the least recently used go first. Default 256 MiB.
    pub snapshot_bytes: u64,
    /// Keys whose calls are limited at once, and keys that hold slots at once. Default 100 000 each.
    pub keys: usize,
    /// Notices kept for a listener that is slow, 1 to 65 536. Default 1 024.
    pub notices: usize,
}

/// How long the cache keeps a snapshot.
pub(super) struct Lives {
    ended: Duration,
    open: Duration,
}

// === impl Limits ===

impl Limits {
    pub(super) const MOST_NOTICES: usize = 65_536;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ended_life: Duration::from_secs(60 * 60),
            open_life: Duration::from_secs(24 * 60 * 60),
            snapshot_bytes: 256 * 1024 * 1024,
            keys: 100_000,
            notices: 1_024,
        }
    }
}

// === impl Lives ===

impl Lives {
    pub(super) const fn of(limits: &Limits) -> Self {
        Self {
            ended: limits.ended_life,
            open: limits.open_life,
        }
    }

    const fn life(&self, snapshot: &TaskSnapshot) -> Option<Duration> {
        match snapshot.terminal {
            Terminal::Ended => Some(self.ended),
            Terminal::Open => Some(self.open),
        }
    }
}

impl Expiry<TaskId, TaskSnapshot> for Lives {
    fn expire_after_create(
        &self,
        _task: &TaskId,
        snapshot: &TaskSnapshot,
        _now: Instant,
    ) -> Option<Duration> {
        self.life(snapshot)
    }

    fn expire_after_update(
        &self,
        _task: &TaskId,
        snapshot: &TaskSnapshot,
        _now: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        self.life(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_has_the_documented_defaults() {
        let limits: Limits = serde_json::from_str("{}").unwrap();
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn a_section_may_name_some_fields() {
        let limits: Limits =
            serde_json::from_str(r#"{"ended_life":"90s","snapshot_bytes":1000}"#).unwrap();
        let others = Limits::default();
        assert_eq!(limits.ended_life, Duration::from_secs(90));
        assert_eq!(limits.snapshot_bytes, 1000);
        assert_eq!(limits.open_life, others.open_life);
        assert!(serde_json::from_str::<Limits>(r#"{"snapshots":1}"#).is_err());
    }
}
