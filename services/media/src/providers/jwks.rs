//! Whether a callback is its provider's, where it signs with a key of its own and publishes the other half: Ed25519 over four lines, which are
//! three of its headers and the SHA-256 of the body as it came, in hex. The keys are a JSON Web Key Set (RFC 7517, RFC 8037).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::{sync::Mutex, time::timeout};
use tracing::warn;
use upstream::{Call, ProviderClient};
use url::Url;

use super::{Callback, Heard, signature};

/// For how long keys are believed; fal says at most a day (fal.ai/docs, webhooks).
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often at most they are asked for, whatever is wrong with what came.
const PAUSE: Duration = Duration::from_secs(60);
/// How long a callback may wait for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// The headers that a provider signs with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers {
    /// Those whose values are signed, in their order, besides the moment.
    pub signed: [&'static str; 2],
    /// Seconds since 1970, which are signed after them.
    pub moment: &'static str,
    /// The signature, in hex.
    pub signature: &'static str,
}

/// Public keys of a provider, kept for a day.
#[derive(Debug)]
pub(super) struct Keys {
    client: ProviderClient,
    /// By where they are published, which is another place in the sandbox.
    known: Mutex<HashMap<Url, Known>>,
}

/// What one place was seen to publish.
#[derive(Debug, Default)]
struct Known {
    keys: Vec<Vec<u8>>,
    /// When it was last asked.
    asked: Option<Instant>,
    /// When these came.
    came: Option<Instant>,
}

/// The wire shape of a key set.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Key>,
}

/// One of them; those of other kinds have no `x`, or one that means something else.
#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    kty: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    x: String,
}

// === impl Keys ===

impl Keys {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self {
            client,
            known: Mutex::default(),
        }
    }

    /// Whose word a callback is by the keys that are published at `place`. Without keys nobody can tell.
    pub(super) async fn hear(
        &self,
        place: Url,
        headers: Headers,
        callback: &Callback<'_>,
    ) -> Heard {
        let header = |name| signature::text(callback.headers, name);
        let moment = header(headers.moment);
        let [first, second] = headers.signed.map(header);
        let body = signature::to_hex(&Sha256::digest(callback.body));
        let message = format!("{first}\n{second}\n{moment}\n{body}");
        let given = signature::of_hex(header(headers.signature));
        let is_right = |keys: &[Vec<u8>]| {
            signature::is_fresh(moment, callback.now)
                && keys
                    .iter()
                    .any(|key| is_signed(key, message.as_bytes(), &given))
        };
        let mut all = self.known.lock().await;
        let known = all.entry(place.clone()).or_default();
        if known.is_old() {
            self.ask(place.clone(), known).await;
        }
        // They may have changed their keys since.
        if !is_right(&known.keys) && known.may_be_asked() {
            self.ask(place, known).await;
        }
        match known.keys.as_slice() {
            [] => Heard::Unsigned,
            keys if is_right(keys) => Heard::Signed,
            _ => Heard::Forged,
        }
    }

    /// Asks for the keys, with no credential of ours. Without an answer those of before are believed until they are old.
    async fn ask(&self, place: Url, known: &mut Known) {
        if !known.may_be_asked() {
            return;
        }
        known.asked = Some(Instant::now());
        match timeout(PATIENCE, self.fetch(place.clone())).await {
            Ok(Some(keys)) => {
                known.keys = keys;
                known.came = known.asked;
            }
            Ok(None) | Err(_) => {
                warn!(%place, "a provider's keys cannot be had: its callbacks are not checked, or by the keys of before");
            }
        }
    }

    async fn fetch(&self, place: Url) -> Option<Vec<Vec<u8>>> {
        let call = Call::get(place, HeaderMap::new());
        let answer = self.client.send(call, |_| None).await.ok()?;
        let set: Set = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        let keys = set.keys.into_iter().filter(Key::is_ed25519);
        let keys = keys.filter_map(|key| URL_SAFE_NO_PAD.decode(key.x.trim_end_matches('=')).ok());
        let keys: Vec<_> = keys.filter(|key| !key.is_empty()).collect();
        (!keys.is_empty()).then_some(keys)
    }
}

// === impl Key ===

impl Key {
    /// As far as it says what it is.
    fn is_ed25519(&self) -> bool {
        let is = |said: &Option<String>, word| said.as_deref().is_none_or(|said| said == word);
        is(&self.kty, "OKP") && is(&self.crv, "Ed25519")
    }
}

// === impl Known ===

impl Known {
    /// Whether they are not believed any more, and forgets them then.
    fn is_old(&mut self) -> bool {
        let is_old = self.came.is_none_or(|came| came.elapsed() >= KEPT);
        if is_old {
            self.keys.clear();
        }
        is_old
    }

    fn may_be_asked(&self) -> bool {
        self.asked.is_none_or(|asked| asked.elapsed() >= PAUSE)
    }
}

fn is_signed(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests;
