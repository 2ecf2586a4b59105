//! Browsers that are signed in: a cookie that says 256 random bits, of which the database has a keyed MAC.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use chassis::clock::micros;
use domain::{AccountId, Mode, UserId};
use http::{HeaderMap, HeaderValue, header};
use rand::Rng as _;

use crate::{
    Site,
    error::Error,
    people::Person,
    store::session::{self, Mac, NewRow},
};

/// The cookie where pages are read over TLS: browsers take this name only from us, and only so.
const SECURE_COOKIE: &str = "__Host-aio";
/// And where they are not, on somebody's own machine.
const PLAIN_COOKIE: &str = "aio_session";

/// Somebody's session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) mac: Mac,
    pub(crate) person: Person,
}

/// Signs a browser in, and says what it is to keep: a value of `set-cookie`.
///
/// # Errors
/// When the database fails.
pub(crate) async fn open(
    site: &Arc<Site>,
    person: UserId,
    (account, mode): (AccountId, Mode),
) -> Result<HeaderValue, Error> {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    let secret = BASE64.encode(secret);
    let now = site.db.now_micros();
    let life = site.config.session_life;
    let row = NewRow {
        mac: mac(site, &secret),
        person,
        account,
        mode,
        now,
        ends_at: now.saturating_add(micros(life)),
    };
    let write = site
        .db
        .write(move |connection| Box::pin(session::insert(connection, row)));
    write.await?;
    cookie(site, &secret, life.as_secs())
}

/// Who a browser says it is, if it may still say so.
///
/// # Errors
/// When the database fails.
pub(crate) async fn find(site: &Arc<Site>, headers: &HeaderMap) -> Result<Option<Session>, Error> {
    let Some(secret) = presented(site, headers) else {
        return Ok(None);
    };
    let mac = mac(site, secret);
    let found = site.db.read(session::find(site.db.reader(), mac)).await?;
    let now = site.db.now_micros();
    let idle = micros(site.config.session_idle);
    let alive =
        found.filter(|found| found.ends_at > now && found.seen_at > now.saturating_sub(idle));
    let Some(found) = alive else { return Ok(None) };
    // Not at every page: that would be a write for each look.
    if found.seen_at < now.saturating_sub(micros(site.config.session_seen)) {
        let write = site
            .db
            .write(move |connection| Box::pin(session::seen(connection, mac, now)));
        write.await?;
    }
    Ok(Some(Session {
        mac,
        person: found.person,
    }))
}

/// Signs a browser out, and says what it is to keep: nothing.
///
/// # Errors
/// When the database fails.
pub(crate) async fn close(site: &Arc<Site>, headers: &HeaderMap) -> Result<HeaderValue, Error> {
    if let Some(secret) = presented(site, headers) {
        let mac = mac(site, secret);
        let write = site
            .db
            .write(move |connection| Box::pin(session::delete(connection, mac)));
        write.await?;
    }
    cookie(site, "", 0)
}

fn mac(site: &Site, secret: &str) -> Mac {
    site.secrets
        .key_mac()
        .mac(&format!("dashboard/session/{secret}"))
}

/// What the cookie says.
fn presented<'h>(site: &Site, headers: &'h HeaderMap) -> Option<&'h str> {
    let name = name(site);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| value)
}

fn is_secure(site: &Site) -> bool {
    site.public_url.starts_with("https://")
}

fn name(site: &Site) -> &'static str {
    if is_secure(site) {
        SECURE_COOKIE
    } else {
        PLAIN_COOKIE
    }
}

/// `Lax`: a link in an e-mail, or the way back from a payment, finds its reader signed in; a form of another site does not.
fn cookie(site: &Site, secret: &str, seconds: u64) -> Result<HeaderValue, Error> {
    let secure = if is_secure(site) { "; Secure" } else { "" };
    let name = name(site);
    let text =
        format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).map_err(|_| Error::Damaged("a cookie"))
}
