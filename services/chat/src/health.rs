//! Whether a provider's credential is asked: a circuit breaker. Pure: moments come in, and no clock is read.
//!
//! ```text
//!            too many failures, or one that speaks for itself
//!   closed ───────────────────────────────────────────────────> open, until a moment
//!     ^                                                          │     ^
//!     │ the probe goes well          the moment has come: a probe│     │ the probe fails: longer
//!     └────────────────────────── half-open <────────────────────┘─────┘
//! ```
//!
//! Half-open, one request at a time goes through: the probe. One that says nothing (its caller left) makes room for the next; one that
//! takes longer than [`BreakerLimits::probe`] does not keep others from trying. A provider that asked us to slow down needs no probe: it
//! serves, and said when. From that moment on it is closed; until then it is asked last, but never refused: it may be one customer's request,
//! or one model, that is too much for it.

use std::time::Duration;

use tokio::time::Instant;
use upstream::{Class, Failure};

use crate::config::BreakerLimits;

/// What one call says about its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It serves.
    Good,
    /// Nothing: the request was at fault, or its caller left.
    Nothing,
    /// It asks us to slow down, perhaps for so long.
    TooFast(Option<Duration>),
    /// It refuses our credential, or our account there is empty: somebody must mend that.
    Refused(Refused),
    /// It did not serve: too many of these in a row are enough.
    Failed,
}

/// What must be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The credential.
    Auth,
    /// The account's balance.
    Balance,
}

/// The right to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// As one of many.
    Usual,
    /// As the one that tries; probes are numbered.
    Probe(u64),
}

/// What news changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is left alone from now on, for so long.
    Opened(Duration),
    /// It is asked again.
    Closed,
}

/// How a credential stands, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// `closed`, `half_open`, `open` or `limited`.
    pub(crate) state: &'static str,
    /// Failures in a row, of one that is closed.
    pub(crate) failures: u32,
    /// How long until it is asked again; zero: it is asked.
    pub(crate) wait: Duration,
}

/// How a credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is asked.
    Closed,
    /// It is left alone until then.
    Open { until: Instant, then: Then },
    /// A probe is out.
    HalfOpen { since: Instant },
}

/// Who asks when the moment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// One request: the probe.
    Probe,
    /// Everybody.
    All,
}

/// The state machine of one credential.
#[derive(Debug)]
pub(crate) struct Health {
    state: State,
    /// Failures in a row, while closed.
    failures: u32,
    /// How often it opened without a good answer in between.
    opened: u32,
    /// The number of the last probe.
    probe: u64,
}

/// What a provider says with this may be about the request alone.
const FORBIDDEN: u16 = 403;

/// How long to wait at most for a probe that is out: it may be back at any moment.
const SOON: Duration = Duration::from_secs(1);

/// Pauses double no further than this; the longest pause is reached long before.
const MAX_DOUBLINGS: u32 = 20;

// === impl News ===

impl News {
    /// Reads the outcome of a call, as far as its first byte.
    pub(crate) fn of<T>(answer: &Result<T, Failure>) -> Self {
        let Err(failure) = answer else {
            return Self::Good;
        };
        match failure.class() {
            Class::RateLimited => Self::TooFast(failure.retry_after()),
            // What a request names may be forbidden to us, where our credential is not.
            Class::Auth if failure.status().is_some_and(|status| status == FORBIDDEN) => {
                Self::Failed
            }
            Class::Auth => Self::Refused(Refused::Auth),
            Class::Balance => Self::Refused(Refused::Balance),
            Class::Overloaded | Class::NotSent | Class::Unknown | Class::Malformed => Self::Failed,
            // A model that is not there says nothing about the provider's others.
            Class::Invalid | Class::Moderated | Class::Gone => Self::Nothing,
        }
    }

    /// A word for the metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Nothing => "nothing",
            Self::TooFast(_) => "rate_limited",
            Self::Refused(Refused::Auth) => "auth",
            Self::Refused(Refused::Balance) => "balance",
            Self::Failed => "failures",
        }
    }
}

