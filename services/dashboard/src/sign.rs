//! Signing up, in and out.

mod password;

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
use proto::billing::v1::CreateAccountRequest;
use serde::Deserialize;

use crate::{
    Site,
    layout::{Frame, Part},
    page::Page,
    people::Role,
    refused::{Answer, Refusal, Refused},
    session,
    store::person::{self, NewRow},
    who::request_id,
};

/// Where somebody goes who has signed in and wanted to go nowhere else.
const HOME: &str = "/home";

/// What a link to these pages says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    /// Where to go then.
    next: String,
}

/// What the form of `/sign-up` says.
#[derive(Deserialize)]
pub(crate) struct Newcomer {
    name: String,
    email: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// What the form of `/sign-in` says.
#[derive(Deserialize)]
pub(crate) struct Comer {
    email: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// Either page.
#[derive(Template)]
#[template(path = "sign.html")]
struct Html<'s> {
    frame: Frame<'s>,
    /// Whether somebody new is asked for a name.
    new: bool,
    name: &'s str,
    email: &'s str,
    next: &'s str,
    wrong: Option<&'s Refusal>,
    least: usize,
}

/// `GET /sign-up`.
pub(crate) async fn up_page(State(site): State<Arc<Site>>, Query(wanted): Query<Wanted>) -> Page {
    let said = Newcomer {
        name: String::new(),
        email: String::new(),
        password: String::new(),
        next: wanted.next,
    };
    show_up(&site, &said, None)
}

/// `GET /sign-in`.
pub(crate) async fn in_page(State(site): State<Arc<Site>>, Query(wanted): Query<Wanted>) -> Page {
    let said = Comer {
        email: String::new(),
        password: String::new(),
        next: wanted.next,
    };
    show_in(&site, &said, None)
}

/// `POST /sign-up`.
pub(crate) async fn up(State(site): State<Arc<Site>>, Form(said): Form<Newcomer>) -> Answer {
    match enter(&site, &said).await {
        Ok((person, account)) => signed_in(&site, person, account, &said.next).await,
        Err(refused) => {
            let wrong = refused.told()?;
            Ok(show_up(&site, &said, Some(&wrong))
                .with(wrong.status)
                .into_response())
        }
    }
}

/// `POST /sign-in`.
pub(crate) async fn r#in(State(site): State<Arc<Site>>, Form(said): Form<Comer>) -> Answer {
    match recognise(&site, &said).await {
        Ok((person, account)) => signed_in(&site, person, account, &said.next).await,
        Err(refused) => {
            let wrong = refused.told()?;
            Ok(show_in(&site, &said, Some(&wrong))
                .with(wrong.status)
                .into_response())
        }
    }
}

/// `POST /sign-out`.
pub(crate) async fn out(State(site): State<Arc<Site>>, headers: HeaderMap) -> Answer {
    let cookie = session::close(&site, &headers).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

/// Writes a newcomer down, with an account of their own.
async fn enter(site: &Arc<Site>, said: &Newcomer) -> Result<(UserId, AccountId), Refused> {
    let email = address(&said.email)?;
    let name = called(&said.name)?;
    let hash = password::hash(site, &said.password).await?;
    if site
        .db
        .read(person::by_email(site.db.reader(), &email))
        .await?
        .is_some()
    {
        return Err(taken());
    }
    let id: UserId = chassis::mint();
    let request = CreateAccountRequest {
        name: name.clone(),
        test_credits: None,
        by: Some(proto::common::v1::Actor {
            name: id.to_string(),
            request_id: request_id(),
        }),
    };
    let reply = site
        .peers
        .billing
        .clone()
        .create_account(site.peers.ask(request))
        .await?;
    let account: AccountId = proto::id_from_wire(&reply.into_inner().account_id)?;
    let now = site.db.now_micros();
    let row = NewRow {
        id,
        email,
        name: name.clone(),
        password: Some(hash),
        operator: false,
        created_at: now,
    };
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            if !person::insert(connection, row).await? {
                return Ok::<_, crate::Error>(false);
            }
            person::name_workspace(connection, account, &name, now).await?;
            person::join(connection, (account, id), Role::Owner, now).await?;
            Ok(true)
        })
    });
    // Somebody was faster with the same address: the account has nobody, and nothing.
    if write.await? {
        Ok((id, account))
    } else {
        Err(taken())
    }
}

/// Finds out who signs in.
async fn recognise(site: &Arc<Site>, said: &Comer) -> Result<(UserId, AccountId), Refused> {
    let wrong = || {
        Refused::new(
            StatusCode::UNAUTHORIZED,
            "This address and this password do not belong together.",
        )
    };
    let email = address(&said.email).map_err(|_| wrong())?;
    let known = site
        .db
        .read(person::by_email(site.db.reader(), &email))
        .await?;
    let hash = known.as_ref().and_then(|known| known.password.clone());
    // Checked even where there is nobody, so that the time it takes does not tell.
    let right = password::verify(site, &said.password, hash).await?;
    let known = known.filter(|_| right).ok_or_else(wrong)?;
    let accounts = site
        .db
        .read(person::accounts(site.db.reader(), known.id))
        .await?;
    let told = "You may not use any account at present. Ask whoever invited you.";
    let (account, _) = accounts
        .into_iter()
        .next()
        .ok_or_else(|| Refused::new(StatusCode::FORBIDDEN, told))?;
    Ok((known.id, account))
}

async fn signed_in(site: &Arc<Site>, person: UserId, account: AccountId, next: &str) -> Answer {
    let cookie = session::open(site, person, (account, Mode::Test)).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(own_path(next))).into_response())
}

/// Where to go next: a path of ours, never another site.
pub(crate) fn own_path(next: &str) -> &str {
    let own =
        next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if own { next } else { HOME }
}

/// An address in lower case. Whether it is somebody's, only a letter to it tells.
fn address(text: &str) -> Result<String, Refused> {
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
fn called(text: &str) -> Result<String, Refused> {
    let text = text.trim();
    if (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(field("name", "A name has 1 to 100 characters."))
}

/// One field is wrong.
fn field(param: &str, told: &str) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, told).of(param)
}

fn taken() -> Refused {
    field(
        "email",
        "Somebody has signed up with this address already. Sign in, or use another one.",
    )
}

fn show_up(site: &Site, said: &Newcomer, wrong: Option<&Refusal>) -> Page {
    let frame = Frame::new(
        site,
        Part::Start,
        "Sign up",
        "An account, and credit to try everything with.",
    );
    Page::html(&Html {
        frame,
        new: true,
        name: &said.name,
        email: &said.email,
        next: &said.next,
        wrong,
        least: site.config.password_characters,
    })
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
        name: "",
        email: &said.email,
        next: &said.next,
        wrong,
        least: site.config.password_characters,
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
