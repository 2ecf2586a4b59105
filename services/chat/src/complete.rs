//! The use case: one chat request, with all its branching; that before it runs is in `keyed.rs` (an Idempotency-Key) and `recall.rs` (the cache).
//!
//! ```text
//! plan ─> hold ─> first answer ─┬─ whole ───> keep ─> charge ─> body
//!                               └─ stream ──> meter ─> keep ─> charge ─> tail
//! ```
//!
//! Everything from the hold on runs in a task of its own, which a caller cannot cancel. What an ending costs, [`domain::charge`] says:
//! a failure before the first byte is free; of a stream that was cut, by whichever side, what had arrived is charged. With an
//! Idempotency-Key a caller who leaves cuts nothing: the answer is heard to its end and kept.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chassis::{
    failpoint::{Point, reach},
    rpc::Line,
};
use domain::{
    Micros,
    charge::{Charge, Ending},
    receipt::{Attempts, Receipt},
};
use proto::{
    Fault, Kind,
    chat::v1::{Cached, Head, Tail, complete_event::Event},
};
use tokio::sync::mpsc::Receiver;
use tracing::Span;
use upstream::{Class, Failure};

use crate::{
    Service,
    attempt::{Asked, first_answer, somebody_serves},
    bill::{Bill, Tally, Used},
    billing::{Holding, hold},
    claim::Claim,
    estimate::Estimate,
    fault::{ending_of, inside_answer, slow_reader, unread},
    kept::{Keeping, Kept, Reader, credited},
    keyed::Keyed,
    limit::Limit,
    listener::{Begun, Item, Listener, Lost},
    meter::{End, Metered, metered},
    open_hold::OpenHold,
    plan::{Plan, Submission, plan},
    providers::{Answer, Chunk, Pieces},
    recall,
    reply::{explained, tail},
    request::Wanted,
    story::{self, Story},
    urls,
};

/// Starts a request, which came by this line, if it came by any; its events come out of the receiver, the first of them a head or a failure.
///
/// # Errors
/// What is wrong with the request, before any money moves.
pub(crate) async fn complete(
    service: &Arc<Service>,
    mut submission: Submission,
    line: Option<Line>,
) -> Result<Receiver<Item>, Fault> {
    let config = &service.config;
    let (listener, events) =
        Listener::new(config.buffered_events, config.slow_reader_timeout, line);
    if let Some(key) = submission.idempotency_key.take() {
        let span = story::line(&submission.caller.request_id, submission.operation);
        let keyed = Keyed::new(service, submission, &key, listener);
        service.tasks.spawn(span, keyed.run());
        return Ok(events);
    }
    let mut plan = plan(service, submission)?;
    urls::check(service, &plan).await?;
    plan.files = service.files.look(&plan).await?;
    let span = story::span(&plan);
    if plan.wish.is_some() {
        let recalled = recall::run(Arc::clone(service), plan, listener);
        service.tasks.spawn(span, recalled);
    } else {
        somebody_serves(service, &plan)?;
        let work = Work::new(Arc::clone(service), plan, listener, None);
        service.tasks.spawn(span, work.run());
    }
    Ok(events)
}

/// One request on its way.
pub(crate) struct Work {
    service: Arc<Service>,
    plan: Plan,
    listener: Listener,
    /// What is known of its receipt.
    draft: Receipt,
    /// Its Idempotency-Key, which is its own while it runs.
    claim: Option<Claim>,
    /// The answer, if it came to its end and is to be kept for equal requests.
    answer: OnceLock<Box<Kept>>,
    story: Story,
}

/// The metrics' word for a request that went well.
const COMPLETED: &str = Ending::Completed.as_str();
/// The metrics' word for a request that billing refused; for all others, their ending's.
const REFUSED: &str = "hold_refused";
/// Why a complete answer's usage is an estimate.
const NO_USAGE: &str = "no_usage";
/// The same of an answer that its provider did not end.
const LIMIT_PASSED: &str = "limit_passed";

/// What is written down for a request's key before its answer is charged.
enum Keep {
    /// The answer; nothing where it is too long to be kept.
    Answer(Option<Kept>),
    /// What came is no answer: the key is free again.
    Nothing,
}

// === impl Work ===

