//! What keys and channels are called. The part in braces is what a cluster shards by; no script touches two keys.

use domain::TaskId;

/// The names of one installation.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
    /// Where the ids of tasks that changed are told, 16 bytes each.
    pub(super) tasks_channel: String,
    /// Where notices are told.
    pub(super) notices_channel: String,
}

// === impl Names ===

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            tasks_channel: format!("{prefix}:tasks"),
            notices_channel: format!("{prefix}:notices"),
            prefix: prefix.to_owned(),
        }
    }

    /// Where the snapshot of a task lies.
    pub(super) fn task(&self, task: TaskId) -> String {
        format!("{}:task:{{{task}}}", self.prefix)
    }

    /// Where the rate of a limited key is counted.
    pub(super) fn rate(&self, key: &str) -> String {
        format!("{}:rate:{{{key}}}", self.prefix)
    }

    /// Where the slots of a limited key lie.
    pub(super) fn slots(&self, key: &str) -> String {
        format!("{}:slots:{{{key}}}", self.prefix)
    }
}
