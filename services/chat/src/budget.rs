//! How many calls beside the first one the requests for a model may make after failures: each request earns a part of one, and what is not
//! spent is kept, up to a reserve. So an outage adds that part to the load of those who still serve, and the reserve once, whatever each
//! single request may do.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::ExtraCalls;

/// What one call costs, where a request earns so many percent of one.
const CALL: u64 = 100;

/// The budget of one model.
pub(crate) struct Budget {
    left: AtomicU64,
    earned: u64,
    most: u64,
}

// === impl Budget ===

impl Budget {
    /// Its reserve is full.
    pub(crate) fn new(limits: ExtraCalls) -> Self {
        let most = limits.reserve.saturating_mul(CALL);
        Self {
            left: AtomicU64::new(most),
            earned: limits.percent,
            most,
        }
    }

    /// One that never ends.
    pub(crate) fn endless() -> Self {
        Self::new(ExtraCalls {
            percent: u64::MAX,
            reserve: u64::MAX,
        })
    }

    /// A request makes its first call.
    pub(crate) fn earn(&self) {
        let more = |left: u64| {
            let more = left.saturating_add(self.earned).min(self.most);
            (more != left).then_some(more)
        };
        // Mostly it is full, and nothing is written.
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Whether another call could be made now.
    pub(crate) fn affords(&self) -> bool {
        self.left.load(Ordering::Relaxed) >= CALL
    }

    /// A request would make another call: whether it may.
    pub(crate) fn spend(&self) -> bool {
        let less = |left: u64| left.checked_sub(CALL);
        let spent = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        spent.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_earned_is_spent_and_the_reserve_once() {
        let budget = Budget::new(ExtraCalls {
            percent: 20,
            reserve: 2,
        });
        assert_eq!([(); 3].map(|()| budget.spend()), [true, true, false]);
        (0..4).for_each(|_| budget.earn());
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend() && !budget.spend());
        // It is kept, but no more than the reserve.
        (0..1_000).for_each(|_| budget.earn());
        assert_eq!([(); 3].map(|()| budget.spend()), [true, true, false]);
    }

    #[test]
    fn an_endless_one_does_not_end() {
        let budget = Budget::endless();
        for _ in 0..1_000 {
            assert!(budget.affords() && budget.spend());
        }
        budget.earn();
        assert!(budget.spend());
    }

    proptest! {
        #[test]
        fn extra_calls_are_a_part_of_the_requests_and_the_reserve(
            percent in 0_u64..=100, reserve in 1_u64..50, asks in prop::collection::vec(0_u64..3, 1..500),
        ) {
            let budget = Budget::new(ExtraCalls { percent, reserve });
            let (mut requests, mut extra) = (0, 0);
            for wanted in asks {
                budget.earn();
                requests += 1;
                extra += (0..wanted).filter(|_| budget.spend()).count();
                prop_assert!(u64::try_from(extra).unwrap() * 100 <= requests * percent + reserve * 100);
            }
        }
    }
}
