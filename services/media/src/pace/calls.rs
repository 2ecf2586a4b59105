//! Calls to providers that answer with what they made. Each keeps a step as long as the work takes, and holds in memory what comes inside of
//! the answer: so there are only so many of them, apart for each mode, and only so many of one account. Steps are left for everything else,
//! whatever anybody asks for.

use std::time::Duration;

use domain::Mode;
use tokio::time::Instant;

use super::waiting::{Asker, Waiting};
use crate::{
    config::Limits,
    places::{Held, Place, Places},
};

/// What a task comes again for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// A place for such a call.
    Place,
    /// Room for the bytes that are inside of a request.
    Bytes,
}

/// The places for them.
#[derive(Debug)]
pub(super) struct Calls {
    live: Share,
    test: Share,
}

/// What one mode has, and who waits for it.
#[derive(Debug)]
struct Share {
    places: Places,
    for_places: Waiting,
    for_bytes: Waiting,
}

// === impl Calls ===

impl Calls {
    pub(super) fn new(limits: &Limits) -> Self {
        let share = || {
            let (most, each) = limits.submit.at_once(limits.max_steps);
            Share {
                places: Places::new(most, each),
                for_places: Waiting::default(),
                for_bytes: Waiting::default(),
            }
        };
        Self {
            live: share(),
            test: share(),
        }
    }

    /// A place for one more, if there is one, and nobody is ahead who is about to come for it.
    pub(super) fn take(&self, asker: &Asker) -> Option<Place> {
        let share = self.share(asker);
        share.is_next(asker).then_some(())?;
        let place = share.places.take(asker.owner).ok()?;
        share.for_places.remove(asker.task);
        Some(place)
    }

    /// Whether there is one now.
    pub(super) fn has_place(&self, asker: &Asker) -> bool {
        self.share(asker).is_next(asker)
    }

    /// A task comes again: so much later.
    pub(super) fn wait(&self, asker: Asker, wants: Wants) -> Duration {
        let (share, now) = (self.share(&asker), Instant::now());
        match wants {
            Wants::Place => share.for_places.put(asker, &share.places.held(), now),
            Wants::Bytes => share.for_bytes.put(asker, &Held::nothing(), now),
        }
    }

    const fn share(&self, asker: &Asker) -> &Share {
        match asker.owner.mode {
            Mode::Live => &self.live,
            Mode::Test => &self.test,
        }
    }
}

// === impl Share ===

impl Share {
    fn is_next(&self, asker: &Asker) -> bool {
        let held = self.places.held();
        let ahead = self.for_places.near(asker, &held, Instant::now());
        ahead.own < held.left(&asker.owner) && ahead.count() < self.places.free()
    }
}

#[cfg(test)]
mod tests {
    use chassis::clock::mint;

    use super::*;
    use crate::files::Owner;

    fn asker(owner: Owner, since: i64) -> Asker {
        Asker {
            owner,
            task: mint(),
            since,
        }
    }

    #[test]
    fn who_has_waited_longest_has_the_next_place() {
        let limits = Limits {
            max_steps: 4,
            ..Limits::default()
        };
        let calls = Calls::new(&limits);
        let owner = |mode| Owner {
            account: mint(),
            mode,
        };
        let [first, second, third] = [1, 2, 3].map(|since| asker(owner(Mode::Live), since));
        let taken = calls.take(&second).unwrap();
        assert!(!calls.has_place(&third));
        calls.wait(first, Wants::Place);
        calls.wait(third, Wants::Bytes);
        drop(taken);
        assert!(!calls.has_place(&third));
        assert!(calls.take(&third).is_none());
        assert!(calls.take(&asker(owner(Mode::Test), 9)).is_some());
        let taken = calls.take(&first).unwrap();
        assert!(calls.take(&third).is_none());
        drop(taken);
        assert!(calls.take(&third).is_some(), "who was served waits no more");
    }

    #[test]
    fn nobody_takes_the_places_of_others_or_of_the_other_mode() {
        let limits = Limits {
            max_steps: 16,
            ..Limits::default()
        };
        let calls = Calls::new(&limits);
        let owner = |mode| Owner {
            account: mint(),
            mode,
        };
        let (one, other) = (owner(Mode::Test), owner(Mode::Test));
        let mut taken: Vec<Place> = [one, one, one, other, other, other]
            .into_iter()
            .filter_map(|owner| calls.take(&asker(owner, 0)))
            .collect();
        assert_eq!(taken.len(), 4, "two of each");
        assert!(
            calls.take(&asker(owner(Mode::Test), 0)).is_none(),
            "all are taken"
        );
        let live = Owner {
            mode: Mode::Live,
            ..one
        };
        assert!(calls.take(&asker(live, 0)).is_some());
        taken.pop();
        assert!(calls.take(&asker(one, 0)).is_none());
        assert!(calls.take(&asker(other, 0)).is_some());
    }
}
