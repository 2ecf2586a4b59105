//! From what went wrong to what the customer reads, where `upstream::fault` does not say it: our own mistakes, a body that
//! cannot be used, and an answer that broke off.

use domain::charge::Ending;
use proto::{Fault, code};
use upstream::{Class, Failure};

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

/// Not even the smallest useful answer, which costs `floor`, is within the customer's own limit.
pub(crate) fn too_dear(floor: domain::Micros) -> Fault {
    let message = format!(
        "this request needs at least {floor} credits, which is more than its x-aio-max-cost-credits; nothing was held"
    );
    Fault::new(code::MAX_COST_EXCEEDED, message).param("x-aio-max-cost-credits")
}

/// What the table of charges calls a failure before the first byte.
pub(crate) fn ending_of(failure: &Failure) -> Ending {
    Ending::parse(failure.class().as_str()).unwrap_or(Ending::Internal)
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

/// The answer is kept for the request's key, and its reader took nothing for too long.
pub(crate) fn unread(charged: domain::Micros) -> Fault {
    let message = format!(
        "The answer was not read for too long. It is complete, and {charged} credits were charged: send the request again \
         with the same Idempotency-Key to get it."
    );
    Fault::new(code::TIMEOUT, message)
}

/// A stream was stopped whose reader took nothing for too long.
pub(crate) fn slow_reader(charged: domain::Micros) -> Fault {
    let message = format!(
        "The answer was not read for too long and was stopped; {charged} credits were charged for what had arrived."
    );
    Fault::new(code::TIMEOUT, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_failure_is_in_the_table_of_charges() {
        for class in [
            Class::Auth,
            Class::Balance,
            Class::RateLimited,
            Class::Overloaded,
            Class::Invalid,
            Class::Moderated,
            Class::Gone,
            Class::Unknown,
            Class::Malformed,
            Class::NotSent,
        ] {
            let ending = Ending::parse(class.as_str()).unwrap();
            for kind in domain::charge::Kind::ALL {
                assert!(ending.can_happen(kind).is_some(), "{class:?}");
            }
        }
    }

    #[test]
    fn a_broken_answer_says_what_it_cost() {
        let failure = Failure::malformed("x");
        let message = |micros| inside_answer(&failure, domain::Micros::new(micros)).message;
        assert!(message(1_500_000).contains("1.5 credits were charged"));
        assert!(message(0).contains("nothing was charged"));
    }
}
