//! `/sign-up`: somebody new, with an account of their own, or in the account that they were invited to.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Query, State},
    response::IntoResponse as _,
};
use chassis::clock::micros;
use domain::{AccountId, UserId};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use sqlx::AnyConnection;

use super::{
    Html, Wanted, address, called, field, invited, limits::Network, opened, password, signed_in,
};
use crate::{
    Error, Site,
    config::SignUp,
    layout::{Frame, Part},
    mail::Letter,
    page::Page,
    people::Role,
    refused::{Answer, Refusal, Refused},
    store::{
        member, person,
        session::Mac,
        sign_up,
        token::{self, Invite},
    },
};

/// Microseconds.
const HOUR: i64 = 3_600_000_000;
/// Microseconds.
const DAY: i64 = 24 * HOUR;

/// What the form says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Newcomer {
    name: String,
    email: String,
    password: String,
    next: String,
    /// What the link of an invitation says; empty: nobody invited them.
    invite: String,
}

/// Somebody new: what goes into one transaction.
struct New {
    /// Under which networks they are counted, until when, and how many there may be.
    counts: [(Mac, i64, i64); 2],
    row: person::NewRow,
    /// Of their own account.
    account: AccountId,
    /// By which they come into another one instead.
    invite: Option<Mac>,
}

/// What became of it.
enum Entered {
    /// In this account, which is new, or was there.
    In(AccountId),
    Taken,
    Uninvited,
    /// Until when nobody else may.
    TooMany(i64),
}

/// `GET /sign-up`.
pub(crate) async fn page(State(site): State<Arc<Site>>, Query(wanted): Query<Wanted>) -> Answer {
    let invite = invited::find(&site, &wanted.invite).await?;
    let said = Newcomer {
        email: invite.map(|invite| invite.email).unwrap_or_default(),
        next: wanted.next,
        invite: wanted.invite,
        ..Newcomer::default()
    };
    Ok(show(&site, &said, None).into_response())
}

/// `POST /sign-up`.
pub(crate) async fn up(
    State(site): State<Arc<Site>>,
    network: Network,
    headers: HeaderMap,
    Form(said): Form<Newcomer>,
) -> Answer {
    match enter(&site, &network, &said).await {
        Ok((person, account)) => {
            let who = (person, account);
            signed_in(&site, &headers, who, ("person.sign_up", &said.next)).await
        }
        Err(refused) => {
            let wrong = refused.told()?;
            Ok(wrong.on(show(&site, &said, Some(&wrong))))
        }
    }
}

/// Writes a newcomer down, and opens their account.
async fn enter(
    site: &Arc<Site>,
    network: &Network,
    said: &Newcomer,
) -> Result<(UserId, AccountId), Refused> {
    network.admit(site).await?;
    let invite = invited::find(site, &said.invite).await?;
    allowed(site.config.door.sign_up, invite.as_ref())?;
    let email = address(&said.email)?;
    let name = called(&said.name)?;
    if invite.as_ref().is_some_and(|invite| invite.email != email) {
        let told = "The invitation is to another address. Sign up with that one.";
        return Err(field("email", told));
    }
    let hash = password::hash(site, &said.password).await?;
    let (id, account): (UserId, AccountId) = (chassis::mint(), chassis::mint());
    let now = site.db.now_micros();
    let new = New {
        counts: counts(site, network, now),
        row: person::NewRow {
            id,
            email: email.clone(),
            name: name.clone(),
            password: Some(hash),
            operator: false,
            created_at: now,
        },
        account,
        invite: invite.map(|_| invited::mac(site, &said.invite)),
    };
    let write = site
        .db
        .write(move |connection| Box::pin(insert(connection, new)));
    let entered = match write.await? {
        Entered::In(account) => account,
        Entered::Taken => return Err(taken()),
        Entered::Uninvited => return Err(Refused::not_found()),
        Entered::TooMany(until) => {
            let wait = u64::try_from(until.saturating_sub(now)).unwrap_or(0);
            return Err(Refused::later(std::time::Duration::from_micros(wait)));
        }
    };
    Letter::confirm(site, id, &email).await?;
    if entered == account {
        let opened = opened::open(site, (account, name), id).await;
        opened.map_err(|_| not_yet())?;
    }
    Ok((id, entered))
}

