//! Where a delivery goes, and what stands on it: the URL, the fixed headers, what signs.

use domain::Secret;

use crate::{
    Error, Shared,
    endpoint::opened_headers,
    headers::Header,
    secret::{self, opened},
    store::{
        delivery,
        due::Claimed,
        endpoint::{self, Row},
    },
};

/// Where it goes.
pub(crate) struct Target {
    pub(crate) url: Secret,
    pub(crate) headers: Vec<Header>,
    /// What signs: what is new, and behind it what it took the place of, as long as that signs as well.
    pub(crate) signing: Vec<Secret>,
    /// Of an endpoint, since when it fails and nothing else. Microseconds UTC.
    pub(crate) failing_since: Option<i64>,
}

// === impl Target ===

impl Target {
    /// Looks up where a delivery goes now: an endpoint may have another URL than when the delivery was made.
    ///
    /// # Errors
    /// When its endpoint was removed or is disabled, the database failed, or what is kept does not open.
    pub(crate) async fn of(shared: &Shared, claimed: &Claimed) -> Result<Self, Error> {
        let Some(id) = claimed.endpoint else {
            let event = &claimed.event;
            return Ok(Self {
                url: opened(shared, &delivery::url_place(claimed.id), &claimed.url)?,
                headers: Vec::new(),
                signing: secret::signing(shared, event.account, event.mode).await?,
                failing_since: None,
            });
        };
        let row = endpoint::find(shared.db.reader(), id);
        let row = shared.db.read(row).await?.ok_or(Error::Removed)?;
        if row.disabled.is_some() {
            return Err(Error::Disabled);
        }
        Ok(Self {
            url: opened(shared, &endpoint::url_place(id), &row.url)?,
            headers: opened_headers(shared, id, row.headers.as_deref())?,
            signing: signing(shared, &row)?,
            failing_since: row.failing_since,
        })
    }
}

/// What signs for an endpoint.
fn signing(shared: &Shared, row: &Row) -> Result<Vec<Secret>, Error> {
    let (keys, scheme) = (&row.keys, row.signature);
    let old_signs = keys.old_until > shared.db.now_micros();
    let sealed = [
        (scheme.by_secret(), Some(&keys.secret)),
        (scheme.by_secret() && old_signs, keys.old_secret.as_ref()),
        (scheme.by_key(), keys.signing_key.as_ref()),
        (scheme.by_key() && old_signs, keys.old_signing_key.as_ref()),
    ];
    let sealed = sealed.into_iter().filter(|(signs, _)| *signs);
    let place = endpoint::secret_place(row.id);
    sealed
        .filter_map(|(_, sealed)| sealed)
        .map(|sealed| opened(shared, &place, sealed))
        .collect()
}
