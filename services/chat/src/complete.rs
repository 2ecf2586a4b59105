//! The use case: one chat request. All the branching of it is in this file; that of a request with an Idempotency-Key before it
//! runs is in `keyed.rs`.
//!
//! ```text
//! plan ─> hold ─> first answer ─┬─ whole ───> keep ─> charge ─> body
//!                               └─ stream ──> meter ─> keep ─> charge ─> tail
//! ```
//!
//! Everything from the hold on runs in a task of its own, which a caller cannot cancel. A failure before the first byte is
//! free. Of a stream that was cut, by whichever side, what had arrived is charged. With an Idempotency-Key a caller who leaves cuts
//! nothing: the answer is heard to its end and kept.

use std::sync::Arc;

use bytes::Bytes;
use chassis::failpoint::{Point, reach};
use domain::Micros;
use proto::{
    Fault,
    chat::v1::{Head, Tail, complete_event::Event},
};
use tokio::sync::mpsc::Receiver;
use tracing::info_span;
use upstream::Failure;

use crate::{
    Service,
    attempt::{Asked, first_answer},
    bill::{Bill, Subject, Tally},
    billing::{Holding, hold},
    claim::Claim,
    fault::inside_answer,
    kept::{Keeping, Kept, credited},
    keyed::Keyed,
    listener::{Begun, Item, Listener, Lost},
    meter::{End, Metered, metered},
    open_hold::OpenHold,
    plan::{Plan, Submission, plan},
    providers::{Answer, Chunk, Pieces},
    reply::usage_event,
    request::Wanted,
};

