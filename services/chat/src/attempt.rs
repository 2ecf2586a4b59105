//! One candidate after another, only before the first byte of an answer, and under one hold.
//!
//! What a provider takes inline only is fetched before it is asked, once for all of them, and outside of its time.
//!
//! Another one is asked when it is certain that nothing was accepted ([`Failure::another_may_serve`]), and when no first byte came in
//! time while somebody else could be asked. The latter may be paid twice, by us: the provider that was given up may have begun. The
//! customer has one hold and pays for one answer.
//!
//! A candidate that asked us to slow down is asked last. One whose breaker is open otherwise is passed over; that is no call, and no receipt
//! lists it. Where all are, nobody is asked, not even
//! a model's only provider: the customer is told at once when it may go better, which costs neither them nor a provider in trouble
//! anything.

use std::{collections::VecDeque, sync::OnceLock, time::Duration};

use domain::{Mode, receipt::Attempt};
use proto::Fault;
use tokio::time::{Instant, timeout};
use upstream::{Class, Failure, Wait};

use crate::{
    Service,
    breaker::Passage,
    plan::Plan,
    providers::{Answer, Fetched, Order, Urls},
    request::Wanted,
    route::Candidate,
};

/// How the candidates did.
pub(crate) struct Asked {
    /// Every call, in order; the last one is the answer's or the failure's.
    pub(crate) attempts: Vec<Attempt>,
    /// The first good answer, or the failure of the last candidate asked.
    pub(crate) answer: Result<Answer, Failure>,
}

/// One request's way through the candidates.
struct Way<'a> {
    service: &'a Service,
    order: Order<'a>,
    /// After this moment no further one is asked.
    until: Instant,
    attempts: Vec<Attempt>,
}

/// Whether anybody could be asked now: for a request that nobody would serve, no credit need be held.
///
/// # Errors
/// UPSTREAM_BUSY, and when the first of them will be asked again.
pub(crate) fn somebody_serves(service: &Service, plan: &Plan) -> Result<(), Fault> {
    let mut soonest: Option<Duration> = None;
    for candidate in plan.candidates.iter() {
        match candidate.look() {
            Ok(()) => return Ok(()),
            Err(wait) => soonest = Some(soonest.map_or(wait, |known| known.min(wait))),
        }
    }
    plan.candidates.iter().for_each(Candidate::pass_over);
    let usual = service.config.retry_after;
    let failure = Failure::left_alone(soonest.unwrap_or(usual));
    Err(upstream::fault(&failure, usual))
}

/// Asks candidates in order until one answers well, or no other may be asked.
pub(crate) async fn first_answer(service: &Service, plan: &Plan, max_output: u64) -> Asked {
    let limits = &service.config.failover;
    let fetched = OnceLock::new();
    let mut way = Way {
        service,
        order: Order {
            body: &plan.body,
            request: &plan.request,
            max_output,
            urls: plan.urls(),
        },
        until: Instant::now() + limits.window,
        attempts: Vec::with_capacity(1),
    };
    let mut rest = VecDeque::from(plan.candidates.in_order(plan.affinity()));
    // Who asked us to slow down is asked last. The sort is stable: apart from that, the order stays.
    rest.make_contiguous()
        .sort_by_key(|candidate| candidate.is_limited());
    let mut soonest = None;
    let mut failed: Option<Failure> = None;
    while let Some(candidate) = rest.pop_front() {
        let inlines = plan.caller.mode == Mode::Live && candidate.adapter.inlines();
        // Before the breaker is entered: the time of a try is the provider's.
        if inlines && let Err(failure) = way.fetch(candidate, &fetched).await {
            // Nor can the others that would need it.
            rest.retain(|other| !other.adapter.inlines());
            failed = Some(failure);
            continue;
        }
        let passage = match candidate.enter() {
            Ok(passage) => passage,
            Err(wait) => {
                soonest = Some(soonest.map_or(wait, |known: Duration| known.min(wait)));
                continue;
            }
        };
        if let Some(failure) = failed.take() {
            service.metrics.failed_over(failure.class().as_str());
        }
        let answer = way.ask(candidate, passage, &rest).await;
        match answer {
            Err(failure) if way.goes_on(&failure) => {
                if !is_of_credential(&failure) {
                    let same = |other: &&Candidate| other.provider == candidate.provider;
                    // The sort is stable: apart from that, the order stays.
                    rest.make_contiguous().sort_by_key(same);
                }
                failed = Some(failure);
            }
            Ok(_) | Err(_) => return way.ends(answer),
        }
    }
    let wait = soonest.unwrap_or(service.config.retry_after);
    way.ends(Err(failed.unwrap_or_else(|| Failure::left_alone(wait))))
}