async fn insert(connection: &mut AnyConnection, new: New) -> Result<Entered, Error> {
    let (id, now) = (new.row.id, new.row.created_at);
    for (network, ends_at, most) in new.counts {
        if most > 0 && !sign_up::count(connection, network, ends_at, most).await? {
            return Ok(Entered::TooMany(ends_at));
        }
    }
    let (name, email) = (new.row.name.clone(), new.row.email.clone());
    if !person::insert(connection, new.row).await? {
        return Ok(Entered::Taken);
    }
    let Some(mac) = new.invite else {
        let account = new.account;
        member::name_workspace(connection, account, &name, (now, None)).await?;
        member::join(connection, (account, id), Role::Owner, now).await?;
        return Ok(Entered::In(account));
    };
    let invite = token::take_invite(connection, (mac, &email), now).await?;
    let Some(invite) = invite else {
        // It was taken back at this moment.
        person::delete(connection, id).await?;
        return Ok(Entered::Uninvited);
    };
    invited::join(connection, &invite, id, now).await?;
    Ok(Entered::In(invite.account))
}

/// Whether somebody may come in at all.
fn allowed(policy: SignUp, invite: Option<&Invite>) -> Result<(), Refused> {
    match (policy, invite) {
        (SignUp::Open, _) | (SignUp::Invited, Some(_)) => Ok(()),
        (SignUp::Invited | SignUp::Closed, _) => {
            Err(Refused::new(StatusCode::FORBIDDEN, closed(policy)))
        }
    }
}

/// What somebody is told who may not.
const fn closed(policy: SignUp) -> &'static str {
    match policy {
        SignUp::Open => "",
        SignUp::Invited => "One signs up here by invitation. Ask the owner of an account for one.",
        SignUp::Closed => "Nobody can sign up here. Ask the operators of this installation.",
    }
}

/// Under what a sign-up is counted, until when, and how many there may be.
fn counts(site: &Site, network: &Network, now: i64) -> [(Mac, i64, i64); 2] {
    let limits = &site.config.door.limits;
    [
        ("hour", HOUR, limits.sign_ups_per_hour),
        ("day", DAY, limits.sign_ups_per_day),
    ]
    .map(|(name, span, most)| {
        let began = now.saturating_sub(now.rem_euclid(span));
        let ends_at = began.saturating_add(span);
        (network.mac(site, name), ends_at, i64::from(most))
    })
}

fn taken() -> Refused {
    field(
        "email",
        "Somebody has signed up with this address already. Sign in, or use another one.",
    )
}

/// Billing is away: the account is opened when it is back.
fn not_yet() -> Refused {
    let told = "You have signed up, and your account is being opened, which takes longer than usual. Sign in in a minute.";
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, told)
}

fn show(site: &Site, said: &Newcomer, wrong: Option<&Refusal>) -> Page {
    let policy = site.config.door.sign_up;
    let may = policy == SignUp::Open || policy == SignUp::Invited && !said.invite.is_empty();
    let frame = Frame::new(
        site,
        Part::Start,
        "Sign up",
        if may {
            "An account, and credit to try everything with."
        } else {
            closed(policy)
        },
    );
    Page::html(&Html {
        frame,
        new: true,
        may,
        name: &said.name,
        email: &said.email,
        next: &said.next,
        invite: &said.invite,
        wrong,
        least: site.config.passwords.characters,
        // Somebody new has none.
        passkeys: "",
    })
}

/// When a link that lives so long ends.
pub(crate) fn ends(site: &Site, life: std::time::Duration) -> i64 {
    site.db.now_micros().saturating_add(micros(life))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_come_in_is_a_setting() {
        let invite = Invite {
            id: chassis::mint(),
            account: chassis::mint(),
            email: "ann@example.com".to_owned(),
            role: Role::Member,
            ends_at: 0,
        };
        for (policy, alone, invited) in [
            (SignUp::Open, true, true),
            (SignUp::Invited, false, true),
            (SignUp::Closed, false, false),
        ] {
            assert_eq!(allowed(policy, None).is_ok(), alone, "{policy:?}");
            assert_eq!(
                allowed(policy, Some(&invite)).is_ok(),
                invited,
                "{policy:?}"
            );
        }
    }
}
