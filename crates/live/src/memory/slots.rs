//! The slots that one key holds, each until it is given back or its life is over.

use std::collections::HashMap;

use tokio::time::Instant;

use super::table::Spent;

/// Each slot with the end of its life. Some may be over: they are looked for only when room is needed.
#[derive(Default)]
pub(super) struct Slots(HashMap<[u8; 16], Instant>);

// === impl Slots ===

impl Slots {
    /// Takes a slot, or renews it; `false` when `limit` others are taken.
    pub(super) fn take(
        &mut self,
        slot: [u8; 16],
        limit: u32,
        now: Instant,
        until: Instant,
    ) -> bool {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if self.0.len() >= limit {
            self.0.retain(|_slot, until| *until > now);
        }
        let fits = self.0.contains_key(&slot) || self.0.len() < limit;
        if fits {
            self.0.insert(slot, until);
        }
        fits
    }

    pub(super) fn give(&mut self, slot: [u8; 16]) {
        self.0.remove(&slot);
    }
}

impl Spent for Slots {
    fn is_spent(&self, now: Instant) -> bool {
        self.0.values().all(|until| *until <= now)
    }
}
