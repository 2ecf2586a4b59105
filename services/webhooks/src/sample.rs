//! Use case: a sample event for one endpoint, sent as any event is.

use chassis::clock::{mint, rfc3339};
use domain::{DeliveryId, EndpointId, EventId, EventType};
use proto::{Fault, code};

use crate::{
    Error, Shared,
    endpoint::{find, get},
    notice,
    publish::{self, Event},
    whose::Whose,
};

/// The moment in the samples, in whose place that of the sending stands.
const MOMENT: &str = "2030-01-31T12:00:00Z";

/// What was made.
pub(crate) struct Sample {
    pub(crate) delivery: DeliveryId,
    pub(crate) event: EventId,
    pub(crate) kind: EventType,
}

/// Sends a sample of a type, or of the first type that the endpoint is told; an endpoint that is told all of them, the end of a task.
///
/// # Errors
/// When there is no such type, no such endpoint of theirs, or it is disabled; or when the database failed.
pub(crate) async fn test(
    shared: &Shared,
    whose: Whose,
    id: EndpointId,
    kind: &str,
) -> Result<Sample, Error> {
    let owner = find(shared, whose, id).await?;
    let endpoint = get(shared, whose, id).await?;
    if endpoint.disabled.is_some() {
        return Err(Fault::of(code::ENDPOINT_UNAVAILABLE).into());
    }
    let usual = || {
        endpoint
            .events
            .first()
            .and_then(|first| EventType::parse(first))
    };
    let kind = match kind {
        "" => usual().unwrap_or(EventType::TaskCompleted),
        word => EventType::parse(word).ok_or_else(|| {
            let message = format!("type must be one of: {}", words().join(", "));
            Fault::new(code::INVALID_PARAMETER, message).param("type")
        })?,
    };
    let now = rfc3339(shared.db.now_micros());
    let event = Event {
        id: mint(),
        account: owner.account,
        mode: owner.mode,
        task: None,
        kind: kind.as_str().to_owned(),
        url: None,
        payload: body(kind).trim_end().replacen(MOMENT, &now, 1).into(),
    };
    let event_id = event.id;
    let note = publish::seal(shared, event, vec![(Some(id), endpoint.url)])?;
    let delivery = note.1.first().map(|row| row.id);
    let delivery = delivery.ok_or(Error::Damaged("a sample has no delivery"))?;
    shared
        .db
        .write(move |connection| Box::pin(notice::insert(connection, note)))
        .await?;
    shared.bell.notify_one();
    Ok(Sample {
        delivery,
        event: event_id,
        kind,
    })
}

/// Every type of event.
fn words() -> Vec<&'static str> {
    EventType::ALL.iter().map(|kind| kind.as_str()).collect()
}

/// The body of a sample.
const fn body(kind: EventType) -> &'static str {
    match kind {
        EventType::TaskProcessing => include_str!("samples/task.processing.json"),
        EventType::TaskCompleted => include_str!("samples/task.completed.json"),
        EventType::TaskFailed => include_str!("samples/task.failed.json"),
        EventType::BalanceLow => include_str!("samples/balance.low.json"),
        EventType::OrderPaid => include_str!("samples/order.paid.json"),
        EventType::RefundIssued => include_str!("samples/refund.issued.json"),
        EventType::KeyCapReached => include_str!("samples/key.cap_reached.json"),
        EventType::WebhookExhausted => include_str!("samples/webhook.exhausted.json"),
        EventType::WebhookDisabled => include_str!("samples/webhook.disabled.json"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_docs_show_every_type_as_it_is_sampled() {
        let docs = include_str!("../../../docs/api.md");
        for kind in EventType::ALL {
            let text = body(*kind);
            let parsed: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parsed["type"], kind.as_str());
            assert_eq!(parsed["timestamp"], MOMENT);
            assert!(
                text.find(MOMENT) == text.find("2030"),
                "the first moment is the event's"
            );
            assert!(
                docs.contains(text.trim_end()),
                "{} is not in docs/api.md",
                kind.as_str()
            );
        }
    }
}
