//! The scripts: each is one step that nobody sees half done. A file is never changed once released; its successor is a new
//! version beside it, so that old and new processes may run at once.

use redis::Script;

/// The scripts this version uses.
pub(super) struct Scripts {
    /// Keeps a snapshot.
    pub(super) task_put: Script,
    /// Judges a call.
    pub(super) gcra: Script,
    /// Takes back a call that was counted.
    pub(super) gcra_back: Script,
    /// Takes a slot.
    pub(super) take_slot: Script,
}

// === impl Scripts ===

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            task_put: Script::new(include_str!("task_put.v1.lua")),
            gcra: Script::new(include_str!("gcra.v1.lua")),
            gcra_back: Script::new(include_str!("gcra_back.v1.lua")),
            take_slot: Script::new(include_str!("take_slot.v1.lua")),
        }
    }
}
