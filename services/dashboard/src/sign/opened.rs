//! An account of somebody new at billing. It is written down here first, with an id of ours, and then asked for by that id: what is asked
//! for twice is made once, and a process that dies between the two leaves an account that the next sign-in or the sweep opens, and
//! never one that nobody has.

use std::sync::Arc;

use chassis::clock::micros;
use domain::{AccountId, UserId};
use proto::{billing::v1::CreateAccountRequest, common::v1::Actor};

use crate::{Error, Site, refused::Refused, store::member, who::request_id};

/// Accounts that a sweep opens at most.
const AT_ONCE: i64 = 100;

/// Asks billing for an account, and notes that it is there.
///
/// # Errors
/// When billing does not answer, or the database fails.
pub(crate) async fn open(
    site: &Arc<Site>,
    (account, name): (AccountId, String),
    person: UserId,
) -> Result<(), Refused> {
    let request = CreateAccountRequest {
        name,
        test_credits: None,
        by: Some(Actor {
            name: person.to_string(),
            request_id: request_id(),
        }),
        account_id: account.to_vec().into(),
    };
    let asked = site.peers.ask(request);
    let reply = site.peers.billing.clone().create_account(asked).await;
    reply?;
    let now = site.db.now_micros();
    let write = site
        .db
        .write(move |connection| Box::pin(member::opened(connection, account, now)));
    Ok(write.await?)
}

/// Opens what was left unopened for a while.
///
/// # Errors
/// When the database fails.
pub(crate) async fn open_all(site: &Arc<Site>) -> Result<(), Error> {
    // Whoever signs up right now does it themselves.
    let patience = micros(site.config.patience).saturating_mul(2);
    let before = site.db.now_micros().saturating_sub(patience);
    let unopened = member::unopened(site.db.reader(), before, AT_ONCE);
    for (account, name, person) in site.db.read(unopened).await? {
        if let Err(refused) = open(site, (account, name), person).await {
            tracing::warn!(account.id = %account, ?refused, "cannot open an account");
            break;
        }
    }
    Ok(())
}
