//! From what went wrong to what the customer reads: one branch per class of failure.
//!
//! A provider's refusal of our credential or an empty account there is our failure, never the customer's 401 or 402.

use std::time::Duration;

use http::StatusCode;
use proto::{Code, Fault, code};
use upstream::{Class, Failure, Wait};

use crate::request::Refusal;

/// We are wrong.
pub(crate) fn internal() -> Fault {
    Fault::of(code::INTERNAL)
}

/// A body that cannot be used. The first problem gives the code.
pub(crate) fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::NotJson(why) => Fault::new(code::INVALID_JSON, why),
        Refusal::Problems(problems) => Fault::from_problems(problems),
    }
}

/// A provider failed before anything of its answer was good: nothing is charged.
pub(crate) fn before_answer(failure: &Failure, retry_after: Duration) -> Fault {
    let wait = failure.retry_after().unwrap_or(retry_after);
    match failure.class() {
        Class::RateLimited => busy(wait),
        Class::Overloaded if is_busy(failure.status()) => busy(wait),
        Class::Invalid => told(code::UPSTREAM_REFUSED, failure),
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

/// A provider failed inside its answer: what came is charged, or nothing if nothing came.
pub(crate) fn inside_answer(failure: &Failure, charged: domain::Micros) -> Fault {
    let charge = if charged == domain::Micros::ZERO {
        "nothing was charged".to_owned()
    } else {
        format!("{charged} credits were charged for what had arrived")
    };
    if failure.class() == Class::Moderated {
        let message = format!("The provider's content policy ended the answer; {charge}.");
        return Fault::new(code::CONTENT_MODERATED, message);
    }
    Fault::new(
        code::UPSTREAM_FAILED,
        format!("The provider's answer broke off; {charge}."),
    )
}

fn busy(wait: Duration) -> Fault {
    Fault::of(code::UPSTREAM_BUSY).retry_after(wait)
}

/// With the provider's words, which are bounded and meant for the customer.
fn told(code: Code, failure: &Failure) -> Fault {
    match failure.detail() {
        Some(detail) => Fault::new(code, format!("The provider refused the request: {detail}")),
        None => Fault::of(code),
    }
}

/// Full, as against broken.
fn is_busy(status: Option<StatusCode>) -> bool {
    status.is_some_and(|status| matches!(status.as_u16(), 408 | 409 | 425 | 503 | 529))
}

fn is_timeout(failure: &Failure) -> bool {
    let waited = [Wait::FirstByte, Wait::NextByte, Wait::End]
        .into_iter()
        .any(|wait| Failure::timed_out(wait).reason() == failure.reason());
    waited || failure.status() == Some(StatusCode::GATEWAY_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use upstream::{ProviderAnswer, Verdict};

    use super::*;

    const WAIT: Duration = Duration::from_secs(2);

    fn answered(status: u16) -> Fault {
        let answer = ProviderAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            body: b"",
        };
        before_answer(&Failure::answered(&answer, |_| None), WAIT)
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
        let timeout = before_answer(&Failure::timed_out(Wait::FirstByte), WAIT);
        assert_eq!(timeout.code, code::UPSTREAM_TIMEOUT);
    }

    #[test]
    fn the_providers_words_reach_the_customer_only_where_they_are_the_customers() {
        let fault = |class| {
            let verdict = Verdict::with_detail(class, "too long\nby far");
            before_answer(&Failure::reported(verdict), WAIT).message
        };
        assert_eq!(
            fault(Class::Invalid),
            "The provider refused the request: too long by far"
        );
        assert!(!fault(Class::Balance).contains("too long"));
    }

    #[test]
    fn a_broken_answer_says_what_it_cost() {
        let failure = Failure::malformed("x");
        let message = |micros| inside_answer(&failure, domain::Micros::new(micros)).message;
        assert!(message(1_500_000).contains("1.5 credits were charged"));
        assert!(message(0).contains("nothing was charged"));
    }
}
