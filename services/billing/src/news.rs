//! What customers are told of their money: rows of billing's outbox, each written in the transaction of what it tells, and the relay that has
//! webhooks tell the account's endpoints. A row's id is the event's, so that what is told twice is noticed.

use std::{sync::Arc, time::Duration};

use chassis::{
    Tasks,
    clock::{mint, rfc3339},
    rpc::{self, Channel},
};
use db::{
    Db, Deliver, Relay, RetryLater,
    outbox::{self, NewRow, Row},
};
use domain::{AccountId, EventType, ids};
use proto::{
    Fault,
    webhooks::v1::{PublishRequest, webhooks_caller::WebhooksCaller},
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use tonic::Status;
use tracing::warn;

use crate::{Error, config::Config, ledger::BalanceId, store};

/// The topic of low balances. Processes of the version that told nothing else read all of it, and take everything in it for one.
const LOW: &str = "alert";
/// The topic of everything else, which those leave alone.
const MONEY: &str = "money";
/// How long webhooks may take to take an event over.
const TAKE_OVER: Duration = Duration::from_secs(5);

/// What stands in the outbox: whom to tell, and the event's body as it is sent.
#[derive(Debug, Deserialize, Serialize)]
struct Told {
    mode: String,
    /// The event's type. Rows of an older version do not say: all of theirs are low balances.
    #[serde(rename = "type", default = "low")]
    kind: String,
    body: Box<RawValue>,
}

fn low() -> String {
    EventType::BalanceLow.as_str().to_owned()
}

/// The row that tells whose balance this is what has happened. `now` is in microseconds UTC.
pub(crate) fn row(kind: EventType, whose: BalanceId, data: &impl Serialize, now: i64) -> NewRow {
    let topic = if kind == EventType::BalanceLow {
        LOW
    } else {
        MONEY
    };
    let kind = kind.as_str();
    let body = json!({ "type": kind, "timestamp": rfc3339(now), "data": data });
    let payload = json!({ "mode": whose.mode.as_str(), "type": kind, "body": body });
    NewRow {
        id: mint::<ids::Event>().to_bytes(),
        topic,
        subject: whose.account.to_bytes(),
        payload: payload.to_string().into_bytes(),
    }
}

/// At the start of a process that owns the database alone: nobody can be telling anything.
///
/// # Errors
/// When the database failed.
pub(crate) async fn forget_the_dead(db: &Db) -> Result<(), Error> {
    if !db.is_embedded() {
        return Ok(());
    }
    db.write(|connection| Box::pin(async move { Ok(outbox::forget_claims(connection).await?) }))
        .await
}

/// Has webhooks tell what is noted, until told to stop.
pub(crate) fn run(db: &Db, config: &Config, webhooks: Channel, tasks: &Tasks) -> Relay {
    let relay = Relay::new(db.clone(), config.outbox.clone(), &[LOW, MONEY]);
    relay.run(tasks, &teller(webhooks));
    relay
}

/// Tells webhooks one row of the outbox.
fn teller(webhooks: Channel) -> Deliver {
    let webhooks = WebhooksCaller::new(webhooks);
    Arc::new(move |row| {
        let webhooks = webhooks.clone();
        Box::pin(async move {
            tell(webhooks, row).await.map_err(|status| {
                warn!(error = %Fault::from(status).message, "cannot tell yet what became of somebody's money");
                RetryLater
            })
        })
    })
}

async fn tell(mut webhooks: WebhooksCaller, row: Row) -> Result<(), Status> {
    let account =
        AccountId::from_slice(&row.subject).ok_or(Error::Corrupt("an event of nobody"))?;
    let told: Told = serde_json::from_slice(&row.payload)
        .map_err(|_| Error::Corrupt("what an event says is damaged"))?;
    let mode = store::mode_of(&told.mode)?;
    let request = PublishRequest {
        event_id: row.id.to_vec().into(),
        account_id: account.to_vec().into(),
        mode: proto::mode_to_wire(mode).into(),
        r#type: told.kind,
        payload: told.body.get().to_owned().into_bytes().into(),
        ..PublishRequest::default()
    };
    let taken = webhooks.publish(rpc::request(request, TAKE_OVER)).await;
    taken.map(drop)
}
