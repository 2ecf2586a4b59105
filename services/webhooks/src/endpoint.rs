//! Use cases: register a URL for events, look at what is registered, change it, rotate what signs for it, remove it.

use std::time::Duration;

use chassis::clock::mint;
use domain::{AccountId, EndpointId, Mode, Secret};
use proto::{Fault, code};
use tracing::info;

use crate::{
    Error, Shared,
    headers::{self, Header},
    publish::origin,
    secret::{self, Rotated, opened},
    sign::{self, Scheme},
    store::{
        ended,
        endpoint::{self, Change, NewRow, Row},
        lane,
    },
    whose::Whose,
};

/// What nobody finds of endpoints.
const NOUN: &str = "webhook endpoint";

/// A registered URL, as its account sees it.
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) owner: (AccountId, Mode),
    /// Its path or query may be a capability.
    pub(crate) url: Secret,
    /// The types of events it is told; none: all.
    pub(crate) events: Vec<String>,
    /// The values may be credentials: they are not shown again.
    pub(crate) header_names: Vec<String>,
    pub(crate) per_second: Option<u32>,
    pub(crate) description: String,
    pub(crate) signature: Scheme,
    /// `whpk_` and base64, where an Ed25519 key signs.
    pub(crate) public_key: Option<String>,
    /// Since when nothing is sent to it, in microseconds UTC, and why.
    pub(crate) disabled: Option<(i64, String)>,
    /// Until when what signed before the last rotation signs as well. Microseconds UTC; 0: it does not.
    pub(crate) old_until: i64,
    /// Microseconds UTC.
    pub(crate) created_at: i64,
}

/// What is said of a new endpoint.
pub(crate) struct Said {
    pub(crate) url: String,
    /// None: all.
    pub(crate) events: Vec<String>,
    pub(crate) headers: Vec<Header>,
    pub(crate) per_second: Option<u32>,
    /// Empty: nothing.
    pub(crate) description: String,
    pub(crate) signature: Scheme,
}

/// What is said of an endpoint that there is; `None` stays as it is.
#[derive(Default)]
pub(crate) struct Changed {
    pub(crate) url: Option<String>,
    pub(crate) events: Option<Vec<String>>,
    pub(crate) headers: Option<Vec<Header>>,
    pub(crate) per_second: Option<Option<u32>>,
    pub(crate) description: Option<String>,
    pub(crate) signature: Option<Scheme>,
    pub(crate) disabled: Option<bool>,
}

/// Registers a URL, and makes the secret that signs what it is told.
///
/// # Errors
/// When something said is not allowed, when there are as many as may be, or when the database failed.
pub(crate) async fn create(
    shared: &Shared,
    (account, mode): (AccountId, Mode),
    said: Said,
) -> Result<(Endpoint, Secret), Error> {
    headers::check(&said.headers, &shared.limits)?;
    check_rate(shared, said.per_second)?;
    check_url(shared, &said.url).await?;
    let (id, secret) = (mint(), secret::fresh());
    let content = shared.secrets.content();
    let key = said
        .signature
        .by_key()
        .then(secret::fresh_key)
        .transpose()?;
    let seal_key =
        |key: &Secret| content.seal(&endpoint::secret_place(id), key.expose().as_bytes());
    let created_at = shared.db.now_micros();
    let row = NewRow {
        id,
        account,
        mode,
        url: content.seal(&endpoint::url_place(id), said.url.as_bytes())?,
        events: said.events.clone(),
        headers: sealed_headers(shared, id, &said.headers)?,
        description: sealed_description(shared, id, &said.description)?,
        signature: said.signature,
        per_second: said.per_second.map(i64::from),
        secret: seal_key(&secret)?,
        signing_key: key.as_ref().map(seal_key).transpose()?,
        created_at,
    };
    // Not read again once it is written: the secret is shown only here.
    let made = Endpoint {
        id,
        owner: (account, mode),
        url: Secret::new(said.url),
        events: said.events,
        header_names: said.headers.into_iter().map(|(name, _)| name).collect(),
        per_second: said.per_second,
        description: said.description,
        signature: said.signature,
        public_key: key.as_ref().map(public_key).transpose()?,
        disabled: None,
        old_until: 0,
        created_at,
    };
    let most = shared.limits.max_endpoints;
    let has_room = shared
        .db
        .write(move |connection| Box::pin(endpoint::insert(connection, row, i64::from(most))))
        .await?;
    if !has_room {
        let message = format!(
            "an account has at most {most} webhook endpoints in each mode; remove one that is not needed"
        );
        return Err(Fault::new(code::TOO_MANY_ENDPOINTS, message).into());
    }
    info!(endpoint.id = %id, account.id = %account, "an endpoint was registered");
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
    rows.map(|row| Endpoint::open(shared, row)).collect()
}

