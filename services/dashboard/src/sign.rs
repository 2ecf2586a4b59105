//! Signing up, in and out: the door.

pub(crate) mod enter;
pub(crate) mod first;
pub(crate) mod invited;
pub(crate) mod limits;
pub(crate) mod opened;
pub(crate) mod passkey;
pub(crate) mod password;
pub(crate) mod plain;
pub(crate) mod reset;

pub(crate) use password::Passwords;

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{AccountId, Mode, UserId};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use self::limits::Network;
use crate::{
    Site,
    layout::{Frame, Part},
    mail::Mail,
    page::Page,
    passkey::Passkeys,
    refused::{Answer, Refusal, Refused},
    session,
    store::{member, person},
};

/// Where somebody goes who has signed in and wanted to go nowhere else.
const HOME: &str = "/home";

/// What the door needs.
pub(crate) struct Door {
    pub(crate) passwords: Passwords,
    pub(crate) mail: Mail,
    pub(crate) passkeys: Passkeys,
}

/// What a link to these pages says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    /// Where to go then.
    next: String,
    /// Of an invitation.
    invite: String,
}

/// What the form of `/sign-in` says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Comer {
    email: String,
    password: String,
    next: String,
}

/// Either page.
#[derive(Template)]
#[template(path = "sign.html")]
struct Html<'s> {
    frame: Frame<'s>,
    /// Whether somebody new is asked for a name.
    new: bool,
    /// Whether anybody may come in this way.
    may: bool,
    name: &'s str,
    email: &'s str,
    next: &'s str,
    invite: &'s str,
    wrong: Option<&'s Refusal>,
    least: usize,
    /// Where passkeys work; empty: nowhere.
    passkeys: &'s str,
}

/// `GET /sign-in`. Whoever is in already goes on.
pub(crate) async fn in_page(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Answer {
    if session::find(&site, &headers).await?.is_some() {
        return Ok(Redirect::to(own_path(&wanted.next)).into_response());
    }
    let said = Comer {
        next: wanted.next,
        ..Comer::default()
    };
    Ok(show_in(&site, &said, None).into_response())
}

/// `POST /sign-in`.
pub(crate) async fn r#in(
    State(site): State<Arc<Site>>,
    network: Network,
    headers: HeaderMap,
    Form(said): Form<Comer>,
) -> Answer {
    match recognise(&site, &network, &said).await {
        Ok(who) => signed_in(&site, &headers, who, ("person.sign_in", &said.next)).await,
        Err(refused) => {
            let wrong = refused.told()?;
            Ok(wrong.on(show_in(&site, &said, Some(&wrong))))
        }
    }
}

/// `POST /sign-out`.
pub(crate) async fn out(State(site): State<Arc<Site>>, headers: HeaderMap) -> Answer {
    let cookie = session::close(&site, &headers).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

/// Finds out who signs in.
async fn recognise(
    site: &Arc<Site>,
    network: &Network,
    said: &Comer,
) -> Result<(UserId, AccountId), Refused> {
    let wrong = || {
        Refused::new(
            StatusCode::UNAUTHORIZED,
            "This address and this password do not belong together.",
        )
    };
    network.admit(site).await?;
    let email = address(&said.email).map_err(|_| wrong())?;
    limits::try_address(site, &email).await?;
    let known = person::by_email(site.db.reader(), &email);
    let known = site.db.read(known).await?;
    let hash = known.as_ref().and_then(|known| known.password.clone());
    // Checked even where there is nobody, so that the time it takes does not tell.
    let right = password::verify(site, &said.password, hash).await?;
    let known = known.filter(|_| right).ok_or_else(wrong)?;
    limits::succeeded(site, &email).await;
    let account = account_of(site, known.id).await?;
    Ok((known.id, account))
}

/// The account that somebody looks at first, opened at billing if that is still to be done.
///
/// # Errors
/// When they may use none.
async fn account_of(site: &Arc<Site>, person: UserId) -> Result<AccountId, Refused> {
    let accounts = member::of_person(site.db.reader(), person);
    let first = site.db.read(accounts).await?.into_iter().next();
    let told = "You may not use any account at present. Ask whoever invited you.";
    let first = first.ok_or_else(|| Refused::new(StatusCode::FORBIDDEN, told))?;
    if !first.opened {
        opened::open(site, (first.account, first.name), person).await?;
    }
    Ok(first.account)
}

/// The answer to whoever is let in. `how`: for the audit log.
pub(crate) async fn signed_in(
    site: &Arc<Site>,
    headers: &HeaderMap,
    (person, account): (UserId, AccountId),
    (how, next): (&'static str, &str),
) -> Answer {
    let cookie = session::open(site, headers, person, (account, Mode::Test), how).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(own_path(next))).into_response())
}

/// Where to go next: a path of ours, never another site.
pub(crate) fn own_path(next: &str) -> &str {
    // Browsers leave tabs and line ends out of addresses, and read a backslash as a slash.
    let odd = |character: char| character == '\\' || character.is_control();
    let own = next.starts_with('/') && !next.starts_with("//") && !next.contains(odd);
    if own { next } else { HOME }
}

/// An address in lower case. Whether it is somebody's, only a letter to it tells.
pub(crate) fn address(text: &str) -> Result<String, Refused> {
    let text = text.trim().to_lowercase();
    let good = text.len() <= 254
        && text.split_once('@').is_some_and(|(local, host)| {
            !local.is_empty()
                && host.contains('.')
                && !host.starts_with('.')
                && !host.ends_with('.')
        })
        && text.matches('@').count() == 1
        && !text
            .chars()
            .any(|character| character.is_whitespace() || character.is_control());
    if good {
        return Ok(text);
    }
    Err(field(
        "email",
        "An e-mail address looks like name@example.com and has 254 characters at most.",
    ))
}

/// What somebody is called.
pub(crate) fn called(text: &str) -> Result<String, Refused> {
    let text = text.trim();
    if (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(field("name", "A name has 1 to 100 characters."))
}

/// One field is wrong.
pub(crate) fn field(param: &str, told: &str) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, told).of(param)
}

fn show_in(site: &Site, said: &Comer, wrong: Option<&Refusal>) -> Page {
    let frame = Frame::new(
        site,
        Part::Start,
        "Sign in",
        "Your balance, your keys, your work.",
    );
    Page::html(&Html {
        frame,
        new: false,
        may: true,
        name: "",
        email: &said.email,
        next: &said.next,
        invite: "",
        wrong,
        least: site.config.passwords.characters,
        passkeys: site.door.passkeys.origin().unwrap_or_default(),
    })
}

/// Not kept by any browser or proxy: pages for one reader.
pub(crate) async fn not_kept(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(http::HeaderValue::from_static("private, no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_site() {
        for (next, goes) in [
            ("/keys?new=1", "/keys?new=1"),
            ("", HOME),
            ("//evil.example", HOME),
            ("/\\evil.example", HOME),
            ("https://evil.example", HOME),
            ("/a\r\nset-cookie: b", HOME),
            ("/\t/evil.example", HOME),
        ] {
            assert_eq!(own_path(next), goes, "{next:?}");
        }
    }

    #[test]
    fn addresses_are_read() {
        for (text, read) in [
            (" Ann@Example.COM ", Some("ann@example.com")),
            ("ann@localhost", None),
            ("ann", None),
            ("@example.com", None),
            ("a@b@example.com", None),
            ("a b@example.com", None),
            ("a@.com", None),
        ] {
            assert_eq!(address(text).ok().as_deref(), read, "{text:?}");
        }
    }
}
