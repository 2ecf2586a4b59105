//! Signatures after Standard Webhooks 1.0.0. Pure.
//!
//! Signed is `{id}.{timestamp}.{body}`. `v1`: HMAC-SHA256 with the key that stands in base64 behind `whsec_`. `v1a`: Ed25519, with
//! the key behind `whsk_`, whose public half customers know as `whpk_`. Exactly the bytes that are sent are signed.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use domain::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::Sha256;

/// What every secret begins with.
const SECRET: &str = "whsec_";
/// What every key begins with that signs by Ed25519, and its public half.
const SIGNING_KEY: &str = "whsk_";
const PUBLIC_KEY: &str = "whpk_";
/// Random bytes of a secret, for which the specification asks for 24 to 64, and of an Ed25519 key.
pub(crate) const SECRET_BYTES: usize = 32;

/// A secret that is neither `whsec_` nor `whsk_` and base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedSecret;

/// How an endpoint is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// By its secret.
    V1,
    /// By its Ed25519 key.
    V1a,
    /// By both.
    Both,
}

/// What is signed.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) id: &'a str,
    /// Seconds UTC.
    pub(crate) timestamp: i64,
    pub(crate) body: &'a [u8],
}

// === impl Scheme ===

impl Scheme {
    /// The words that customers use.
    pub(crate) const ALLOWED: &str = "v1, v1a or both";

    /// Finds one by its word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::V1, Self::V1a, Self::Both]
            .into_iter()
            .find(|known| known.as_str() == word)
    }

    /// Its word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
            Self::Both => "both",
        }
    }

    /// Whether the secret signs.
    pub(crate) const fn by_secret(self) -> bool {
        matches!(self, Self::V1 | Self::Both)
    }

    /// Whether the Ed25519 key signs.
    pub(crate) const fn by_key(self) -> bool {
        matches!(self, Self::V1a | Self::Both)
    }
}

/// The secret made of these random bytes, as customers see it.
pub(crate) fn secret_of(random: &[u8; SECRET_BYTES]) -> Secret {
    Secret::new(format!("{SECRET}{}", BASE64.encode(random)))
}

/// The Ed25519 key made of these random bytes, as Standard Webhooks writes it: the seed, and the public half behind it.
pub(crate) fn signing_key_of(random: &[u8; SECRET_BYTES]) -> Result<Secret, MalformedSecret> {
    let pair = Ed25519KeyPair::from_seed_unchecked(random).map_err(|_| MalformedSecret)?;
    let both = [random.as_slice(), pair.public_key().as_ref()].concat();
    Ok(Secret::new(format!("{SIGNING_KEY}{}", BASE64.encode(both))))
}

/// The public half of an Ed25519 key, as customers see it.
pub(crate) fn public_key(key: &Secret) -> Result<String, MalformedSecret> {
    let pair = pair(key.expose())?;
    let public = BASE64.encode(pair.public_key().as_ref());
    Ok(format!("{PUBLIC_KEY}{public}"))
}

/// The value of `webhook-signature`: a signature by each of these, a space between.
pub(crate) fn signatures(by: &[Secret], signed: Signed<'_>) -> Result<String, MalformedSecret> {
    let each = by.iter().map(|secret| sign(secret, signed));
    let all = each.collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        return Err(MalformedSecret);
    }
    Ok(all.join(" "))
}

