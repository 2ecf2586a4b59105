//! Tasks of which this process knows that they come again for something that there is too little of. Who holds less comes before who holds
//! more, and else the older task before the younger one; and the more are ahead of a task, the later it asks again, so that all of them
//! together ask for little.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::TaskId;
use tokio::time::Instant;

use crate::{files::Owner, places::Held};

/// A task waits so long for each that is ahead of it, but within these bounds.
const EACH: Duration = Duration::from_millis(100);
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// A place is kept for who comes within so long, and for who should have come no longer ago: it may be over, or another process's.
const NEAR: Duration = Duration::from_secs(1);
/// After so long nobody counts who should have come.
const LOST: Duration = Duration::from_secs(5);

/// A task that wants something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) owner: Owner,
    pub(crate) task: TaskId,
    /// When it was submitted, microseconds UTC.
    pub(crate) since: i64,
}

/// Those that wait for one thing, and when each comes.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    all: Mutex<HashMap<TaskId, (Asker, Instant)>>,
}

/// How many are ahead of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Of its own account.
    pub(super) own: usize,
    /// Of others, as far as those may still have something.
    pub(super) others: usize,
}

// === impl Asker ===

impl Asker {
    fn turn(&self, held: &Held) -> (usize, i64, TaskId) {
        (held.of(&self.owner), self.since, self.task)
    }
}

// === impl Ahead ===

impl Ahead {
    /// All of them.
    pub(super) const fn count(self) -> usize {
        self.own.saturating_add(self.others)
    }
}

// === impl Waiting ===

impl Waiting {
    /// Those ahead of a task that are about to come.
    pub(super) fn near(&self, asker: &Asker, held: &Held, now: Instant) -> Ahead {
        self.ahead(asker, held, |comes_at| {
            comes_at.saturating_duration_since(now) <= NEAR && late_by(comes_at, now) <= NEAR
        })
    }

    /// Lets a task wait, and says how long.
    pub(super) fn put(&self, asker: Asker, held: &Held, now: Instant) -> Duration {
        let ahead = self.ahead(&asker, held, |comes_at| late_by(comes_at, now) <= LOST);
        let ahead = u32::try_from(ahead.count()).unwrap_or(u32::MAX);
        let wait = EACH.saturating_mul(ahead).clamp(SHORTEST, LONGEST);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (_, comes_at)| late_by(*comes_at, now) <= LOST);
        all.insert(asker.task, (asker, now.checked_add(wait).unwrap_or(now)));
        wait
    }

    /// It waits no longer.
    pub(super) fn remove(&self, task: TaskId) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&task);
    }

    fn ahead(&self, asker: &Asker, held: &Held, counts: impl Fn(Instant) -> bool) -> Ahead {
        let (turn, mut by) = (asker.turn(held), HashMap::<Owner, usize>::new());
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for (other, comes_at) in all.values() {
            if counts(*comes_at) && other.turn(held) < turn {
                let count = by.entry(other.owner).or_default();
                *count = count.saturating_add(1);
            }
        }
        drop(all);
        let own = by.remove(&asker.owner).unwrap_or_default();
        let others = by
            .iter()
            .map(|(owner, count)| *count.min(&held.left(owner)));
        Ahead {
            own,
            others: others.sum(),
        }
    }
}

/// By how much one is too late.
fn late_by(comes_at: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(comes_at)
}

#[cfg(test)]
mod tests {
    use chassis::clock::mint;
    use domain::Mode;

    use super::*;

    fn owner() -> Owner {
        Owner {
            account: mint(),
            mode: Mode::Live,
        }
    }

    fn asker(owner: Owner, since: i64) -> Asker {
        Asker {
            owner,
            task: mint(),
            since,
        }
    }

    #[test]
    fn who_stands_further_behind_asks_later() {
        let (waiting, one, now) = (Waiting::default(), owner(), Instant::now());
        let waits: Vec<u128> = (0..3_100)
            .map(|since| waiting.put(asker(one, since), &Held::nothing(), now))
            .map(|wait| wait.as_millis())
            .collect();
        assert_eq!(waits[..4], [250, 250, 250, 300]);
        assert_eq!((waits[100], waits[3_099]), (10_000, 300_000));
        let oldest = waiting.put(asker(one, -1), &Held::nothing(), now);
        assert_eq!(oldest, SHORTEST, "whoever was first stays it");
    }

    #[test]
    fn who_holds_less_comes_first_and_nobody_for_more_than_he_may_have() {
        let (waiting, now) = (Waiting::default(), Instant::now());
        let (rich, poor) = (owner(), owner());
        let held = Held {
            by: [(rich, 2)].into(),
            most_each: 3,
        };
        for since in 0..9 {
            waiting.put(asker(rich, since), &held, now);
        }
        let first = waiting.near(&asker(poor, 100), &held, now);
        assert_eq!(first, Ahead::default(), "although he came last");
        for since in 100..109 {
            waiting.put(asker(poor, since), &held, now);
        }
        let ahead = waiting.near(&asker(rich, -1), &held, now);
        assert_eq!(ahead, Ahead { own: 0, others: 3 });
    }

    #[test]
    fn who_does_not_come_keeps_nobody_back() {
        let (waiting, start) = (Waiting::default(), Instant::now());
        let (first, second) = (asker(owner(), 1), asker(owner(), 2));
        let held = Held::nothing();
        let comes_at = start + waiting.put(first, &held, start);
        let near = |now| waiting.near(&second, &held, now).count();
        assert_eq!(near(start), 1);
        assert_eq!(near(comes_at + NEAR), 1);
        assert_eq!(near(comes_at + NEAR * 2), 0);
        waiting.put(second, &held, comes_at + LOST * 2);
        assert_eq!(waiting.all.lock().unwrap().len(), 1);
        waiting.remove(second.task);
        assert!(waiting.all.lock().unwrap().is_empty());
    }
}
