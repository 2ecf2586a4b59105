//! One candidate after another, only before the first byte of an answer.

use domain::receipt::Attempt;
use tokio::time::Instant;
use upstream::Failure;

use crate::{
    Service,
    plan::Plan,
    providers::{Answer, Order},
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
pub(crate) async fn first_answer(service: &Service, plan: &Plan, max_output: u64) -> Asked {
    let config = &service.config;
    let until = Instant::now() + config.failover_window;
    let order = Order {
        body: &plan.body,
        request: &plan.request,
        max_output,
    };
    let mut asked = Asked {
        attempts: Vec::with_capacity(1),
        answer: Err(Failure::malformed("no candidate was asked")),
    };
    for candidate in plan.candidates.iter().take(config.max_candidates) {
        let ask = candidate.adapter.ask(&candidate.endpoint, order);
        let whom = (
            candidate.provider.as_str(),
            candidate.endpoint.model.as_str(),
        );
        asked.answer = upstream::traced("chat", whom, ask).await;
        let outcome = match &asked.answer {
            Ok(_) => "answered",
            Err(failure) => {
                upstream::report(&candidate.provider, "chat", failure);
                failure.class().as_str()
            }
        };
        service.metrics.asked(&candidate.provider, outcome);
        asked.attempts.push(Attempt {
            provider: candidate.provider.clone(),
            outcome: outcome.to_owned(),
        });
        let next = asked.answer.as_ref().is_err_and(Failure::another_may_serve);
        if !next || Instant::now() >= until {
            break;
        }
    }
    asked
}
