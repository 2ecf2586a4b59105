//! The outbox of media: rings the bell for workers, settles holds with billing, hands tasks that have ended, or got further, to webhooks.

use chassis::{
    failpoint::{Point, reach},
    telemetry::causes,
};
use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chassis::{clock::mint, secrets::Sealer};
use db::{
    Deliver, RetryLater,
    outbox::{NewRow, Row},
};
use domain::{AccountId, EventId, EventType, Micros, Mode, TaskId, ids, receipt::Receipt};
use proto::{
    billing::v1::{Outcome, SettleRequest},
    common::v1::Context,
    webhooks::v1::PublishRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tracing::{debug, warn};

use crate::{Error, Media, state::State, store, task::Task};

/// Rings for a queued task.
pub(crate) const RUN: &str = "run";
/// Captures or releases the hold of a task.
const SETTLE: &str = "settle";
/// Tells the customer how a task ended, or how far it is.
const ENDED: &str = "ended";
/// Every topic: one that cannot be told does not hold up the others.
pub(crate) const TOPICS: [&str; 3] = [RUN, SETTLE, ENDED];
/// How long billing or webhooks may take to take something over.
const TAKE_OVER: Duration = Duration::from_secs(5);

/// The pause of a ring that the queue cannot take. A full batch of the relay, 32 at once, must end before its claim does.
const QUEUE_AWAY: Duration = Duration::from_secs(1);

/// How a hold ends: the wire shape of an outbox payload.
#[derive(Debug, Deserialize, Serialize)]
struct Settlement {
    /// Micro-credits to charge; 0 releases everything.
    amount: i64,
    receipt: Value,
    /// Who pays; rows written by an older version do not say.
    #[serde(default)]
    payer: Option<Payer>,
}

/// The wire shape of who pays for a task.
#[derive(Debug, Deserialize, Serialize)]
struct Payer {
    account: String,
    mode: String,
}

/// How far a task was, which may be further by the time that it is told: the wire shape of an outbox payload.
#[derive(Debug, Deserialize, Serialize)]
struct Reached {
    stage: String,
    /// Its version, progress and attempts then.
    sequence: i64,
    progress: Option<i64>,
    attempts: i64,
    /// Microseconds UTC.
    at: i64,
    /// What was known of its songs, sealed as it is with the task, in base64; empty in rows of an older version.
    #[serde(default)]
    clips: String,
}

/// The row that rings for a queued task.
pub(crate) fn run(task: TaskId) -> NewRow {
    row(RUN, task, Vec::new())
}

/// The row that ends the hold of a task as its receipt says.
pub(crate) fn settle(task: &Task, receipt: &Receipt) -> Result<NewRow, Error> {
    let payload = serde_json::to_vec(&Settlement {
        amount: receipt.total().get(),
        receipt: serde_json::to_value(receipt)?,
        payer: Some(Payer {
            account: task.account.to_string(),
            mode: task.mode.as_str().to_owned(),
        }),
    })?;
    Ok(row(SETTLE, task.id, payload))
}

/// The row that tells the customer. Its id is the event's.
pub(crate) fn ended(task: TaskId) -> NewRow {
    row(ENDED, task, Vec::new())
}

/// The row that tells the customer how far a task is.
pub(crate) fn reached(
    task: &Task,
    stage: &str,
    (now, sealer): (i64, &Sealer),
) -> Result<NewRow, Error> {
    let clips = store::task::sealed_clips(task, sealer)?.unwrap_or_default();
    let payload = serde_json::to_vec(&Reached {
        stage: stage.to_owned(),
        sequence: task.version,
        progress: task.progress,
        attempts: task.attempts,
        at: now,
        clips: BASE64.encode(clips),
    })?;
    Ok(row(ENDED, task.id, payload))
}

fn row(topic: &'static str, task: TaskId, payload: Vec<u8>) -> NewRow {
    NewRow {
        id: mint::<ids::Event>().to_bytes(),
        topic,
        subject: task.to_bytes(),
        payload,
    }
}

// === impl Payer ===

impl Payer {
    fn context(self) -> Result<Context, Error> {
        let mode = Mode::parse(&self.mode).ok_or(Error::Damaged("a payer's mode"))?;
        let account = AccountId::parse(&self.account).ok_or(Error::Damaged("a payer"))?;
        Ok(Context {
            account_id: account.to_vec().into(),
            mode: proto::mode_to_wire(mode).into(),
            ..Context::default()
        })
    }
}

// === impl Reached ===

impl Reached {
    /// The task as it was.
    fn of(&self, task: Task, sealer: &Sealer) -> Result<Task, Error> {
        let sealed = BASE64.decode(&self.clips);
        let sealed = sealed.map_err(|_| Error::Damaged("what was known of songs"))?;
        let sealed = Some(sealed.as_slice()).filter(|sealed| !sealed.is_empty());
        Ok(Task {
            clips: store::task::opened_clips(task.id, sealer, sealed),
            state: State::Running,
            version: self.sequence,
            progress: self.progress,
            attempts: self.attempts,
            charged: Micros::ZERO,
            error: None,
            completed_at: None,
            queue_position: None,
            ..task
        })
    }

    /// The event's id: the same whenever the task gets so far, however often that is, so that it is told once.
    fn event(&self, task: TaskId) -> EventId {
        const RANDOM: usize = 8;
        let hash = Sha256::digest(format!("{task} {}", self.stage));
        let mut bytes = task.to_bytes();
        for (byte, other) in bytes.iter_mut().skip(RANDOM).zip(hash) {
            *byte = other;
        }
        // As RFC 9562 marks its ids.
        if let Some(variant) = bytes.get_mut(RANDOM) {
            *variant = *variant & 0x3f | 0x80;
        }
        EventId::from_slice(&bytes).unwrap_or_else(|| task.cast())
    }
}

// === impl Media ===

impl Media {
    /// Tells one row of the outbox; what could not be told comes again.
    pub(crate) fn teller(&self) -> Deliver {
        let media = self.clone();
        Arc::new(move |row| {
            let media = media.clone();
            Box::pin(async move {
                let told = media.tell(row).await;
                match told {
                    Ok(()) => return Ok(()),
                    // One that is away for an hour must not fill the log, nor have its rows put off without a pause.
                    Err(Error::Queue(queue::Error::Unavailable)) => {
                        debug!("the queue is away");
                        tokio::select! {
                            () = tokio::time::sleep(QUEUE_AWAY) => {}
                            () = media.peers.tasks.stopping() => {}
                        }
                    }
                    Err(error) => warn!(error = %causes(&error), "cannot tell yet"),
                }
                Err(RetryLater)
            })
        })
    }

    async fn tell(&self, row: Row) -> Result<(), Error> {
        let task = TaskId::from_slice(&row.subject).ok_or(Error::Damaged("outbox subject"))?;
        match row.topic.as_str() {
            RUN => {
                reach(Point::MediaBeforeRing);
                self.ring_for(task).await?;
                reach(Point::MediaAfterRing);
                Ok(())
            }
            SETTLE => self.tell_billing(task, &row).await,
            ENDED => self.tell_webhooks(task, &row).await,
            _ => Err(Error::Damaged("outbox topic")),
        }
    }

    /// Rings for a queued task. A queue that is full or away keeps its rings: the row stays, and so does the sweep.
    pub(crate) async fn ring_for(&self, task: TaskId) -> Result<(), Error> {
        if !self.peers.queue.is_available() {
            return Err(queue::Error::Unavailable.into());
        }
        Ok(self.peers.queue.publish(RUN, task.to_bytes()).await?)
    }

    async fn tell_billing(&self, task: TaskId, row: &Row) -> Result<(), Error> {
        let settlement: Settlement = serde_json::from_slice(&row.payload)?;
        let outcome = if settlement.amount > 0 {
            Outcome::Capture
        } else {
            Outcome::Release
        };
        let request = SettleRequest {
            hold_id: task.to_vec().into(),
            outcome: outcome.into(),
            amount: settlement.amount,
            receipt: serde_json::to_vec(&settlement.receipt)?.into(),
            context: settlement.payer.map(Payer::context).transpose()?,
        };
        let mut billing = self.peers.billing.clone();
        let settled = billing
            .settle(chassis::rpc::request(request, TAKE_OVER))
            .await;
        settled
            .map(drop)
            .map_err(|status| Error::Fault(status.into()))
    }

    async fn tell_webhooks(&self, id: TaskId, row: &Row) -> Result<(), Error> {
        let sealer = self.secrets.content();
        let task = self
            .db
            .read(store::task::get(self.db.reader(), id, sealer))
            .await?
            .ok_or(Error::Damaged("no such task"))?;
        // Without one only the account's endpoints are told; whether any wants it, webhooks knows.
        let url = task.callback_url().unwrap_or_default().to_owned();
        let reached: Option<Reached> = (!row.payload.is_empty())
            .then(|| serde_json::from_slice(&row.payload))
            .transpose()?;
        let (event, kind, at) = match &reached {
            Some(reached) => (reached.event(id), EventType::TaskProcessing, reached.at),
            None => {
                let event = EventId::from_slice(&row.id).ok_or(Error::Damaged("an event"))?;
                let kind = if task.state == State::Completed {
                    EventType::TaskCompleted
                } else {
                    EventType::TaskFailed
                };
                (event, kind, task.completed_at.unwrap_or(task.created_at))
            }
        };
        let (task, outputs) = match &reached {
            Some(reached) => (reached.of(task, sealer)?, Vec::new()),
            None => {
                let outputs = store::output::of_task(self.db.reader(), id, sealer);
                (task, self.db.read(outputs).await?)
            }
        };
        let kind = kind.as_str();
        let request = PublishRequest {
            event_id: event.to_vec().into(),
            account_id: task.account.to_vec().into(),
            mode: proto::mode_to_wire(task.mode).into(),
            task_id: id.to_vec().into(),
            r#type: kind.to_owned(),
            url,
            payload: self.viewer.event((kind, at), &task, &outputs)?.into(),
        };
        let mut webhooks = self.peers.webhooks.clone();
        let taken = webhooks
            .publish(chassis::rpc::request(request, TAKE_OVER))
            .await;
        taken
            .map(drop)
            .map_err(|status| Error::Fault(status.into()))
    }
}
