//! Use case: change what a key may do and spend. Its scopes are not changed: a key that may do something else is another key.

use db::Db;
use domain::{KeyId, Micros};
use tracing::{info, instrument};

use super::{Asker, Shown, check_addresses, check_cap, check_expiry, check_models};
use crate::{
    Error,
    account::checked_text,
    audit_log::{self, Action},
    config::Limits,
    ledger::Caps,
    store::{self, KeyRow},
};

/// What becomes of something that may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is absent from now on.
    Clear,
    /// It is this from now on.
    Set(T),
}

/// What becomes of a key; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyChange {
    pub(crate) name: Option<String>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) ip_allow: Option<Vec<String>>,
    pub(crate) rpm: Option<u32>,
    pub(crate) concurrency: Option<u32>,
    pub(crate) max_open_tasks: Option<u32>,
    /// Microseconds UTC.
    pub(crate) expires_at: Change<i64>,
    pub(crate) caps: CapsChange,
}

/// What becomes of a key's caps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CapsChange {
    pub(crate) day: Change<Micros>,
    pub(crate) month: Change<Micros>,
    pub(crate) total: Change<Micros>,
}

/// Changes a key, and shows what it is then.
///
/// # Errors
/// When there is no such key for the asker, it has a scope that the asker has not, a field has a value that is not allowed, or
/// the database failed.
#[instrument(skip_all, fields(key.id = %id))]
pub(crate) async fn update_key(
    db: &Db,
    limits: &Limits,
    asker: Asker,
    id: KeyId,
    change: KeyChange,
) -> Result<Shown, Error> {
    let now = db.now_micros();
    let change = checked(change, limits, now)?;
    let shown = db
        .write(move |connection| {
            Box::pin(async move {
                asker.is_unlimited(connection).await?;
                let before = asker.may_change(store::key::lock(connection, id).await?)?;
                let budget = store::budget::get(connection, id).await?;
                let caps = budget.map(|budget| budget.caps).unwrap_or_default();
                let (mut row, wanted) = (before.clone(), change.caps.of(caps));
                change.apply(&mut row);
                store::key::save(connection, &row).await?;
                // A row is made for the first cap, not for taking none away.
                if wanted != caps {
                    store::budget::put_caps(connection, &row, wanted).await?;
                }
                if let Some(detail) = audit_log::key_change((&before, caps), (&row, wanted)) {
                    let noted = super::change(&row, Action::KeyUpdate, detail);
                    audit_log::note(connection, &asker.by(), noted, now).await?;
                }
                let budget = store::budget::get(connection, id).await?;
                let last_used_at = store::key::last_use(connection, &row).await?;
                Ok::<_, Error>(Shown {
                    row,
                    budget,
                    last_used_at,
                    now,
                })
            })
        })
        .await?;
    info!("changed a key");
    Ok(shown)
}

fn checked(mut change: KeyChange, limits: &Limits, now: i64) -> Result<KeyChange, Error> {
    if let Some(name) = &change.name {
        change.name = Some(checked_text("name", name, limits)?);
    }
    check_models(change.models.as_deref().unwrap_or_default(), limits)?;
    check_addresses(change.ip_allow.as_deref().unwrap_or_default(), limits)?;
    check_expiry(change.expires_at.of(None), now)?;
    for (param, cap) in [
        ("caps.day", change.caps.day),
        ("caps.month", change.caps.month),
        ("caps.total", change.caps.total),
    ] {
        check_cap(param, cap.of(None), &limits.input)?;
    }
    Ok(change)
}

// === impl Change ===

impl<T> Change<T> {
    /// What becomes of `before`.
    fn of(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(after) => Some(after),
        }
    }
}

// === impl CapsChange ===

impl CapsChange {
    fn of(self, before: Caps) -> Caps {
        Caps {
            day: self.day.of(before.day),
            month: self.month.of(before.month),
            total: self.total.of(before.total),
        }
    }
}

// === impl KeyChange ===

impl KeyChange {
    fn apply(self, row: &mut KeyRow) {
        let put = |field: &mut u32, value: Option<u32>| *field = value.unwrap_or(*field);
        if let Some(name) = self.name {
            row.name = name;
        }
        if let Some(models) = self.models {
            row.models = models;
        }
        if let Some(ip_allow) = self.ip_allow {
            row.ip_allow = ip_allow;
        }
        put(&mut row.rpm, self.rpm);
        put(&mut row.concurrency, self.concurrency);
        put(&mut row.max_open_tasks, self.max_open_tasks);
        row.expires_at = self.expires_at.of(row.expires_at);
    }
}
