//! `/settings`: name, address, password, sessions; the page shows passkeys as well.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::Id;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::{PART, Wrong, answered, done, passkeys::Passkeys, said, told};
use crate::{
    Error, Site,
    app::Frame,
    mail::Letter,
    page::Page,
    refused::{Answer, Refusal, Refused},
    session::{self, idle_since},
    show::Time,
    sign::{
        self,
        limits::{self, Network},
        password,
    },
    store::{
        act, person,
        session::{self as sessions, Listed},
        token::{self, Purpose},
    },
    who::Member,
};

/// Sessions that are listed at most.
const MOST: i64 = 50;

/// What the forms say.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    name: String,
    email: String,
    /// The one that is there.
    password: String,
    new_password: String,
    /// Which session ends; empty: all others.
    session: String,
}

#[derive(Template)]
#[template(path = "app/settings.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tab: &'static str,
    /// In the form of the address.
    email: &'s str,
    has_password: bool,
    /// Whether letters can be sent.
    mail: bool,
    sessions: Vec<SessionRow>,
    passkeys: Passkeys<'s>,
    wrong: Option<&'s Wrong>,
    least: usize,
}

struct SessionRow {
    id: String,
    device: String,
    here: bool,
    since: Time,
    seen: Time,
}

/// `GET /settings`.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    member: Member,
    Query(query): Query<super::Query>,
) -> Answer {
    show(&site, &member, said(&query.said), None).await
}

/// The page, with what was done, or with what is wrong with one of its forms.
pub(super) async fn show(
    site: &Arc<Site>,
    member: &Member,
    said: Option<&'static str>,
    wrong: Option<(&'static str, Refusal)>,
) -> Answer {
    let now = site.db.now_micros();
    let (reader, id) = (site.db.reader(), member.person.id);
    let times = (now, idle_since(site, now));
    let listed = sessions::of_person(reader, id, times, MOST);
    let listed = site.db.read(listed).await?;
    let wrong = wrong.map(|(form, refusal)| Wrong { form, refusal });
    let html = Html {
        frame: Frame::new(site, member, PART, "Settings").saying(said),
        tab: PART,
        email: &member.person.email,
        has_password: hash_of(site, member).await?.is_some(),
        mail: site.door.mail.is_there(),
        sessions: listed.into_iter().map(|row| listing(row, member)).collect(),
        passkeys: Passkeys::of(site, member).await?,
        wrong: wrong.as_ref(),
        least: site.config.passwords.characters,
    };
    Ok(answered(Page::html(&html), wrong.as_ref()))
}

fn listing(row: Listed, member: &Member) -> SessionRow {
    SessionRow {
        id: row.id.to_string(),
        device: row.device,
        here: row.mac == member.session,
        since: Time::of(row.created_at),
        seen: Time::of(row.seen_at),
    }
}

/// The hash of somebody's password, if they have one.
async fn hash_of<N>(site: &Site, member: &Member<N>) -> Result<Option<String>, Error> {
    let known = person::by_id(site.db.reader(), member.person.id);
    let known = site.db.read(known).await?;
    Ok(known.and_then(|known| known.password))
}

/// Whether whoever is here knows the password; whoever has none need not. Tries are counted as at the door.
///
/// # Errors
/// When they do not, or tried too often.
pub(super) async fn knows_password<N>(
    site: &Arc<Site>,
    member: &Member<N>,
    said: &str,
) -> Result<(), Refused> {
    let Some(hash) = hash_of(site, member).await? else {
        return Ok(());
    };
    let email = &member.person.email;
    limits::try_address(site, email).await?;
    if !password::verify(site, said, Some(hash)).await? {
        return Err(sign::field("password", "This is not your password."));
    }
    limits::succeeded(site, email).await;
    Ok(())
}

/// `POST /settings/you/name`.
pub(super) async fn rename(
    State(site): State<Arc<Site>>,
    member: Member,
    Form(said): Form<Said>,
) -> Answer {
    let name = match sign::called(&said.name) {
        Ok(name) => name,
        Err(refused) => return show(&site, &member, None, Some(("name", refused.told()?))).await,
    };
    let id = member.person.id;
    let write = site
        .db
        .write(move |connection| Box::pin(person::rename(connection, id, name)));
    write.await?;
    Ok(done(PART, "name"))
}

/// `POST /settings/you/email`.
pub(super) async fn readdress(
    State(site): State<Arc<Site>>,
    network: Network,
    member: Member,
    Form(said): Form<Said>,
) -> Answer {
    // It tells who has signed up, as signing up does.
    network.admit(&site).await?;
    match readdressed(&site, &member, &said).await {
        Ok(()) => Ok(done(PART, "email")),
        Err(refused) => show(&site, &member, None, Some(("email", refused.told()?))).await,
    }
}

async fn readdressed(site: &Arc<Site>, member: &Member, said: &Said) -> Result<(), Refused> {
    let email = sign::address(&said.email)?;
    knows_password(site, member, &said.password).await?;
    let (id, account) = (member.person.id, member.view().account);
    let (now, to) = (site.db.now_micros(), email.clone());
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            if !person::readdress(connection, id, &to).await? {
                return Ok::<_, Error>(false);
            }
            // What was sent to the old address does nothing any more.
            token::forget(connection, id, Purpose::Reset).await?;
            token::forget(connection, id, Purpose::Confirm).await?;
            let what = ("email.change", String::new());
            act::note(connection, (account, id), what, now).await?;
            Ok(true)
        })
    });
    if !write.await? {
        let told = "Somebody else has signed up with this address.";
        return Err(sign::field("email", told));
    }
    if limits::may_mail(site, &account.to_string()).await {
        Letter::confirm(site, id, &email).await?;
    }
    Ok(())
}