/// What anybody has registered, or one account, the oldest first, behind an id.
///
/// # Errors
/// As [`list`].
pub(crate) async fn page(
    shared: &Shared,
    account: Option<AccountId>,
    after: Option<EndpointId>,
    limit: u32,
) -> Result<Vec<Endpoint>, Error> {
    let rows = endpoint::page(shared.db.reader(), account, after, limit);
    let rows = shared.db.read(rows).await?.into_iter();
    rows.map(|row| Endpoint::open(shared, row)).collect()
}

/// One endpoint.
///
/// # Errors
/// When there is no such endpoint of theirs, the database failed, or what is kept does not open.
pub(crate) async fn get(shared: &Shared, whose: Whose, id: EndpointId) -> Result<Endpoint, Error> {
    Endpoint::open(shared, find(shared, whose, id).await?)
}

/// Changes what is said of an endpoint. What waits for it goes to the URL that it has then; one that is disabled gives it up.
///
/// # Errors
/// When something said is not allowed, there is no such endpoint of theirs, or the database failed.
pub(crate) async fn update(
    shared: &Shared,
    whose: Whose,
    id: EndpointId,
    changed: Changed,
) -> Result<Endpoint, Error> {
    find(shared, whose, id).await?;
    if let Some(headers) = &changed.headers {
        headers::check(headers, &shared.limits)?;
    }
    check_rate(shared, changed.per_second.flatten())?;
    if let Some(url) = &changed.url {
        check_url(shared, url).await?;
    }
    let moved = changed
        .url
        .as_ref()
        .map(|url| origin(shared, &Secret::new(url)));
    let disabled = changed.disabled;
    let change = sealed(shared, id, changed)?;
    let (now, at_once) = (shared.db.now_micros(), shared.limits.at_once);
    let found = shared
        .db
        .write(move |connection| {
            Box::pin(async move {
                let found = endpoint::update(connection, id, change, now).await?;
                if disabled == Some(true) {
                    // The sweep parks what is more than that.
                    ended::park(connection, now, at_once).await?;
                }
                if let Some(origin) = moved.filter(|_| found) {
                    lane::moved(connection, id, origin, now).await?;
                }
                Ok::<_, Error>(found)
            })
        })
        .await?;
    if !found {
        return Err(whose.nothing(NOUN).into());
    }
    info!(endpoint.id = %id, "an endpoint was changed");
    shared.bell.notify_one();
    get(shared, whose, id).await
}

/// Puts another secret, and another Ed25519 key where it has one, in the place of what signs for an endpoint.
///
/// # Errors
/// When the old ones are to sign for too long, there is no such endpoint of theirs, or the database failed.
pub(crate) async fn rotate(
    shared: &Shared,
    whose: Whose,
    id: EndpointId,
    overlap: Duration,
) -> Result<Rotated, Error> {
    let scheme = find(shared, whose, id).await?.signature;
    let old_until = secret::until(shared, overlap)?;
    let (secret, key) = (secret::fresh(), secret::fresh_key()?);
    // Nothing is read once it is written: what signs from then on is shown only here.
    let public_key = scheme.by_key().then(|| public_key(&key)).transpose()?;
    let (content, place) = (shared.secrets.content(), endpoint::secret_place(id));
    let both = (
        content.seal(&place, secret.expose().as_bytes())?,
        content.seal(&place, key.expose().as_bytes())?,
    );
    let found = shared
        .db
        .write(move |connection| Box::pin(endpoint::rotate(connection, id, both, old_until)))
        .await?;
    if !found {
        return Err(whose.nothing(NOUN).into());
    }
    info!(endpoint.id = %id, "what signs for an endpoint was rotated");
    Ok(Rotated {
        secret,
        public_key,
        old_until,
    })
}

/// Removes an endpoint. What is on its way to it is given up at its next attempt.
///
/// # Errors
/// When there is no such endpoint of theirs, or the database failed.
pub(crate) async fn delete(shared: &Shared, whose: Whose, id: EndpointId) -> Result<(), Error> {
    find(shared, whose, id).await?;
    let removed = shared
        .db
        .write(move |connection| Box::pin(endpoint::delete(connection, id)))
        .await?;
    if !removed {
        return Err(whose.nothing(NOUN).into());
    }
    info!(endpoint.id = %id, "an endpoint was removed");
    Ok(())
}

