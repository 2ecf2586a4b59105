//! Use cases: make a key, revoke a key. A key is shown once; what is kept is its keyed MAC.

use chassis::secrets::KeyMac;
use db::Db;
use domain::{AccountId, ApiKey, KeyId, Mode, Scope};
use ipnet::IpNet;
use rand::RngExt as _;
use tracing::{info, instrument};

use crate::{
    Error,
    account::checked_text,
    config::Limits,
    store::{self, KeyRow},
};

/// What a key made without scopes may do (`docs/api.md`, "Keys and modes").
const DEFAULT_SCOPES: [Scope; 2] = [Scope::Inference, Scope::Read];

/// What a new key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Whose.
    pub account: AccountId,
    /// By which a person knows it.
    pub name: String,
    /// Which balance it spends.
    pub mode: Mode,
    /// What it may do; empty means inference and reading.
    pub scopes: Vec<Scope>,
    /// Models it may use; empty means all.
    pub models: Vec<String>,
    /// Requests per minute; 0 means the configured default.
    pub rpm: u32,
    /// Open HTTP requests; 0 means the configured default.
    pub concurrency: u32,
    /// Addresses or networks it may be used from; empty means all.
    pub ip_allow: Vec<String>,
    /// Microseconds UTC; `None` means never.
    pub expires_at: Option<i64>,
}

/// A key that was just made. The only moment it can be seen.
#[derive(Clone, Debug)]
pub struct CreatedKey {
    /// Its id.
    pub id: KeyId,
    /// The whole key.
    pub key: ApiKey,
}

/// Makes a key.
///
/// # Errors
/// When there is no such account, a field has a value that is not allowed, or the database failed.
#[instrument(skip_all, fields(account.id = %wanted.account))]
pub(crate) async fn create_key(
    db: &Db,
    macs: &KeyMac,
    limits: &Limits,
    wanted: NewKey,
) -> Result<CreatedKey, Error> {
    let now = db.now_micros();
    let wanted = checked(wanted, limits, now)?;
    let key = ApiKey::from_random(wanted.mode, &random_digits());
    let row = row(
        wanted,
        macs.mac(key.expose()),
        key.last_four().to_owned(),
        now,
    );
    let id = row.id;
    db.write(move |connection| {
        Box::pin(async move {
            if !store::account::exists(connection, row.account).await? {
                return Err(Error::NotFound("account"));
            }
            store::key::insert(connection, &row).await
        })
    })
    .await?;
    info!(key.id = %id, "made a key");
    Ok(CreatedKey { id, key })
}

/// Revokes a key, for good. Revoking it again changes nothing.
///
/// # Errors
/// When there is no such key, or the database failed.
#[instrument(skip_all, fields(key.id = %id))]
pub(crate) async fn revoke_key(db: &Db, id: KeyId) -> Result<(), Error> {
    let now = db.now_micros();
    let known = db
        .write(move |connection| Box::pin(store::key::revoke(connection, id, now)))
        .await?;
    if !known {
        return Err(Error::NotFound("key"));
    }
    info!("revoked a key");
    Ok(())
}

/// A key's row, as it is at `now`.
pub(crate) fn row(wanted: NewKey, mac: [u8; 32], last_four: String, now: i64) -> KeyRow {
    KeyRow {
        id: chassis::mint(),
        account: wanted.account,
        mode: wanted.mode,
        name: wanted.name,
        mac: mac.to_vec(),
        last_four,
        scopes: wanted
            .scopes
            .iter()
            .map(|scope| scope.as_str().to_owned())
            .collect(),
        models: wanted.models,
        ip_allow: wanted.ip_allow,
        rpm: wanted.rpm,
        concurrency: wanted.concurrency,
        created_at: now,
        expires_at: wanted.expires_at,
        revoked_at: None,
    }
}

fn checked(mut wanted: NewKey, limits: &Limits, now: i64) -> Result<NewKey, Error> {
    wanted.name = checked_text("name", &wanted.name, limits)?;
    if wanted.scopes.is_empty() {
        wanted.scopes = DEFAULT_SCOPES.to_vec();
    }
    let most = format!("have at most {} items", limits.input.list_items);
    if wanted.models.len() > limits.input.list_items {
        return Err(Error::invalid("models", most));
    }
    if wanted.ip_allow.len() > limits.input.list_items {
        return Err(Error::invalid("ip_allow", most));
    }
    for model in &wanted.models {
        checked_text("models", model, limits)?;
    }
    for address in &wanted.ip_allow {
        if address.parse::<IpNet>().is_err() && address.parse::<std::net::IpAddr>().is_err() {
            let allowed = "hold addresses or networks, like 203.0.113.7 or 2001:db8::/32";
            return Err(Error::invalid("ip_allow", allowed));
        }
    }
    if wanted.expires_at.is_some_and(|moment| moment <= now) {
        return Err(Error::invalid("expires_at", "lie in the future"));
    }
    Ok(wanted)
}

/// Digits from 0 to 61 of a cryptographic generator, each as likely as any other.
fn random_digits() -> [u8; ApiKey::RANDOM_LEN] {
    let mut random = rand::rng();
    std::array::from_fn(|_| random.random_range(0..62))
}
