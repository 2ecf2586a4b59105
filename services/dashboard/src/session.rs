//! Browsers that are signed in: a cookie that says 256 random bits, of which the database has a keyed MAC.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use chassis::clock::micros;
use domain::{AccountId, Mode, UserId};
use http::{HeaderMap, HeaderValue, header};
use rand::Rng as _;

use crate::{
    Site,
    error::Error,
    people::{Person, SessionKind},
    store::{
        act,
        session::{self, Mac, NewRow},
    },
};

/// What a browser keeps of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// Who is signed in.
    Session,
    /// Whose device is asked to sign somebody in.
    Passkey,
}

/// Somebody's session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) mac: Mac,
    pub(crate) person: Person,
}

/// Signs a browser in by a new secret, and says what it is to keep: a value of `set-cookie`. Whatever it said it was before, it is no
/// more: nobody's session goes on as somebody else's. `how`: for the audit log.
///
/// # Errors
/// When the database fails.
pub(crate) async fn open(
    site: &Arc<Site>,
    headers: &HeaderMap,
    person: UserId,
    (account, mode): (AccountId, Mode),
    how: &'static str,
) -> Result<HeaderValue, Error> {
    let secret = secret();
    let before = Cookie::Session.presented(site, headers);
    let before = before.map(|secret| mac(site, secret));
    let now = site.db.now_micros();
    let life = site.config.sessions.life;
    let row = NewRow {
        mac: mac(site, &secret),
        id: chassis::mint::<SessionKind>(),
        person,
        account,
        mode,
        device: device(headers),
        now,
        ends_at: now.saturating_add(micros(life)),
    };
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            if let Some(before) = before {
                session::delete(connection, before).await?;
            }
            session::insert(connection, row).await?;
            act::note(connection, (account, person), (how, String::new()), now).await
        })
    });
    write.await?;
    Cookie::Session.keeping(site, &secret, life)
}

/// 256 random bits that fit into a cookie and a link.
pub(crate) fn secret() -> String {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    BASE64.encode(secret)
}

/// Since when somebody must have looked at something for a session to go on.
pub(crate) fn idle_since(site: &Site, now: i64) -> i64 {
    now.saturating_sub(micros(site.config.sessions.idle))
}

/// The browser and its system, in words of ours: what a browser says of itself is longer, and anybody's.
fn device(headers: &HeaderMap) -> String {
    let said = headers.get(header::USER_AGENT);
    let said = said
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let first = |words: &[(&str, &'static str)]| {
        let found = words.iter().find(|(word, _)| said.contains(word));
        found.map(|(_, name)| *name)
    };
    // Browsers name those that they want to be taken for: the rarer ones first.
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "Another program".to_owned(),
    }
}

/// Who a browser says it is, if it may still say so.
///
/// # Errors
/// When the database fails.
pub(crate) async fn find(site: &Arc<Site>, headers: &HeaderMap) -> Result<Option<Session>, Error> {
    let Some(secret) = Cookie::Session.presented(site, headers) else {
        return Ok(None);
    };
    let mac = mac(site, secret);
    let found = site.db.read(session::find(site.db.reader(), mac)).await?;
    let now = site.db.now_micros();
    let idle_since = idle_since(site, now);
    let alive = found.filter(|found| found.ends_at > now && found.seen_at > idle_since);
    let Some(found) = alive else { return Ok(None) };
    // Not at every page: that would be a write for each look.
    if found.seen_at < now.saturating_sub(micros(site.config.sessions.seen)) {
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
    if let Some(secret) = Cookie::Session.presented(site, headers) {
        let mac = mac(site, secret);
        let write = site
            .db
            .write(move |connection| Box::pin(session::delete(connection, mac)));
        write.await?;
    }
    Cookie::Session.forgetting(site)
}

fn mac(site: &Site, secret: &str) -> Mac {
    site.secrets
        .key_mac()
        .mac(&format!("dashboard/session/{secret}"))
}

// === impl Cookie ===

impl Cookie {
    /// What it says.
    pub(crate) fn presented<'h>(self, site: &Site, headers: &'h HeaderMap) -> Option<&'h str> {
        let name = self.name(site);
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, value)| *key == name && !value.is_empty())
            .map(|(_, value)| value)
    }

    /// Has a browser keep it, as a value of `set-cookie`.
    ///
    /// # Errors
    /// Never in practice: a secret of ours fits into a header.
    pub(crate) fn keeping(
        self,
        site: &Site,
        secret: &str,
        life: Duration,
    ) -> Result<HeaderValue, Error> {
        self.line(site, secret, life.as_secs())
    }

    /// Has a browser forget it.
    ///
    /// # Errors
    /// Never in practice.
    pub(crate) fn forgetting(self, site: &Site) -> Result<HeaderValue, Error> {
        self.line(site, "", 0)
    }

    /// Where pages are read over TLS, browsers take the name only from us, and only so; where they are not, that is somebody's own machine.
    fn name(self, site: &Site) -> &'static str {
        match (self, is_secure(site)) {
            (Self::Session, true) => "__Host-aio",
            (Self::Session, false) => "aio_session",
            (Self::Passkey, true) => "__Host-aio-passkey",
            (Self::Passkey, false) => "aio_passkey",
        }
    }

    /// `Lax`: a link in an e-mail, or the way back from a payment, finds its reader signed in; a form of another site does not.
    fn line(self, site: &Site, secret: &str, seconds: u64) -> Result<HeaderValue, Error> {
        let secure = if is_secure(site) { "; Secure" } else { "" };
        let name = self.name(site);
        let text =
            format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&text).map_err(|_| Error::Damaged("a cookie"))
    }
}

fn is_secure(site: &Site) -> bool {
    site.public_url.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_in_few_words() {
        for (said, told) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140 Safari/537.36 Edg/140",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.5.0", "curl"),
            ("<script>", "Another program"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, HeaderValue::from_static(said));
            assert_eq!(device(&headers), told);
        }
    }
}
