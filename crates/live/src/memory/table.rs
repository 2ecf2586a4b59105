//! What is kept per limited key, in bounded memory. An entry that says no more than its absence would is swept away.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::Error;

/// A table is not swept before it has this many entries.
const SMALL: usize = 1_024;
/// A sweep looks at every entry, so a table that stays full is not swept for each new key.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// An entry that may have outlived its use.
pub(super) trait Spent {
    /// Whether it says no more than its absence would.
    fn is_spent(&self, now: Instant) -> bool;
}

/// At most `capacity` entries.
pub(super) struct Table<V> {
    capacity: usize,
    entries: HashMap<Box<str>, V>,
    /// The size at which the next sweep pays off.
    sweep_at: usize,
    next_sweep: Option<Instant>,
}

// === impl Table ===

impl<V: Spent> Table<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: HashMap::new(),
            sweep_at: SMALL.min(capacity),
            next_sweep: None,
        }
    }

    /// The entry of a key, made if there is none.
    pub(super) fn entry(
        &mut self,
        key: &str,
        now: Instant,
        blank: impl FnOnce() -> V,
    ) -> Result<&mut V, Error> {
        if !self.entries.contains_key(key) {
            self.make_room(now)?;
            self.entries.insert(key.into(), blank());
        }
        self.entries.get_mut(key).ok_or(Error::Full)
    }

    /// Changes the entry of a key, if there is one, and forgets it if that leaves nothing to keep.
    pub(super) fn change(&mut self, key: &str, now: Instant, change: impl FnOnce(&mut V)) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        change(entry);
        if entry.is_spent(now) {
            self.entries.remove(key);
        }
    }

    fn make_room(&mut self, now: Instant) -> Result<(), Error> {
        let rested = self.next_sweep.is_none_or(|next| next <= now);
        if self.entries.len() >= self.sweep_at && rested {
            self.entries.retain(|_key, entry| !entry.is_spent(now));
            let twice = self.entries.len().saturating_mul(2);
            self.sweep_at = twice.max(SMALL).min(self.capacity);
            self.next_sweep = Some(now + SWEEP_PAUSE);
        }
        if self.entries.len() < self.capacity {
            Ok(())
        } else {
            Err(Error::Full)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Until(Instant);

    impl Spent for Until {
        fn is_spent(&self, now: Instant) -> bool {
            self.0 <= now
        }
    }

    fn put(table: &mut Table<Until>, key: usize, now: Instant, life: u64) -> Result<(), Error> {
        let until = now + Duration::from_secs(life);
        table
            .entry(&key.to_string(), now, || Until(until))
            .map(|_| ())
    }

    #[test]
    fn a_full_table_refuses_new_keys_and_serves_known_ones() {
        let now = Instant::now();
        let mut table = Table::new(2);
        put(&mut table, 1, now, 10).unwrap();
        put(&mut table, 2, now, 10).unwrap();
        assert_eq!(put(&mut table, 3, now, 10), Err(Error::Full));
        put(&mut table, 1, now, 10).unwrap();
    }

    #[test]
    fn a_full_table_has_room_again_once_entries_are_spent() {
        let now = Instant::now();
        let mut table = Table::new(2);
        put(&mut table, 1, now, 3).unwrap();
        put(&mut table, 2, now, 10).unwrap();
        assert_eq!(put(&mut table, 3, now, 10), Err(Error::Full));
        let later = now + Duration::from_secs(3);
        put(&mut table, 3, later, 10).unwrap();
        assert_eq!(put(&mut table, 4, later, 10), Err(Error::Full));
    }

    #[test]
    fn a_table_does_not_grow_with_keys_that_come_once() {
        let mut now = Instant::now();
        let mut table = Table::new(100_000);
        for key in 0..50_000 {
            put(&mut table, key, now, 1).unwrap();
            now += Duration::from_millis(5);
        }
        // 200 keys live at any time.
        assert!(table.entries.len() <= SMALL, "{}", table.entries.len());
    }

    #[test]
    fn a_table_that_stays_full_is_swept_once_a_second() {
        let now = Instant::now();
        let mut table = Table::new(1);
        put(&mut table, 1, now, 10).unwrap();
        assert_eq!(put(&mut table, 2, now, 10), Err(Error::Full));
        let swept = table.next_sweep;
        let soon = now + SWEEP_PAUSE / 2;
        assert_eq!(put(&mut table, 2, soon, 10), Err(Error::Full));
        assert_eq!(table.next_sweep, swept);
    }

    #[test]
    fn a_change_that_leaves_nothing_forgets_the_key() {
        let now = Instant::now();
        let mut table = Table::new(10);
        put(&mut table, 1, now, 10).unwrap();
        table.change("1", now, |_until| {});
        assert_eq!(table.entries.len(), 1);
        table.change("1", now, |until| until.0 = now);
        assert!(table.entries.is_empty());
        table.change("1", now, |until| until.0 = now);
    }
}
