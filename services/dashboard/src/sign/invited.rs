//! `/invite`: what the link of an invitation leads to. It is good for the address that it was made for, once.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::UserId;
use http::HeaderMap;
use sqlx::AnyConnection;

use super::{
    limits::Network,
    plain::{Plain, Said},
};
use crate::{
    Error, Site,
    refused::{Answer, Refused},
    session,
    store::{
        act, member,
        session::{self as sessions, Mac},
        token::{self, Invite},
    },
    who::Member,
};

/// The invitation of a link; `None`: there is no link.
///
/// # Errors
/// When it is none of ours, was used or taken back, or its time is over.
pub(super) async fn find(site: &Site, secret: &str) -> Result<Option<Invite>, Refused> {
    if secret.is_empty() {
        return Ok(None);
    }
    let invite = token::invited(site.db.reader(), mac(site, secret), site.db.now_micros());
    let invite = site.db.read(invite).await?;
    invite.map(Some).ok_or_else(Refused::not_found)
}

/// What an invitation is known by.
pub(crate) fn mac(site: &Site, secret: &str) -> Mac {
    let text = format!("dashboard/invite/{secret}");
    site.secrets.key_mac().mac(&text)
}

/// Lets somebody into the account that they were invited to. Whoever may use it already keeps what they may.
pub(super) async fn join(
    connection: &mut AnyConnection,
    invite: &Invite,
    person: UserId,
    now: i64,
) -> Result<(), Error> {
    let whose = (invite.account, person);
    if member::role(connection, whose).await?.is_none() {
        member::join(connection, whose, invite.role, now).await?;
    }
    let what = ("member.join", invite.role.as_str().to_owned());
    act::note(connection, whose, what, now).await
}

/// `GET /invite`.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    Query(said): Query<Said>,
) -> Answer {
    let invite = find(&site, &said.token).await?;
    let invite = invite.ok_or_else(Refused::not_found)?;
    let here = session::find(&site, &headers).await?;
    let name = member::name(site.db.reader(), invite.account);
    let name = site.db.read(name).await?;
    let role = invite.role.name().to_lowercase();
    let about = format!("{} is invited to use {name} as {role}.", invite.email);
    let next = form_urlencoded::byte_serialize(said.token.as_bytes()).collect::<String>();
    let links = [
        (
            format!("/sign-in?next=/invite%3Ftoken={next}"),
            "Sign in with this address",
        ),
        (format!("/sign-up?invite={next}"), "Sign up with it"),
    ];
    let own = here.is_some_and(|session| session.person.email == invite.email);
    let plain = Plain {
        title: "An invitation",
        about: &about,
        action: "/invite",
        token: &said.token,
        button: if own { "Join" } else { "" },
        links: if own { &[] } else { &links },
        ..Plain::default()
    };
    Ok(plain.page(&site, None).into_response())
}

/// `POST /invite`.
pub(crate) async fn accept(
    State(site): State<Arc<Site>>,
    network: Network,
    member: Member,
    Form(said): Form<Said>,
) -> Answer {
    network.admit(&site).await?;
    let (mac, now) = (mac(&site, &said.token), site.db.now_micros());
    let (person, email) = (member.person.id, member.person.email.clone());
    let (here, mode) = (member.session, member.view().mode);
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            let taken = token::take_invite(connection, (mac, &email), now).await?;
            let Some(invite) = taken else {
                return Ok::<_, Error>(false);
            };
            join(connection, &invite, person, now).await?;
            sessions::look_at(connection, here, (invite.account, mode)).await
        })
    });
    if !write.await? {
        return Err(Refused::not_found());
    }
    Ok(Redirect::to("/home").into_response())
}
