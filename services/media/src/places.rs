//! Places for what may be under way at once in this process: so many in all, and so many of one account in a mode.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::files::Owner;

/// The places there are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    /// How many one account may have.
    most_each: usize,
    /// How many of whom are taken.
    taken: Arc<Mutex<HashMap<Owner, usize>>>,
}

/// A place that was taken, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    owner: Owner,
    taken: Arc<Mutex<HashMap<Owner, usize>>>,
    _among_all: OwnedSemaphorePermit,
}

/// How many places who has, and how many one may have.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) by: HashMap<Owner, usize>,
    pub(crate) most_each: usize,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The account has as many as it may.
    Account,
    /// All are taken.
    All,
}

// === impl Places ===

impl Places {
    /// So many places, and how many of them one account may have.
    pub(crate) fn new(most: usize, most_each: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            most_each,
            taken: Arc::default(),
        }
    }

    /// How many are free.
    pub(crate) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// How many who has.
    pub(crate) fn held(&self) -> Held {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        Held {
            by: taken.clone(),
            most_each: self.most_each,
        }
    }

    /// Takes a place for somebody, if there is one.
    pub(crate) fn take(&self, owner: Owner) -> Result<Place, Full> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&owner).copied().unwrap_or_default();
        if own >= self.most_each {
            return Err(Full::Account);
        }
        let among_all = Arc::clone(&self.free).try_acquire_owned();
        let among_all = among_all.map_err(|_full| Full::All)?;
        taken.insert(owner, own.saturating_add(1));
        Ok(Place {
            owner,
            taken: Arc::clone(&self.taken),
            _among_all: among_all,
        })
    }
}

// === impl Held ===

impl Held {
    /// Nobody has any, and may have as many as he likes.
    pub(crate) fn nothing() -> Self {
        Self {
            by: HashMap::new(),
            most_each: usize::MAX,
        }
    }

    /// How many somebody has.
    pub(crate) fn of(&self, owner: &Owner) -> usize {
        self.by.get(owner).copied().unwrap_or_default()
    }

    /// How many more he may have.
    pub(crate) fn left(&self, owner: &Owner) -> usize {
        self.most_each.saturating_sub(self.of(owner))
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.owner) {
            Some(own) if *own > 1 => *own = own.saturating_sub(1),
            Some(_) | None => {
                taken.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chassis::clock::mint;
    use domain::Mode;

    use super::*;

    #[test]
    fn nobody_has_more_than_his_share_of_the_places() {
        let owner = || Owner {
            account: mint(),
            mode: Mode::Live,
        };
        let places = Places::new(3, 2);
        let (one, other) = (owner(), owner());
        let first = places.take(one).unwrap();
        let _second = places.take(one).unwrap();
        assert_eq!(places.take(one).unwrap_err(), Full::Account);
        let _third = places.take(other).unwrap();
        assert_eq!(places.take(other).unwrap_err(), Full::All);
        drop(first);
        let _fourth = places.take(other).unwrap();
        assert_eq!(places.take(other).unwrap_err(), Full::Account);
    }
}
