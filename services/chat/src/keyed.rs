//! A request with an Idempotency-Key: runs once, however often it is asked for. What is answered, and when something is run, is
//! decided here; the rules are in `replay.rs`.

use std::{sync::Arc, time::Duration};

use chassis::telemetry::causes;
use domain::Micros;
use proto::{Fault, chat::v1::complete_event::Event, code};
use tokio::time::Instant;
use tracing::{Instrument as _, warn};

use crate::{
    Service,
    attempt::somebody_serves,
    billing::{capture_request, unavailable},
    cache::Hit,
    claim::Claim,
    complete::Work,
    kept::Kept,
    listener::{Begun, Listener},
    plan::{Plan, Submission, plan},
    recall::{give, look},
    replay::{Earlier, Ended, Fate, Key, State, Verdict},
    story, urls,
};

/// The first pause between two looks at a request that somebody else runs; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// When to come again for an answer that is not there yet.
const SOON: Duration = Duration::from_secs(1);
/// Why a hold is given back whose process left it.
const LEFT_BEHIND: &[u8] = br#"{"class":"process_died","total_microcredits":0}"#;

/// One such request.
pub(crate) struct Keyed {
    service: Arc<Service>,
    submission: Submission,
    listener: Listener,
    key: Key,
    body_hash: [u8; 32],
}

/// What is to be done.
enum Next {
    /// Run it.
    Run(Box<Plan>, Claim),
    /// Give the kept answer.
    Replay(Vec<Event>),
    /// Give the answer to an equal request.
    Hit(Box<Plan>, Box<Hit>),
    /// Look again in a moment.
    Again,
}

// === impl Keyed ===

impl Keyed {
    pub(crate) fn new(
        service: &Arc<Service>,
        submission: Submission,
        key: &str,
        listener: Listener,
    ) -> Self {
        let key = Key::new(&submission.caller, submission.surface.route(), key);
        Self {
            service: Arc::clone(service),
            body_hash: key.body_hash(&submission.body),
            key,
            submission,
            listener,
        }
    }

    /// Answers it. A caller who leaves cancels nothing but the wait for others.
    pub(crate) async fn run(self) {
        match self.decide().await {
            Ok(Next::Run(plan, claim)) => {
                let span = story::span(&plan);
                let work = Work::new(self.service, *plan, self.listener, Some(claim));
                Box::pin(work.run().instrument(span)).await;
            }
            Ok(Next::Replay(events)) => {
                self.service.metrics.kept.replayed.inc();
                for event in events {
                    if self.listener.send(event).await.is_err() {
                        break;
                    }
                }
            }
            Ok(Next::Hit(plan, hit)) => {
                let given = give(*hit, &self.listener);
                given.instrument(story::span(&plan)).await;
            }
            Ok(Next::Again) => {}
            Err(fault) => self.listener.fail(fault, Begun::No).await,
        }
    }