/// Starts a request; its events come out of the receiver, the first of them a head or a failure.
///
/// # Errors
/// What is wrong with the request, before any money moves.
pub(crate) fn complete(
    service: &Arc<Service>,
    mut submission: Submission,
) -> Result<Receiver<Item>, Fault> {
    let config = &service.config;
    let (listener, events) = Listener::new(config.buffered_events, config.slow_reader_timeout);
    let span = info_span!(
        "chat",
        request = submission.caller.request_id,
        operation = %submission.operation,
        otel.kind = "internal",
    );
    if let Some(key) = submission.idempotency_key.take() {
        let keyed = Keyed::new(service, submission, &key, listener);
        service.tasks.spawn(span, keyed.run());
    } else {
        let plan = plan(service, submission)?;
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
    subject: Subject,
    /// Its Idempotency-Key, which is its own while it runs.
    claim: Option<Claim>,
}

/// Why nothing is charged for a request, or what is said of its end: the words of receipts and metrics.
mod outcome {
    pub(super) const COMPLETED: &str = "completed";
    pub(super) const REFUSED: &str = "hold_refused";
    pub(super) const FAILED: &str = "upstream_failed";
    pub(super) const CUT: &str = "upstream_cut";
    pub(super) const LEFT: &str = "client_left";
    pub(super) const SLOW: &str = "slow_reader";
    pub(super) const UNBILLED: &str = "unbilled";
    /// Why a whole answer's usage is an estimate.
    pub(super) const NO_USAGE: &str = "no_usage";
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
            subject: plan.subject(service.catalogue.version()),
            service,
            plan,
            listener,
            claim,
        }
    }

    pub(crate) async fn run(mut self) {
        let outcome = match self.claim.clone() {
            None => self.serve().await,
            Some(claim) => tokio::select! {
                outcome = self.serve() => outcome,
                never = claim.stay_alive() => match never {},
            },
        };
        self.service.metrics.ended(&self.plan.model, outcome);
    }

    async fn serve(&mut self) -> &'static str {
        let holding = Holding {
            caller: &self.plan.caller,
            operation: self.plan.operation,
            terms: self.plan.terms,
            price_version: &self.subject.price_version,
            claim: self.claim.clone(),
        };
        let hold = match hold(&self.service.billing, holding).await {
            Ok(open) => open,
            Err(fault) => return self.refuse(fault, outcome::REFUSED).await,
        };
        reach(Point::ChatAfterHold);
        let max_output = self.plan.bound.affordable(&self.plan.price, hold.granted());
        let asked = tokio::select! {
            biased;
            () = self.listener.left(), if self.claim.is_none() => None,
            asked = first_answer(&self.service, &self.plan, max_output) => Some(asked),
        };
        let Some(Asked { attempts, answer }) = asked else {
            hold.release(self.subject.free(outcome::LEFT)).await;
            return outcome::LEFT;
        };
        self.subject.provider = attempts
            .last()
            .map(|last| last.provider.clone())
            .unwrap_or_default();
        self.subject.attempts = attempts;
        match answer {
            Ok(Answer::Whole(body)) => self.whole(body, hold).await,
            Ok(Answer::Stream(first, rest)) => self.stream(first, rest, hold).await,
            Err(failure) => {
                hold.release(self.subject.free(failure.class().as_str()))
                    .await;
                let fault = upstream::fault(&failure, self.service.config.retry_after);
                self.refuse(fault, outcome::FAILED).await
            }
        }
    }

    /// One JSON body: charged, then sent.
    async fn whole(&self, body: Chunk, hold: OpenHold) -> &'static str {
        let tally = Tally::of_whole(&body.data, body.signs.content_bytes);
        let bill = self.bill(&tally, &hold, outcome::NO_USAGE);
        let head = self.head(Wanted::Whole);
        let tail = vec![body.data];
        let answer = self.kept(&head, Some(Vec::new()), &tail);
        match self.charge(&bill, hold, answer).await {
            Ok(charged) => {
                self.finish(Some(head), credited(tail, charged), charged)
                    .await
            }
            Err(fault) => self.refuse(fault, outcome::UNBILLED).await,
        }
    }

    /// Events as they come; the last ones once they are charged.
    async fn stream(&self, first: Chunk, rest: Pieces, hold: OpenHold) -> &'static str {
        let wanted = self.plan.request.answer;
        // A reader who is gone already is noticed at the first event, which counts what came.
        let _ = self.listener.send(Event::Head(self.head(wanted))).await;
        let most = self.service.config.replay.max_bytes;
        let keeping = self.claim.as_ref().map(|_| Keeping::new(most));
        let mut metered = metered((first, rest), &self.listener, wanted, keeping).await;
        match std::mem::replace(&mut metered.end, End::Done) {
            End::Done => self.completed(metered, hold).await,
            End::Broken(failure) => self.broken(&metered, hold, &failure).await,
            End::Lost(lost) => self.lost(&metered.tally, hold, lost).await,
        }
    }

    /// The stream came to its end.
    async fn completed(&self, metered: Metered, hold: OpenHold) -> &'static str {
        let wanted = self.plan.request.answer;
        let bill = self.bill(&metered.tally, &hold, outcome::NO_USAGE);
        let tail = tail(metered.kept_back, &metered.first, &bill, wanted);
        let data = metered.keeping.and_then(Keeping::into_data);
        let answer = self.kept(&self.head(wanted), data, &tail);
        match (self.charge(&bill, hold, answer).await, metered.lost) {
            (Ok(charged), None) => self.finish(None, credited(tail, charged), charged).await,
            (Ok(charged), Some(_)) => self.fail(unread(charged), outcome::COMPLETED).await,
            (Err(fault), _) => self.fail(fault, outcome::UNBILLED).await,
        }
    }

    /// The provider cut the stream. What had come is charged, if somebody read it. It is no answer: a key is free again.
    async fn broken(&self, metered: &Metered, hold: OpenHold, failure: &Failure) -> &'static str {
        let bill = self.bill_of_cut(&metered.tally, &hold, outcome::CUT);
        let unread = metered.lost.is_some() || self.listener.has_left();
        let settled = match bill.filter(|_| !unread) {
            Some(bill) => {
                let charged = self.capture(&bill, hold).await;
                if let (Ok(_), Some(claim)) = (&charged, &self.claim) {
                    claim.free().await;
                }
                charged
            }
            None => self.release(hold, outcome::CUT).await,
        };
        match settled {
            Ok(charged) => {
                self.fail(inside_answer(failure, charged), outcome::CUT)
                    .await
            }
            Err(fault) => self.fail(fault, outcome::UNBILLED).await,
        }
    }

    /// The reader is gone, or too slow: what had come is charged.
    async fn lost(&self, tally: &Tally, hold: OpenHold, lost: Lost) -> &'static str {
        let reason = match lost {
            Lost::Left => outcome::LEFT,
            Lost::Slow => outcome::SLOW,
        };
        let settled = match self.bill_of_cut(tally, &hold, reason) {
            // Where there is a key, the answer was too long to be kept for it.
            Some(bill) => self.charge(&bill, hold, None).await,
            None => self.release(hold, reason).await,
        };
        let fault = settled.map_or_else(|fault| fault, slow_reader);
        self.fail(fault, reason).await
    }

    fn head(&self, wanted: Wanted) -> Head {
        Head {
            provider: self.subject.provider.clone(),
            stream: wanted != Wanted::Whole,
            ..Head::default()
        }
    }

    /// The answer as it is kept for the request's key, if it has one and there is all of it.
    fn kept(&self, head: &Head, data: Option<Vec<Bytes>>, tail: &[Bytes]) -> Option<Kept> {
        self.claim.as_ref()?;
        Some(Kept {
            head: head.clone(),
            data: data?,
            tail: tail.to_vec(),
        })
    }

    async fn release(&self, hold: OpenHold, reason: &'static str) -> Result<Micros, Fault> {
        hold.release(self.subject.free(reason)).await;
        Ok(Micros::ZERO)
    }

    /// What had arrived of a cut stream is charged; nothing is free.
    fn bill_of_cut(&self, tally: &Tally, hold: &OpenHold, reason: &'static str) -> Option<Bill> {
        (tally.content_bytes > 0).then(|| self.bill(tally, hold, reason))
    }

    /// Charges an answer. Where somebody may ask for it again, it is written down before: then whoever asks makes sure of the
    /// charge, should this process die in between.
    async fn charge(
        &self,
        bill: &Bill,
        hold: OpenHold,
        answer: Option<Kept>,
    ) -> Result<Micros, Fault> {
        let Some(claim) = &self.claim else {
            return self.capture(bill, hold).await;
        };
        let receipt = bill.receipt(&self.subject);
        if let Err(fault) = claim.settle(answer, bill.amount, &receipt).await {
            self.service.metrics.unbilled.inc();
            hold.release(self.subject.free(outcome::UNBILLED)).await;
            return Err(fault);
        }
        let charged = self.capture(bill, hold).await?;
        claim.finish(charged).await;
        Ok(charged)
    }

    fn bill(&self, tally: &Tally, hold: &OpenHold, reason: &'static str) -> Bill {
        Bill::of(
            tally,
            &self.plan.bound,
            &self.plan.price,
            hold.granted(),
            reason,
        )
    }

    async fn capture(&self, bill: &Bill, hold: OpenHold) -> Result<Micros, Fault> {
        if let Some(reason) = bill.estimated {
            self.service.metrics.estimate(reason);
        }
        if bill.over {
            self.service.metrics.overreported.inc();
        }
        reach(Point::ChatBeforeCapture);
        let captured = hold.capture(bill.amount, bill.receipt(&self.subject)).await;
        reach(Point::ChatAfterCapture);
        captured
    }

    /// The end of a request that went well. That nobody may be there to read it changes nothing any more.
    async fn finish(&self, head: Option<Head>, data: Vec<Bytes>, charged: Micros) -> &'static str {
        let tail = Event::Tail(Tail {
            data,
            charged: charged.get(),
        });
        for event in head.map(Event::Head).into_iter().chain([tail]) {
            if self.listener.send(event).await.is_err() {
                break;
            }
        }
        outcome::COMPLETED
    }

    /// A failure before the first byte.
    async fn refuse(&self, fault: Fault, outcome: &'static str) -> &'static str {
        self.listener.fail(fault, Begun::No).await;
        outcome
    }

    /// A failure behind the first byte.
    async fn fail(&self, fault: Fault, outcome: &'static str) -> &'static str {
        if !self.listener.has_left() {
            self.listener.fail(fault, Begun::Yes).await;
        }
        outcome
    }
}

/// The last events: what tells of the usage.
fn tail(mut kept_back: Vec<Bytes>, first: &Bytes, bill: &Bill, wanted: Wanted) -> Vec<Bytes> {
    if kept_back.is_empty() && wanted == Wanted::StreamWithUsage {
        kept_back.push(usage_event(first, bill.usage));
    }
    kept_back
}

/// The answer is kept for the request's key, and its reader took nothing for too long.
fn unread(charged: Micros) -> Fault {
    let message = format!(
        "The answer was not read for too long. It is complete, and {charged} credits were charged: send the request again \
         with the same Idempotency-Key to get it."
    );
    Fault::new(proto::code::TIMEOUT, message)
}

fn slow_reader(charged: Micros) -> Fault {
    let message = format!(
        "The answer was not read for too long and was stopped; {charged} credits were charged for what had arrived."
    );
    Fault::new(proto::code::TIMEOUT, message)
}