/// One signature, of the scheme that the secret's first letters name.
fn sign(secret: &Secret, signed: Signed<'_>) -> Result<String, MalformedSecret> {
    let text = secret.expose();
    let content = [
        format!("{}.{}.", signed.id, signed.timestamp).as_bytes(),
        signed.body,
    ]
    .concat();
    let Some(encoded) = text.strip_prefix(SECRET) else {
        let signature = pair(text)?.sign(&content);
        return Ok(format!("v1a,{}", BASE64.encode(signature.as_ref())));
    };
    let key = BASE64.decode(encoded).map_err(|_| MalformedSecret)?;
    if key.is_empty() {
        // Anyone could sign with it.
        return Err(MalformedSecret);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| MalformedSecret)?;
    mac.update(&content);
    Ok(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

fn pair(text: &str) -> Result<Ed25519KeyPair, MalformedSecret> {
    let encoded = text.strip_prefix(SIGNING_KEY).ok_or(MalformedSecret)?;
    let both = BASE64.decode(encoded).map_err(|_| MalformedSecret)?;
    let (seed, public) = both.split_at_checked(SECRET_BYTES).ok_or(MalformedSecret)?;
    Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| MalformedSecret)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use standardwebhooks::Webhook;

    use super::*;

    /// The vector of docs/api.md.
    const DOCS: &str = include_str!("../../../docs/api.md");

    const ID: &str = "evt_01h455vb4pex5vsknk084sn02q";

    fn headers(timestamp: i64, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", ID.parse().unwrap());
        headers.insert("webhook-timestamp", timestamp.to_string().parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    fn sign(
        secret: &Secret,
        id: &str,
        timestamp: i64,
        body: &[u8],
    ) -> Result<String, MalformedSecret> {
        let signed = Signed {
            id,
            timestamp,
            body,
        };
        signatures(std::slice::from_ref(secret), signed)
    }

    #[test]
    fn the_vector_of_the_specification_comes_out() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signature.unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn the_public_library_verifies_it_and_nothing_else() {
        let secret = secret_of(&[7; SECRET_BYTES]);
        let other = secret_of(&[8; SECRET_BYTES]);
        let body = r#"{"type":"task.completed","data":"ä"}"#.as_bytes();
        let now = chassis::clock::now_micros() / chassis::clock::MICROS_PER_SECOND;
        let signature = sign(&secret, ID, now, body).unwrap();
        let verify = |secret: &Secret, headers: &HeaderMap, body: &[u8]| {
            let library = Webhook::new(secret.expose()).unwrap();
            library.verify(body, headers).is_ok()
        };
        assert!(verify(&secret, &headers(now, &signature), body));
        assert!(!verify(&other, &headers(now, &signature), body));
        assert!(!verify(&secret, &headers(now - 1, &signature), body));
        assert!(!verify(&secret, &headers(now, &signature), b"{}"));
    }

    #[test]
    fn a_malformed_secret_signs_nothing() {
        for text in [
            "",
            "whsec_",
            "whsec_*",
            "whsk_",
            "whsk_AAAA",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let signed = sign(&Secret::new(text), ID, 1, b"{}");
            assert_eq!(signed, Err(MalformedSecret), "{text}");
        }
    }

    #[test]
    fn an_ed25519_key_signs_what_its_public_half_verifies() {
        let key = signing_key_of(&[7; SECRET_BYTES]).unwrap();
        let public = public_key(&key).unwrap();
        let signature = sign(&key, ID, 1, b"{}").unwrap();
        let bytes =
            |text: &str, prefix: &str| BASE64.decode(text.strip_prefix(prefix).unwrap()).unwrap();
        let public = bytes(&public, "whpk_");
        let verifier = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
        let signature = bytes(&signature, "v1a,");
        let signed = |body: &str| format!("{ID}.1.{body}");
        assert!(verifier.verify(signed("{}").as_bytes(), &signature).is_ok());
        assert!(
            verifier
                .verify(signed("[]").as_bytes(), &signature)
                .is_err()
        );
    }

    #[test]
    fn several_sign_one_after_another_and_the_library_takes_either() {
        let (old, new) = (secret_of(&[1; SECRET_BYTES]), secret_of(&[2; SECRET_BYTES]));
        let key = signing_key_of(&[3; SECRET_BYTES]).unwrap();
        let now = chassis::clock::now_micros() / chassis::clock::MICROS_PER_SECOND;
        let signed = Signed {
            id: ID,
            timestamp: now,
            body: b"{}",
        };
        let all = signatures(&[new.clone(), key, old.clone()], signed).unwrap();
        let schemes: Vec<&str> = all
            .split(' ')
            .map(|one| one.split(',').next().unwrap())
            .collect();
        assert_eq!(schemes, ["v1", "v1a", "v1"]);
        for secret in [old, new] {
            let library = Webhook::new(secret.expose()).unwrap();
            library.verify(b"{}", &headers(now, &all)).unwrap();
        }
        assert_eq!(signatures(&[], signed), Err(MalformedSecret));
    }

    #[test]
    fn the_vector_of_the_docs_is_what_we_sign() {
        let told = |name: &str| {
            let line = DOCS
                .lines()
                .find(|line| line.starts_with(&format!("{name}: ")));
            line.unwrap().split_once(": ").unwrap().1.to_owned()
        };
        let signature = sign(
            &Secret::new(told("secret")),
            &told("webhook-id"),
            told("webhook-timestamp").parse().unwrap(),
            told("body").as_bytes(),
        );
        assert_eq!(signature.unwrap(), told("webhook-signature"));
    }
}
