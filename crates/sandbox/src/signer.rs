//! The key of the simulated providers that sign with one and publish its other half. A sandbox that starts again has another one, as a
//! provider that changes its keys.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::clock::{MICROS_PER_SECOND, now_micros};
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

/// Who signs. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pair: Arc<Ed25519KeyPair>,
}

/// What a provider signs its callbacks about a job with.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    signer: Signer,
    /// What all of its headers begin with.
    prefix: &'static str,
    /// The first of its headers, and its value.
    job: (&'static str, String),
}

// === impl Signer ===

impl Signer {
    pub(crate) fn new() -> Result<Self, KeyRejected> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&rand::random::<[u8; 32]>())?;
        Ok(Self {
            pair: Arc::new(pair),
        })
    }

    /// Signatures of callbacks about this job, as fal makes them (fal.ai/docs, webhooks).
    pub(crate) fn for_fal(&self, job: &str) -> Signature {
        Signature {
            signer: self.clone(),
            prefix: "x-fal-webhook",
            job: ("request-id", job.to_owned()),
        }
    }
}

// === impl Signature ===

impl Signature {
    /// The headers of a callback that is made now.
    pub(crate) fn headers(&self, body: &[u8]) -> Vec<(HeaderName, String)> {
        let (name, job) = &self.job;
        let moment = (now_micros() / MICROS_PER_SECOND).to_string();
        let hash = hex(&Sha256::digest(body));
        let text = format!("{job}\n{USER}\n{moment}\n{hash}");
        let signature = self.signer.pair.sign(text.as_bytes());
        let all = [
            (*name, job.clone()),
            ("user-id", USER.to_owned()),
            ("timestamp", moment),
            ("signature", hex(signature.as_ref())),
        ];
        let all = all.into_iter().filter_map(|(name, value)| {
            let name = format!("{}-{name}", self.prefix);
            Some((HeaderName::try_from(name).ok()?, value))
        });
        all.collect()
    }
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
