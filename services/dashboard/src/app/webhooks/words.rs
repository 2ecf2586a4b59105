//! Endpoints, deliveries and attempts in words, for these pages and those of tasks.

use domain::{DeliveryId, EndpointId, EventId, EventType, Id, TaskId, ids::Kind};
use proto::{id_from_wire, webhooks::v1 as wire};

use crate::{refused::Refused, show::Time};

/// One event on its way to one URL.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    /// The `webhook-id`.
    pub(crate) event: String,
    /// The type of the event.
    pub(crate) kind: String,
    pub(crate) task: Option<String>,
    /// `None`: it is for the URL that a request named.
    pub(crate) endpoint: Option<String>,
    /// `due`, `inflight`, `delivered` or `dead`.
    pub(crate) state: String,
    /// Those that have ended, since it was last sent anew.
    pub(crate) attempts: u32,
    /// How often it was sent anew.
    pub(crate) replays: u32,
    /// How the last attempt went.
    pub(crate) last: String,
    /// Microseconds UTC, as are the next two.
    pub(crate) created_at: i64,
    /// When the next attempt begins, of one that is due.
    pub(crate) due_at: i64,
    /// When it was delivered or given up.
    pub(crate) ended_at: Option<i64>,
}

/// An attempt that has ended.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Counted from 1, over replays.
    pub(super) number: u32,
    /// Which replay it belongs to; 0: the first time.
    pub(super) replay: u32,
    pub(super) started: Time,
    /// Milliseconds.
    pub(super) took: i64,
    /// The HTTP status; 0: no answer.
    pub(super) status: u32,
    /// Why it failed, in our words; empty: it did not.
    pub(super) error: String,
    /// How the answer's body begins; empty: it had none.
    pub(super) response: String,
}

/// How deliveries can stand: word, name, and what that means.
pub(super) const STATES: [(&str, &str, &str); 4] = [
    ("due", "Waiting", "It waits for its next attempt."),
    ("inflight", "Being sent", "An attempt is being made."),
    ("delivered", "Delivered", "It was answered with 2xx."),
    (
        "dead",
        "Given up",
        "Its last attempt failed, it was answered with 410, or its endpoint is disabled or removed.",
    ),
];

/// What each type of event tells.
pub(super) const fn about(kind: EventType) -> &'static str {
    match kind {
        EventType::TaskProcessing => "a song has got further",
        EventType::TaskCompleted => "a task has its result",
        EventType::TaskFailed => "a task has failed, or was cancelled",
        EventType::BalanceLow => "the balance fell below your alert",
        EventType::OrderPaid => "an order was paid, and credited",
        EventType::RefundIssued => "a payment was given back",
        EventType::KeyCapReached => "a key has spent what it may",
        EventType::WebhookExhausted => "a delivery was given up",
        EventType::WebhookDisabled => "an endpoint was disabled",
    }
}

/// An id that may be left out, as text.
fn named<K: Kind>(bytes: &[u8]) -> Result<Option<String>, Refused> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id: Id<K> = id_from_wire(bytes)?;
    Ok(Some(id.to_string()))
}

/// A moment with its second, in microseconds UTC.
fn to_the_second(micros: i64) -> Time {
    let iso = Time::of(micros).iso;
    let text = iso.get(..19).unwrap_or(&iso).replace('T', " ");
    Time { iso, text }
}

/// How an attempt went.
fn last(status: u32, error: String) -> String {
    match (status, error.is_empty()) {
        (_, false) => error,
        (0, true) => "no attempt has ended".to_owned(),
        (status, true) => format!("answered {status}"),
    }
}

// === impl Delivery ===

impl Delivery {
    /// As it is told of a task.
    ///
    /// # Errors
    /// When webhooks says what it should not.
    pub(crate) fn of_task(told: wire::Delivery) -> Result<Self, Refused> {
        let (id, event): (DeliveryId, EventId) = (
            id_from_wire(&told.delivery_id)?,
            id_from_wire(&told.event_id)?,
        );
        Ok(Self {
            id: id.to_string(),
            event: event.to_string(),
            kind: told.r#type,
            task: None,
            endpoint: named::<domain::ids::Endpoint>(&told.endpoint_id)?,
            state: told.state,
            attempts: told.attempts,
            replays: 0,
            last: last(told.last_status, told.last_error),
            created_at: told.created_at,
            due_at: told.due_at,
            ended_at: Some(told.ended_at).filter(|at| *at > 0),
        })
    }

