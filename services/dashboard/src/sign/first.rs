//! `/sign-in/first`: links that operators make. One lets an operator in, another lets somebody set a new password. What such a link says is
//! signed by a secret of the installation, so that whoever has its configuration can make one, while nothing runs as well; that it was
//! used is noted when it is, and it is good once.

use std::{sync::Arc, time::Duration};

use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Redirect},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use chassis::{
    clock::{self, micros},
    secrets::Secrets,
};
use domain::{AccountId, UserId};
use http::{HeaderMap, StatusCode};
use proto::{billing::v1::ListAccountsRequest, id_from_wire};
use rand::Rng as _;
use subtle::ConstantTimeEq as _;

use super::{
    limits::Network,
    plain::{Plain, Said},
    reset, signed_in,
};
use crate::{
    Error, Site,
    people::Role,
    refused::{Answer, Refused},
    store::{member, person, session::Mac, token},
};

/// Of an operator who has not said another one. Nobody can sign up with it.
const ADDRESS: &str = "operator@localhost";
/// What the account is called that a first start makes.
const FIRST_ACCOUNT: &str = "First account";
/// Stands for an address in a link that a first start prints: it is good until an operator has come in.
const PRINTED: &str = "first";
/// Bytes of a moment and of what makes a link different from all others.
const HEAD: usize = 8 + 16;

/// What a link says.
#[derive(Debug, PartialEq, Eq)]
struct Ticket {
    mac: Mac,
    ends_at: i64,
    /// Whose password is set anew; empty: an operator comes in.
    email: String,
    /// Whether it lets the first operator in, and nobody later.
    printed: bool,
}

/// A link that lets the first operator in: once, for `life`, and not when one has come in.
pub(crate) fn printed(secrets: &Secrets, public_url: &str, life: Duration) -> String {
    link(secrets, public_url, PRINTED, life)
}

/// A link that lets an operator in, or somebody with this address set a new password: once, and for `life`.
pub(crate) fn link(secrets: &Secrets, public_url: &str, email: &str, life: Duration) -> String {
    let ends_at = clock::now_micros().saturating_add(micros(life));
    let mut random = [0; 16];
    rand::rng().fill_bytes(&mut random);
    let said = [&ends_at.to_be_bytes()[..], &random, email.as_bytes()].concat();
    let said = BASE64.encode(said);
    let signature = BASE64.encode(sign(secrets, &said));
    format!("{public_url}/sign-in/first?token={said}.{signature}")
}

fn sign(secrets: &Secrets, said: &str) -> Mac {
    let text = format!("dashboard/sign-in-link/{said}");
    secrets.key_mac().mac(&text)
}

/// Reads a link, if it is one of ours and still good.
fn read(secrets: &Secrets, token: &str, now: i64) -> Option<Ticket> {
    let (said, signature) = token.split_once('.')?;
    let signature = BASE64.decode(signature).ok()?;
    let mac = sign(secrets, said);
    if !bool::from(mac.as_slice().ct_eq(&signature)) {
        return None;
    }
    let said = BASE64.decode(said).ok()?;
    let (head, email) = said.split_at_checked(HEAD)?;
    let (ends_at, _) = head.split_first_chunk::<8>()?;
    let ends_at = i64::from_be_bytes(*ends_at);
    let email = String::from_utf8(email.to_vec()).ok()?;
    let printed = email == PRINTED;
    (ends_at > now).then_some(Ticket {
        mac,
        ends_at,
        email: if printed { String::new() } else { email },
        printed,
    })
}

/// `GET /sign-in/first`.
pub(crate) async fn page(State(site): State<Arc<Site>>, Query(said): Query<Said>) -> Answer {
    let ticket = read(&site.secrets, &said.token, site.db.now_micros()).ok_or_else(gone)?;
    let operator = ticket.email.is_empty();
    let plain = Plain {
        title: "Sign in by a link",
        about: if operator {
            "You come in as an operator of this installation. The link works once."
        } else {
            "You can set a new password. The link works once."
        },
        action: "/sign-in/first",
        token: &said.token,
        button: if operator { "Sign in" } else { "Go on" },
        ..Plain::default()
    };
    Ok(plain.page(&site, None).into_response())
}

