//! `/sign-in/passkey`: somebody signs in by a device of theirs, and types nothing. What the device is asked is known by a cookie, so that
//! no other browser can answer it.

use std::sync::Arc;

use axum::{Form, extract::State, response::Response};
use domain::{AccountId, UserId};
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::Value;
use tracing::warn;
use webauthn_rs::prelude::PublicKeyCredential;

use super::{Comer, account_of, limits::Network, show_in, signed_in};
use crate::{
    Error, Site,
    passkey::{self, Unsigned, unknown},
    refused::{Answer, Refused},
    session::{self, Cookie},
    store::{
        act, member,
        passkey::{self as passkeys, Found},
    },
};

/// What the device's challenge is known by: [`passkey::mac`].
const WHAT: &str = "in";

/// What the form says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    /// What the device has signed, as JSON.
    credential: String,
    next: String,
}

/// `POST /sign-in/passkey/begin`: what a script is to ask the device.
pub(crate) async fn begin(State(site): State<Arc<Site>>, network: Network) -> Answer {
    let secret = session::secret();
    let mut response = passkey::told(begun(&site, &network, &secret).await)?;
    let life = site.config.door.limits.passkeys.challenge;
    keep(&mut response, Cookie::Passkey.keeping(&site, &secret, life))?;
    Ok(response)
}

async fn begun(site: &Arc<Site>, network: &Network, secret: &str) -> Result<Value, Refused> {
    network.admit(site).await?;
    let asked = site.door.passkeys.ask_who()?;
    let mac = passkey::mac(site, (WHAT, secret.as_bytes()));
    Ok(passkey::ask(site, mac, asked).await?)
}

/// `POST /sign-in/passkey`.
pub(crate) async fn r#in(
    State(site): State<Arc<Site>>,
    network: Network,
    headers: HeaderMap,
    Form(said): Form<Said>,
) -> Answer {
    let recognised = recognise(&site, &network, &headers, &said.credential).await;
    let mut response = match recognised {
        Ok(who) => signed_in(&site, &headers, who, ("person.passkey", &said.next)).await?,
        Err(refused) => {
            let wrong = refused.told()?;
            let comer = Comer {
                next: said.next,
                ..Comer::default()
            };
            wrong.on(show_in(&site, &comer, Some(&wrong)))
        }
    };
    keep(&mut response, Cookie::Passkey.forgetting(&site))?;
    Ok(response)
}

fn keep(response: &mut Response, cookie: Result<http::HeaderValue, Error>) -> Result<(), Refused> {
    response.headers_mut().append(header::SET_COOKIE, cookie?);
    Ok(())
}

/// Finds out who signs in.
async fn recognise(
    site: &Arc<Site>,
    network: &Network,
    headers: &HeaderMap,
    said: &str,
) -> Result<(UserId, AccountId), Refused> {
    network.admit(site).await?;
    let secret = Cookie::Passkey.presented(site, headers).unwrap_or_default();
    let mac = passkey::mac(site, (WHAT, secret.as_bytes()));
    let state = passkey::asked(site, mac).await?;
    let told = "Your browser has sent no passkey. Please try again.";
    let said: PublicKeyCredential = passkey::read(said, told)?;
    let found = passkeys::find(site.db.reader(), said.get_credential_id());
    let found = site.db.read(found).await?.ok_or_else(unknown)?;
    let signed = match site.door.passkeys.signed(&said, &state, &found) {
        Ok(signed) => signed,
        Err(Unsigned::Regressed) => return Err(regressed(site, found).await?),
        Err(Unsigned::Refused(refused)) => return Err(refused),
    };
    let (id, now) = (found.id, site.db.now_micros());
    let known = (signed.public_key, i64::from(signed.counter));
    let write = site
        .db
        .write(move |connection| Box::pin(passkeys::used(connection, id, known, now)));
    // What was signed once is signed no second time, at the same moment either.
    if !write.await? {
        return Err(regressed(site, found).await?);
    }
    let account = account_of(site, found.person).await?;
    Ok((found.person, account))
}

/// Notes that a device has signed no more often than is known, where its person's account is looked after, and says so.
async fn regressed(site: &Arc<Site>, found: Found) -> Result<Refused, Refused> {
    let Found { person, name, .. } = found;
    warn!(user.id = %person, "a passkey may have been copied: its counter went back");
    let accounts = member::of_person(site.db.reader(), person);
    let accounts = site.db.read(accounts).await?;
    let now = site.db.now_micros();
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            for used in accounts {
                let what = ("passkey.refused", name.clone());
                act::note(connection, (used.account, person), what, now).await?;
            }
            Ok::<_, Error>(())
        })
    });
    write.await?;
    let told = "This passkey may have been copied: its device has signed less often than we know of. Sign in another way, and remove it.";
    Ok(Refused::new(http::StatusCode::UNAUTHORIZED, told))
}
