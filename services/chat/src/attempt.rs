//! One candidate after another, only before the first byte of an answer, and under one hold.
//!
//! What a provider takes inline only is fetched before it is asked, once for all of them, and outside of its time.
//!
//! Another one is asked when it is certain that nothing was accepted ([`Failure::another_may_serve`]), and when no first byte came in
//! time while somebody else could be asked. The latter may be paid twice, by us: the provider that was given up may have begun. The
//! customer has one hold and pays for one answer.
//!
//! Where the customer named several models, the candidates of one come before those of the next, and each model that can be asked has one
//! of the calls.
//!
//! A candidate that asked us to slow down is asked last. One whose breaker is open otherwise, or that has no room, is passed over; that is
//! no call, and no receipt lists it. Where all are, nobody is asked, not even
//! a model's only provider: the customer is told at once when it may go better, which costs neither them nor a provider in trouble
//! anything.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use domain::{Micros, Mode, receipt::Attempt};
use futures::StreamExt as _;
use proto::Fault;
use tokio::time::{Instant, timeout};
use upstream::{Class, Failure, Wait};

use crate::{
    Service,
    bulkhead::Berth,
    candidate::{Candidate, Entry},
    files::Filled,
    offer::{Offer, Stop},
    plan::Plan,
    providers::{Answer, Chunk, Fetched, Order, Piece, Urls},
    reply::with_model,
    request::{Request, Wanted},
    story::Call,
};

/// How the candidates did.
pub(crate) struct Asked {
    /// Every call, in order; the last one is the answer's or the failure's.
    pub(crate) attempts: Vec<Attempt>,
    /// The same, for traces and figures.
    pub(crate) calls: Vec<Call>,
    /// The model of the last call.
    pub(crate) offer: Arc<Offer>,
    /// The first good answer, or the failure of the last candidate asked.
    pub(crate) answer: Result<Answer, Failure>,
}

/// One request's way through the candidates.
struct Way<'a> {
    service: &'a Service,
    plan: &'a Plan,
    /// The body, and what was read out of it: with the files that it names.
    said: (&'a Bytes, &'a Request),
    /// What is held.
    granted: Micros,
    /// What is known of what its URLs lead to.
    urls: Urls<'a>,
    /// After this moment no further one is asked.
    until: Instant,
    /// So many are asked at most.
    most: usize,
    attempts: Vec<Attempt>,
    calls: Vec<Call>,
    /// The models that were asked, the last one last.
    asked: Vec<&'a Arc<Offer>>,
}

/// Whether anybody could be asked now: for a request that nobody would serve, no credit need be held.
///
/// # Errors
/// UPSTREAM_BUSY, and when the first of them will be asked again.
pub(crate) fn somebody_serves(service: &Service, plan: &Plan) -> Result<(), Fault> {
    let mut soonest: Option<Duration> = None;
    for candidate in plan.candidates() {
        match candidate.look() {
            Ok(()) => return Ok(()),
            Err(wait) => soonest = Some(soonest.map_or(wait, |known| known.min(wait))),
        }
    }
    plan.candidates().for_each(Candidate::pass_over);
    let usual = service.config.retry_after;
    let failure = Failure::left_alone(soonest.unwrap_or(usual));
    Err(upstream::fault(&failure, usual))
}

