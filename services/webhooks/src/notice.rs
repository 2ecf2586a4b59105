//! What owners are told of their own webhooks, by webhooks: that a delivery was given up after its last attempt, and that an endpoint is
//! disabled. Never to the endpoint that it is about, and never that such a notice itself was given up: so there are no loops. The
//! operator is told of both at `webhooks.alert_url`.

use chassis::clock::{mint, rfc3339};
use domain::{AccountId, EndpointId, EventId, EventType, Mode, Secret};
use serde_json::{Value, json};
use sqlx::AnyConnection;

use crate::{
    Error, Shared,
    left::{Attempt, Left},
    publish::{self, Event},
    store::{
        delivery,
        endpoint::Reason,
        event::{self, Inserted},
    },
};

/// How the types of notices begin.
const NOTICES: &str = "webhook.";

/// An event to be kept, and its deliveries.
pub(crate) type Note = (event::NewRow, Vec<delivery::NewRow>);

/// Whose events the operator's are, and whose callback secret signs them: nobody's, since no account has this id.
pub(crate) const OPERATOR: (AccountId, Mode) = (AccountId::NIL, Mode::Live);

/// What is told of a delivery that was given up after its last attempt.
///
/// # Errors
/// When the database failed, or something cannot be sealed.
pub(crate) async fn exhausted(shared: &Shared, left: &Left) -> Result<Vec<Note>, Error> {
    let attempt = left.attempt;
    let about = event::about(shared.db.reader(), attempt.event);
    let Some((kind, task)) = shared.db.read(about).await? else {
        return Ok(Vec::new());
    };
    if kind.starts_with(NOTICES) {
        return Ok(Vec::new());
    }
    let (account, mode) = attempt.owner;
    let data = json!({
        "account_id": account.to_string(),
        "mode": mode.as_str(),
        "delivery_id": attempt.delivery.to_string(),
        "event_id": attempt.event.to_string(),
        "type": kind,
        "task_id": task.map(|task| task.to_string()),
        "endpoint_id": attempt.endpoint.map(|id| id.to_string()),
        "attempts": attempt.number(),
        "last_status": left.ended.last_status,
        "last_error": left.ended.last_error,
    });
    notes(shared, attempt, EventType::WebhookExhausted, &data).await
}

/// What is told of an endpoint that an attempt disables.
///
/// # Errors
/// When the database failed, or something cannot be sealed.
pub(crate) async fn disabled(
    shared: &Shared,
    left: &Left,
    id: EndpointId,
    reason: Reason,
) -> Result<Vec<Note>, Error> {
    let (account, mode) = left.attempt.owner;
    let data = json!({
        "account_id": account.to_string(),
        "mode": mode.as_str(),
        "endpoint_id": id.to_string(),
        "reason": reason.as_str(),
        "last_status": left.ended.last_status,
        "last_error": left.ended.last_error,
    });
    notes(shared, left.attempt, EventType::WebhookDisabled, &data).await
}

/// Keeps an event and its deliveries.
///
/// # Errors
/// When the database failed.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    (event, deliveries): Note,
) -> Result<(), Error> {
    if event::insert(connection, event).await? == Inserted::New {
        for delivery in deliveries {
            delivery::insert(connection, delivery).await?;
        }
    }
    Ok(())
}

/// One for the owner's other endpoints that want it, and one for the operator.
async fn notes(
    shared: &Shared,
    attempt: Attempt,
    kind: EventType,
    data: &Value,
) -> Result<Vec<Note>, Error> {
    let others = publish::wanting(shared, attempt.owner, kind.as_str()).await?;
    let others = others
        .into_iter()
        .filter(|(to, _)| *to != attempt.endpoint)
        .collect();
    let alert = shared.config.alert_url.clone();
    let alert: Vec<(Option<EndpointId>, Secret)> =
        alert.into_iter().map(|url| (None, url)).collect();
    let mut notes = Vec::new();
    for (owner, to) in [(attempt.owner, others), (OPERATOR, alert)] {
        if !to.is_empty() {
            let event = event_of(shared, owner, kind, data)?;
            notes.push(publish::seal(shared, event, to)?);
        }
    }
    Ok(notes)
}

fn event_of(
    shared: &Shared,
    (account, mode): (AccountId, Mode),
    kind: EventType,
    data: &Value,
) -> Result<Event, Error> {
    let id: EventId = mint();
    let (kind, now) = (kind.as_str(), rfc3339(shared.db.now_micros()));
    // In the order of all events.
    let data = serde_json::to_string(data).map_err(|_| Error::Damaged("a notice is no JSON"))?;
    let payload = format!(r#"{{"type":"{kind}","timestamp":"{now}","data":{data}}}"#);
    Ok(Event {
        id,
        account,
        mode,
        task: None,
        kind: kind.to_owned(),
        url: None,
        payload: payload.into(),
    })
}
