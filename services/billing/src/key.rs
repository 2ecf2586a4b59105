//! Keys: what one may do, and the use case of making one; the other use cases are below. A key is shown once; what is kept is
//! its keyed MAC.

mod list;
mod revoke;
mod rotate;
pub(crate) mod rpc;
mod update;

use chassis::secrets::KeyMac;
use db::Db;
use domain::{AccountId, ApiKey, Caller, KeyId, Micros, Mode, Scope};
use ipnet::IpNet;
use rand::RngExt as _;
use serde_json::Value;
use sqlx::AnyConnection;
use tracing::{info, instrument};

use crate::{
    Error,
    account::checked_text,
    audit_log::{self, Action, By, Change},
    config::{Input, Limits},
    error::Denial,
    ledger::{Budget, Caps},
    store::{self, KeyRow},
};

pub(crate) use revoke::revoke_key;

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
    /// What it may spend.
    pub caps: Caps,
    /// Requests per minute; 0 means the configured default.
    pub rpm: u32,
    /// Open HTTP requests; 0 means the configured default.
    pub concurrency: u32,
    /// Open media tasks; 0 means no limit but the account's.
    pub max_open_tasks: u32,
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

/// Who asks for something about keys.
#[derive(Clone, Debug)]
pub(crate) enum Asker {
    /// Sees every key, and may do everything.
    Operator(By),
    /// Sees the keys of its own account and mode.
    Customer(Caller),
}

/// A key as it is shown.
pub(crate) struct Shown {
    pub(crate) row: KeyRow,
    /// If it has had a cap.
    pub(crate) budget: Option<Budget>,
    /// When the last of its operations that have ended was asked for, microseconds UTC.
    pub(crate) last_used_at: Option<i64>,
    /// When it was looked at, microseconds UTC.
    pub(crate) now: i64,
}

/// Makes a key for the account and mode that `wanted` names; a customer's own replace them.
///
/// # Errors
/// When there is no such account, a field has a value that is not allowed, the key would have a scope that its maker has not, or
/// the database failed.
#[instrument(skip_all, fields(account.id = %wanted.account))]
pub(crate) async fn create_key(
    db: &Db,
    macs: &KeyMac,
    limits: &Limits,
    asker: &Asker,
    wanted: NewKey,
) -> Result<CreatedKey, Error> {
    let now = db.now_micros();
    let wanted = checked(asker.own(wanted), limits, now)?;
    asker.may_give(wanted.scopes.iter().copied())?;
    let key = random_key(wanted.mode);
    let caps = wanted.caps;
    let row = row(
        wanted,
        macs.mac(key.expose()),
        key.last_four().to_owned(),
        now,
    );
    let id = row.id;
    let asker = asker.clone();
    db.write(move |connection| {
        Box::pin(async move {
            asker.is_unlimited(connection).await?;
            if !store::account::exists(connection, row.account).await? {
                return Err(Error::NotFound("account"));
            }
            store::key::insert(connection, &row).await?;
            if caps != Caps::default() {
                store::budget::put_caps(connection, &row, caps).await?;
            }
            note_new(connection, &asker.by(), &row, caps).await
        })
    })
    .await?;
    info!(key.id = %id, "made a key");
    Ok(CreatedKey { id, key })
}

/// Writes down that a key was made.
pub(crate) async fn note_new(
    connection: &mut AnyConnection,
    by: &By,
    row: &KeyRow,
    caps: Caps,
) -> Result<(), Error> {
    let detail = audit_log::new_key(row, caps);
    let change = change(row, Action::KeyCreate, detail);
    audit_log::note(connection, by, change, row.created_at).await
}

/// A change of a key, for the audit log.
fn change(row: &KeyRow, action: Action, detail: Value) -> Change {
    Change {
        whose: (Some(row.account), Some(row.mode)),
        action,
        subject: row.id.to_string(),
        detail,
    }
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
        previous: None,
        scopes: wanted
            .scopes
            .iter()
            .map(|scope| scope.as_str().to_owned())
            .collect(),
        models: wanted.models,
        ip_allow: wanted.ip_allow,
        rpm: wanted.rpm,
        concurrency: wanted.concurrency,
        max_open_tasks: wanted.max_open_tasks,
        created_at: now,
        expires_at: wanted.expires_at,
        revoked_at: None,
    }
}

/// A key nobody has.
fn random_key(mode: Mode) -> ApiKey {
    let mut random = rand::rng();
    // Digits from 0 to 61 of a cryptographic generator, each as likely as any other.
    let digits: [u8; ApiKey::RANDOM_LEN] = std::array::from_fn(|_| random.random_range(0..62));
    ApiKey::from_random(mode, &digits)
}