/// Asks candidates in order until one answers well, or no other may be asked. `granted` is what is held; `filled` the request with its files
/// in it, if it names some.
pub(crate) async fn first_answer(
    service: &Service,
    plan: &Plan,
    (filled, granted): (Option<&Filled>, Micros),
) -> Asked {
    let limits = &service.config.failover;
    let fetched = OnceLock::new();
    let mut way = Way {
        service,
        plan,
        said: filled.map_or((&plan.body, &plan.request), |filled| {
            (&filled.body, &filled.request)
        }),
        granted,
        urls: plan.urls(),
        until: Instant::now() + limits.window,
        most: limits.max_candidates.max(plan.offers.len()),
        attempts: Vec::with_capacity(1),
        calls: Vec::with_capacity(1),
        asked: Vec::with_capacity(1),
    };
    let mut rest = plan.in_order();
    let mut soonest = None;
    let mut failed: Option<Failure> = None;
    while let Some(stop) = rest.pop_front() {
        if !way.has_a_call_for(&stop, &rest) {
            continue;
        }
        let adapter = &stop.candidate.adapter;
        let inlines = plan.caller.mode == Mode::Live && adapter.inlines();
        // Before the breaker is entered: the time of a try is the provider's.
        if inlines && let Err(failure) = way.fetch(&stop, &fetched).await {
            // Nor can the others that would need it.
            rest.retain(|other| !other.candidate.adapter.inlines());
            failed = Some(failure);
            continue;
        }
        let entry = match stop.candidate.enter() {
            Ok(entry) => entry,
            Err(wait) => {
                soonest = Some(soonest.map_or(wait, |known: Duration| known.min(wait)));
                continue;
            }
        };
        if !way.affords(&stop, failed.as_ref()) {
            continue;
        }
        let answer = way.ask(&stop, entry, &rest).await;
        match answer {
            Err(failure) if way.goes_on(&failure) => {
                if !is_of_credential(&failure) {
                    let same = |other: &Stop<'_>| {
                        Arc::ptr_eq(other.offer, stop.offer)
                            && other.candidate.provider == stop.candidate.provider
                    };
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

/// The answer with its berth, which it keeps to its end; and where the customer named several models, with the name of the one that
/// answers.
fn answered(answer: Answer, berth: Berth, name: Option<String>) -> Answer {
    let named = move |chunk: Chunk| match &name {
        Some(name) => Chunk {
            data: with_model(&chunk.data, name),
            ..chunk
        },
        None => chunk,
    };
    match answer {
        Answer::Whole(body) => Answer::Whole(named(body)),
        Answer::Stream(first, rest) => {
            let first = named(first);
            let rest = rest.map(move |piece| {
                let _open = &berth;
                piece.map(|piece| match piece {
                    Piece::Chunk(chunk) => Piece::Chunk(named(chunk)),
                    Piece::Done => Piece::Done,
                })
            });
            Answer::Stream(first, rest.boxed())
        }
    }
}

/// Whether another of our credentials at the same provider may do better. If not, other providers come first: else one that hangs could
/// take all the calls that a request may make.
fn is_of_credential(failure: &Failure) -> bool {
    matches!(
        failure.class(),
        Class::Auth | Class::Balance | Class::RateLimited
    )
}

/// Whether a call was in vain for what may be too much load somewhere: then another one makes it worse. A provider that does not have the
/// model, or no words for a field, is in no trouble.
fn is_of_trouble(failure: &Failure) -> bool {
    failure.class() != Class::Gone && failure.param().is_none()
}

// === impl Way ===

impl<'a> Way<'a> {
    /// Whether this one may be asked, if each model that was not asked yet, and could be, is to have a call as well.
    fn has_a_call_for(&self, stop: &Stop<'_>, rest: &VecDeque<Stop<'_>>) -> bool {
        if self.plan.offers.len() == 1 || !self.was_asked(stop.offer) {
            return true;
        }
        let waits = |offer: &&Arc<Offer>| {
            let theirs = |other: &&Stop<'_>| Arc::ptr_eq(other.offer, offer);
            let mut stops = rest.iter().filter(theirs);
            !self.was_asked(offer) && stops.any(|stop| stop.candidate.look().is_ok())
        };
        let waiting = self.plan.offers.iter().filter(waits).count();
        self.attempts.len().saturating_add(waiting) < self.most
    }

    fn was_asked(&self, offer: &Arc<Offer>) -> bool {
        self.asked.iter().any(|asked| Arc::ptr_eq(asked, offer))
    }

    /// The first call for a model earns it a part of another one; each further call for it is paid for out of that.
    fn affords(&self, stop: &Stop<'_>, failed: Option<&Failure>) -> bool {
        let (budget, metrics) = (&stop.offer.serving.budget, &self.service.metrics);
        if !self.was_asked(stop.offer) {
            budget.earn();
        } else if failed.is_some_and(is_of_trouble) && !budget.spend() {
            metrics.load.over_budget.inc();
            return false;
        }
        if let Some(failure) = failed {
            metrics.load.failed_over(failure.class().as_str());
        }
        true
    }

    /// The request, as the candidates of a model are asked it.
    fn order(&self, offer: &Offer) -> Order<'a> {
        Order {
            body: self.said.0,
            request: self.said.1,
            max_output: offer.affordable(self.granted),
            urls: self.urls,
        }
    }

    /// Fetches what the request's URLs lead to, unless that was done for a candidate before.
    async fn fetch(
        &mut self,
        stop: &Stop<'_>,
        fetched: &'a OnceLock<Fetched>,
    ) -> Result<(), Failure> {
        if fetched.get().is_none() {
            let order = self.order(stop.offer);
            let found = stop.candidate.adapter.fetch(order).await?;
            // Nobody else writes it.
            let _ = fetched.set(found);
        }
        if let Some(fetched) = fetched.get() {
            self.urls = Urls::Fetched(fetched);
        }
        Ok(())
    }

    /// Asks one candidate, and tells everybody who wants to know how it went.
    async fn ask(
        &mut self,
        stop: &Stop<'a>,
        entry: Entry<'_>,
        others: &VecDeque<Stop<'_>>,
    ) -> Result<Answer, Failure> {
        let Stop { offer, candidate } = *stop;
        self.asked.push(offer);
        let request = &self.plan.request;
        let order = self.order(offer);
        let ask = candidate.adapter.ask(&candidate.endpoint, order);
        let whom = (
            candidate.provider.as_str(),
            candidate.endpoint.model.as_str(),
        );
        let patience = self.patience(others);
        // Customers who leave, leave before our patience ends.
        let passage = entry
            .passage
            .with_silence(patience.map(|patience| patience / 2));
        let timing = candidate.timed(request.answer);
        let ask = async {
            match patience {
                // Dropping the call stops the provider.
                Some(patience) => timeout(patience, ask)
                    .await
                    .unwrap_or_else(|_| Err(Failure::timed_out(Wait::FirstByte))),
                None => ask.await,
            }
        };
        let mut call = Call::begin(&offer.model, whom, order);
        let answer = call.watch(ask).await;
        self.calls.push(call);
        passage.tell(&answer);
        timing.tell(&answer);
        let outcome = match &answer {
            Ok(_) => "answered",
            Err(failure) => {
                upstream::report(&candidate.provider, "chat", failure);
                failure.class().as_str()
            }
        };
        self.service.metrics.asked(&candidate.provider, outcome);
        let model = self.plan.requested.as_ref().map(|_| offer.model.clone());
        self.attempts.push(Attempt {
            provider: candidate.provider.clone(),
            model: model.clone(),
            outcome: outcome.to_owned(),
        });
        answer.map(|answer| answered(answer, entry.berth, model))
    }

    /// How long the first byte may take; for ever, as far as this goes, where nobody else could be asked afterwards.
    fn patience(&self, others: &VecDeque<Stop<'_>>) -> Option<Duration> {
        let patience = self.configured_patience();
        // This call is one more.
        let is_last = self.attempts.len() + 1 >= self.most;
        let too_late = Instant::now() + patience >= self.until;
        if patience.is_zero() || is_last || too_late {
            return None;
        }
        let could_be = |stop: &Stop<'_>| {
            let affords = !self.was_asked(stop.offer) || stop.offer.serving.budget.affords();
            affords && stop.candidate.look().is_ok()
        };
        let another = others.iter().any(could_be);
        another.then_some(patience)
    }

    fn configured_patience(&self) -> Duration {
        let limits = &self.service.config.failover;
        match self.plan.request.answer {
            Wanted::Whole => limits.whole_answer_patience,
            Wanted::Stream | Wanted::StreamWithUsage => limits.first_byte_patience,
        }
    }

    /// Whether another candidate may be asked after this failure.
    fn goes_on(&self, failure: &Failure) -> bool {
        let silent =
            failure.wait() == Some(Wait::FirstByte) && !self.configured_patience().is_zero();
        let more = self.attempts.len() < self.most;
        more && (silent || failure.another_may_serve()) && Instant::now() < self.until
    }

    fn ends(self, answer: Result<Answer, Failure>) -> Asked {
        let last = self.asked.last().copied();
        Asked {
            attempts: self.attempts,
            calls: self.calls,
            offer: Arc::clone(last.unwrap_or(&self.plan.answering)),
            answer,
        }
    }
}
