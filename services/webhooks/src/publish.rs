//! Use case: take over one event for delivery, once, however often it is told.

use bytes::Bytes;
use chassis::{
    clock::{micros, mint},
    telemetry::traceparent,
};
use domain::{AccountId, EndpointId, EventId, Mode, Secret, TaskId};

use crate::{
    Error, Shared, endpoint,
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
    /// What it is about, unless it is about the account.
    pub(crate) task: Option<TaskId>,
    /// The word of a [`domain::EventType`].
    pub(crate) kind: String,
    /// Whom to tell besides the account's endpoints that take such events; its path or query may be a capability.
    pub(crate) url: Option<Secret>,
    /// Sent byte for byte.
    pub(crate) payload: Bytes,
}

/// Keeps the event and its deliveries in one transaction; the first attempts follow at once. Answers only when all are on
/// disk. What nobody wants to be told is not kept, and counts as
/// known: there is nothing to do.
pub(crate) async fn publish(shared: &Shared, mut event: Event) -> Result<Inserted, Error> {
    let mut to = wanting(shared, &event).await?;
    to.extend(event.url.take().map(|url| (None, url)));
    let (event, deliveries) = seal(shared, event, to)?;
    if deliveries.is_empty() {
        return Ok(Inserted::Known);
    }
    let inserted = shared
        .db
        .write(move |connection| {
            Box::pin(async move {
                let inserted = event::insert(connection, event).await?;
                if inserted == Inserted::New {
                    for delivery in deliveries {
                        delivery::insert(connection, delivery).await?;
                    }
                }
                Ok::<_, Error>(inserted)
            })
        })
        .await?;
    shared.bell.notify_one();
    Ok(inserted)
}

/// The account's endpoints that are told such events.
async fn wanting(
    shared: &Shared,
    event: &Event,
) -> Result<Vec<(Option<EndpointId>, Secret)>, Error> {
    let registered = endpoint::list(shared, (event.account, event.mode)).await?;
    let wanting = registered.into_iter().filter(|to| to.wants(&event.kind));
    Ok(wanting.map(|to| (Some(to.id), to.url)).collect())
}

fn seal(
    shared: &Shared,
    event: Event,
    to: Vec<(Option<EndpointId>, Secret)>,
) -> Result<(event::NewRow, Vec<delivery::NewRow>), Error> {
    let now = shared.db.now_micros();
    let first_wait = shared.config.schedule.first().copied().unwrap_or_default();
    let content = shared.secrets.content();
    let deliveries = to.into_iter().map(|(endpoint, url)| {
        let id = mint();
        Ok(delivery::NewRow {
            id,
            event: event.id,
            endpoint,
            url: content.seal(&delivery::url_place(id), url.expose().as_bytes())?,
            origin: origin(shared, &url),
            created_at: now,
            due_at: now.saturating_add(micros(first_wait)),
        })
    });
    let deliveries = deliveries.collect::<Result<Vec<_>, Error>>()?;
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
    Ok((event, deliveries))
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
