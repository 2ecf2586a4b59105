//! What simulated providers sign their callbacks with: a key whose other half they publish, which is another one in a sandbox that starts again, as
//! of a provider that changes its keys; or one that is made of what the caller showed as its own.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chassis::clock::{MICROS_PER_SECOND, now_micros};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, StatusCode};
use ring::{
    error::KeyRejected,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{Sandbox, answer};

/// Whose account all jobs are of.
const USER: &str = "sandbox";
/// What Bria makes of a caller's key before it signs with it.
const BRIA: &[u8] = b"bria-webhook-signing-v1";

/// Who signs. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pair: Arc<Ed25519KeyPair>,
}

/// What a provider signs its callbacks about a job with.
#[derive(Clone, Debug)]
pub(crate) enum Signature {
    /// As fal signs those about this job (fal.ai/docs, webhooks).
    OfFal { signer: Signer, job: String },
    /// As Bria does, with a key that is made of its caller's own (docs.bria.ai, webhooks).
    OfBria { key: Vec<u8> },
}

// === impl Signer ===

impl Signer {
    pub(crate) fn new() -> Result<Self, KeyRejected> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&rand::random::<[u8; 32]>())?;
        Ok(Self {
            pair: Arc::new(pair),
        })
    }

    /// Signatures of callbacks about this job.
    pub(crate) fn for_fal(&self, job: &str) -> Signature {
        Signature::OfFal {
            signer: self.clone(),
            job: job.to_owned(),
        }
    }

    fn fal(&self, job: &str, body: &[u8]) -> [(&'static str, String); 4] {
        let moment = moment();
        let hash = hex(&Sha256::digest(body));
        let text = format!("{job}\n{USER}\n{moment}\n{hash}");
        let signature = self.pair.sign(text.as_bytes());
        [
            ("x-fal-webhook-request-id", job.to_owned()),
            ("x-fal-webhook-user-id", USER.to_owned()),
            ("x-fal-webhook-timestamp", moment),
            ("x-fal-webhook-signature", hex(signature.as_ref())),
        ]
    }
}

// === impl Signature ===

impl Signature {
    /// Signatures for whoever shows this key.
    pub(crate) fn for_bria(key: &str) -> Self {
        Self::OfBria {
            key: mac(key.as_bytes(), BRIA),
        }
    }

    /// The headers of a callback that is made now.
    pub(crate) fn headers(&self, body: &[u8]) -> Vec<(HeaderName, String)> {
        let all: Vec<(&'static str, String)> = match self {
            Self::OfFal { signer, job } => signer.fal(job, body).into(),
            Self::OfBria { key } => bria(key, body).into(),
        };
        let all = all.into_iter();
        all.map(|(name, value)| (HeaderName::from_static(name), value))
            .collect()
    }
}

fn bria(key: &[u8], body: &[u8]) -> [(&'static str, String); 3] {
    let id = format!("msg_{:016x}", rand::random::<u64>());
    let moment = moment();
    let text = [id.as_bytes(), moment.as_bytes(), body].join(&b'.');
    let signature = format!("v1={}", STANDARD.encode(mac(key, &text)));
    [
        ("bria-webhook-id", id),
        ("bria-webhook-timestamp", moment),
        ("bria-webhook-signature", signature),
    ]
}

/// Seconds since 1970.
fn moment() -> String {
    (now_micros() / MICROS_PER_SECOND).to_string()
}

/// HMAC takes keys of any length, so there always is one.
fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `GET /fal/.well-known/jwks.json`, beside a key that is not the one.
pub(crate) async fn keys(State(sandbox): State<Sandbox>) -> Response {
    let key = |x: &[u8]| json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(x) });
    let keys = json!({ "keys": [key(&[0; 32]), key(sandbox.signer.pair.public_key().as_ref())] });
    answer::json(StatusCode::OK, &keys)
}
