//! One candidate after another, only before the first byte of an answer.

use tokio::time::Instant;
use tracing::{info, warn};
use upstream::{Class, Failure};

use crate::{
    Service,
    bill::Attempt,
    plan::Plan,
    providers::{Answer, Ask},
};

/// How the candidates did.
pub(crate) struct Asked {
    /// Every call, in order; the last one is the answer's or the failure's.
    pub(crate) attempts: Vec<Attempt>,
    /// The first good answer, or the failure of the last candidate asked.
    pub(crate) answer: Result<Answer, Failure>,
}

/// Asks candidates in order until one answers well. Another one is asked only when it is certain that nothing was accepted and
/// the request is not at fault: a request is never paid twice.
pub(crate) async fn first_stream(service: &Service, plan: &Plan, max_output: u64) -> Asked {
    let config = &service.config;
    let until = Instant::now() + config.failover_window;
    let ask = Ask {
        body: &plan.body,
        request: &plan.request,
        max_output,
    };
    let mut asked = Asked {
        attempts: Vec::with_capacity(1),
        answer: Err(Failure::malformed("no candidate was asked")),
    };
    for candidate in plan.candidates.iter().take(config.max_candidates) {
        asked.answer = candidate.adapter.ask(&candidate.endpoint, ask).await;
        let outcome = match &asked.answer {
            Ok(_) => "answered",
            Err(failure) => {
                report(&candidate.provider, failure);
                failure.class().as_str()
            }
        };
        service.metrics.asked(&candidate.provider, outcome);
        asked.attempts.push(Attempt {
            provider: candidate.provider.clone(),
            outcome,
        });
        let next = asked.answer.as_ref().is_err_and(Failure::another_may_serve);
        if !next || Instant::now() >= until {
            break;
        }
    }
    asked
}

/// An operator must know when our own credential or account is refused; the rest is daily weather.
fn report(provider: &str, failure: &Failure) {
    match failure.class() {
        Class::Auth | Class::Balance | Class::Gone => {
            warn!(provider, class = %failure.class(), status = failure.status().map(|s| s.as_u16()),
                "the provider refuses our account: check its credential, credit and model names");
        }
        Class::RateLimited
        | Class::Overloaded
        | Class::Invalid
        | Class::Moderated
        | Class::Unknown
        | Class::Malformed
        | Class::NotSent => info!(provider, %failure, "a provider did not answer well"),
    }
}
