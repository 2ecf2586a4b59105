//! Use cases: register a URL for events, list what is registered, remove it.

use chassis::clock::mint;
use domain::{AccountId, EndpointId, Mode, Secret};
use proto::{Fault, code};
use tracing::info;

use crate::{
    Error, Shared,
    secret::{self, opened},
    store::endpoint::{self, NewRow},
};

/// A registered URL, as its account sees it.
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    /// Its path or query may be a capability.
    pub(crate) url: Secret,
    /// The types of events it is told; none: all.
    pub(crate) events: Vec<String>,
    /// Microseconds UTC.
    pub(crate) created_at: i64,
}

/// Registers a URL, and makes the secret that signs what it is told.
///
/// # Errors
/// When the URL is not allowed, when there are as many as may be, or when the database failed.
pub(crate) async fn create(
    shared: &Shared,
    (account, mode): (AccountId, Mode),
    url: String,
    events: Vec<String>,
) -> Result<(Endpoint, Secret), Error> {
    check_url(shared, &url).await?;
    let (id, secret) = (mint(), secret::fresh());
    let (content, now) = (shared.secrets.content(), shared.db.now_micros());
    let row = NewRow {
        id,
        account,
        mode,
        url: content.seal(&endpoint::url_place(id), url.as_bytes())?,
        events: events.clone(),
        secret: content.seal(&endpoint::secret_place(id), secret.expose().as_bytes())?,
        created_at: now,
    };
    let most = shared.limits.max_endpoints;
    let made = shared
        .db
        .write(move |connection| Box::pin(endpoint::insert(connection, row, i64::from(most))))
        .await?;
    if !made {
        let message = format!(
            "an account has at most {most} webhook endpoints in each mode; remove one that is not needed"
        );
        return Err(Fault::new(code::TOO_MANY_ENDPOINTS, message).into());
    }
    info!(endpoint.id = %id, account.id = %account, "an endpoint was registered");
    let made = Endpoint {
        id,
        url: Secret::new(url),
        events,
        created_at: now,
    };
    Ok((made, secret))
}

/// What an account has registered in a mode, the oldest first.
///
/// # Errors
/// When the database failed, or what is kept does not open.
pub(crate) async fn list(
    shared: &Shared,
    (account, mode): (AccountId, Mode),
) -> Result<Vec<Endpoint>, Error> {
    let rows = endpoint::list(shared.db.reader(), account, mode);
    let rows = shared.db.read(rows).await?.into_iter();
    let opened = rows.map(|row| {
        Ok(Endpoint {
            id: row.id,
            url: opened(shared, &endpoint::url_place(row.id), &row.url)?,
            events: row.events,
            created_at: row.created_at,
        })
    });
    opened.collect()
}

/// Removes an endpoint. What is on its way to it is given up at its next attempt.
///
/// # Errors
/// When the account has no such endpoint in this mode, or the database failed.
pub(crate) async fn delete(
    shared: &Shared,
    owner: (AccountId, Mode),
    id: EndpointId,
) -> Result<(), Error> {
    let removed = shared
        .db
        .write(move |connection| Box::pin(endpoint::delete(connection, owner, id)))
        .await?;
    if !removed {
        let message = "there is no such webhook endpoint for this key".to_owned();
        return Err(Fault::new(code::NOT_FOUND, message).into());
    }
    info!(endpoint.id = %id, account.id = %owner.0, "an endpoint was removed");
    Ok(())
}

async fn check_url(shared: &Shared, url: &str) -> Result<(), Error> {
    if let Err(refusal) = shared.client.check(url).await {
        shared.metrics.refused(refusal.reason());
        let message = format!("url is refused: {refusal}");
        return Err(Fault::new(code::FORBIDDEN_URL, message).param("url").into());
    }
    Ok(())
}
