//! The key that a page of the playground calls the API with: short-lived, of the mode that is looked at, and one for each person. It
//! gets another secret whenever a page asks, so that the account's keys and its usage show one line for it, and its limits stay.

use std::sync::Arc;

use axum::{Json, extract::State, response::IntoResponse as _};
use chassis::clock::micros;
use domain::{KeyId, Scope};
use http::StatusCode;
use proto::{
    billing::v1::{CreateKeyRequest, RevokeKeyRequest, RotateKeyRequest, UpdateKeyRequest},
    id_from_wire,
};
use serde_json::json;

use crate::{
    Site,
    refused::{Answer, Refused},
    store::playground::{self, Whose},
    who::{Manages, Member},
};

/// By which people know it among their keys.
const NAME: &str = "Playground";
/// What it may do.
const SCOPES: [Scope; 2] = [Scope::Inference, Scope::Read];
/// Keys that were made are looked for so often: somebody may revoke one while it is renewed.
const TRIES: usize = 3;

/// `POST /playground/key`: shown to the page's script, which keeps it nowhere.
pub(super) async fn make(State(site): State<Arc<Site>>, member: Member<Manages>) -> Answer {
    let life = site.config.playground.key_life;
    let ends_at = site.db.now_micros().saturating_add(micros(life));
    let key = current(&site, &member, ends_at).await?;
    let told = json!({
        "key": key,
        "mode": member.view().mode.as_str(),
        "scopes": SCOPES.map(Scope::as_str),
        "expires_in": life.as_secs(),
    });
    Ok(Json(told).into_response())
}

/// The person's key with a new secret, or a new key.
async fn current(
    site: &Arc<Site>,
    member: &Member<Manages>,
    ends_at: i64,
) -> Result<String, Refused> {
    let whose: Whose = (member.person.id, member.view().account, member.view().mode);
    for _ in 0..TRIES {
        let known = site
            .db
            .read(playground::find(site.db.reader(), whose))
            .await?;
        let Some(id) = known else {
            if let Some(key) = create(site, member, whose, ends_at).await? {
                return Ok(key);
            }
            continue;
        };
        match renew(site, member, id, ends_at).await {
            Ok(key) => return Ok(key),
            // Somebody revoked it.
            Err(refused) if refused.is(StatusCode::NOT_FOUND) => {
                let write = site
                    .db
                    .write(move |connection| Box::pin(playground::delete(connection, whose, id)));
                write.await?;
            }
            Err(refused) => return Err(refused),
        }
    }
    Err(Refused::internal())
}

/// Gives a key that is there more time and another secret. The one before stays alive for pages that have it.
async fn renew(
    site: &Site,
    member: &Member<Manages>,
    id: KeyId,
    ends_at: i64,
) -> Result<String, Refused> {
    let mut keys = site.peers.keys.clone();
    let change = UpdateKeyRequest {
        context: Some(member.context()),
        key_id: id.to_vec().into(),
        expires_at: Some(ends_at),
        ..UpdateKeyRequest::default()
    };
    keys.update_key(site.peers.ask(change)).await?;
    let overlap = site.config.playground.key_life.as_millis();
    let rotation = RotateKeyRequest {
        context: Some(member.context()),
        key_id: id.to_vec().into(),
        overlap_ms: u64::try_from(overlap).unwrap_or(u64::MAX),
        by: None,
    };
    let rotated = keys.rotate_key(site.peers.ask(rotation)).await?;
    Ok(rotated.into_inner().key)
}

/// Makes the key; `None`: another page of the person was first, and its key counts.
async fn create(
    site: &Arc<Site>,
    member: &Member<Manages>,
    whose: Whose,
    ends_at: i64,
) -> Result<Option<String>, Refused> {
    let mut keys = site.peers.keys.clone();
    let wanted = CreateKeyRequest {
        context: Some(member.context()),
        name: NAME.to_owned(),
        scopes: SCOPES.map(|scope| scope.as_str().to_owned()).to_vec(),
        expires_at: ends_at,
        ..CreateKeyRequest::default()
    };
    let made = keys.create_key(site.peers.ask(wanted)).await?.into_inner();
    let id: KeyId = id_from_wire(&made.key_id)?;
    let write = site
        .db
        .write(move |connection| Box::pin(playground::insert(connection, whose, id)));
    if write.await? {
        return Ok(Some(made.key));
    }
    let revocation = RevokeKeyRequest {
        context: Some(member.context()),
        key_id: made.key_id,
        by: None,
    };
    keys.revoke_key(site.peers.ask(revocation)).await?;
    Ok(None)
}
