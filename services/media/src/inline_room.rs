//! Room for the bytes that travel inside of requests, in this process. Test keys, which cost nothing, have room of their own; and one account
//! has half of its mode's, so that it never takes all of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{Mode, catalogue::Model};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::FileLimits, files::Owner};

/// Bytes that a permit stands for.
pub(crate) const UNIT: u64 = 1024;
/// Of so many parts of what live keys have, test keys have one beside it.
const FOR_TESTS: u64 = 4;

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct InlineRooms {
    usual: Rooms,
    /// Recordings are large, and are there as long as somebody hears them: pictures do not wait for them.
    recordings: Rooms,
}

/// What the bytes are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A recording whose words are asked for.
    Recording,
    /// Anything else.
    Usual,
}

/// What both modes have for one of them.
#[derive(Clone, Debug)]
struct Rooms {
    live: Mine,
    test: Mine,
    /// How many units are whose.
    taken: Taken,
}

/// What one mode has.
#[derive(Clone, Debug)]
struct Mine {
    free: Arc<Semaphore>,
    most_each: u32,
}

/// Room that somebody has, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct InlineRoom {
    owner: Owner,
    taken: Taken,
    permit: OwnedSemaphorePermit,
}

type Taken = Arc<Mutex<HashMap<Owner, u32>>>;

// === impl InlineRooms ===

impl InlineRooms {
    pub(crate) fn new(limits: &FileLimits) -> Self {
        let one = limits.most_given();
        Self {
            usual: Rooms::of(limits.inline_total_bytes, one),
            recordings: Rooms::of(limits.recordings_total_bytes, one),
        }
    }

    /// Room for so many bytes, if there is some. What one request may have, there is where nobody else has anything.
    pub(crate) fn take(&self, owner: Owner, (holds, bytes): (Holds, u64)) -> Option<InlineRoom> {
        match holds {
            Holds::Recording => self.recordings.take(owner, bytes),
            Holds::Usual => self.usual.take(owner, bytes),
        }
    }
}

// === impl Holds ===

impl Holds {
    /// What a request for this model has inside.
    pub(crate) fn of(model: &Model) -> Self {
        if model.counted().next().is_some() {
            Self::Recording
        } else {
            Self::Usual
        }
    }
}

// === impl Rooms ===

impl Rooms {
    fn of(total: u64, one: u64) -> Self {
        let part = total.checked_div(FOR_TESTS).unwrap_or_default();
        Self {
            live: Mine::of(total, one),
            test: Mine::of(part.max(one), one),
            taken: Taken::default(),
        }
    }

    fn take(&self, owner: Owner, bytes: u64) -> Option<InlineRoom> {
        let mine = match owner.mode {
            Mode::Live => &self.live,
            Mode::Test => &self.test,
        };
        let units = units(bytes).min(mine.most_each);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&owner).copied().unwrap_or_default();
        let then = own
            .checked_add(units)
            .filter(|then| *then <= mine.most_each)?;
        let permit = Arc::clone(&mine.free).try_acquire_many_owned(units).ok()?;
        taken.insert(owner, then);
        Some(InlineRoom {
            owner,
            taken: Arc::clone(&self.taken),
            permit,
        })
    }
}

// === impl Mine ===

impl Mine {
    fn of(total: u64, one: u64) -> Self {
        let half = total.checked_div(2).unwrap_or_default();
        let permits = usize::try_from(units(total)).unwrap_or(usize::MAX);
        Self {
            free: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            most_each: units(half.max(one)),
        }
    }
}

// === impl InlineRoom ===

impl InlineRoom {
    /// Gives back what so many bytes do not need of it.
    pub(crate) fn fit(&mut self, bytes: u64) {
        let needed = usize::try_from(units(bytes)).unwrap_or(usize::MAX);
        let spare = self.permit.num_permits().saturating_sub(needed);
        if let Some(spare) = self.permit.split(spare) {
            less(&self.taken, self.owner, spare.num_permits());
        }
    }
}

impl Drop for InlineRoom {
    fn drop(&mut self) {
        less(&self.taken, self.owner, self.permit.num_permits());
    }
}

fn less(taken: &Taken, owner: Owner, units: usize) {
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    match taken.get_mut(&owner) {
        Some(own) if *own > units => *own = own.saturating_sub(units),
        Some(_) | None => {
            taken.remove(&owner);
        }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use chassis::clock::mint;

    use super::*;

    const ONE: u64 = 10 * UNIT;

    fn all() -> InlineRooms {
        InlineRooms::new(&FileLimits {
            inline_bytes: ONE,
            given_bytes: ONE,
            inline_total_bytes: 40 * UNIT,
            recordings_total_bytes: 20 * UNIT,
            ..FileLimits::default()
        })
    }

    fn rooms() -> Rooms {
        all().usual
    }

    #[test]
    fn recordings_take_nothing_of_what_pictures_have() {
        let (all, live) = (all(), || owner(Mode::Live));
        let take = |holds| all.take(live(), (holds, ONE));
        let recordings: Vec<_> = (0..3).map(|_| take(Holds::Recording)).collect();
        let had = recordings.iter().filter(|room| room.is_some()).count();
        assert_eq!(had, 2);
        let pictures: Vec<_> = (0..5).map(|_| take(Holds::Usual)).collect();
        let had = pictures.iter().filter(|room| room.is_some()).count();
        assert_eq!(had, 4);
        drop(recordings);
        assert!(take(Holds::Usual).is_none() && take(Holds::Recording).is_some());
    }

    fn owner(mode: Mode) -> Owner {
        Owner {
            account: mint(),
            mode,
        }
    }

    #[test]
    fn test_keys_take_nothing_of_what_live_keys_have() {
        let (rooms, live) = (rooms(), owner(Mode::Live));
        let tests = std::iter::from_fn(|| rooms.take(owner(Mode::Test), ONE));
        assert_eq!(tests.take(9).collect::<Vec<_>>().len(), 1);
        let first = rooms.take(owner(Mode::Test), ONE);
        let all: Vec<_> = (0..4).map(|_| rooms.take(owner(Mode::Live), ONE)).collect();
        assert!(first.is_some() && all.iter().all(Option::is_some));
        assert!(rooms.take(live, UNIT).is_none(), "all of it is taken");
        drop(all);
        assert!(rooms.take(live, UNIT).is_some());
    }

    #[test]
    fn nobody_has_more_than_half() {
        let (rooms, one) = (rooms(), owner(Mode::Live));
        let mut first = rooms.take(one, ONE).unwrap();
        let second = rooms.take(one, ONE).unwrap();
        assert!(rooms.take(one, 1).is_none());
        assert!(rooms.take(owner(Mode::Live), ONE).is_some());
        // What is not needed is there for him again, and for others.
        first.fit(UNIT + 1);
        let third = rooms.take(one, 8 * UNIT).unwrap();
        assert!(rooms.take(one, 1).is_none());
        drop((first, second, third));
        assert!(rooms.taken.lock().unwrap().is_empty());
        assert_eq!(rooms.live.free.available_permits(), 40);
    }

    #[test]
    fn what_one_request_may_have_one_can_have() {
        let rooms = InlineRooms::new(&FileLimits {
            inline_bytes: ONE,
            inline_total_bytes: ONE,
            ..FileLimits::default()
        });
        for mode in [Mode::Live, Mode::Test] {
            assert!(rooms.take(owner(mode), (Holds::Usual, ONE)).is_some());
            assert!(rooms.take(owner(mode), (Holds::Recording, ONE)).is_some());
        }
    }
}
