//! Signatures after Standard Webhooks 1.0.0. Pure.
//!
//! Signed is `{id}.{timestamp}.{body}`, with HMAC-SHA256 and the key that stands in base64 behind `whsec_`; the signature is
//! `v1,` and base64. Exactly the bytes that are sent are signed.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use domain::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// Random bytes of a secret; the specification asks for 24 to 64.
pub(crate) const SECRET_BYTES: usize = 32;

/// A secret that is not `whsec_` and base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedSecret;

/// The secret made of these random bytes, as customers see it.
pub(crate) fn secret_of(random: &[u8; SECRET_BYTES]) -> Secret {
    Secret::new(format!("{PREFIX}{}", BASE64.encode(random)))
}

/// The value of `webhook-signature`. `timestamp` is in seconds UTC.
pub(crate) fn sign(
    secret: &Secret,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<String, MalformedSecret> {
    let text = secret.expose();
    let encoded = text.strip_prefix(PREFIX).ok_or(MalformedSecret)?;
    let key = BASE64.decode(encoded).map_err(|_| MalformedSecret)?;
    if key.is_empty() {
        // Anyone could sign with it.
        return Err(MalformedSecret);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| MalformedSecret)?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use standardwebhooks::Webhook;

    use super::*;

    const ID: &str = "evt_01h455vb4pex5vsknk084sn02q";

    fn headers(timestamp: i64, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", ID.parse().unwrap());
        headers.insert("webhook-timestamp", timestamp.to_string().parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
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
        for text in ["", "whsec_", "whsec_*", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let signed = sign(&Secret::new(text), ID, 1, b"{}");
            assert_eq!(signed, Err(MalformedSecret), "{text}");
        }
    }
}