impl Work {
    pub(crate) fn new(
        service: Arc<Service>,
        plan: Plan,
        listener: Listener,
        claim: Option<Claim>,
    ) -> Self {
        Self {
            draft: plan.draft(service.catalogue.version()),
            service,
            plan,
            story: Story::new(listener.since()),
            listener,
            claim,
            answer: OnceLock::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        if self.plan.wish.is_some() {
            Span::current().record("aio.cache", recall::MISS);
        }
        let outcome = match self.claim.clone() {
            None => self.serve().await,
            Some(claim) => tokio::select! {
                outcome = self.serve() => outcome,
                never = claim.stay_alive() => match never {},
            },
        };
        let (service, model) = (&self.service, &self.plan.answering.model);
        service.metrics.ended(model, outcome);
        self.story.ended(outcome, &service.figures);
        // The reader has what there is, and waits for nothing of this.
        drop(self.listener);
        if let (Some(answer), COMPLETED) = (self.answer.into_inner(), outcome) {
            recall::keep(service, self.plan, *answer).await;
        }
    }

    async fn serve(&mut self) -> &'static str {
        let holding = Holding {
            caller: &self.plan.caller,
            operation: self.plan.operation,
            terms: self.plan.terms,
            draft: &self.draft,
            claim: self.claim.clone(),
        };
        // What is over before an answer comes is on the heap: it is not carried through the answer, which may take long.
        let hold = match Box::pin(hold(&self.service.billing, holding)).await {
            Ok(open) => open,
            Err(fault) => {
                self.listener.fail(fault, Begun::No).await;
                return REFUSED;
            }
        };
        reach(Point::ChatAfterHold);
        let granted = hold.granted();
        self.story.asks(&self.service.figures);
        let asked = tokio::select! {
            biased;
            () = self.listener.left(), if self.claim.is_none() => None,
            asked = Box::pin(self.ask(granted)) => Some(asked),
        };
        let Asked {
            attempts,
            calls,
            offer,
            answer,
        } = match asked {
            Some(Ok(asked)) => asked,
            Some(Err(fault)) => return self.unread(hold, fault).await,
            None => return self.nothing(hold, self.listener.why_left()).await,
        };
        if !Arc::ptr_eq(&offer, &self.plan.answering) {
            // Another model answers, at its own price.
            self.plan.answering = offer;
            self.draft = self.plan.draft(self.service.catalogue.version());
        }
        let offer = &self.plan.answering;
        self.story.asked(calls, &self.service.figures);
        let limit = Limit::of(
            &offer.bound,
            offer.affordable(granted),
            self.service.config.output.most_token_bytes,
        );
        self.draft.provider = attempts
            .last()
            .map(|last| last.provider.clone())
            .unwrap_or_default();
        self.draft.attempts = Attempts::Calls(attempts);
        match answer {
            Ok(Answer::Whole(body)) => self.whole(limit.told(body), hold).await,
            Ok(Answer::Stream(first, rest)) => self.stream((first, rest), limit, hold).await,
            Err(failure) => {
                let word = self.nothing(hold, ending_of(&failure)).await;
                let fault = upstream::fault(&failure, self.service.config.retry_after);
                self.listener.fail(fault, Begun::No).await;
                word
            }
        }
    }

    /// Asks the providers, with the files that the request names.
    async fn ask(&self, granted: Micros) -> Result<Asked, Fault> {
        let (service, plan) = (&self.service, &self.plan);
        let filled = service.files.fill(service, plan).await?;
        Ok(first_answer(service, plan, (filled.as_ref(), granted)).await)
    }

