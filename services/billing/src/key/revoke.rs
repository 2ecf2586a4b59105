//! Use case: revoke a key.

use db::Db;
use domain::KeyId;
use serde_json::json;
use tracing::{info, instrument};

use super::{Asker, change};
use crate::{
    Error,
    audit_log::{self, Action},
    store,
};

/// Revokes a key, for good, with its old secret if it has one. Revoking it again changes nothing. Whoever sees a key may revoke
/// it, whatever its scopes: that gives nobody anything.
///
/// # Errors
/// When there is no such key for the asker, or the database failed.
#[instrument(skip_all, fields(key.id = %id))]
pub(crate) async fn revoke_key(db: &Db, asker: Asker, id: KeyId) -> Result<(), Error> {
    let now = db.now_micros();
    db.write(move |connection| {
        Box::pin(async move {
            let mut row = asker.sees(store::key::lock(connection, id).await?)?;
            if row.revoked_at.is_some() {
                return Ok(());
            }
            row.revoked_at = Some(now);
            store::key::save(connection, &row).await?;
            let change = change(&row, Action::KeyRevoke, json!({}));
            audit_log::note(connection, &asker.by(), change, now).await
        })
    })
    .await?;
    info!("revoked a key");
    Ok(())
}
