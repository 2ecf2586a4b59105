//! Use case: who is behind this key?

use chassis::secrets::KeyMac;
use db::Db;
use domain::{AccountId, ApiKey, KeyId, Mode, PriceFactor};
use subtle::ConstantTimeEq as _;

use crate::{Error, error::Denial, store};

/// Who a key stands for, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whose key.
    pub account: AccountId,
    /// Which balance it spends.
    pub mode: Mode,
    /// The key.
    pub key: KeyId,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Models it may use; empty means all.
    pub models: Vec<String>,
    /// Requests per minute; 0 means the configured default.
    pub rpm: u32,
    /// Open HTTP requests; 0 means the configured default.
    pub concurrency: u32,
    /// Addresses or networks it may be used from; empty means all.
    pub ip_allow: Vec<String>,
    /// Open media tasks; 0 means no limit but the account's.
    pub max_open_tasks: u32,
    /// What the account pays of a price.
    pub price_factor: PriceFactor,
}

/// Says who is behind a key. Malformed, unknown, revoked and expired keys are all the same to the caller.
///
/// # Errors
/// When the key opens nothing, or the database failed.
pub(crate) async fn authenticate(db: &Db, macs: &KeyMac, text: &str) -> Result<Identity, Error> {
    let key = ApiKey::parse(text).map_err(|_| Error::Denied(Denial::Key))?;
    let mac = macs.mac(key.expose());
    let found: Result<_, Error> = db
        .read(async {
            let mut connection = db.reader().acquire().await?;
            let Some(row) = store::key::by_mac(&mut connection, &mac).await? else {
                return Ok(None);
            };
            let factor = store::account::price_factor(&mut connection, row.account).await?;
            Ok(factor.map(|factor| (row, factor)))
        })
        .await;
    let (row, price_factor) = found?.ok_or(Error::Denied(Denial::Key))?;
    let now = db.now_micros();
    let same = bool::from(row.mac.as_slice().ct_eq(mac.as_slice()));
    // A rotated key's old secret opens the same until its overlap is over.
    let old = row.previous.as_ref().is_some_and(|previous| {
        bool::from(previous.mac.as_slice().ct_eq(mac.as_slice())) && previous.until > now
    });
    let expired = row.expires_at.is_some_and(|moment| moment <= now);
    if !(same || old) || expired || row.revoked_at.is_some() {
        return Err(Error::Denied(Denial::Key));
    }
    Ok(Identity {
        account: row.account,
        mode: row.mode,
        key: row.id,
        scopes: row.scopes,
        models: row.models,
        rpm: row.rpm,
        concurrency: row.concurrency,
        ip_allow: row.ip_allow,
        max_open_tasks: row.max_open_tasks,
        price_factor,
    })
}