/// The row of an endpoint of theirs.
///
/// # Errors
/// When there is none, or the database failed.
pub(crate) async fn find(shared: &Shared, whose: Whose, id: EndpointId) -> Result<Row, Error> {
    let row = endpoint::find(shared.db.reader(), id);
    let row = shared.db.read(row).await?;
    row.filter(|row| whose.holds(row.account, row.mode))
        .ok_or_else(|| whose.nothing(NOUN).into())
}

// === impl Endpoint ===

impl Endpoint {
    fn open(shared: &Shared, row: Row) -> Result<Self, Error> {
        let (id, place) = (row.id, endpoint::secret_place(row.id));
        let key = row.keys.signing_key.filter(|_| row.signature.by_key());
        let public = |sealed: Vec<u8>| public_key(&opened(shared, &place, &sealed)?);
        let description = row.description.map(|sealed| {
            let place = endpoint::description_place(id);
            opened(shared, &place, &sealed).map(|text| text.expose().to_owned())
        });
        let now = shared.db.now_micros();
        Ok(Self {
            id,
            owner: (row.account, row.mode),
            url: opened(shared, &endpoint::url_place(id), &row.url)?,
            events: row.events,
            header_names: opened_headers(shared, id, row.headers.as_deref())?
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            per_second: row.per_second.and_then(|rate| u32::try_from(rate).ok()),
            description: description.transpose()?.unwrap_or_default(),
            signature: row.signature,
            public_key: key.map(public).transpose()?,
            disabled: row.disabled,
            old_until: Some(row.keys.old_until)
                .filter(|until| *until > now)
                .unwrap_or_default(),
            created_at: row.created_at,
        })
    }
}

/// The public half of what signs for an endpoint.
fn public_key(key: &Secret) -> Result<String, Error> {
    sign::public_key(key).map_err(|_| Error::Damaged("an Ed25519 key is none"))
}

/// The headers that were sealed for an endpoint.
pub(crate) fn opened_headers(
    shared: &Shared,
    id: EndpointId,
    sealed: Option<&[u8]>,
) -> Result<Vec<Header>, Error> {
    let Some(sealed) = sealed else {
        return Ok(Vec::new());
    };
    let kept = shared
        .secrets
        .content()
        .open(&endpoint::headers_place(id), sealed)?;
    headers::decode(&kept).ok_or(Error::Damaged("headers are no list of pairs"))
}

fn sealed(shared: &Shared, id: EndpointId, changed: Changed) -> Result<Change, Error> {
    let content = shared.secrets.content();
    let url = changed
        .url
        .map(|url| content.seal(&endpoint::url_place(id), url.as_bytes()));
    let headers = changed
        .headers
        .map(|headers| sealed_headers(shared, id, &headers));
    let description = changed
        .description
        .map(|text| sealed_description(shared, id, &text));
    let signing_key = match changed.signature {
        Some(scheme) if scheme.by_key() => {
            let key = secret::fresh_key()?;
            Some(content.seal(&endpoint::secret_place(id), key.expose().as_bytes())?)
        }
        Some(_) | None => None,
    };
    Ok(Change {
        url: url.transpose()?,
        events: changed.events,
        headers: headers.transpose()?,
        description: description.transpose()?,
        per_second: changed.per_second.map(|rate| rate.map(i64::from)),
        signature: changed.signature,
        signing_key,
        disabled: changed.disabled,
    })
}

fn sealed_headers(
    shared: &Shared,
    id: EndpointId,
    headers: &[Header],
) -> Result<Option<Vec<u8>>, Error> {
    let seal = || {
        let content = shared.secrets.content();
        content.seal(&endpoint::headers_place(id), &headers::encode(headers))
    };
    Ok((!headers.is_empty()).then(seal).transpose()?)
}

fn sealed_description(
    shared: &Shared,
    id: EndpointId,
    text: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let seal = || {
        let content = shared.secrets.content();
        content.seal(&endpoint::description_place(id), text.as_bytes())
    };
    Ok((!text.is_empty()).then(seal).transpose()?)
}

fn check_rate(shared: &Shared, per_second: Option<u32>) -> Result<(), Error> {
    let most = shared.limits.max_per_second;
    if per_second.is_some_and(|rate| !(1..=most).contains(&rate)) {
        let message = format!("per_second must be a whole number from 1 to {most}, or null");
        return Err(Fault::new(code::INVALID_PARAMETER, message)
            .param("per_second")
            .into());
    }
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
