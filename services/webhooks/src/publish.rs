//! Use case: take over one event for delivery, once, however often it is told.

use bytes::Bytes;
use chassis::{
    clock::{micros, mint},
    telemetry::traceparent,
};
use domain::{AccountId, EndpointId, EventId, Mode, Secret, TaskId};

use crate::{
    Error, Shared,
    secret::opened,
    store::{
        delivery, endpoint,
        event::{self, Inserted},
        lane,
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
    /// Whom to tell beside the account's endpoints that take such events; its path or query may be a capability.
    pub(crate) url: Option<Secret>,
    /// Sent byte for byte.
    pub(crate) payload: Bytes,
}

/// Keeps the event and its deliveries in one transaction; the first attempts follow at once. Answers only when all are on
/// disk. It goes to the URL that was named, and to the account's endpoints that take such events. Where one of those is that very URL, it
/// goes to the endpoint alone: whoever registers a URL was shown a secret for it, and nobody verifies one URL by two. What nobody wants to be
/// told is not kept, and counts as known: there is nothing to do.
pub(crate) async fn publish(shared: &Shared, mut event: Event) -> Result<Inserted, Error> {
    let wanting = wanting(shared, (event.account, event.mode), &event.kind).await?;
    let is_told = |url: &Secret| {
        let mut urls = wanting.iter().map(|(_, known)| known.expose());
        urls.any(|known| known == url.expose())
    };
    let named = event.url.take().filter(|url| !is_told(url));
    let named = named.map(|url| (None, url));
    let to = wanting.into_iter().chain(named);
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

/// The endpoints of an account and mode that are told such events.
pub(crate) async fn wanting(
    shared: &Shared,
    owner: (AccountId, Mode),
    kind: &str,
) -> Result<Vec<(Option<EndpointId>, Secret)>, Error> {
    let wanting = endpoint::wanting(shared.db.reader(), owner, kind);
    let wanting = shared.db.read(wanting).await?.into_iter();
    let opened = wanting.map(|(id, url)| {
        let url = opened(shared, &endpoint::url_place(id), &url)?;
        Ok((Some(id), url))
    });
    opened.collect()
}

/// The rows of an event and of its deliveries.
pub(crate) fn seal(
    shared: &Shared,
    event: Event,
    to: impl IntoIterator<Item = (Option<EndpointId>, Secret)>,
) -> Result<(event::NewRow, Vec<delivery::NewRow>), Error> {
    let now = shared.db.now_micros();
    let first_wait = shared.config.schedule.first().copied().unwrap_or_default();
    let content = shared.secrets.content();
    let owner = (event.account, event.mode);
    let deliveries = to.into_iter().map(|(endpoint, url)| {
        let (id, origin) = (mint(), origin(shared, &url));
        Ok(delivery::NewRow {
            id,
            event: event.id,
            endpoint,
            url: content.seal(&delivery::url_place(id), url.expose().as_bytes())?,
            lane: lane::key(endpoint, owner, &origin),
            origin,
            created_at: now,
            due_at: now.saturating_add(micros(first_wait)),
        })
    });
    let mut deliveries = deliveries.collect::<Result<Vec<_>, Error>>()?;
    deliveries.sort_by(|one, other| one.lane.cmp(&other.lane));
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
pub(crate) fn origin(shared: &Shared, url: &Secret) -> Vec<u8> {
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
