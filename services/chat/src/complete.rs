//! The use case: one chat request. All the branching of it is in this file.
//!
//! ```text
//! plan ─> hold ─> first answer ─┬─ whole ───> charge ─> body
//!                               └─ stream ──> meter ──> charge ─> tail
//! ```
//!
//! Everything from the hold on runs in a task of its own, which a caller cannot cancel. A failure before the first byte is
//! free. Of a stream that was cut, by whichever side, what had arrived is charged.

use std::sync::Arc;

use bytes::Bytes;
use domain::Micros;
use proto::{
    Fault,
    chat::v1::{Head, Tail, complete_event::Event},
};
use tokio::sync::mpsc::Receiver;
use tracing::info_span;

use crate::{
    Service,
    attempt::{Asked, first_answer},
    bill::{Bill, Subject, Tally},
    billing::{Holding, hold},
    fault::inside_answer,
    listener::{Begun, Item, Listener, Lost},
    meter::{End, Metered, metered},
    open_hold::OpenHold,
    plan::{Plan, Submission, plan},
    providers::{Answer, Chunk, Pieces},
    reply::{usage_event, with_credits},
    request::Wanted,
};

/// Starts a request; its events come out of the receiver, the first of them a head or a failure.
///
/// # Errors
/// What is wrong with the request, before any money moves.
pub(crate) fn complete(
    service: &Arc<Service>,
    submission: Submission,
) -> Result<Receiver<Item>, Fault> {
    let plan = plan(service, submission)?;
    let config = &service.config;
    let (listener, events) = Listener::new(config.buffered_events, config.slow_reader_timeout);
    let span = info_span!(
        "chat",
        request = plan.caller.request_id,
        operation = %plan.operation,
        otel.kind = "internal",
    );
    let work = Work {
        subject: plan.subject(service.catalogue.version()),
        service: Arc::clone(service),
        plan,
        listener,
    };
    service.tasks.spawn(span, work.run());
    Ok(events)
}

/// One request on its way.
struct Work {
    service: Arc<Service>,
    plan: Plan,
    listener: Listener,
    subject: Subject,
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
    async fn run(mut self) {
        let outcome = self.serve().await;
        self.service.metrics.ended(&self.plan.model, outcome);
    }

    async fn serve(&mut self) -> &'static str {
        let holding = Holding {
            caller: &self.plan.caller,
            operation: self.plan.operation,
            terms: self.plan.terms,
            price_version: &self.subject.price_version,
        };
        let hold = match hold(&self.service.billing, holding).await {
            Ok(open) => open,
            Err(fault) => return self.refuse(fault, outcome::REFUSED).await,
        };
        let max_output = self.plan.bound.affordable(&self.plan.price, hold.granted());
        let asked = tokio::select! {
            biased;
            () = self.listener.left() => None,
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
        let charged = match self.capture(&bill, hold).await {
            Ok(charged) => charged,
            Err(fault) => return self.refuse(fault, outcome::UNBILLED).await,
        };
        let data = vec![with_credits(&body.data, charged)];
        let head = self.head(Wanted::Whole);
        self.finish(Some(head), data, charged).await
    }

    /// Events as they come; the last ones once they are charged.
    async fn stream(&self, first: Chunk, rest: Pieces, hold: OpenHold) -> &'static str {
        let wanted = self.plan.request.answer;
        // A reader who is gone already is noticed at the first event, which counts what came.
        let _ = self.listener.send(self.head(wanted)).await;
        let metered = metered(first, rest, &self.listener, wanted).await;
        let Metered {
            tally,
            kept_back,
            first,
            end,
        } = metered;
        match end {
            End::Done => {
                let bill = self.bill(&tally, &hold, outcome::NO_USAGE);
                match self.capture(&bill, hold).await {
                    Ok(charged) => {
                        self.finish(
                            None,
                            tail(kept_back, &first, &bill, charged, wanted),
                            charged,
                        )
                        .await
                    }
                    Err(fault) => self.fail(fault, outcome::UNBILLED).await,
                }
            }
            End::Broken(failure) => match self.settle_cut(&tally, hold, outcome::CUT).await {
                Ok(charged) => {
                    self.fail(inside_answer(&failure, charged), outcome::CUT)
                        .await
                }
                Err(fault) => self.fail(fault, outcome::UNBILLED).await,
            },
            End::Lost(lost) => {
                let reason = match lost {
                    Lost::Left => outcome::LEFT,
                    Lost::Slow => outcome::SLOW,
                };
                let fault = match self.settle_cut(&tally, hold, reason).await {
                    Ok(charged) => slow_reader(charged),
                    Err(fault) => fault,
                };
                self.fail(fault, reason).await
            }
        }
    }

    fn head(&self, wanted: Wanted) -> Event {
        Event::Head(Head {
            provider: self.subject.provider.clone(),
            stream: wanted != Wanted::Whole,
        })
    }

    /// What had arrived of a cut stream is charged; nothing is free.
    async fn settle_cut(
        &self,
        tally: &Tally,
        hold: OpenHold,
        reason: &'static str,
    ) -> Result<Micros, Fault> {
        if tally.content_bytes == 0 {
            hold.release(self.subject.free(reason)).await;
            return Ok(Micros::ZERO);
        }
        let bill = self.bill(tally, &hold, reason);
        self.capture(&bill, hold).await
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
        hold.capture(bill.amount, bill.receipt(&self.subject)).await
    }

    /// The end of a request that went well. That nobody may be there to read it changes nothing any more.
    async fn finish(&self, head: Option<Event>, data: Vec<Bytes>, charged: Micros) -> &'static str {
        let tail = Event::Tail(Tail {
            data,
            charged: charged.get(),
        });
        for event in head.into_iter().chain([tail]) {
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

/// The last events, with the charge beside the usage.
fn tail(
    mut kept_back: Vec<Bytes>,
    first: &Bytes,
    bill: &Bill,
    charged: Micros,
    wanted: Wanted,
) -> Vec<Bytes> {
    let last = match kept_back.pop() {
        Some(last) => last,
        None if wanted == Wanted::StreamWithUsage => usage_event(first, bill.usage),
        None => return kept_back,
    };
    kept_back.push(with_credits(&last, charged));
    kept_back
}

fn slow_reader(charged: Micros) -> Fault {
    let message = format!(
        "The answer was not read for too long and was stopped; {charged} credits were charged for what had arrived."
    );
    Fault::new(proto::code::TIMEOUT, message)
}