    /// A file that the request names cannot be read.
    async fn unread(&self, hold: OpenHold, fault: Fault) -> &'static str {
        let ending = if fault.kind() == Kind::BadRequest {
            Ending::Invalid
        } else {
            Ending::Internal
        };
        let word = self.nothing(hold, ending).await;
        self.listener.fail(fault, Begun::No).await;
        word
    }

    /// One JSON body: charged, then sent.
    async fn whole(&self, body: Chunk, hold: OpenHold) -> &'static str {
        self.story.heard_whole(&body);
        let tally = Tally::of_whole(&body, self.service.config.output.estimate.output_bytes);
        let ending = Ending::Completed;
        let bill = self.bill(&tally, &hold, (ending, NO_USAGE)).await;
        let head = self.head(Wanted::Whole);
        let tail = explained(vec![body.data], bill.as_ref());
        let kept = self.kept(&head, Some(Vec::new()), &tail);
        self.remember(kept.as_ref());
        let keep = Keep::Answer(kept);
        match Box::pin(self.settle(bill, hold, (ending, keep))).await {
            Ok(charged) => {
                self.finish(Some(head), credited(tail, charged), charged)
                    .await;
                ending.as_str()
            }
            Err(fault) => {
                self.listener.fail(fault, Begun::No).await;
                Ending::BillingUnavailable.as_str()
            }
        }
    }

    /// Events as they come; the last ones once they are charged.
    async fn stream(&self, events: (Chunk, Pieces), limit: Limit, hold: OpenHold) -> &'static str {
        let wanted = self.plan.request.answer;
        // A reader who is gone already is noticed at the first event, which counts what came.
        let _ = self.listener.send(Event::Head(self.head(wanted))).await;
        let tally = Tally::new(self.service.config.output.estimate.output_bytes);
        let (limits, keep) = ((wanted, limit), (tally, self.keeping()));
        let mut metered = metered(events, &self.listener, limits, keep).await;
        self.story.heard_stream(&metered);
        match std::mem::replace(&mut metered.end, End::Done) {
            End::Done => self.completed(metered, hold, NO_USAGE).await,
            End::Passed => self.completed(metered, hold, LIMIT_PASSED).await,
            End::Broken(failure) => self.broken(&metered, hold, &failure).await,
            End::Lost(lost) => self.lost(&metered.tally, hold, lost).await,
        }
    }

    /// The stream came to its end. `silence` says why no usage may have come.
    async fn completed(
        &self,
        metered: Metered,
        hold: OpenHold,
        silence: &'static str,
    ) -> &'static str {
        let wanted = self.plan.request.answer;
        let ending = Ending::Completed;
        let bill = self.bill(&metered.tally, &hold, (ending, silence)).await;
        let usage = bill.as_ref().map(|bill| bill.usage).unwrap_or_default();
        let tail = tail(metered.kept_back, &metered.first, usage, wanted);
        let tail = explained(tail, bill.as_ref());
        let data = metered.keeping.and_then(Keeping::into_data);
        let kept = self.kept(&self.head(wanted), data, &tail);
        if silence != LIMIT_PASSED {
            self.remember(kept.as_ref());
        }
        let keep = Keep::Answer(kept);
        let settled = Box::pin(self.settle(bill, hold, (ending, keep))).await;
        match (settled, metered.lost) {
            (Ok(charged), None) => {
                self.finish(None, credited(tail, charged), charged).await;
                ending.as_str()
            }
            (Ok(charged), Some(_)) => self.fail(unread(charged), ending).await,
            (Err(fault), _) => self.fail(fault, Ending::BillingUnavailable).await,
        }
    }

    /// The provider cut the stream. What had come is charged, if somebody read it. It is no answer: a key is free again.
    async fn broken(&self, metered: &Metered, hold: OpenHold, failure: &Failure) -> &'static str {
        let unread = metered.lost.is_some() || self.listener.has_left();
        let ending = if unread && self.claim.is_some() {
            Ending::CutUnread
        } else if failure.class() == Class::Moderated {
            Ending::Moderated
        } else {
            Ending::UpstreamCut
        };
        let silence = ending.as_str();
        let bill = self.bill(&metered.tally, &hold, (ending, silence)).await;
        match Box::pin(self.settle(bill, hold, (ending, Keep::Nothing))).await {
            Ok(charged) => self.fail(inside_answer(failure, charged), ending).await,
            Err(fault) => self.fail(fault, Ending::BillingUnavailable).await,
        }
    }

    /// The reader is gone, or too slow: what had come is charged.
    async fn lost(&self, tally: &Tally, hold: OpenHold, lost: Lost) -> &'static str {
        let ending = match lost {
            Lost::Left => self.listener.why_left(),
            Lost::Slow => Ending::SlowReader,
        };
        let silence = ending.as_str();
        let bill = self.bill(tally, &hold, (ending, silence)).await;
        // Where there is a key, the answer was too long to be kept for it.
        let settled = Box::pin(self.settle(bill, hold, (ending, Keep::Answer(None)))).await;
        let fault = settled.map_or_else(|fault| fault, slow_reader);
        self.fail(fault, ending).await
    }

    fn head(&self, wanted: Wanted) -> Head {
        Head {
            provider: self.draft.provider.clone(),
            model: self.draft.model.clone(),
            stream: wanted != Wanted::Whole,
            // Whoever gets here was not given an answer that was there.
            cached: self.plan.wish.as_ref().map(|_| Cached::default()),
            ..Head::default()
        }
    }

    /// Where a stream is kept, if it is, while it comes.
    fn keeping(&self) -> Option<Keeping> {
        match (&self.claim, &self.plan.wish) {
            (Some(_), _) => {
                let most = self.service.config.replay.max_bytes;
                Some(Keeping::new(most, Reader::MayLeave))
            }
            (None, Some(_)) => {
                let most = self.service.cache.limits.max_bytes;
                Some(Keeping::new(most, Reader::Stays))
            }
            (None, None) => None,
        }
    }

    /// Has an answer kept for equal requests once it is charged, if this one asks for that.
    fn remember(&self, kept: Option<&Kept>) {
        if let (Some(kept), Some(_)) = (kept, &self.plan.wish) {
            // There is one answer.
            let _ = self.answer.set(Box::new(kept.clone()));
        }
    }

    /// The answer as it is kept for whoever asks again, if anybody may and there is all of it.
    fn kept(&self, head: &Head, data: Option<Vec<Bytes>>, tail: &[Bytes]) -> Option<Kept> {
        if self.claim.is_none() && self.plan.wish.is_none() {
            return None;
        }
        Some(Kept {
            head: Head {
                cached: None,
                ..head.clone()
            },
            data: data?,
            tail: tail.to_vec(),
        })
    }

    /// What an ending costs; `None` when the table says nothing, or nothing of it had arrived. `silence` says why no usage may have
    /// come.
    async fn bill(
        &self,
        tally: &Tally,
        hold: &OpenHold,
        (ending, silence): (Ending, &'static str),
    ) -> Option<Bill> {
        let due = match ending.charge(self.draft.kind) {
            Charge::Nothing => false,
            Charge::WhatArrived => tally.content_bytes > 0,
            Charge::InFull => true,
        };
        if !due {
            return None;
        }
        let (offer, granted) = (&self.plan.answering, hold.granted());
        let used = if let Some(usage) = tally.reported() {
            Used::Reported(usage)
        } else {
            let limits = &self.service.config.output.estimate;
            let estimate = Estimate::of(&self.plan, &offer.bound, tally, limits).await;
            Used::Estimated(estimate, tally.why(silence))
        };
        Some(Bill::of(used, &offer.bound, &offer.rate, granted))
    }

    /// Charges a bill, or gives everything back. Where somebody may ask for the answer again, it is written down before: then whoever
    /// asks makes sure of the charge, should this process die in between.
    async fn settle(
        &self,
        bill: Option<Bill>,
        hold: OpenHold,
        (ending, keep): (Ending, Keep),
    ) -> Result<Micros, Fault> {
        let Some(bill) = bill else {
            hold.release(self.draft.clone(), ending).await;
            return Ok(Micros::ZERO);
        };
        let receipt = bill.receipt(&self.draft, ending);
        let (Some(claim), Keep::Answer(answer)) = (&self.claim, keep) else {
            let charged = self.capture(&bill, receipt, hold).await?;
            if let Some(claim) = &self.claim {
                claim.free().await;
            }
            return Ok(charged);
        };
        let receipt_json = receipt.to_json();
        let written = Box::pin(claim.settle(answer, bill.amount, &receipt_json)).await;
        if let Err(fault) = written {
            self.service.metrics.unbilled.inc();
            hold.release(receipt, Ending::BillingUnavailable).await;
            return Err(fault);
        }
        let charged = self.capture(&bill, receipt, hold).await?;
        Box::pin(claim.finish(charged)).await;
        Ok(charged)
    }

    /// An ending before anything of an answer came.
    async fn nothing(&self, hold: OpenHold, ending: Ending) -> &'static str {
        hold.release(self.draft.clone(), ending).await;
        ending.as_str()
    }

    async fn capture(
        &self,
        bill: &Bill,
        receipt: Receipt,
        hold: OpenHold,
    ) -> Result<Micros, Fault> {
        if let Some(reason) = bill.estimated {
            self.service.metrics.estimate(reason);
        }
        if bill.over {
            self.service.metrics.overreported.inc();
        }
        reach(Point::ChatBeforeCapture);
        let captured = hold.capture(receipt).await;
        reach(Point::ChatAfterCapture);
        if let Ok(charged) = &captured {
            self.story.charged(bill.usage, *charged);
        }
        captured
    }

    /// The end of a request that went well. That nobody may be there to read it changes nothing any more.
    async fn finish(&self, head: Option<Head>, data: Vec<Bytes>, charged: Micros) {
        let tail = Event::Tail(Tail {
            data,
            charged: charged.get(),
        });
        for event in head.map(Event::Head).into_iter().chain([tail]) {
            if self.listener.send(event).await.is_err() {
                break;
            }
        }
    }

    /// A failure behind the first byte.
    async fn fail(&self, fault: Fault, ending: Ending) -> &'static str {
        if !self.listener.has_left() {
            self.listener.fail(fault, Begun::Yes).await;
        }
        ending.as_str()
    }
}
