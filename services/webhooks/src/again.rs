//! Use cases: look for deliveries, look at one, send again what has ended.

use domain::{AccountId, DeliveryId, EndpointId, EventId};
use proto::{Fault, code};
use tracing::info;

use crate::{
    Error, Shared,
    secret::opened,
    store::{
        attempt,
        ended::{self, Lost},
        endpoint, event,
        found::{self, Filter, Found},
    },
    whose::Whose,
};

/// What nobody finds of deliveries.
const NOUN: &str = "webhook delivery";

/// A delivery, and how each of its attempts went, with the beginning of the answer.
pub(crate) struct Story {
    pub(crate) delivery: Found,
    /// What is sent; empty: it is not for who asks.
    pub(crate) payload: Vec<u8>,
    pub(crate) attempts: Vec<(attempt::Row, Option<String>)>,
}

/// Which given-up deliveries are meant.
pub(crate) struct Wanted {
    pub(crate) account: Option<AccountId>,
    pub(crate) endpoint: Option<EndpointId>,
    /// Made from then on, and before then if that is said. Microseconds UTC.
    pub(crate) since: i64,
    pub(crate) until: Option<i64>,
}

/// Deliveries of theirs, the newest first.
///
/// # Errors
/// When the database failed.
pub(crate) async fn find(
    shared: &Shared,
    whose: Whose,
    filter: Filter,
) -> Result<Vec<Found>, Error> {
    let rows = found::find(shared.db.reader(), whose, filter);
    shared.db.read(rows).await
}

/// One of them.
///
/// # Errors
/// When there is none, the database failed, or what is kept does not open.
pub(crate) async fn story(shared: &Shared, whose: Whose, id: DeliveryId) -> Result<Story, Error> {
    let delivery = of(shared, whose, id).await?;
    let payload = match whose {
        Whose::Owner(..) => payload(shared, delivery.event).await?,
        Whose::Everybody => Vec::new(),
    };
    let rows = attempt::list(shared.db.reader(), id);
    let rows = shared.db.read(rows).await?.into_iter();
    let place = attempt::response_place(id);
    let attempts = rows.map(|row| {
        let response = row.response.as_deref();
        let response = response
            .map(|sealed| opened(shared, &place, sealed))
            .transpose()?;
        Ok((row, response.map(|text| text.expose().to_owned())))
    });
    Ok(Story {
        delivery,
        payload,
        attempts: attempts.collect::<Result<_, Error>>()?,
    })
}

/// Sends a delivery again that has ended: the same event with the same id, and its schedule from the beginning.
///
/// # Errors
/// When there is none, it has not ended, nothing is sent to its endpoint, or the database failed.
pub(crate) async fn replay(shared: &Shared, whose: Whose, id: DeliveryId) -> Result<Story, Error> {
    let delivery = of(shared, whose, id).await?;
    if let Some(endpoint) = delivery.endpoint {
        check_enabled(shared, endpoint).await?;
    }
    let now = shared.db.now_micros();
    let done = shared
        .db
        .write(move |connection| Box::pin(ended::replay(connection, id, now)))
        .await?;
    if !done {
        return Err(Fault::of(code::DELIVERY_UNDER_WAY).into());
    }
    info!(delivery.id = %id, "a delivery is sent again");
    shared.bell.notify_one();
    story(shared, whose, id).await
}

/// Sends those again that were given up, so many at most as one call does; says how many, and whether there are more.
///
/// # Errors
/// When an endpoint is named that is not theirs or is disabled, or the database failed.
pub(crate) async fn recover(
    shared: &Shared,
    whose: Whose,
    wanted: Wanted,
) -> Result<(u32, bool), Error> {
    if let Some(id) = wanted.endpoint {
        let row = crate::endpoint::find(shared, whose, id).await?;
        if row.disabled.is_some() {
            return Err(Fault::of(code::ENDPOINT_UNAVAILABLE).into());
        }
    }
    let (now, limit) = (shared.db.now_micros(), shared.limits.at_once);
    let lost = Lost {
        whose,
        account: wanted.account,
        endpoint: wanted.endpoint,
        between: (wanted.since, wanted.until.unwrap_or(now)),
        limit,
    };
    let count = shared
        .db
        .write(move |connection| Box::pin(ended::recover(connection, lost, now)))
        .await?;
    if count > 0 {
        info!(count, "deliveries that were given up are sent again");
        shared.bell.notify_one();
    }
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Ok((count, count >= limit))
}

/// What an event says, opened.
async fn payload(shared: &Shared, event: EventId) -> Result<Vec<u8>, Error> {
    let sealed = event::payload(shared.db.reader(), event);
    let sealed = shared.db.read(sealed).await?;
    let sealed = sealed.ok_or(Error::Damaged("a delivery has no event"))?;
    let content = shared.secrets.content();
    Ok(content.open(&event::payload_place(event), &sealed)?)
}

async fn of(shared: &Shared, whose: Whose, id: DeliveryId) -> Result<Found, Error> {
    let row = found::get(shared.db.reader(), id);
    let row = shared.db.read(row).await?;
    row.filter(|row| whose.holds(row.account, row.mode))
        .ok_or_else(|| whose.nothing(NOUN).into())
}

/// Whether an endpoint is there and is sent anything.
async fn check_enabled(shared: &Shared, id: EndpointId) -> Result<(), Error> {
    let row = endpoint::find(shared.db.reader(), id);
    let row = shared.db.read(row).await?;
    let enabled = row.is_some_and(|row| row.disabled.is_none());
    if !enabled {
        return Err(Fault::of(code::ENDPOINT_UNAVAILABLE).into());
    }
    Ok(())
}
