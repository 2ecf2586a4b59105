//! Passkeys: keys that people's devices keep and that sign them in, by WebAuthn. What this site is to them, what a device is asked to sign,
//! and whether it has signed that. What is asked stands in the database, for the browser that it is asked of, once and for a time.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{Json, response::IntoResponse as _};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use chassis::clock::micros;
use http::StatusCode;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tracing::info;
use url::Url;
use webauthn_rs::{
    Webauthn, WebauthnBuilder,
    prelude::{
        CredentialID, DiscoverableAuthentication, Passkey, PasskeyRegistration,
        PublicKeyCredential, RegisterPublicKeyCredential, Uuid, WebauthnError,
    },
};

use crate::{
    Error, Site,
    people::Person,
    refused::{Answer, Refused},
    store::{
        passkey::{self, Found},
        session::Mac,
    },
};

/// What devices show of us.
const NAME: &str = "API in One";
/// What somebody's own machine is called.
const LOCAL: &str = "localhost";
/// For longer than that no browser asks.
const LONGEST: Duration = Duration::from_secs(600);

/// What this site is to passkeys.
pub(crate) struct Passkeys {
    /// `None`: browsers keep none for an address like this.
    here: Option<Here>,
}

struct Here {
    webauthn: Webauthn,
    /// Where passkeys work, without a slash at the end.
    origin: String,
}

/// What a browser is asked to do, and what has to be known to check its answer.
pub(crate) struct Asked {
    /// For the script of the page.
    pub(crate) options: Value,
    /// For [`ask`].
    state: String,
}

/// What a device has signed.
pub(crate) struct Signed {
    /// The passkey as it is from now on, as JSON.
    pub(crate) public_key: String,
    /// How often the device says that it has signed; 0: it does not count.
    pub(crate) counter: u32,
}

/// Why a device signs nobody in.
#[derive(Debug)]
pub(crate) enum Unsigned {
    /// It has signed no more often than is known: there may be a copy of it.
    Regressed,
    /// Anything else.
    Refused(Refused),
}

// === impl Passkeys ===

impl Passkeys {
    /// Those of the pages that are at `public_url`. `life`: how long devices may take.
    ///
    /// # Errors
    /// Never in practice: what passkeys work at is looked at before.
    pub(crate) fn new(public_url: &str, life: Duration) -> Result<Self, Error> {
        let Some(url) = origin(public_url) else {
            return Ok(Self { here: None });
        };
        let name = url.domain().unwrap_or(LOCAL);
        let webauthn = WebauthnBuilder::new(name, &url)
            .and_then(|builder| builder.rp_name(NAME).timeout(life.min(LONGEST)).build())
            .map_err(Error::Passkeys)?;
        let origin = url.origin().ascii_serialization();
        let here = Some(Here { webauthn, origin });
        Ok(Self { here })
    }

