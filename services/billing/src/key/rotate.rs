//! Use case: give a key another secret. It stays the same key, so that its limits, its caps and what it has spent go on.

use std::time::Duration;

use chassis::{
    clock::{micros, rfc3339},
    secrets::KeyMac,
};
use db::Db;
use domain::{ApiKey, KeyId};
use serde_json::json;
use tracing::{info, instrument};

use super::{Asker, change, random_key};
use crate::{
    Error,
    audit_log::{self, Action},
    config::Limits,
    store::{self, PreviousSecret},
};

/// What to rotate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    pub(crate) key: KeyId,
    /// How long the old secret stays alive.
    pub(crate) overlap: Duration,
}

/// A key with its new secret. The only moment that can be seen.
pub(crate) struct RotatedKey {
    /// The whole key.
    pub(crate) key: ApiKey,
    /// Until when the old secret stays alive, microseconds UTC; `None`: it has ended.
    pub(crate) previous_until: Option<i64>,
}

/// Gives a key another secret. The old one stays alive for the overlap; one that was still alive from a rotation before ends at
/// once.
///
/// # Errors
/// When there is no such key for the asker, it has a scope that the asker has not, the overlap is too long, or the database
/// failed.
#[instrument(skip_all, fields(key.id = %rotation.key))]
pub(crate) async fn rotate_key(
    db: &Db,
    macs: &KeyMac,
    limits: &Limits,
    asker: Asker,
    rotation: Rotation,
) -> Result<RotatedKey, Error> {
    let most = limits.input.rotation_overlap;
    if rotation.overlap > most {
        let allowed = format!("be at most {} hours", most.as_secs() / 3_600);
        return Err(Error::invalid("overlap", allowed));
    }
    let now = db.now_micros();
    let until = now.saturating_add(micros(rotation.overlap));
    let macs = macs.clone();
    let rotated = db
        .write(move |connection| {
            Box::pin(async move {
                // Its own limits stay with a key, whatever its secret.
                if !asker.is(rotation.key) {
                    asker.is_unlimited(connection).await?;
                }
                let locked = store::key::lock(connection, rotation.key).await?;
                let mut row = asker.may_change(locked)?;
                let key = random_key(row.mode);
                let old = PreviousSecret {
                    mac: std::mem::replace(&mut row.mac, macs.mac(key.expose()).to_vec()),
                    last_four: std::mem::replace(&mut row.last_four, key.last_four().to_owned()),
                    until,
                };
                row.previous = (until > now).then_some(old);
                store::key::save(connection, &row).await?;
                let ends = row
                    .previous
                    .as_ref()
                    .map(|previous| rfc3339(previous.until));
                let detail = json!({ "last_four": row.last_four, "previous_until": ends });
                let change = change(&row, Action::KeyRotate, detail);
                audit_log::note(connection, &asker.by(), change, now).await?;
                Ok::<_, Error>(RotatedKey {
                    key,
                    previous_until: row.previous.map(|previous| previous.until),
                })
            })
        })
        .await?;
    info!("rotated a key");
    Ok(rotated)
}
