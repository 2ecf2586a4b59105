//! The breaker of one credential, shared by all models that use it: [`Health`] behind a lock that is held for a few instructions,
//! with its figures.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;
use tracing::{info, warn};
use upstream::Failure;

use crate::{
    config::BreakerLimits,
    health::{Change, Health, News, Pass, Standing},
    metrics::{Credential, Metrics},
};

/// One credential's breaker.
pub(crate) struct Breaker {
    credential: Credential,
    limits: BreakerLimits,
    health: Mutex<Health>,
    /// How it stands; changed behind the lock, so that it is never an older one.
    figure: Gauge,
    metrics: Metrics,
}

/// The right to ask once. Dropped without news, because the customer left, it says nothing about the provider, unless that was silent for
/// so long that this is news: else a provider that hangs would go unnoticed where customers wait less than we do.
pub(crate) struct Passage<'b> {
    /// Nobody's where no health is kept.
    of: Option<(&'b Breaker, Pass)>,
    since: Instant,
    /// How long is so long; never, where there is none.
    silence: Option<Duration>,
}

// === impl Breaker ===

impl Breaker {
    pub(crate) fn new(credential: Credential, limits: BreakerLimits, metrics: Metrics) -> Self {
        Self {
            figure: metrics.breaker(&credential),
            credential,
            limits,
            health: Mutex::new(Health::new()),
            metrics,
        }
    }

    /// Whether a request could ask now.
    ///
    /// # Errors
    /// How long it must wait at least, where it could not.
    pub(crate) fn look(&self) -> Result<(), Duration> {
        self.lock().look(Instant::now(), &self.limits)
    }

    /// Whose it is, and how it stands.
    pub(crate) fn standing(&self) -> (&Credential, Standing) {
        (&self.credential, self.lock().standing(Instant::now()))
    }

    /// Whether the provider asked us to slow down, and its moment has not come.
    pub(crate) fn is_limited(&self) -> bool {
        self.lock().is_limited(Instant::now())
    }

    /// Lets a request ask, if it may.
    ///
    /// # Errors
    /// How long it must wait at least, where it may not.
    pub(crate) fn enter(&self) -> Result<Passage<'_>, Duration> {
        let mut health = self.lock();
        match health.enter(Instant::now(), &self.limits) {
            Ok(pass) => {
                self.figure.set(health.figure());
                Ok(Passage::new(Some((self, pass))))
            }
            Err(wait) => {
                self.pass_over();
                Err(wait)
            }
        }
    }

    /// A request goes past.
    pub(crate) fn pass_over(&self) {
        self.metrics.passed_over(&self.credential);
    }

    fn hear(&self, pass: Pass, news: News) {
        let mut health = self.lock();
        let change = health.hear((pass, news), Instant::now(), &self.limits);
        self.figure.set(health.figure());
        drop(health);
        match change {
            None => {}
            Some(Change::Opened(pause)) => self.opened(news.as_str(), pause),
            Some(Change::Closed) => info!(
                provider.name = self.credential.provider,
                credential = self.credential.credential,
                "a provider serves again"
            ),
        }
    }

    fn opened(&self, reason: &'static str, pause: Duration) {
        self.metrics.tripped(&self.credential, reason);
        warn!(
            provider.name = self.credential.provider,
            credential = self.credential.credential,
            reason,
            pause = ?pause,
            "a provider is left alone for a while"
        );
    }

    /// No code panics while it holds the lock, and every state is a good one.
    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Passage ===

impl<'b> Passage<'b> {
    fn new(of: Option<(&'b Breaker, Pass)>) -> Self {
        Self {
            of,
            since: Instant::now(),
            silence: None,
        }
    }

    /// For a provider whose health is not kept.
    pub(crate) fn free() -> Self {
        Self::new(None)
    }

    /// A provider from which nothing came for so long has failed, also if the customer leaves then.
    pub(crate) fn with_silence(mut self, silence: Option<Duration>) -> Self {
        self.silence = silence;
        self
    }

    /// Tells how the call went.
    pub(crate) fn tell<T>(mut self, answer: &Result<T, Failure>) {
        if let Some((breaker, pass)) = self.of.take() {
            breaker.hear(pass, News::of(answer));
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if let Some((breaker, pass)) = self.of.take() {
            let is_long = |silence| self.since.elapsed() >= silence;
            let news = if self.silence.is_some_and(is_long) {
                News::Failed
            } else {
                News::Nothing
            };
            breaker.hear(pass, news);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    /// One that opens at the first failure.
    fn touchy(pause: Duration) -> Breaker {
        let limits = BreakerLimits {
            failures: 1,
            pause,
            ..BreakerLimits::default()
        };
        let credential = Credential {
            provider: "p".to_owned(),
            credential: 1,
        };
        Breaker::new(credential, limits, Metrics::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_customer_who_leaves_says_something_only_after_a_long_silence() {
        let breaker = touchy(Duration::from_secs(60));
        let long = Duration::from_secs(10);
        let leaves_after = async |waited, silence| {
            let passage = breaker.enter().unwrap().with_silence(silence);
            tokio::time::advance(waited).await;
            drop(passage);
            breaker.look()
        };
        assert_eq!(leaves_after(long * 9, None).await, Ok(()));
        assert_eq!(leaves_after(long / 2, Some(long)).await, Ok(()));
        assert!(leaves_after(long, Some(long)).await.is_err());
    }

    #[test]
    fn of_many_threads_one_tries() {
        let breaker = touchy(Duration::ZERO);
        let failed: Result<(), Failure> = Err(Failure::malformed("x"));
        breaker.enter().unwrap().tell(&failed);
        for _ in 0..50 {
            let (together, entered) = (Barrier::new(8), Barrier::new(8));
            let try_it = || {
                together.wait();
                let passage = breaker.enter();
                // Whoever is through stays until all have tried.
                entered.wait();
                passage.is_ok()
            };
            let through = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(try_it)).collect();
                let through = threads.into_iter().map(|thread| thread.join().unwrap());
                through.filter(|through| *through).count()
            });
            // Dropped without news, it makes room for the next round.
            assert_eq!(through, 1);
        }
        breaker.enter().unwrap().tell(&Ok(()));
        assert!(breaker.look().is_ok() && breaker.figure.get() == 0);
    }
}
