//! How many bytes of uploaded files stand in requests that are under way. A few words of a customer's bring megabytes into this process, and
//! a provider may let them wait there: so all of them together have a bound, and no account takes more than a part of it. Pure.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{AccountId, Caller, Mode};

/// An account, in one of its modes, has one part of so many.
pub(crate) const PARTS: u64 = 4;

/// Whose bytes they are.
type Owner = (AccountId, Mode);

/// The room of this process.
pub(super) struct Room {
    most: u64,
    taken: Mutex<Taken>,
}

/// What is taken of it.
#[derive(Default)]
struct Taken {
    all: u64,
    of: HashMap<Owner, u64>,
}

/// A request's share, given back when it is dropped.
pub(crate) struct Share {
    room: Arc<Room>,
    owner: Owner,
    bytes: u64,
}

// === impl Room ===

impl Room {
    pub(super) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
        })
    }

    /// Room for so many bytes of this caller's; `None`: there is none at the moment.
    pub(super) fn take(self: &Arc<Self>, caller: &Caller, bytes: u64) -> Option<Share> {
        let owner = (caller.account, caller.mode);
        let mut taken = self.taken();
        let own = taken.of.get(&owner).copied().unwrap_or_default();
        let (all, own) = (taken.all.saturating_add(bytes), own.saturating_add(bytes));
        if all > self.most || own > self.most / PARTS {
            return None;
        }
        taken.all = all;
        taken.of.insert(owner, own);
        Some(Share {
            room: Arc::clone(self),
            owner,
            bytes,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Share ===

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all = taken.all.saturating_sub(self.bytes);
        if let Some(own) = taken.of.get_mut(&self.owner) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                taken.of.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::PriceFactor;

    use super::*;

    fn caller(mode: Mode) -> Caller {
        Caller {
            account: chassis::mint(),
            mode,
            key: None,
            user: None,
            scopes: Vec::new(),
            request_id: String::new(),
            price_factor: PriceFactor::default(),
        }
    }

    #[test]
    fn nobody_takes_more_than_a_part_and_all_together_no_more_than_there_is() {
        let room = Room::new(400);
        let one = caller(Mode::Live);
        let test = Caller {
            mode: Mode::Test,
            ..one.clone()
        };
        let first = room.take(&one, 60).unwrap();
        assert!(room.take(&one, 41).is_none());
        let second = room.take(&one, 40).unwrap();
        // Its other mode, and other accounts, have parts of their own.
        let others = [test, caller(Mode::Live), caller(Mode::Live)];
        let shares = others.map(|other| room.take(&other, 100).unwrap());
        assert!(room.take(&caller(Mode::Live), 1).is_none());
        drop(first);
        assert!(room.take(&one, 61).is_none());
        drop((second, shares));
        assert!(room.take(&one, 100).is_some());
        let taken = room.taken();
        assert_eq!((taken.all, taken.of.len()), (0, 0));
    }
}