    /// As it is found.
    ///
    /// # Errors
    /// When webhooks says what it should not.
    pub(super) fn found(found: wire::FoundDelivery) -> Result<Self, Refused> {
        let (id, event): (DeliveryId, EventId) = (
            id_from_wire(&found.delivery_id)?,
            id_from_wire(&found.event_id)?,
        );
        Ok(Self {
            id: id.to_string(),
            event: event.to_string(),
            kind: found.r#type,
            task: named::<domain::ids::Task>(&found.task_id)?,
            endpoint: named::<domain::ids::Endpoint>(&found.endpoint_id)?,
            state: found.state,
            attempts: found.attempts,
            replays: found.replays,
            last: last(found.last_status, found.last_error),
            created_at: found.created_at,
            due_at: found.due_at,
            ended_at: Some(found.ended_at).filter(|at| *at > 0),
        })
    }

    /// What is said of how it stands.
    pub(crate) fn name(&self) -> &'static str {
        self.stands().1
    }

    /// The class of its badge.
    pub(crate) fn class(&self) -> &'static str {
        match self.state.as_str() {
            "delivered" => "good",
            "dead" => "bad",
            _ => "",
        }
    }

    /// What that means.
    pub(super) fn meaning(&self) -> &'static str {
        self.stands().2
    }

    /// When it was made.
    pub(crate) fn created(&self) -> Time {
        Time::of(self.created_at)
    }

    /// When the next attempt begins, if one does.
    pub(crate) fn next(&self) -> Option<Time> {
        (self.state == "due").then(|| Time::of(self.due_at))
    }

    /// When it was delivered or given up.
    pub(super) fn ended(&self) -> Option<Time> {
        self.ended_at.map(Time::of)
    }

    /// Whether it can be sent again.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "delivered" | "dead")
    }

    /// Whether something happens to it before a moment, in microseconds UTC.
    pub(crate) fn is_soon(&self, by: i64) -> bool {
        self.state == "inflight" || (self.state == "due" && self.due_at < by)
    }

    fn stands(&self) -> (&'static str, &'static str, &'static str) {
        let mut known = STATES.into_iter();
        let found = known.find(|(word, ..)| *word == self.state);
        found.unwrap_or(("", "Unknown", ""))
    }
}

// === impl Attempt ===

impl Attempt {
    /// What is said of it beside its status.
    pub(super) fn why(&self) -> &str {
        let is_said = self.error == last(self.status, String::new());
        if is_said { "" } else { &self.error }
    }
}

impl From<wire::Attempt> for Attempt {
    fn from(attempt: wire::Attempt) -> Self {
        let took = attempt.ended_at.saturating_sub(attempt.started_at);
        Self {
            number: attempt.number,
            replay: attempt.replay,
            started: to_the_second(attempt.started_at),
            took: took / 1_000,
            status: attempt.status,
            error: attempt.error,
            response: attempt.response,
        }
    }
}

/// The id of an endpoint. What is none is as unknown as one that nobody has.
pub(super) fn endpoint_id(text: &str) -> Result<EndpointId, Refused> {
    EndpointId::parse(text).ok_or_else(Refused::not_found)
}

/// The same of a delivery.
pub(super) fn delivery_id(text: &str) -> Result<DeliveryId, Refused> {
    DeliveryId::parse(text).ok_or_else(Refused::not_found)
}

/// The id of a task, if it is one.
pub(super) fn task_id(text: &str) -> Option<TaskId> {
    TaskId::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(status: u32, error: &str) -> Attempt {
        Attempt::from(wire::Attempt {
            number: 1,
            started_at: 1_780_000_000_000_000,
            ended_at: 1_780_000_000_056_999,
            status,
            error: error.to_owned(),
            ..wire::Attempt::default()
        })
    }

    #[test]
    fn an_attempt_says_nothing_twice() {
        for (status, error, why) in [
            (200, "", ""),
            (500, "answered 500", ""),
            (200, "the answer broke off", "the answer broke off"),
            (
                0,
                "no complete answer in time",
                "no complete answer in time",
            ),
        ] {
            assert_eq!(attempt(status, error).why(), why);
        }
        let (took, started) = (attempt(200, "").took, attempt(200, "").started);
        assert_eq!((took, started.text.as_str()), (56, "2026-05-28 20:26:40"));
    }

    #[test]
    fn a_delivery_says_how_it_stands() {
        let delivery = |state: &str, due_at| {
            let found = wire::FoundDelivery {
                delivery_id: DeliveryId::NIL.to_vec().into(),
                event_id: EventId::NIL.to_vec().into(),
                state: state.to_owned(),
                due_at,
                ..wire::FoundDelivery::default()
            };
            Delivery::found(found).unwrap()
        };
        for (state, name, has_ended, is_soon) in [
            ("due", "Waiting", false, true),
            ("inflight", "Being sent", false, true),
            ("delivered", "Delivered", true, false),
            ("dead", "Given up", true, false),
        ] {
            let found = delivery(state, 7);
            assert_eq!((found.name(), found.has_ended()), (name, has_ended));
            assert_eq!(found.is_soon(8), is_soon, "{state}");
            assert_eq!(found.last, "no attempt has ended");
        }
        assert!(!delivery("due", 8).is_soon(8));
    }
}
