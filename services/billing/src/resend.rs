//! Sending the same work to the database again when nobody knows what became of it, or when it lost against other work. It is
//! safe only for work that says the same when it is done twice: every operation of the ledger is, by its id.

use std::{future::Future, time::Duration};

use chassis::telemetry::causes;
use rand::RngExt as _;
use tracing::warn;

use crate::{Error, config::Limits};

/// How often work may be overtaken by other processes. An id is overtaken once, when it comes to be; more than a few in a row
/// means that something else is wrong.
const OVERTAKEN: u32 = 32;

/// Makes attempts until one succeeds, fails for good, or too many have failed.
///
/// # Errors
/// That of the last attempt.
pub(crate) async fn until_known<T, W>(
    limits: &Limits,
    mut attempt: impl FnMut() -> W,
) -> Result<T, Error>
where
    W: Future<Output = Result<T, Error>>,
{
    let (mut resent, mut overtaken) = (0, 0);
    loop {
        match attempt().await {
            Err(Error::Overtaken) if overtaken < OVERTAKEN => {
                overtaken = overtaken.saturating_add(1);
            }
            Err(Error::Db(failure)) if failure.is_retriable() && resent < limits.resends => {
                warn!(error = %causes(&failure), resent, "a write failed and is sent again");
                tokio::time::sleep(wait(limits.resend_after, resent)).await;
                resent = resent.saturating_add(1);
            }
            outcome => return outcome,
        }
    }
}

/// Twice as long each time, and between half and three halves of that: so that those who lost together do not meet again.
fn wait(first: Duration, resent: u32) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(resent.min(16)));
    let percent = rand::rng().random_range(50..150);
    doubled
        .saturating_mul(percent)
        .checked_div(100)
        .unwrap_or(doubled)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use chassis::config::Settings;

    use super::*;
    use crate::Config;

    fn limits() -> Limits {
        let settings = Settings::from_toml("[limits.billing]\nresends = 3\nresend_after = '10ms'");
        Config::read(&settings).unwrap().limits
    }

    fn away() -> Error {
        sqlx::Error::PoolTimedOut.into()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_away_is_asked_four_times() {
        let attempts = Cell::new(0);
        let outcome: Result<(), Error> = until_known(&limits(), || {
            attempts.set(attempts.get() + 1);
            async { Err(away()) }
        })
        .await;
        assert!(matches!(outcome, Err(Error::Db(_))));
        assert_eq!(attempts.get(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_back_is_answered() {
        let attempts = Cell::new(0);
        let outcome = until_known(&limits(), || {
            attempts.set(attempts.get() + 1);
            let attempt = attempts.get();
            async move {
                match attempt {
                    1 => Err(away()),
                    2..=12 => Err(Error::Overtaken),
                    _ => Ok(attempt),
                }
            }
        })
        .await;
        assert_eq!(outcome.unwrap(), 13);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_good_fails_at_once() {
        let attempts = Cell::new(0);
        let outcome: Result<(), Error> = until_known(&limits(), || {
            attempts.set(attempts.get() + 1);
            async { Err(Error::Corrupt("this test")) }
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!(attempts.get(), 1);
        let endless: Result<(), Error> =
            until_known(&limits(), || async { Err(Error::Overtaken) }).await;
        assert!(matches!(endless, Err(Error::Overtaken)));
    }

    #[test]
    fn waits_grow_and_differ() {
        for (resent, middle) in [(0, 100), (1, 200), (2, 400)] {
            let first = Duration::from_millis(100);
            let waits: Vec<_> = (0..100).map(|_| wait(first, resent).as_millis()).collect();
            assert!(
                waits
                    .iter()
                    .all(|wait| (middle / 2..middle * 3 / 2).contains(wait))
            );
            assert!(waits.iter().any(|wait| *wait != waits[0]));
        }
    }
}