fn checked(mut wanted: NewKey, limits: &Limits, now: i64) -> Result<NewKey, Error> {
    wanted.name = checked_text("name", &wanted.name, limits)?;
    if wanted.scopes.is_empty() {
        wanted.scopes = DEFAULT_SCOPES.to_vec();
    }
    check_models(&wanted.models, limits)?;
    check_addresses(&wanted.ip_allow, limits)?;
    check_expiry(wanted.expires_at, now)?;
    for (param, cap) in [
        ("caps.day", wanted.caps.day),
        ("caps.month", wanted.caps.month),
        ("caps.total", wanted.caps.total),
    ] {
        check_cap(param, cap, &limits.input)?;
    }
    Ok(wanted)
}

fn check_models(models: &[String], limits: &Limits) -> Result<(), Error> {
    check_length("models", models, limits)?;
    for model in models {
        checked_text("models", model, limits)?;
    }
    Ok(())
}

fn check_addresses(addresses: &[String], limits: &Limits) -> Result<(), Error> {
    check_length("ip_allow", addresses, limits)?;
    for address in addresses {
        if address.parse::<IpNet>().is_err() && address.parse::<std::net::IpAddr>().is_err() {
            let allowed = "hold addresses or networks, like 203.0.113.7 or 2001:db8::/32";
            return Err(Error::invalid("ip_allow", allowed));
        }
    }
    Ok(())
}

fn check_length(param: &'static str, list: &[String], limits: &Limits) -> Result<(), Error> {
    if list.len() > limits.input.list_items {
        let allowed = format!("have at most {} items", limits.input.list_items);
        return Err(Error::invalid(param, allowed));
    }
    Ok(())
}

fn check_expiry(expires_at: Option<i64>, now: i64) -> Result<(), Error> {
    if expires_at.is_some_and(|moment| moment <= now) {
        return Err(Error::invalid("expires_at", "lie in the future"));
    }
    Ok(())
}

fn check_cap(param: &'static str, cap: Option<Micros>, input: &Input) -> Result<(), Error> {
    let most = input.transfer_amount();
    if cap.is_some_and(|cap| cap < Micros::ZERO || cap > most) {
        return Err(Error::invalid(param, format!("be from 0 to {most}")));
    }
    Ok(())
}

// === impl Asker ===

impl Asker {
    /// Who that is, for the audit log.
    fn by(&self) -> By {
        match self {
            Self::Operator(by) => by.clone(),
            Self::Customer(caller) => By::from(caller),
        }
    }

    /// A new key of the asker's own account and mode; an operator says whose it is.
    fn own(&self, wanted: NewKey) -> NewKey {
        match self {
            Self::Operator(_) => wanted,
            Self::Customer(caller) => NewKey {
                account: caller.account,
                mode: caller.mode,
                ..wanted
            },
        }
    }

    /// The key, if there is one for the asker: another's is as unknown as one that nobody has.
    fn sees(&self, row: Option<KeyRow>) -> Result<KeyRow, Error> {
        let visible = |row: &KeyRow| match self {
            Self::Operator(_) => true,
            Self::Customer(caller) => row.account == caller.account && row.mode == caller.mode,
        };
        row.filter(visible).ok_or(Error::NotFound("key"))
    }

    /// Nobody hands out more than they have: neither with a new key, nor with a key that they change or rotate.
    fn may_give(&self, scopes: impl IntoIterator<Item = Scope>) -> Result<(), Error> {
        let Self::Customer(caller) = self else {
            return Ok(());
        };
        let beyond = scopes
            .into_iter()
            .find(|scope| !caller.scopes.contains(scope));
        beyond.map_or(Ok(()), |scope| Err(Error::Denied(Denial::Scope(scope))))
    }

    /// Whether the asker is this key.
    fn is(&self, id: KeyId) -> bool {
        matches!(self, Self::Customer(Caller { key: Some(key), .. }) if *key == id)
    }

    /// A key that is limited itself would lift its limits with another key: it makes none, and changes none.
    async fn is_unlimited(&self, connection: &mut AnyConnection) -> Result<(), Error> {
        let Self::Customer(Caller { key: Some(key), .. }) = self else {
            return Ok(());
        };
        let row = store::key::by_id(connection, *key).await?;
        let budget = store::budget::get(connection, *key).await?;
        let capped = budget.is_some_and(|budget| budget.caps != Caps::default());
        let limited = row.is_none_or(|row| {
            let lists = [&row.models, &row.ip_allow];
            row.expires_at.is_some() || lists.iter().any(|list| !list.is_empty())
        });
        if capped || limited {
            return Err(Error::Denied(Denial::Limited));
        }
        Ok(())
    }

    /// The same for a key that is there and not revoked.
    fn may_change(&self, row: Option<KeyRow>) -> Result<KeyRow, Error> {
        let row = self.sees(row.filter(|row| row.revoked_at.is_none()))?;
        self.may_give(row.scopes.iter().filter_map(|word| Scope::parse(word)))?;
        Ok(row)
    }
}
