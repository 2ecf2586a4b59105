//! From a provider's failure to what a customer reads and an operator is told: one table for every service that calls providers.
//!
//! A provider's refusal of our credential or an empty account there is our failure, never the customer's 401 or 402.

use std::time::Duration;

use http::StatusCode;
use proto::{Code, Fault, code};
use tracing::{error, info};

use crate::{Class, Failure};

/// What the customer reads of a call that failed before anything of its answer was good: nothing is charged.
/// `usual_wait` is how long to wait where the provider names no time.
#[must_use]
pub fn fault(failure: &Failure, usual_wait: Duration) -> Fault {
    let busy = || {
        let wait = failure.retry_after().unwrap_or(usual_wait);
        Fault::of(code::UPSTREAM_BUSY).retry_after(wait)
    };
    match failure.class() {
        Class::RateLimited => busy(),
        Class::NotSent if failure.retry_after().is_some() => {
            let message = "The providers of this model failed lately, or have no room, and are left alone for a moment; nothing was charged.";
            let wait = failure.retry_after().unwrap_or(usual_wait);
            Fault::new(code::UPSTREAM_BUSY, message).retry_after(wait)
        }
        Class::Overloaded if is_busy(failure.status()) => busy(),
        Class::Invalid => match failure.param() {
            Some(param) => told(code::INVALID_PARAMETER, failure).param(param),
            None => told(code::UPSTREAM_REFUSED, failure),
        },
        Class::Moderated => told(code::CONTENT_MODERATED, failure),
        Class::Unknown if is_timeout(failure) => Fault::of(code::UPSTREAM_TIMEOUT),
        Class::NotSent => Fault::new(
            code::UPSTREAM_FAILED,
            "The provider cannot be reached; nothing was charged.",
        ),
        Class::Malformed => Fault::new(
            code::UPSTREAM_FAILED,
            "The provider's answer could not be understood; nothing was charged.",
        ),
        Class::Auth | Class::Balance | Class::Gone | Class::Overloaded | Class::Unknown => {
            Fault::of(code::UPSTREAM_FAILED)
        }
    }
}

/// Tells the operator of a failed call. That our own credential, account or model name is refused must be mended by somebody;
/// the rest is daily weather.
pub fn report(provider: &str, operation: &'static str, failure: &Failure) {
    let (class, reason) = (failure.class().as_str(), failure.reason());
    let status = failure.status().map(|status| status.as_u16());
    match failure.class() {
        Class::Auth | Class::Balance | Class::Gone => error!(
            provider.name = provider,
            operation,
            class,
            status,
            reason,
            "the provider refuses our account: check its credential, credit and model names"
        ),
        Class::RateLimited
        | Class::Overloaded
        | Class::Invalid
        | Class::Moderated
        | Class::Unknown
        | Class::Malformed
        | Class::NotSent => info!(
            provider.name = provider,
            operation, class, status, reason, "a provider did not answer well"
        ),
    }
}

/// With the provider's words, which are bounded and meant for the customer.
fn told(code: Code, failure: &Failure) -> Fault {
    Fault::new(code, failure.detail().unwrap_or(code.cause))
}

/// Full, as against broken.
fn is_busy(status: Option<StatusCode>) -> bool {
    status.is_some_and(|status| matches!(status.as_u16(), 408 | 409 | 425 | 503 | 529))
}

fn is_timeout(failure: &Failure) -> bool {
    failure.wait().is_some() || failure.status() == Some(StatusCode::GATEWAY_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::{ProviderAnswer, Verdict, Wait};

    const WAIT: Duration = Duration::from_secs(2);

    fn answered(status: u16) -> Fault {
        let answer = ProviderAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            body: b"",
        };
        fault(&Failure::answered(&answer, |_| None), WAIT)
    }

    #[test]
    fn no_status_of_a_provider_becomes_the_customers_own() {
        for (status, code) in [
            (400, code::UPSTREAM_REFUSED),
            (401, code::UPSTREAM_FAILED),
            (402, code::UPSTREAM_FAILED),
            (403, code::UPSTREAM_FAILED),
            (404, code::UPSTREAM_FAILED),
            (429, code::UPSTREAM_BUSY),
            (500, code::UPSTREAM_FAILED),
            (502, code::UPSTREAM_FAILED),
            (503, code::UPSTREAM_BUSY),
            (504, code::UPSTREAM_TIMEOUT),
            (529, code::UPSTREAM_BUSY),
        ] {
            assert_eq!(answered(status).code, code, "{status}");
        }
        assert_eq!(answered(503).retry_after, Some(WAIT));
        for wait in [Wait::FirstByte, Wait::NextByte, Wait::End] {
            let timeout = fault(&Failure::timed_out(wait), WAIT);
            assert_eq!(timeout.code, code::UPSTREAM_TIMEOUT, "{wait:?}");
        }
    }

    #[test]
    fn what_a_provider_has_no_words_for_names_the_parameter() {
        let failure = Failure::unsupported("n", "n must be 1");
        assert!(failure.another_may_serve(), "which may have words for it");
        let fault = fault(&failure, WAIT);
        assert_eq!(fault.code, code::INVALID_PARAMETER);
        assert_eq!(
            (fault.param.as_deref(), fault.message.as_str()),
            (Some("n"), "n must be 1")
        );
    }

    #[test]
    fn where_nobody_is_asked_the_customer_is_told_when_somebody_will_be() {
        let pause = Duration::from_secs(7);
        let alone = fault(&Failure::left_alone(pause), WAIT);
        assert_eq!(alone.code, code::UPSTREAM_BUSY);
        assert_eq!(alone.retry_after, Some(pause));
    }

    #[test]
    fn the_providers_words_reach_the_customer_only_where_they_are_the_customers() {
        let message = |class| {
            let verdict = Verdict::with_detail(class, "too long\nby far");
            fault(&Failure::reported(verdict), WAIT).message
        };
        assert_eq!(message(Class::Invalid), "too long by far");
        assert_eq!(message(Class::Moderated), "too long by far");
        assert!(!message(Class::Balance).contains("too long"));
    }
}