    /// Where passkeys work, without a slash at the end; `None`: nowhere.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.here.as_ref().map(|here| here.origin.as_str())
    }

    fn here(&self) -> Result<&Webauthn, Refused> {
        let told = "Passkeys do not work at this address.";
        let here = self.here.as_ref();
        here.map(|here| &here.webauthn)
            .ok_or_else(|| Refused::new(StatusCode::CONFLICT, told))
    }

    /// Asks a device for a passkey of somebody, unless it keeps one of `known`.
    ///
    /// # Errors
    /// When passkeys do not work here.
    pub(crate) fn ask_for_one(
        &self,
        person: &Person,
        known: Vec<CredentialID>,
    ) -> Result<Asked, Refused> {
        let (id, email) = (Uuid::from_bytes(person.id.to_bytes()), &person.email);
        let (options, state) = self
            .here()?
            .start_passkey_registration(id, email, &person.name, Some(known))
            .map_err(failed)?;
        let mut asked = Asked::of(&options, &state)?;
        // Whoever types no address is known by what the device keeps; the library leaves it to the device whether it keeps anything.
        let kept = json!({ "residentKey": "required", "requireResidentKey": true, "userVerification": "required" });
        if let Some(Value::Object(options)) = asked.options.get_mut("publicKey") {
            options.insert("authenticatorSelection".to_owned(), kept);
        }
        Ok(asked)
    }

    /// The passkey that a device has made, if it is what was asked for: what it is called there, and as JSON.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn made(&self, said: &str, state: &str) -> Result<(Vec<u8>, String), Refused> {
        let told = "Your device has made no passkey that works here. Please try again.";
        let said: RegisterPublicKeyCredential = read(said, told)?;
        let state: PasskeyRegistration = kept(state)?;
        let made = self.here()?.finish_passkey_registration(&said, &state);
        let made = made.map_err(|error| {
            info!(%error, "a passkey is not what was asked for");
            Refused::new(StatusCode::BAD_REQUEST, told)
        })?;
        Ok((made.cred_id().clone(), text(&made)?))
    }

    /// Asks a device to sign somebody in, whoever that is.
    ///
    /// # Errors
    /// When passkeys do not work here.
    pub(crate) fn ask_who(&self) -> Result<Asked, Refused> {
        let started = self.here()?.start_discoverable_authentication();
        let (mut options, state) = started.map_err(failed)?;
        // It is asked when a button is pressed, and not while somebody types.
        options.mediation = None;
        Asked::of(&options, &state)
    }

    /// What a device has signed, if it keeps this passkey, of its person, and was asked to.
    ///
    /// # Errors
    /// When it does not, or may have been copied.
    pub(crate) fn signed(
        &self,
        said: &PublicKeyCredential,
        state: &str,
        found: &Found,
    ) -> Result<Signed, Unsigned> {
        let here = self.here()?;
        let whose = here.identify_discoverable_authentication(said);
        if !whose.is_ok_and(|(person, _)| person.into_bytes() == found.person.to_bytes()) {
            return Err(unknown().into());
        }
        let state: DiscoverableAuthentication = kept(state)?;
        let mut passkey: Passkey = kept(&found.public_key)?;
        let signed = here.finish_discoverable_authentication_v2(said, state, &passkey);
        let signed = signed.map_err(|error| {
            if matches!(error, WebauthnError::CredentialPossibleCompromise) {
                return Unsigned::Regressed;
            }
            info!(%error, "a passkey signs nobody in");
            unknown().into()
        })?;
        passkey.update_credential(&signed);
        Ok(Signed {
            public_key: text(&passkey)?,
            counter: signed.counter(),
        })
    }
}

// === impl Asked ===

impl Asked {
    fn of(options: &impl Serialize, state: &impl Serialize) -> Result<Self, Refused> {
        let options = serde_json::to_value(options).map_err(|_| Refused::internal())?;
        let state = text(state)?;
        Ok(Self { options, state })
    }
}

// === impl Unsigned ===

