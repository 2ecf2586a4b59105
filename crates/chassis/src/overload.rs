//! Whether a process is behind with its work, and how much it takes on then. More work than it can do is not done later but too late: every
//! deadline passes while it waits. So who is behind takes on less at once than it has begun, and refuses the newest, which costs little; who
//! has caught up takes on more again.
//!
//! What is measured is how late a timer is told, and of that the least in a window, as `CoDel` does it: a moment with much to do is no
//! queue, one that does not empty is. How long a provider takes says nothing, nor how busy the processors are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tracing::{info, info_span};

use crate::{Tasks, config::duration};

/// How often it is looked how late it is, and over how long.
const TICK: Duration = Duration::from_millis(10);
const WINDOW: Duration = Duration::from_millis(100);

/// `limits.overload`: what counts as being behind.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverloadLimits {
    /// How long work may wait for its turn all the time. Default `200ms`; `0s`: nobody is ever refused for that.
    #[serde(with = "duration")]
    pub delay: Duration,
    /// So many requests that have not been answered yet are taken on at once, however late they are. Default 512.
    pub least: usize,
}

/// How much a process takes on.
#[derive(Debug)]
pub struct Overload {
    limits: OverloadLimits,
    begun: AtomicUsize,
    allowed: AtomicUsize,
}

/// One request that was taken on, until its answer begins.
#[derive(Debug)]
pub struct Begun {
    overload: Arc<Overload>,
    is_answered: AtomicBool,
}

// === impl OverloadLimits ===

impl Default for OverloadLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(200),
            least: 512,
        }
    }
}

// === impl Overload ===

impl Overload {
    /// Looks how late it is until told to stop.
    pub fn watch(limits: OverloadLimits, tasks: &Tasks) -> Arc<Self> {
        let overload = Arc::new(Self {
            limits,
            begun: AtomicUsize::new(0),
            allowed: AtomicUsize::new(usize::MAX),
        });
        if !overload.limits.delay.is_zero() {
            let (watched, told) = (Arc::clone(&overload), tasks.clone());
            tasks.spawn_loop(info_span!("overload"), move || {
                let (watched, told) = (Arc::clone(&watched), told.clone());
                async move {
                    tokio::select! {
                        () = watched.look_for_ever() => {}
                        () = told.stopping() => {}
                    }
                }
            });
        }
        overload
    }

    /// Takes one more request on; `None` when there are as many as can be answered in time.
    pub fn begin(self: &Arc<Self>) -> Option<Begun> {
        let before = self.begun.fetch_add(1, Ordering::Relaxed);
        // From here on it is given back, also by who is refused.
        let begun = Begun {
            overload: Arc::clone(self),
            is_answered: AtomicBool::new(false),
        };
        (before < self.allowed.load(Ordering::Relaxed)).then_some(begun)
    }

    async fn look_for_ever(&self) {
        let (mut since, mut least) = (Instant::now(), Duration::MAX);
        loop {
            let begun = Instant::now();
            sleep(TICK).await;
            least = least.min(begun.elapsed().saturating_sub(TICK));
            if since.elapsed() >= WINDOW {
                self.judge(least);
                (since, least) = (Instant::now(), Duration::MAX);
            }
        }
    }

    fn judge(&self, late: Duration) {
        let begun = self.begun.load(Ordering::Relaxed);
        let allowed = self.allowed.load(Ordering::Relaxed);
        let next = next(&self.limits, (allowed, begun), late);
        self.allowed.store(next, Ordering::Relaxed);
        if allowed == usize::MAX && next < allowed {
            let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            info!(
                begun,
                late_ms = late,
                "more to do than can be done in time; the newest requests are refused"
            );
        }
    }
}

/// How many may be begun after a window in which everything was so late.
fn next(limits: &OverloadLimits, (allowed, begun): (usize, usize), late: Duration) -> usize {
    if late > limits.delay {
        let fewer = allowed.min(begun) / 5 * 4;
        return fewer.max(limits.least);
    }
    // Where most of them are used, more may be; where they are not, nobody asks for more.
    if begun >= allowed / 5 * 4 {
        return allowed.saturating_add(allowed / 8).saturating_add(1);
    }
    allowed
}

// === impl Begun ===

impl Begun {
    /// The answer begins: what is left of it takes no more time than others let it.
    pub fn answered(&self) {
        if !self.is_answered.swap(true, Ordering::Relaxed) {
            self.overload.begun.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.answered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OverloadLimits = OverloadLimits {
        delay: Duration::from_millis(100),
        least: 10,
    };

    #[test]
    fn who_is_behind_takes_on_less_than_there_is_and_who_is_not_takes_on_more() {
        let (late, in_time) = (Duration::from_millis(101), Duration::from_millis(100));
        for (before, lateness, after) in [
            // However many were allowed, what had been begun was too much.
            ((usize::MAX, 1000), late, 800),
            ((800, 800), late, 640),
            ((640, 20), late, 16),
            ((16, 2), late, 10),
            ((10, 10), late, 10),
            ((100, 100), in_time, 113),
            ((100, 80), in_time, 113),
            ((100, 79), in_time, 100),
            ((usize::MAX, 1000), in_time, usize::MAX),
        ] {
            assert_eq!(
                next(&LIMITS, before, lateness),
                after,
                "{before:?} {lateness:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_place_is_free_when_its_answer_begins_or_its_request_is_gone() {
        let overload = Overload::watch(LIMITS, &Tasks::default());
        overload.allowed.store(2, Ordering::Relaxed);
        let first = overload.begin().unwrap();
        let second = overload.begin().unwrap();
        assert!(overload.begin().is_none());
        first.answered();
        let third = overload.begin().unwrap();
        assert!(overload.begin().is_none());
        drop((first, second));
        let fourth = overload.begin();
        assert!(fourth.is_some() && overload.begin().is_none());
        drop((third, fourth));
        assert_eq!(overload.begun.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_process_that_never_gets_to_its_timers_in_time_is_behind() {
        let tasks = Tasks::default();
        let overload = Overload::watch(LIMITS, &tasks);
        let held: Vec<_> = (0..50).map_while(|_| overload.begin()).collect();
        assert_eq!(held.len(), 50);
        // The one thread of this test does nothing else meanwhile.
        while overload.allowed.load(Ordering::Relaxed) == usize::MAX {
            std::thread::sleep(Duration::from_millis(120));
            tokio::task::yield_now().await;
        }
        assert!(
            overload.begin().is_none(),
            "50 were begun, and that was too much"
        );
        assert!(tasks.stop(Duration::from_secs(5)).await);
    }
}
