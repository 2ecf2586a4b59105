//! Use case: take over one event for delivery, once, however often it is told.

use bytes::Bytes;
use chassis::{
    clock::{micros, mint},
    telemetry::traceparent,
};
use domain::{AccountId, EventId, Mode, Secret, TaskId};

use crate::{
    Error, Shared,
    store::{
        delivery,
        event::{self, Inserted},
    },
};

/// What happened, and whom to tell.
pub(crate) struct Event {
    pub(crate) id: EventId,
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) task: TaskId,
    /// `task.completed`, `task.failed`.
    pub(crate) kind: String,
    /// Its path or query may be a capability.
    pub(crate) url: Secret,
    /// Sent byte for byte.
    pub(crate) payload: Bytes,
}

/// Keeps the event and its delivery in one transaction; the first attempt follows at once. Answers only when both are on
/// disk.
pub(crate) async fn publish(shared: &Shared, event: Event) -> Result<Inserted, Error> {
    let (event, delivery) = seal(shared, event)?;
    let inserted = shared
        .db
        .write(move |connection| {
            Box::pin(async move {
                let inserted = event::insert(connection, event).await?;
                if inserted == Inserted::New {
                    delivery::insert(connection, delivery).await?;
                }
                Ok::<_, Error>(inserted)
            })
        })
        .await?;
    shared.bell.notify_one();
    Ok(inserted)
}

fn seal(shared: &Shared, event: Event) -> Result<(event::NewRow, delivery::NewRow), Error> {
    let now = shared.db.now_micros();
    let first_wait = shared.config.schedule.first().copied().unwrap_or_default();
    let id = mint();
    let content = shared.secrets.content();
    let delivery = delivery::NewRow {
        id,
        event: event.id,
        url: content.seal(&delivery::url_place(id), event.url.expose().as_bytes())?,
        origin: origin(shared, &event.url),
        created_at: now,
        due_at: now.saturating_add(micros(first_wait)),
    };
    let event = event::NewRow {
        id: event.id,
        account: event.account,
        mode: event.mode,
        task: event.task,
        kind: event.kind,
        payload: content.seal(&event::payload_place(event.id), &event.payload)?,
        created_at: now,
        trace: traceparent(),
    };
    Ok((event, delivery))
}

/// Who shares a bound: a keyed MAC of scheme, host and port, as the guard reads them. A URL that the guard refuses reaches nobody,
/// so it stands for itself.
fn origin(shared: &Shared, url: &Secret) -> Vec<u8> {
    let text = match shared.client.policy().admit(url.expose()) {
        Ok(guarded) => guarded.as_url().origin().ascii_serialization(),
        Err(_) => url.expose().to_owned(),
    };
    // API keys, which share this key, begin otherwise.
    let mac = shared
        .secrets
        .key_mac()
        .mac(&format!("webhook origin {text}"));
    mac.to_vec()
}