/// Whether another of our credentials at the same provider may do better. If not, other providers come first: else one that hangs could
/// take all the calls that a request may make.
fn is_of_credential(failure: &Failure) -> bool {
    matches!(
        failure.class(),
        Class::Auth | Class::Balance | Class::RateLimited
    )
}

// === impl Way ===

impl<'a> Way<'a> {
    /// Fetches what the request's URLs lead to, unless that was done for a candidate before.
    async fn fetch(
        &mut self,
        candidate: &Candidate,
        fetched: &'a OnceLock<Fetched>,
    ) -> Result<(), Failure> {
        if fetched.get().is_none() {
            let found = candidate.adapter.fetch(self.order).await?;
            // Nobody else writes it.
            let _ = fetched.set(found);
        }
        if let Some(fetched) = fetched.get() {
            self.order.urls = Urls::Fetched(fetched);
        }
        Ok(())
    }

    /// Asks one candidate, and tells everybody who wants to know how it went.
    async fn ask(
        &mut self,
        candidate: &Candidate,
        passage: Passage<'_>,
        others: &VecDeque<&Candidate>,
    ) -> Result<Answer, Failure> {
        let ask = candidate.adapter.ask(&candidate.endpoint, self.order);
        let whom = (
            candidate.provider.as_str(),
            candidate.endpoint.model.as_str(),
        );
        let patience = self.patience(others);
        // Customers who leave, leave before our patience ends.
        let passage = passage.with_silence(patience.map(|patience| patience / 2));
        let ask = async {
            match patience {
                // Dropping the call stops the provider.
                Some(patience) => timeout(patience, ask)
                    .await
                    .unwrap_or_else(|_| Err(Failure::timed_out(Wait::FirstByte))),
                None => ask.await,
            }
        };
        let answer = upstream::traced("chat", whom, ask).await;
        passage.tell(&answer);
        let outcome = match &answer {
            Ok(_) => "answered",
            Err(failure) => {
                upstream::report(&candidate.provider, "chat", failure);
                failure.class().as_str()
            }
        };
        self.service.metrics.asked(&candidate.provider, outcome);
        self.attempts.push(Attempt {
            provider: candidate.provider.clone(),
            outcome: outcome.to_owned(),
        });
        answer
    }

    /// How long the first byte may take; for ever, as far as this goes, where nobody else could be asked afterwards.
    fn patience(&self, others: &VecDeque<&Candidate>) -> Option<Duration> {
        let patience = self.configured_patience();
        // This call is one more.
        let is_last = self.attempts.len() + 1 >= self.service.config.failover.max_candidates;
        let too_late = Instant::now() + patience >= self.until;
        if patience.is_zero() || is_last || too_late {
            return None;
        }
        let another = others.iter().any(|candidate| candidate.look().is_ok());
        another.then_some(patience)
    }

    fn configured_patience(&self) -> Duration {
        let limits = &self.service.config.failover;
        match self.order.request.answer {
            Wanted::Whole => limits.whole_answer_patience,
            Wanted::Stream | Wanted::StreamWithUsage => limits.first_byte_patience,
        }
    }

    /// Whether another candidate may be asked after this failure.
    fn goes_on(&self, failure: &Failure) -> bool {
        let silent =
            failure.wait() == Some(Wait::FirstByte) && !self.configured_patience().is_zero();
        let more = self.attempts.len() < self.service.config.failover.max_candidates;
        more && (silent || failure.another_may_serve()) && Instant::now() < self.until
    }

    fn ends(self, answer: Result<Answer, Failure>) -> Asked {
        Asked {
            attempts: self.attempts,
            answer,
        }
    }
}