/// `POST /sign-in/first`.
pub(crate) async fn r#in(
    State(site): State<Arc<Site>>,
    network: Network,
    headers: HeaderMap,
    Form(said): Form<Said>,
) -> Answer {
    network.admit(&site).await?;
    let now = site.db.now_micros();
    let Ticket {
        mac,
        ends_at,
        email,
        printed,
    } = read(&site.secrets, &said.token, now).ok_or_else(gone)?;
    // Each start prints one until somebody has come in: what others are kept in a log, open nothing then.
    let known = site.db.read(person::operator(site.db.reader())).await?;
    if printed && known.is_some() {
        return Err(gone());
    }
    // Asked before the link is spent: it is good again where billing does not answer.
    let accounts = if email.is_empty() {
        accounts(&site).await?
    } else {
        Vec::new()
    };
    let write = site
        .db
        .write(move |connection| Box::pin(token::spend(connection, mac, ends_at)));
    if !write.await? {
        return Err(gone());
    }
    if email.is_empty() {
        let who = operator(&site, &accounts).await?;
        let how = ("person.sign_in_link", "/settings?said=operator");
        return signed_in(&site, &headers, who, how).await;
    }
    let known = person::by_email(site.db.reader(), &email);
    let known = site.db.read(known).await?.ok_or_else(gone)?;
    let secret = reset::token(&site, known.id, String::new()).await?;
    Ok(Redirect::to(&format!("/reset?token={secret}")).into_response())
}

/// The operator's own account, and the one that a first start made.
async fn accounts(site: &Site) -> Result<Vec<(AccountId, String)>, Refused> {
    let request = ListAccountsRequest {
        limit: 2,
        after: Default::default(),
    };
    let asked = site.peers.ask(request);
    let reply = site.peers.billing.clone().list_accounts(asked).await?;
    let mut own = Vec::new();
    for account in reply.into_inner().accounts {
        if account.operator || account.name == FIRST_ACCOUNT {
            own.push((id_from_wire(&account.account_id)?, account.name));
        }
    }
    Ok(own)
}

/// The first operator, who is made if nobody is one, and the account that they look at.
async fn operator(
    site: &Arc<Site>,
    accounts: &[(AccountId, String)],
) -> Result<(UserId, AccountId), Refused> {
    let known = site.db.read(person::operator(site.db.reader())).await?;
    let now = site.db.now_micros();
    let id = known.unwrap_or_else(chassis::mint);
    let row = person::NewRow {
        id,
        email: ADDRESS.to_owned(),
        name: "Operator".to_owned(),
        password: None,
        operator: true,
        created_at: now,
    };
    let (&(account, _), own) = (accounts.first().ok_or_else(Refused::internal)?, accounts);
    let own = own.to_vec();
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            if known.is_none() && !person::insert(connection, row).await? {
                return Ok::<_, Error>(false);
            }
            for (account, name) in own {
                member::name_workspace(connection, account, &name, (now, Some(now))).await?;
                member::join(connection, (account, id), Role::Owner, now).await?;
            }
            Ok(true)
        })
    });
    if write.await? {
        return Ok((id, account));
    }
    // Another link let the first operator in at this moment.
    let known = site.db.read(person::operator(site.db.reader())).await?;
    Ok((known.ok_or_else(Refused::internal)?, account))
}

fn gone() -> Refused {
    let told = "This link was used already, or its time is over. The operator makes another one by `aio accounts sign-in-link`.";
    Refused::new(StatusCode::GONE, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(link: &str) -> &str {
        link.split_once("token=").unwrap().1
    }

    #[test]
    fn a_link_is_read_as_it_was_made_and_not_changed() {
        let (secrets, day) = (Secrets::random(), Duration::from_secs(86_400));
        let now = clock::now_micros();
        for email in ["", "ann@example.com"] {
            let link = link(&secrets, "https://a.example", email, day);
            let token = token(&link);
            let ticket = read(&secrets, token, now).unwrap();
            assert_eq!(ticket.email, email);
            assert!(read(&secrets, token, now + 2 * micros(day)).is_none());
            assert!(read(&Secrets::random(), token, now).is_none());
            // Any other character at any place makes it another link.
            for place in 0..token.len() {
                let mut other = token.to_owned().into_bytes();
                other[place] = if other[place] == b'A' { b'B' } else { b'A' };
                let other = String::from_utf8(other).unwrap();
                let read = read(&secrets, &other, now);
                assert!(read.is_none(), "{place} of {token}");
            }
        }
    }
}
