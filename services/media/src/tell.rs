//! The outbox of media: rings the bell for workers, settles holds with billing, hands finished tasks to webhooks.

use chassis::telemetry::causes;
use std::{sync::Arc, time::Duration};

use chassis::clock::mint;
use db::{
    Deliver, RetryLater,
    outbox::{NewRow, Row},
};
use domain::{Micros, TaskId, ids};
use proto::{
    billing::v1::{Outcome, SettleRequest},
    webhooks::v1::PublishRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::warn;

use crate::{Error, Media, state::State, store, task::Task};

/// Rings for a queued task.
pub(crate) const RUN: &str = "run";
/// Captures or releases the hold of a task.
const SETTLE: &str = "settle";
/// Tells the customer how a task ended.
const ENDED: &str = "ended";
/// How long billing or webhooks may take to take something over.
const TAKE_OVER: Duration = Duration::from_secs(5);

/// How a hold ends: the wire shape of an outbox payload.
#[derive(Debug, Deserialize, Serialize)]
struct Settlement {
    /// Micro-credits to charge; 0 releases everything.
    amount: i64,
    receipt: Value,
}

/// The row that settles a task which has ended.
pub(crate) fn settle(task: &Task) -> Result<NewRow, Error> {
    let receipt = json!({
        "route": task.route,
        "model": task.model,
        "provider": task.provider,
        "attempts": task.attempts,
        "price_version": task.price_version,
        "parameters": priced(task),
        "outcome": task.state.as_str(),
        "error_code": task.error.as_ref().map(|error| error.code.clone()),
        "unit": "call",
        "total_microcredits": task.charged.get(),
    });
    settlement(task.id, task.charged, receipt)
}

/// The row that gives back the hold of a task that was never accepted.
pub(crate) fn release(task: TaskId) -> Result<NewRow, Error> {
    settlement(task, Micros::ZERO, json!({ "outcome": "never accepted" }))
}

/// The row that tells the customer. Its id is the event's.
pub(crate) fn ended(task: TaskId) -> NewRow {
    NewRow {
        id: mint::<ids::Event>().to_bytes(),
        topic: ENDED,
        subject: task.to_bytes(),
        payload: Vec::new(),
    }
}

fn settlement(task: TaskId, amount: Micros, receipt: Value) -> Result<NewRow, Error> {
    let payload = serde_json::to_vec(&Settlement {
        amount: amount.get(),
        receipt,
    })?;
    Ok(NewRow {
        id: mint::<ids::Event>().to_bytes(),
        topic: SETTLE,
        subject: task.to_bytes(),
        payload,
    })
}

/// The parameters a price may depend on: short words and numbers, never content.
fn priced(task: &Task) -> Value {
    const CONTENT: [&str; 2] = ["prompt", "input_urls"];
    let parameters = task.request.parameters.iter();
    parameters
        .filter(|(name, _)| !CONTENT.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

impl Media {
    /// Tells one row of the outbox; what could not be told comes again.
    pub(crate) fn teller(&self) -> Deliver {
        let media = self.clone();
        Arc::new(move |row| {
            let media = media.clone();
            Box::pin(async move {
                media.tell(row).await.map_err(|error| {
                    warn!(error = %causes(&error), "cannot tell yet");
                    RetryLater
                })
            })
        })
    }

    async fn tell(&self, row: Row) -> Result<(), Error> {
        let task = TaskId::from_slice(&row.subject).ok_or(Error::Damaged("outbox subject"))?;
        match row.topic.as_str() {
            RUN => self.ring_for(task).await,
            SETTLE => self.tell_billing(task, &row).await,
            ENDED => self.tell_webhooks(task, &row).await,
            _ => Err(Error::Damaged("outbox topic")),
        }
    }

    pub(crate) async fn ring_for(&self, task: TaskId) -> Result<(), Error> {
        let rung = self.peers.queue.publish(RUN, task.to_bytes()).await;
        rung.map_err(|error| Error::Setting(format!("the queue takes nothing: {error}")))
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
        let task = store::task::get(self.db.reader(), id, sealer)
            .await?
            .ok_or(Error::Damaged("no such task"))?;
        let Some(url) = task.request.callback_url.clone() else {
            return Ok(());
        };
        let outputs = store::output::of_task(self.db.reader(), id).await?;
        let kind = if task.state == State::Completed {
            "task.completed"
        } else {
            "task.failed"
        };
        let request = PublishRequest {
            event_id: row.id.to_vec().into(),
            account_id: task.account.to_vec().into(),
            mode: proto::mode_to_wire(task.mode).into(),
            task_id: id.to_vec().into(),
            r#type: kind.to_owned(),
            url,
            payload: self.viewer.event(kind, &task, &outputs)?.into(),
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