    /// Looks until there is something to do. [`Next::Again`]: the caller has left.
    async fn decide(&self) -> Result<Next, Fault> {
        let until = Instant::now() + self.service.config.replay.wait;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.look().await? {
                Next::Again => {}
                next @ (Next::Run(..) | Next::Replay(_) | Next::Hit(..)) => return Ok(next),
            }
            if Instant::now() >= until {
                return Err(still_running());
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.listener.left() => return Ok(Next::Again),
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    async fn look(&self) -> Result<Next, Fault> {
        let replays = &self.service.replays;
        let Some(earlier) = replays.find(&self.key).await? else {
            // What is wrong with it is told before anything is written down.
            let mut plan = Box::new(self.plan()?);
            urls::check(&self.service, &plan).await?;
            plan.files = self.service.files.look(&plan).await?;
            if let Some(hit) = look(&self.service, &plan).await {
                // It is free, and so needs no key.
                return Ok(Next::Hit(plan, hit));
            }
            somebody_serves(&self.service, &plan)?;
            let ours = (plan.operation, self.body_hash);
            let claim = replays.claim(self.key.clone(), ours).await?;
            return Ok(claim.map_or(Next::Again, |claim| Next::Run(plan, claim)));
        };
        match earlier.verdict(&self.body_hash, replays.db.now_micros()) {
            Verdict::Replay => self.replay(&earlier, Micros::new(earlier.charged)),
            Verdict::Charge => self.charge(earlier).await,
            Verdict::NotKept => Err(not_kept(&earlier)),
            Verdict::Mismatch => Err(mismatch()),
            Verdict::Wait => Ok(Next::Again),
            Verdict::TakeOver => self.take_over(earlier).await,
        }
    }

    fn plan(&self) -> Result<Plan, Fault> {
        plan(&self.service, self.submission.clone())
    }

    fn replay(&self, earlier: &Earlier, charged: Micros) -> Result<Next, Fault> {
        let kept = self.service.replays.open(earlier);
        let kept: Kept = kept.ok_or_else(|| not_kept(earlier))?;
        Ok(Next::Replay(kept.replayed(earlier.operation, charged)))
    }

    /// Makes sure that a kept answer is charged, and gives it. A hold that ended meanwhile pays for nothing: then it runs anew.
    async fn charge(&self, earlier: Earlier) -> Result<Next, Fault> {
        // What does not open is charged to nobody.
        if self.service.replays.open(&earlier).is_none() {
            return self.take_over(earlier).await;
        }
        let amount = Micros::new(earlier.charged);
        let receipt = earlier.receipt.clone().into_bytes();
        let payer = Some((&self.submission.caller).into());
        let request = capture_request(earlier.operation, amount, receipt, payer);
        match self.service.billing.settle_left(request).await {
            Ok(charged) => {
                let finished = self.service.replays.finish(earlier.operation, charged);
                if let Err(failure) = finished.await {
                    warn!(error = %causes(&failure), "cannot write down that an answer is charged");
                }
                self.replay(&earlier, charged)
            }
            Err(fault) if fault.code == code::HOLD_CONFLICT => self.take_over(earlier).await,
            Err(_) => Err(unavailable(self.service.billing.retry_after())),
        }
    }

    /// Ends the hold of a request that nobody is at, and takes its key.
    async fn take_over(&self, earlier: Earlier) -> Result<Next, Fault> {
        let mut plan = Box::new(self.plan()?);
        urls::check(&self.service, &plan).await?;
        plan.files = self.service.files.look(&plan).await?;
        let replays = &self.service.replays;
        if end_left_behind(&self.service, &earlier).await? == Fate::Done {
            return Ok(Next::Again);
        }
        let ours = (plan.operation, self.body_hash);
        let claim = replays.take_over(&earlier, ours).await?;
        if claim.is_some() {
            self.service.metrics.kept.taken_over.inc();
        }
        Ok(claim.map_or(Next::Again, |claim| Next::Run(plan, claim)))
    }
}

/// Ends the hold of a request that nobody is at, and says what becomes of its row. One that turns out to be charged is done.
pub(crate) async fn end_left_behind(service: &Service, earlier: &Earlier) -> Result<Fate, Fault> {
    let ended = match earlier.state {
        // Its hold ended long ago.
        State::Done => Ended::Captured,
        State::Running | State::Stored => {
            service.billing.end(earlier.operation, LEFT_BEHIND).await?
        }
    };
    let fate = earlier.fate(ended, service.replays.db.now_micros());
    if fate == Fate::Done {
        let charged = Micros::new(earlier.charged);
        service.replays.finish(earlier.operation, charged).await?;
    }
    Ok(fate)
}

fn mismatch() -> Fault {
    let message =
        "this Idempotency-Key was used with another body; use a new key for a new request";
    Fault::new(code::IDEMPOTENCY_MISMATCH, message)
}

fn still_running() -> Fault {
    let message = "the first request with this Idempotency-Key is still running";
    Fault::new(code::IDEMPOTENCY_IN_PROGRESS, message).retry_after(SOON)
}

fn not_kept(earlier: &Earlier) -> Fault {
    let message = format!(
        "the first request with this Idempotency-Key was answered and charged ({}, {} credits), and its answer is not kept; use a new \
         key to have it run again",
        earlier.operation,
        Micros::new(earlier.charged)
    );
    Fault::new(code::IDEMPOTENCY_NOT_KEPT, message)
}
