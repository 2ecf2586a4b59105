//! What simulated providers sign their callbacks with: a key whose other half they publish, which is another one in a sandbox that starts again, as
//! of a provider that changes its keys; or one that is made of what the caller showed as its own.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{extract::State, response::Response};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chassis::clock::{MICROS_PER_SECOND, now_micros};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, StatusCode};
use httpdate::HttpDate;
use ring::{
    error::KeyRejected,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{Sandbox, answer};

/// Whose account all jobs are of.
const USER: &str = "sandbox";
/// The headers that fal and Ideogram sign in: the job, whose it is, when, and the signature.
const FAL: [&str; 4] = [
    "x-fal-webhook-request-id",
    "x-fal-webhook-user-id",
    "x-fal-webhook-timestamp",
    "x-fal-webhook-signature",
];
const IDEOGRAM: [&str; 4] = [
    "x-ideogram-webhook-generation-id",
    "x-ideogram-webhook-user-id",
    "x-ideogram-webhook-timestamp",
    "x-ideogram-webhook-signature",
];
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
    /// As fal and Ideogram sign those about this job, in headers of these names (fal.ai/docs and developer.ideogram.ai, webhooks).
    ByKey {
        signer: Signer,
        job: String,
        names: [&'static str; 4],
    },
    /// As Bria does, with a key that is made of its caller's own (docs.bria.ai, webhooks).
    Bria { key: Vec<u8> },
    /// As Vidu does, with its caller's own key (platform.vidu.com/docs/callback-signature).
    Vidu { key: String },
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
        self.in_headers(job, FAL)
    }

    /// The same of Ideogram.
    pub(crate) fn for_ideogram(&self, job: &str) -> Signature {
        self.in_headers(job, IDEOGRAM)
    }

    fn in_headers(&self, job: &str, names: [&'static str; 4]) -> Signature {
        Signature::ByKey {
            signer: self.clone(),
            job: job.to_owned(),
            names,
        }
    }

    fn sign(&self, job: &str, body: &[u8]) -> [String; 4] {
        let moment = moment();
        let hash = hex(&Sha256::digest(body));
        let text = format!("{job}\n{USER}\n{moment}\n{hash}");
        let signature = self.pair.sign(text.as_bytes());
        let signature = hex(signature.as_ref());
        [job.to_owned(), USER.to_owned(), moment, signature]
    }
}

// === impl Signature ===

impl Signature {
    /// Signatures of Bria's for whoever shows this key.
    pub(crate) fn for_bria(key: &str) -> Self {
        Self::Bria {
            key: mac(key.as_bytes(), BRIA),
        }
    }

    /// Signatures of Vidu's for whoever shows this key.
    pub(crate) fn for_vidu(key: &str) -> Self {
        Self::Vidu {
            key: key.to_owned(),
        }
    }

    /// The headers of a callback that is made now, to this path.
    pub(crate) fn headers(&self, path: &str, body: &[u8]) -> Vec<(HeaderName, String)> {
        let all: Vec<(&'static str, String)> = match self {
            Self::ByKey { signer, job, names } => {
                names.iter().copied().zip(signer.sign(job, body)).collect()
            }
            Self::Bria { key } => bria(key, body).into(),
            Self::Vidu { key } => vidu(key, path).into(),
        };
        let all = all.into_iter();
        all.map(|(name, value)| (HeaderName::from_static(name), value))
            .collect()
    }
}

fn vidu(key: &str, path: &str) -> [(&'static str, String); 6] {
    let now = u64::try_from(now_micros()).unwrap_or_default();
    let date = HttpDate::from(UNIX_EPOCH + Duration::from_micros(now)).to_string();
    let nonce = format!("{:016x}", rand::random::<u64>());
    let text = format!("POST\n{path}\n\nvidu\n{date}\nDate:{date}\nx-request-nonce:{nonce}\n");
    let signature = STANDARD.encode(mac(key.as_bytes(), text.as_bytes()));
    [
        ("date", date),
        ("x-request-nonce", nonce),
        ("x-hmac-algorithm", "hmac-sha256".to_owned()),
        ("x-hmac-access-key", "vidu".to_owned()),
        ("x-hmac-signed-headers", "Date;x-request-nonce".to_owned()),
        ("x-hmac-signature", signature),
    ]
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

/// `GET /fal/.well-known/jwks.json`, and Ideogram's: beside a key that is not the one.
pub(crate) async fn keys(State(sandbox): State<Sandbox>) -> Response {
    let key = |x: &[u8]| json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(x) });
    let keys = json!({ "keys": [key(&[0; 32]), key(sandbox.signer.pair.public_key().as_ref())] });
    answer::json(StatusCode::OK, &keys)
}
