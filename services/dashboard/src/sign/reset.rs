//! `/forgot`, `/reset` and `/confirm`: what links of e-mails do. The database has a keyed MAC of each; it is good once, for a time.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::UserId;
use http::{HeaderMap, StatusCode};

use super::{
    account_of, address,
    enter::ends,
    limits::{self, Network},
    password,
    plain::{Asks, Plain, Said},
    signed_in,
};
use crate::{
    Error, Site,
    mail::Letter,
    refused::{Answer, Refused},
    session,
    store::{
        person,
        session::Mac,
        token::{self, NewRow, Purpose},
    },
};

/// Writes down a link that sets a new password, in the place of earlier ones, and hands out its secret. `email`: where it goes; whoever
/// uses it has that address. Empty: another way.
pub(crate) async fn token(site: &Site, person: UserId, email: String) -> Result<String, Error> {
    made(site, person, (Purpose::Reset, email)).await
}

/// Writes a link down, in the place of earlier ones, and hands out its secret.
pub(crate) async fn made(
    site: &Site,
    person: UserId,
    (purpose, email): (Purpose, String),
) -> Result<String, Error> {
    let secret = session::secret();
    let lives = &site.config.door.limits.lives;
    let life = match purpose {
        Purpose::Confirm => lives.confirm,
        Purpose::Reset => lives.reset,
    };
    let row = NewRow {
        mac: mac(site, purpose, &secret),
        purpose,
        person,
        email,
        ends_at: ends(site, life),
    };
    let write = site
        .db
        .write(move |connection| Box::pin(token::insert(connection, row)));
    write.await?;
    Ok(secret)
}

fn mac(site: &Site, purpose: Purpose, secret: &str) -> Mac {
    let text = format!("dashboard/{}/{secret}", purpose.as_str());
    site.secrets.key_mac().mac(&text)
}

/// `GET /forgot`.
pub(crate) async fn forgot_page(State(site): State<Arc<Site>>) -> Answer {
    let plain = if site.door.mail.is_there() {
        Plain {
            title: "Forgot your password?",
            about: "Say your address, and we send you a link that sets a new one.",
            action: "/forgot",
            asks: Asks::Email,
            button: "Send the link",
            ..Plain::default()
        }
    } else {
        Plain {
            title: "Forgot your password?",
            about: "This installation sends no e-mail. Its operator can make you a link that sets a new password.",
            ..Plain::default()
        }
    };
    Ok(plain.page(&site, None).into_response())
}

/// `POST /forgot`. Says the same whether anybody has the address, and at once: what differs is done behind the answer.
pub(crate) async fn forgot(
    State(site): State<Arc<Site>>,
    network: Network,
    Form(said): Form<Said>,
) -> Answer {
    network.admit(&site).await?;
    if let Ok(email) = address(&said.email)
        && site.door.mail.is_there()
        && limits::may_mail(&site, &email).await
    {
        Letter::reset(&site, email);
    }
    let plain = Plain {
        title: "Look into your mail",
        about: "If somebody has signed up with this address, a link is on its way to it.",
        ..Plain::default()
    };
    Ok(plain.page(&site, None).into_response())
}

/// `GET /reset`.
pub(crate) async fn page(State(site): State<Arc<Site>>, Query(said): Query<Said>) -> Answer {
    let mac = (mac(&site, Purpose::Reset, &said.token), Purpose::Reset);
    let found = token::find(site.db.reader(), mac, site.db.now_micros());
    site.db.read(found).await?.ok_or_else(gone)?;
    Ok(form(&said.token).page(&site, None).into_response())
}

/// `POST /reset`.
pub(crate) async fn reset(
    State(site): State<Arc<Site>>,
    network: Network,
    headers: HeaderMap,
    Form(said): Form<Said>,
) -> Answer {
    network.admit(&site).await?;
    match renewed(&site, &said).await {
        Ok(person) => {
            let account = account_of(&site, person).await?;
            let how = ("person.password_reset", "");
            signed_in(&site, &headers, (person, account), how).await
        }
        Err(refused) => {
            let wrong = refused.told()?;
            if wrong.param.is_none() {
                return Err(gone());
            }
            Ok(wrong.on(form(&said.token).page(&site, Some(&wrong))))
        }
    }
}

/// Sets the new password, and ends every session that the old one opened.
async fn renewed(site: &Arc<Site>, said: &Said) -> Result<UserId, Refused> {
    let mac = (mac(site, Purpose::Reset, &said.token), Purpose::Reset);
    let now = site.db.now_micros();
    let found = token::find(site.db.reader(), mac, now);
    // Looked at first: hashing is for those who may.
    site.db.read(found).await?.ok_or_else(gone)?;
    let hash = password::hash(site, &said.password).await?;
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            let Some((person, email)) = token::take(connection, mac, now).await? else {
                return Ok::<_, Error>(None);
            };
            // Whoever has an address that was left meanwhile sets nothing.
            let has_it =
                email.is_empty() || person::confirm(connection, (person, email), now).await?;
            if !has_it {
                return Ok(None);
            }
            person::set_password(connection, person, hash).await?;
            crate::store::session::end_all(connection, person, None).await?;
            Ok(Some(person))
        })
    });
    write.await?.ok_or_else(gone)
}

fn form(token: &str) -> Plain<'_> {
    Plain {
        title: "A new password",
        about: "Every browser that is signed in with the old one is signed out.",
        action: "/reset",
        token,
        asks: Asks::Password,
        button: "Set it and sign in",
        ..Plain::default()
    }
}

/// `GET /confirm`.
pub(crate) async fn confirm_page(
    State(site): State<Arc<Site>>,
    Query(said): Query<Said>,
) -> Answer {
    let mac = (mac(&site, Purpose::Confirm, &said.token), Purpose::Confirm);
    let found = token::find(site.db.reader(), mac, site.db.now_micros());
    site.db.read(found).await?.ok_or_else(gone)?;
    let plain = Plain {
        title: "Confirm your address",
        about: "So that we know that letters reach you.",
        action: "/confirm",
        token: &said.token,
        button: "Confirm",
        ..Plain::default()
    };
    Ok(plain.page(&site, None).into_response())
}

/// `POST /confirm`.
pub(crate) async fn confirm(
    State(site): State<Arc<Site>>,
    network: Network,
    Form(said): Form<Said>,
) -> Answer {
    network.admit(&site).await?;
    let mac = (mac(&site, Purpose::Confirm, &said.token), Purpose::Confirm);
    let now = site.db.now_micros();
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            match token::take(connection, mac, now).await? {
                Some(whose) => person::confirm(connection, whose, now).await,
                None => Ok::<_, Error>(false),
            }
        })
    });
    if !write.await? {
        return Err(gone());
    }
    Ok(Redirect::to("/settings?said=confirmed").into_response())
}

fn gone() -> Refused {
    let told = "This link was used already, or its time is over. Ask for another one.";
    Refused::new(StatusCode::GONE, told)
}
