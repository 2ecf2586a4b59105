//! One who can be asked: a provider, with one of our credentials there, for one model; and what is watched of its calls.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use upstream::Failure;

use crate::{
    breaker::{Breaker, Passage},
    bulkhead::{Berth, Bulkhead},
    config::SpeedLimits,
    health::News,
    providers::{Adapter, Endpoint},
    request::Wanted,
    speed::{Heard, Speed},
};

/// One provider that can be asked, with one of our credentials.
pub(crate) struct Candidate {
    /// Its name, for receipts, metrics and the customer.
    pub(crate) provider: String,
    /// What it speaks.
    pub(crate) adapter: Arc<dyn Adapter>,
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// How its credential does; nobody looks after the sandbox.
    pub(crate) breaker: Option<Arc<Breaker>>,
    /// How many requests may be open with its credential.
    pub(crate) bulkhead: Arc<Bulkhead>,
    /// How soon it answers in one piece, and how soon it begins to stream.
    pub(crate) speeds: [Mutex<Speed>; 2],
    /// What a request is told to wait that finds no room.
    pub(crate) full_wait: Duration,
    pub(crate) speed: SpeedLimits,
}

/// The right to ask once.
pub(crate) struct Entry<'c> {
    pub(crate) passage: Passage<'c>,
    pub(crate) berth: Berth,
}

/// A call whose time is taken until it is told how it went, or dropped.
pub(crate) struct Timing<'c> {
    candidate: &'c Candidate,
    wanted: Wanted,
    since: Instant,
    heard: Heard,
}

// === impl Candidate ===

impl Candidate {
    /// Whether a request could ask now.
    ///
    /// # Errors
    /// How long it must wait at least, where it could not.
    pub(crate) fn look(&self) -> Result<(), Duration> {
        if self.bulkhead.is_full() {
            return Err(self.full_wait);
        }
        self.breaker
            .as_ref()
            .map_or(Ok(()), |breaker| breaker.look())
    }

    /// Whether the provider asked us to slow down, and its moment has not come.
    pub(crate) fn is_limited(&self) -> bool {
        let breaker = self.breaker.as_ref();
        breaker.is_some_and(|breaker| breaker.is_limited())
    }

    /// A request goes past.
    pub(crate) fn pass_over(&self) {
        if let Some(breaker) = &self.breaker {
            breaker.pass_over();
        }
    }

    /// Lets a request ask, if it may.
    ///
    /// # Errors
    /// How long it must wait at least, where it may not.
    pub(crate) fn enter(&self) -> Result<Entry<'_>, Duration> {
        // First of all: a try is not used up where there is no room for it.
        let berth = self.bulkhead.enter().ok_or(self.full_wait)?;
        let passage = match &self.breaker {
            Some(breaker) => breaker.enter()?,
            None => Passage::free(),
        };
        Ok(Entry { passage, berth })
    }

    /// How soon it answers; the lower, the sooner.
    pub(crate) fn rank(&self, wanted: Wanted) -> u64 {
        self.with_speed(wanted, |speed| speed.rank(Instant::now(), &self.speed))
    }

    /// It is asked now.
    pub(crate) fn timed(&self, wanted: Wanted) -> Timing<'_> {
        self.with_speed(wanted, Speed::begin);
        Timing {
            candidate: self,
            wanted,
            since: Instant::now(),
            heard: Heard::Left(Duration::ZERO),
        }
    }

    /// No code panics while it holds the lock, and every state is a good one.
    fn with_speed<T>(&self, wanted: Wanted, of: impl FnOnce(&mut Speed) -> T) -> T {
        let [whole, streamed] = &self.speeds;
        let speed = match wanted {
            Wanted::Whole => whole,
            Wanted::Stream | Wanted::StreamWithUsage => streamed,
        };
        of(&mut speed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Timing ===

impl Timing<'_> {
    /// Says how the call went.
    pub(crate) fn tell<T>(mut self, answer: &Result<T, Failure>) {
        let took = self.since.elapsed();
        self.heard = match News::of(answer) {
            News::Good => Heard::Began(took),
            News::TooFast(_) | News::Refused(_) | News::Failed => Heard::Failed(took),
            News::Nothing => Heard::Nothing,
        };
    }
}

impl Drop for Timing<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let heard = match self.heard {
            // Nobody told: the customer has left.
            Heard::Left(_) => Heard::Left(now.saturating_duration_since(self.since)),
            told @ (Heard::Began(_) | Heard::Failed(_) | Heard::Nothing) => told,
        };
        let candidate = self.candidate;
        candidate.with_speed(self.wanted, |speed| {
            speed.hear(heard, now, &candidate.speed);
        });
    }
}
