//! How often somebody may come to the door: out of one network, and with one address. Kept in the state that all processes share; what is
//! counted there is a keyed MAC, and not where somebody is or what they are called.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::extract::FromRequestParts;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use chassis::http::{Peer, client_address};
use http::{StatusCode, request::Parts};
use live::{Admission, Rate};
use tracing::warn;

use crate::{Site, refused::Refused, store::session::Mac};

/// Where a request comes from, as far as limits tell networks apart.
pub(crate) struct Network(String);

// === impl Network ===

impl Network {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self(address.to_string()),
            // Whoever has one address of these has them all.
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(format!("{a:x}:{b:x}:{c:x}:{d:x}"))
            }
        }
    }

    /// What sign-ups out of it are counted under, of an hour or of a day.
    pub(crate) fn mac(&self, site: &Site, span: &str) -> Mac {
        mac(site, &format!("{span}/{}", self.0))
    }

    /// Counts a try of anything at the door.
    ///
    /// # Errors
    /// When there were too many.
    pub(crate) async fn admit(&self, site: &Site) -> Result<(), Refused> {
        let per_minute = site.config.door.limits.network_per_minute;
        let rate = Rate {
            per_minute,
            burst: per_minute,
        };
        admit(site, &key(site, "network", &self.0), rate).await
    }
}

impl FromRequestParts<Arc<Site>> for Network {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        let proxies = &site.config.door.trusted_proxies;
        let address = peer.map(|peer| client_address(peer, &parts.headers, proxies));
        // Whoever is nowhere shares one limit with all who are.
        Ok(address.map_or_else(|| Self(String::new()), Self::of))
    }
}

/// Counts a try to sign in with an address, whether it is anybody's or not.
///
/// # Errors
/// When there were too many.
pub(crate) async fn try_address(site: &Site, email: &str) -> Result<(), Refused> {
    admit(site, &key(site, "address", email), address_rate(site)).await
}

/// Takes a try back: it succeeded.
pub(crate) async fn succeeded(site: &Site, email: &str) {
    let key = key(site, "address", email);
    if let Err(error) = site.live.uncount(&key, address_rate(site)).await {
        warn!(%error, "a limit counts a sign-in that succeeded");
    }
}

/// Counts an e-mail to an address; says whether it may be sent.
pub(crate) async fn may_mail(site: &Site, email: &str) -> bool {
    let per_minute = site.config.door.limits.mails_per_minute;
    let rate = Rate {
        per_minute,
        burst: per_minute.saturating_mul(3),
    };
    admit(site, &key(site, "mail", email), rate).await.is_ok()
}

fn address_rate(site: &Site) -> Rate {
    let per_minute = site.config.door.limits.address_per_minute;
    Rate {
        per_minute,
        burst: per_minute.saturating_mul(2),
    }
}

async fn admit(site: &Site, key: &str, rate: Rate) -> Result<(), Refused> {
    match site.live.admit(key, rate).await {
        Ok(Admission::Allowed { .. }) => Ok(()),
        Ok(Admission::Refused { retry_after }) => Err(Refused::later(retry_after)),
        Err(error) => {
            warn!(%error, "the door cannot count");
            let told = "Too many come at this moment. Please try again.";
            Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, told))
        }
    }
}

fn key(site: &Site, kind: &str, text: &str) -> String {
    format!("door/{kind}/{}", BASE64.encode(mac(site, text)))
}

fn mac(site: &Site, text: &str) -> Mac {
    let text = format!("dashboard/door/{text}");
    site.secrets.key_mac().mac(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart_by_what_one_person_has() {
        let network = |text: &str| Network::of(text.parse().unwrap()).0;
        assert_ne!(network("1.2.3.4"), network("1.2.3.5"));
        assert_eq!(network("2001:db8:1:2::3"), network("2001:db8:1:2:ffff::"));
        assert_ne!(network("2001:db8:1:2::3"), network("2001:db8:1:3::3"));
    }
}
