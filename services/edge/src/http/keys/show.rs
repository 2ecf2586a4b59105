//! Keys as customers see them: wire -> JSON. Of a key itself, its last four characters.

use chassis::clock::rfc3339;
use domain::{KeyId, Micros};
use proto::{WireError, billing::v1 as wire, id_from_wire, mode_from_wire};
use serde::Serialize;
use utoipa::ToSchema;

/// A new key: the only time it is shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKey {
    pub(super) key_id: String,
    pub(super) key: String,
}

/// A rotated key.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotatedKey {
    key_id: String,
    key: String,
    /// `null`: the old secret has ended.
    previous_expires_at: Option<String>,
}

/// A revoked key.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevokedKey {
    pub(super) key_id: String,
    pub(super) revoked: bool,
}

/// A key. A limit that is `null` is the configured one, a list that is `null` holds everything.
#[derive(Serialize, ToSchema)]
pub(crate) struct Key {
    pub(super) key_id: String,
    name: String,
    mode: &'static str,
    last_four: String,
    scopes: Vec<String>,
    models: Option<Vec<String>>,
    caps: Amounts,
    /// Of a key that has had a cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    spent: Option<Amounts>,
    rpm: Option<u32>,
    concurrency: Option<u32>,
    max_open_tasks: Option<u32>,
    ip_allow: Option<Vec<String>>,
    created_at: String,
    expires_at: Option<String>,
    /// The secret before the last rotation, while it lives.
    previous: Option<Previous>,
}

/// Credits by day, by month and in all.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = KeyAmounts)]
pub(crate) struct Amounts {
    #[schema(value_type = Option<f64>)]
    day: Option<Micros>,
    #[schema(value_type = Option<f64>)]
    month: Option<Micros>,
    #[schema(value_type = Option<f64>)]
    total: Option<Micros>,
}

/// An old secret.
#[derive(Serialize, ToSchema)]
#[schema(as = PreviousSecret)]
pub(crate) struct Previous {
    last_four: String,
    expires_at: String,
}

// === impl RotatedKey ===

impl RotatedKey {
    pub(super) fn of(id: KeyId, rotated: wire::RotatedKey) -> Self {
        Self {
            key_id: id.to_string(),
            key: rotated.key,
            previous_expires_at: moment(rotated.previous_until),
        }
    }
}

// === impl Key ===

impl TryFrom<wire::Key> for Key {
    type Error = WireError;

    fn try_from(key: wire::Key) -> Result<Self, WireError> {
        let id: KeyId = id_from_wire(&key.key_id)?;
        let amount = |micros: i64| Some(Micros::new(micros));
        let spent = key.budget.map(|budget| Amounts {
            day: amount(budget.spent_day),
            month: amount(budget.spent_month),
            total: amount(budget.spent_total),
        });
        let caps = key.budget.and_then(|budget| budget.caps);
        Ok(Self {
            key_id: id.to_string(),
            name: key.name,
            mode: mode_from_wire(key.mode)?.as_str(),
            last_four: key.last_four,
            scopes: key.scopes,
            models: listed(key.models),
            caps: caps.map(Amounts::from).unwrap_or_default(),
            spent,
            rpm: limit(key.rpm),
            concurrency: limit(key.concurrency),
            max_open_tasks: limit(key.max_open_tasks),
            ip_allow: listed(key.ip_allow),
            created_at: rfc3339(key.created_at),
            expires_at: moment(key.expires_at),
            previous: key.previous.map(|previous| Previous {
                last_four: previous.last_four,
                expires_at: rfc3339(previous.until),
            }),
        })
    }
}

impl From<wire::Caps> for Amounts {
    fn from(caps: wire::Caps) -> Self {
        Self {
            day: caps.day.map(Micros::new),
            month: caps.month.map(Micros::new),
            total: caps.total.map(Micros::new),
        }
    }
}

fn listed(words: Vec<String>) -> Option<Vec<String>> {
    Some(words).filter(|words| !words.is_empty())
}

fn limit(count: u32) -> Option<u32> {
    Some(count).filter(|count| *count > 0)
}

fn moment(micros: i64) -> Option<String> {
    Some(micros).filter(|micros| *micros != 0).map(rfc3339)
}
