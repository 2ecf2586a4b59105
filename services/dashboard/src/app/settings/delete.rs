//! `POST /settings/account/delete`: the end of an account. First what others keep is stopped: nothing new is held, no key opens anything,
//! nobody is called; then what is here is forgotten. Each step may be done twice, so that an end that was broken off is asked for again.

use std::sync::Arc;

use axum::{
    Form,
    extract::State,
    response::{IntoResponse as _, Redirect},
};
use domain::Mode;
use http::StatusCode;
use proto::{
    billing::v1::{FreezeAccountRequest, ListAccountsRequest, ListKeysRequest, RevokeKeyRequest},
    mode_to_wire,
    webhooks::v1::{EndpointRequest, ListEndpointsRequest, Whose, whose},
};
use serde::Deserialize;
use tracing::info;

use super::{account::show, you::knows_password};
use crate::{
    Site,
    refused::{Answer, Refused},
    sign,
    store::member,
    who::{Member, Owns},
};

/// Keys that are asked for at once.
const PAGE: u32 = 1_000;

/// What the form says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    /// The account's.
    name: String,
    password: String,
}

/// `POST /settings/account/delete`.
pub(super) async fn delete(
    State(site): State<Arc<Site>>,
    member: Member<Owns>,
    Form(said): Form<Said>,
) -> Answer {
    match ended(&site, &member, &said).await {
        Ok(()) => Ok(Redirect::to("/").into_response()),
        Err(refused) => show(&site, &member, None, Some(("delete", refused.told()?))).await,
    }
}

async fn ended(site: &Arc<Site>, member: &Member<Owns>, said: &Said) -> Result<(), Refused> {
    let view = member.view();
    if said.name.trim() != view.name {
        let told = "Write the account's name as it is shown.";
        return Err(sign::field("name", told));
    }
    knows_password(site, member, &said.password).await?;
    if is_operators(site, member).await? {
        let told = "This is the operator's own account: it stays.";
        return Err(Refused::new(StatusCode::CONFLICT, told));
    }
    let account = view.account;
    let request = FreezeAccountRequest {
        account_id: account.to_vec().into(),
        frozen: true,
        by: Some(member.by()),
    };
    let mut billing = site.peers.billing.clone();
    billing.freeze_account(site.peers.ask(request)).await?;
    revoke_keys(site, member).await?;
    for mode in [Mode::Test, Mode::Live] {
        forget_endpoints(site, member, mode).await?;
    }
    let write = site
        .db
        .write(move |connection| Box::pin(member::forget(connection, account)));
    write.await?;
    info!(account.id = %account, "an account was deleted by its owner");
    Ok(())
}

/// Whether the account is the operator's own: the first there is.
async fn is_operators(site: &Site, member: &Member<Owns>) -> Result<bool, Refused> {
    let request = ListAccountsRequest {
        limit: 1,
        after: Default::default(),
    };
    let asked = site.peers.ask(request);
    let reply = site.peers.billing.clone().list_accounts(asked).await?;
    let own = member.view().account.to_vec();
    let mut first = reply.into_inner().accounts.into_iter();
    Ok(first.any(|account| account.operator && account.account_id == own))
}

/// Revokes the keys of both modes.
async fn revoke_keys(site: &Site, member: &Member<Owns>) -> Result<(), Refused> {
    loop {
        let request = ListKeysRequest {
            account_id: member.view().account.to_vec().into(),
            limit: PAGE,
            ..ListKeysRequest::default()
        };
        let asked = site.peers.ask(request);
        let reply = site.peers.keys.clone().list_keys(asked).await?;
        let keys = reply.into_inner().keys;
        for key in &keys {
            let request = RevokeKeyRequest {
                context: None,
                key_id: key.key_id.clone(),
                by: Some(member.by()),
            };
            let asked = site.peers.ask(request);
            site.peers.keys.clone().revoke_key(asked).await?;
        }
        if keys.is_empty() {
            return Ok(());
        }
    }
}

/// Deletes where the account's events of one mode go.
async fn forget_endpoints(
    site: &Site,
    member: &Member<Owns>,
    mode: Mode,
) -> Result<(), Refused> {
    let mut context = member.context();
    context.mode = mode_to_wire(mode).into();
    let whose = Whose {
        whose: Some(whose::Whose::Caller(context)),
    };
    let request = ListEndpointsRequest {
        whose: Some(whose.clone()),
        ..ListEndpointsRequest::default()
    };
    let asked = site.peers.ask(request);
    let reply = site.peers.manage.clone().list_endpoints(asked).await?;
    for endpoint in reply.into_inner().endpoints {
        let request = EndpointRequest {
            whose: Some(whose.clone()),
            endpoint_id: endpoint.endpoint_id,
        };
        let asked = site.peers.ask(request);
        site.peers.manage.clone().delete_endpoint(asked).await?;
    }
    Ok(())
}
