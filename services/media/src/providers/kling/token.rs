//! The token that an access key and its secret become: a JWT, signed with HMAC-SHA256, for half an hour. Pure.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

/// Seconds that a token is good for, and that it is good for already.
const LASTS: i64 = 1_800;
const EARLY: i64 = 5;

/// The token of an access key. `pair` is the whole credential, whose secret stands behind the colon; `now` is seconds since 1970.
pub(super) fn sign(access_key: &str, pair: &Secret, now: i64) -> String {
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let claims = json!({
        "iss": access_key,
        "exp": now.saturating_add(LASTS),
        "nbf": now.saturating_sub(EARLY),
    });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let text = format!("{header}.{claims}");
    let secret = pair.expose().split_once(':').map(|(_, secret)| secret);
    let secret = secret.unwrap_or_default().trim();
    // A key of any length is one.
    let signature = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(text.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    });
    format!("{text}.{}", signature.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_jwt() {
        // printf '%s.%s' HEADER CLAIMS | openssl dgst -sha256 -hmac s3cret -binary | basenc --base64url | tr -d =
        let token = sign("ak", &Secret::new("ak:s3cret"), 1_700_000_000);
        assert_eq!(token, TOKEN);
        // Whoever copies a credential copies spaces.
        assert_eq!(
            sign("ak", &Secret::new("ak: s3cret\n"), 1_700_000_000),
            TOKEN
        );
        assert_ne!(sign("ak", &Secret::new("ak:other"), 1_700_000_000), TOKEN);
    }

    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhayIsImV4cCI6MTcwMDAwMTgwMCwibmJmIjoxNjk5OTk5OTk1fQ.MI-ddevee8FsRGNoNiQSRvjWWtErUsEbRY-2tVjwtJA";
}