/// `POST /settings/you/confirm`: sends the link again.
pub(super) async fn confirm(State(site): State<Arc<Site>>, member: Member) -> Answer {
    let email = &member.person.email;
    if !limits::may_mail(&site, email).await {
        let told = "We have just sent one. Please wait a minute.";
        let refusal = Refused::new(StatusCode::TOO_MANY_REQUESTS, told).told()?;
        return show(&site, &member, None, Some(("email", refusal))).await;
    }
    Letter::confirm(&site, member.person.id, email).await?;
    Ok(done(PART, "sent"))
}

/// `POST /settings/you/password`.
pub(super) async fn set_password(
    State(site): State<Arc<Site>>,
    member: Member,
    headers: HeaderMap,
    Form(said): Form<Said>,
) -> Answer {
    if let Err(refused) = replaced(&site, &member, &said).await {
        return show(&site, &member, None, Some(("password", refused.told()?))).await;
    }
    // All sessions are ended, this one as well: it goes on by a new secret.
    let (person, view) = (member.person.id, member.view());
    let seen = (view.account, view.mode);
    let cookie = session::open(&site, &headers, person, seen, "person.password_change").await?;
    let next = Redirect::to(&format!("{PART}?said=password"));
    Ok(([(header::SET_COOKIE, cookie)], next).into_response())
}

async fn replaced(site: &Arc<Site>, member: &Member, said: &Said) -> Result<(), Refused> {
    knows_password(site, member, &said.password).await?;
    let hash = password::hash(site, &said.new_password).await?;
    let id = member.person.id;
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            person::set_password(connection, id, hash).await?;
            token::forget(connection, id, Purpose::Reset).await?;
            sessions::end_all(connection, id, None).await
        })
    });
    Ok(write.await?)
}

/// `POST /settings/you/sessions`: ends one, or all others.
pub(super) async fn end_sessions(
    State(site): State<Arc<Site>>,
    member: Member,
    Form(said): Form<Said>,
) -> Answer {
    let (person, here) = (member.person.id, member.session);
    if said.session.is_empty() {
        let write = site
            .db
            .write(move |connection| Box::pin(sessions::end_all(connection, person, Some(here))));
        write.await?;
        return Ok(done(PART, "others"));
    }
    let session = Id::parse(&said.session).ok_or_else(Refused::not_found)?;
    let write = site
        .db
        .write(move |connection| Box::pin(sessions::end(connection, person, session)));
    if !write.await? {
        return Err(Refused::not_found());
    }
    Ok(done(PART, "sessions"))
}

// === impl Html ===

impl Html<'_> {
    fn told(&self, form: &str) -> Option<&str> {
        told(self.wrong, form)
    }
}