// === impl Health ===

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Closed,
            failures: 0,
            opened: 0,
            probe: 0,
        }
    }

    /// How it stands, as the metrics say it: 0 closed, 1 half-open, 2 open.
    pub(crate) fn figure(&self) -> i64 {
        match self.state {
            State::Closed => 0,
            State::HalfOpen { .. } => 1,
            State::Open { .. } => 2,
        }
    }

    /// How it stands.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let (state, until) = match self.state {
            State::Open {
                then: Then::All,
                until,
            } if until > now => ("limited", until),
            State::Closed
            | State::Open {
                then: Then::All, ..
            } => ("closed", now),
            State::HalfOpen { .. } => ("half_open", now),
            State::Open {
                then: Then::Probe,
                until,
            } => ("open", until),
        };
        Standing {
            state,
            failures: self.failures,
            wait: until.saturating_duration_since(now),
        }
    }

    /// Whether a request could ask now.
    ///
    /// # Errors
    /// How long it must wait at least, where it could not.
    pub(crate) fn look(&self, now: Instant, limits: &BreakerLimits) -> Result<(), Duration> {
        let wait = match self.state {
            State::Closed
            | State::Open {
                then: Then::All, ..
            } => Duration::ZERO,
            State::Open { until, .. } => until.saturating_duration_since(now),
            State::HalfOpen { since } => {
                let overdue = since + limits.probe;
                overdue.saturating_duration_since(now).min(SOON)
            }
        };
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Whether it asked us to slow down, and its moment has not come.
    pub(crate) fn is_limited(&self, now: Instant) -> bool {
        match self.state {
            State::Open {
                then: Then::All,
                until,
            } => until > now,
            State::Closed | State::Open { .. } | State::HalfOpen { .. } => false,
        }
    }

    /// Lets a request ask, if it may: then its outcome must be [`Health::hear`]d.
    ///
    /// # Errors
    /// As [`Health::look`] says.
    pub(crate) fn enter(&mut self, now: Instant, limits: &BreakerLimits) -> Result<Pass, Duration> {
        self.look(now, limits)?;
        match self.state {
            State::Closed => Ok(Pass::Usual),
            State::Open {
                then: Then::All,
                until,
            } => {
                if until <= now {
                    self.state = State::Closed;
                }
                Ok(Pass::Usual)
            }
            State::Open {
                then: Then::Probe, ..
            }
            | State::HalfOpen { .. } => {
                self.state = State::HalfOpen { since: now };
                self.probe = self.probe.wrapping_add(1);
                Ok(Pass::Probe(self.probe))
            }
        }
    }

    /// Learns how a call went.
    pub(crate) fn hear(
        &mut self,
        (pass, news): (Pass, News),
        now: Instant,
        limits: &BreakerLimits,
    ) -> Option<Change> {
        match (self.state, pass) {
            (State::Closed, _) => self.hear_closed(news, now, limits),
            (State::HalfOpen { .. }, Pass::Probe(number)) if number == self.probe => {
                self.hear_probe(news, now, limits)
            }
            // A probe that was slow, and that others were let through beside: its success is as good as theirs.
            (
                State::HalfOpen { .. }
                | State::Open {
                    then: Then::Probe, ..
                },
                Pass::Probe(_),
            ) if news == News::Good => Some(self.close()),
            // It was sent before this opened, and may know better how long.
            (State::Open { until, then }, _) => {
                if let News::TooFast(Some(asked)) = news {
                    let until = until.max(now + asked.min(limits.longest));
                    self.state = State::Open { until, then };
                }
                None
            }
            // The probe out there knows better.
            (State::HalfOpen { .. }, _) => None,
        }
    }

    fn hear_closed(&mut self, news: News, now: Instant, limits: &BreakerLimits) -> Option<Change> {
        match news {
            News::Good => {
                self.failures = 0;
                self.opened = 0;
                None
            }
            News::Failed => {
                self.failures = self.failures.saturating_add(1);
                let enough = self.failures >= limits.failures;
                enough.then(|| self.open(news, now, limits)).flatten()
            }
            News::Nothing => None,
            News::TooFast(_) | News::Refused(_) => self.open(news, now, limits),
        }
    }

    fn hear_probe(&mut self, news: News, now: Instant, limits: &BreakerLimits) -> Option<Change> {
        match news {
            News::Good => Some(self.close()),
            // The next request is the probe.
            News::Nothing => {
                let then = Then::Probe;
                self.state = State::Open { until: now, then };
                None
            }
            News::TooFast(_) | News::Refused(_) | News::Failed => self.open(news, now, limits),
        }
    }

    fn open(&mut self, news: News, now: Instant, limits: &BreakerLimits) -> Option<Change> {
        let (pause, then) = match news {
            News::TooFast(Some(asked)) => (asked, Then::All),
            News::TooFast(None) => (self.doubled(limits.rate_limited), Then::All),
            News::Refused(_) => (self.doubled(limits.refused), Then::Probe),
            News::Failed => (self.doubled(limits.pause), Then::Probe),
            News::Good | News::Nothing => return None,
        };
        let pause = pause.min(limits.longest);
        let until = now + pause;
        self.state = State::Open { until, then };
        self.failures = 0;
        self.opened = self.opened.saturating_add(1);
        Some(Change::Opened(pause))
    }

    /// A first pause, doubled as often as it opened in a row.
    fn doubled(&self, first: Duration) -> Duration {
        first.saturating_mul(1 << self.opened.min(MAX_DOUBLINGS))
    }

    fn close(&mut self) -> Change {
        self.state = State::Closed;
        self.failures = 0;
        self.opened = 0;
        Change::Closed
    }
}

#[cfg(test)]
mod tests;