impl From<Refused> for Unsigned {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// The origin that passkeys are kept for; `None`: browsers keep none for this one. They do so for names, and where nobody listens: over
/// TLS, or on somebody's own machine, which has a name as well.
fn origin(public_url: &str) -> Option<Url> {
    let mut url = Url::parse(public_url).ok()?;
    let address = url.host_str()?.trim_matches(['[', ']']).parse::<IpAddr>();
    if address.is_ok_and(|address| address.is_loopback()) {
        url.set_host(Some(LOCAL)).ok()?;
    }
    let name = url.domain()?;
    let local = name == LOCAL || name.ends_with(".localhost");
    let quiet = url.scheme() == "https" || url.scheme() == "http" && local;
    let origin = url.origin().ascii_serialization();
    quiet.then(|| Url::parse(&origin).ok()).flatten()
}

/// What is asked of a device is known by whose browser it is asked of. `whose`: a session's MAC, or what a cookie says.
pub(crate) fn mac(site: &Site, (what, whose): (&str, &[u8])) -> Mac {
    let text = format!("dashboard/passkey/{what}/{}", BASE64.encode(whose));
    site.secrets.key_mac().mac(&text)
}

/// Notes what a device is asked, in the place of what it was asked before, and gives what its browser is told.
///
/// # Errors
/// When the database fails.
pub(crate) async fn ask(site: &Arc<Site>, mac: Mac, asked: Asked) -> Result<Value, Error> {
    let life = micros(site.config.door.limits.passkeys.challenge);
    let ends_at = site.db.now_micros().saturating_add(life);
    let Asked { options, state } = asked;
    let write = site
        .db
        .write(move |connection| Box::pin(passkey::ask(connection, (mac, state), ends_at)));
    write.await?;
    Ok(options)
}

/// What was asked of a device, once: whatever becomes of its answer, there is no second one.
///
/// # Errors
/// When nothing was, or too long ago.
pub(crate) async fn asked(site: &Arc<Site>, mac: Mac) -> Result<String, Refused> {
    let now = site.db.now_micros();
    let write = site
        .db
        .write(move |connection| Box::pin(passkey::asked(connection, mac, now)));
    let told = "Your device took too long, or has answered already. Please try again.";
    let asked = write.await?;
    asked.ok_or_else(|| Refused::new(StatusCode::GONE, told))
}

/// What a script is told that asked for a challenge.
pub(crate) fn told(asked: Result<Value, Refused>) -> Answer {
    match asked {
        Ok(options) => Ok(Json(options).into_response()),
        Err(refused) => {
            let wrong = refused.told()?;
            Ok(wrong.on(Json(json!({ "message": wrong.message }))))
        }
    }
}

/// Reads what a device has answered.
pub(crate) fn read<T: DeserializeOwned>(said: &str, told: &str) -> Result<T, Refused> {
    serde_json::from_str(said).map_err(|_| Refused::new(StatusCode::BAD_REQUEST, told))
}

/// A device that nobody is known by: the same for all reasons.
pub(crate) fn unknown() -> Refused {
    let told = "This passkey signs nobody in here. It may have been removed.";
    Refused::new(StatusCode::UNAUTHORIZED, told)
}

/// Reads what the database keeps.
fn kept<T: DeserializeOwned>(text: &str) -> Result<T, Refused> {
    serde_json::from_str(text).map_err(|_| Error::Damaged("a passkey").into())
}

/// As the database keeps it.
fn text(value: &impl Serialize) -> Result<String, Refused> {
    serde_json::to_string(value).map_err(|_| Refused::internal())
}

/// The library refuses what we ask it for.
fn failed(error: WebauthnError) -> Error {
    Error::Passkeys(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_are_kept_for_names_that_nobody_else_can_speak_for() {
        for (url, kept_for) in [
            ("https://api.example.com", Some("https://api.example.com")),
            (
                "https://api.example.com:8443/below",
                Some("https://api.example.com:8443"),
            ),
            ("http://localhost:8080", Some("http://localhost:8080")),
            ("http://aio.localhost", Some("http://aio.localhost")),
            ("http://127.0.0.1:8080", Some("http://localhost:8080")),
            ("http://[::1]:8080", Some("http://localhost:8080")),
            ("http://api.example.com", None),
            ("https://192.0.2.7", None),
            ("https://[2001:db8::1]:8443", None),
            ("ftp://localhost", None),
            ("", None),
        ] {
            let passkeys = Passkeys::new(url, LONGEST * 9).unwrap();
            assert_eq!(passkeys.origin(), kept_for, "{url}");
            assert_eq!(passkeys.ask_who().is_ok(), kept_for.is_some(), "{url}");
        }
    }

    #[test]
    fn a_device_is_asked_to_keep_the_key_and_to_know_its_person() {
        let passkeys = Passkeys::new("http://127.0.0.1:8080", LONGEST).unwrap();
        let person = Person {
            id: chassis::mint(),
            email: "ann@example.com".to_owned(),
            name: "Ann".to_owned(),
            confirmed: false,
            operator: false,
            view: crate::people::View {
                account: chassis::mint(),
                name: "Ann".to_owned(),
                mode: domain::Mode::Test,
                role: crate::people::Role::Owner,
            },
        };
        let known = vec![vec![7; 16]];
        let asked = passkeys.ask_for_one(&person, known).unwrap().options;
        let public = &asked["publicKey"];
        assert_eq!(public["rp"]["id"], "localhost");
        let selection = &public["authenticatorSelection"];
        assert_eq!(selection["residentKey"], "required");
        assert_eq!(selection["userVerification"], "required");
        assert_eq!(public["attestation"], "none");
        assert_eq!(
            public["excludeCredentials"][0]["id"],
            BASE64.encode([7; 16])
        );
        let asked = passkeys.ask_who().unwrap().options;
        assert_eq!(asked["publicKey"]["userVerification"], "required");
        assert_eq!(asked["publicKey"]["allowCredentials"], json!([]));
        assert!(asked.get("mediation").is_none());
    }
}
