//! How many requests may be open at one provider at once, with one credential and with all of them together: one that hangs keeps so
//! many of ours, and no more. A berth is kept until the answer has ended, or its caller has left.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prometheus_client::metrics::gauge::Gauge;

use crate::metrics::{Credential, Metrics};

/// The room at one provider, shared by all its credentials and models.
pub(crate) struct Room {
    open: AtomicU64,
    limit: u64,
}

/// The room of one credential, in that of its provider.
pub(crate) struct Bulkhead {
    whole: Arc<Room>,
    own: Room,
    credential: Credential,
    figure: Gauge,
    metrics: Metrics,
}

/// A place in both, given back when it is dropped.
pub(crate) struct Berth(Arc<Bulkhead>);

// === impl Room ===

impl Room {
    pub(crate) const fn new(limit: u64) -> Self {
        Self {
            open: AtomicU64::new(0),
            limit,
        }
    }

    fn is_full(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.limit
    }

    fn take(&self) -> bool {
        let more = |open: u64| (open < self.limit).then(|| open.saturating_add(1));
        let taken = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok()
    }

    fn give_back(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Bulkhead ===

impl Bulkhead {
    pub(crate) fn new(
        (whole, own): (Arc<Room>, Room),
        credential: Credential,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            whole,
            own,
            figure: metrics.load.in_flight(&credential),
            credential,
            metrics,
        })
    }

    /// Whether one more would have no place.
    pub(crate) fn is_full(&self) -> bool {
        self.own.is_full() || self.whole.is_full()
    }

    /// How many requests are open with its credential.
    pub(crate) fn open(&self) -> u64 {
        self.own.open.load(Ordering::Relaxed)
    }

    /// A place, if there is one.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Berth> {
        if !self.own.take() {
            self.metrics.load.was_full(&self.credential);
            return None;
        }
        if !self.whole.take() {
            self.own.give_back();
            self.metrics.load.was_full(&self.credential);
            return None;
        }
        self.figure.inc();
        Some(Berth(Arc::clone(self)))
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.0.figure.dec();
        self.0.whole.give_back();
        self.0.own.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    fn bulkhead(whole: &Arc<Room>, own: u64, place: u32) -> Arc<Bulkhead> {
        let credential = Credential {
            provider: "p".to_owned(),
            credential: place,
        };
        Bulkhead::new(
            (Arc::clone(whole), Room::new(own)),
            credential,
            Metrics::default(),
        )
    }

    #[test]
    fn a_credential_has_its_own_room_within_its_providers() {
        let whole = Arc::new(Room::new(3));
        let (one, other) = (bulkhead(&whole, 2, 1), bulkhead(&whole, 2, 2));
        let mut berths = vec![one.enter().unwrap(), one.enter().unwrap()];
        assert!(one.is_full() && one.enter().is_none() && !other.is_full());
        berths.push(other.enter().unwrap());
        // Its own would do, the provider's does not.
        assert!(other.is_full() && other.enter().is_none());
        berths.pop();
        assert!(!other.is_full() && one.is_full());
        drop(berths);
        assert_eq!((one.figure.get(), other.figure.get()), (0, 0));
        assert!(other.enter().is_some() && one.enter().is_some());
    }

    #[test]
    fn many_threads_never_have_more_than_there_is_room_for() {
        let whole = Arc::new(Room::new(3));
        let (one, other) = (bulkhead(&whole, 2, 1), bulkhead(&whole, 2, 2));
        for _ in 0..50 {
            let (together, entered) = (Barrier::new(8), Barrier::new(8));
            let enter = |bulkhead: &Arc<Bulkhead>| {
                together.wait();
                let berth = bulkhead.enter();
                entered.wait();
                berth.is_some()
            };
            let inside = thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|place| {
                        let bulkhead = if place % 2 == 0 { &one } else { &other };
                        scope.spawn(|| enter(bulkhead))
                    })
                    .collect();
                let inside = threads.into_iter().map(|thread| thread.join().unwrap());
                inside.filter(|inside| *inside).count()
            });
            assert_eq!(inside, 3);
        }
    }
}
