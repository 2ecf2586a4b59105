//! What of an event is read: its id, its type, and what it is about. Amounts are never taken from it.

use serde::Deserialize;

/// An event, as far as we read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Stripe's, the same on every delivery.
    pub(crate) id: String,
    /// Such as `checkout.session.completed`.
    pub(crate) kind: String,
    /// What to look at; nothing when it does not concern us.
    pub(crate) subject: Option<Subject>,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A page for paying.
    Session(String),
    /// A payment.
    Payment(String),
}

/// What may have changed an order. Everything else is ignored.
const KINDS: [&str; 14] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "charge.refunded",
    "charge.refund.updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
];

#[derive(Deserialize)]
struct Wire {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    payment_intent: Option<Reference>,
}

/// Another object: its id, or the whole of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reference {
    Id(String),
    Whole { id: String },
}

// === impl Event ===

impl Event {
    /// Reads an event; `None` when it is none.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(payload).ok()?;
        let object = wire.data.object;
        let subject = if !KINDS.contains(&wire.kind.as_str()) {
            None
        } else if wire.kind.starts_with("checkout.session.") {
            object.id.map(Subject::Session)
        } else {
            object.payment_intent.map(|payment| match payment {
                Reference::Id(id) | Reference::Whole { id } => Subject::Payment(id),
            })
        };
        Some(Self {
            id: wire.id,
            kind: wire.kind,
            subject,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_what_to_look_at() {
        let session = || Some(Subject::Session("cs_1".to_owned()));
        let payment = || Some(Subject::Payment("pi_1".to_owned()));
        for (kind, object, subject) in [
            (
                "checkout.session.completed",
                r#"{"id":"cs_1","payment_intent":"pi_1","amount_total":9}"#,
                session(),
            ),
            (
                "checkout.session.expired",
                r#"{"id":"cs_1","payment_intent":null}"#,
                session(),
            ),
            (
                "charge.refunded",
                r#"{"id":"ch_1","payment_intent":"pi_1","amount_refunded":9}"#,
                payment(),
            ),
            (
                "charge.dispute.closed",
                r#"{"id":"du_1","payment_intent":{"id":"pi_1","amount":9}}"#,
                payment(),
            ),
            ("charge.refunded", r#"{"id":"ch_1"}"#, None),
            ("customer.created", r#"{"id":"cus_1"}"#, None),
            ("invoice.paid", r#"{"payment_intent":"pi_1"}"#, None),
        ] {
            let text = format!(
                r#"{{"id":"evt_1","object":"event","type":"{kind}","data":{{"object":{object}}}}}"#
            );
            let event = Event::read(text.as_bytes()).unwrap();
            assert_eq!((event.kind.as_str(), event.subject), (kind, subject));
        }
        for text in ["", "{}", "[]", r#"{"id":"evt_1","type":"x"}"#] {
            assert_eq!(Event::read(text.as_bytes()), None, "{text}");
        }
    }
}
