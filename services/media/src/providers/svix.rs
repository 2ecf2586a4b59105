//! Whether a callback is its provider's, where it signs as Svix does: `webhook-signature` holds one `v1,` or more, with a space between
//! them, each the HMAC-SHA256 of `webhook-id`, `webhook-timestamp` (seconds) and the body as it came, with points between, in base64. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::Callback;

/// What a secret begins with; its bytes follow in base64.
const PREFIX: &str = "whsec_";
/// The only scheme that we know.
const SCHEME: &str = "v1,";
/// Seconds that a callback may be old, or early.
const TOLERANCE: u64 = 300;

/// Whether one of its signatures is that of these bytes, made lately.
pub(super) fn is_genuine(secret: &Secret, callback: &Callback<'_>) -> bool {
    let header = |name: &str| callback.headers.get(name)?.to_str().ok();
    let (Some(id), Some(moment), Some(given)) = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    ) else {
        return false;
    };
    let age = moment.parse().map(|at: i64| callback.now.abs_diff(at));
    if !age.is_ok_and(|age| age <= TOLERANCE) {
        return false;
    }
    let Some(expected) = sign(secret, (id, moment), callback.body) else {
        return false;
    };
    let mut given = given.split(' ').filter_map(|one| one.strip_prefix(SCHEME));
    given.any(|one| bool::from(one.as_bytes().ct_eq(expected.as_bytes())))
}

/// `None` for a secret that is none of theirs.
fn sign(secret: &Secret, (id, moment): (&str, &str), body: &[u8]) -> Option<String> {
    let key = secret.expose().strip_prefix(PREFIX)?;
    let key = STANDARD.decode(key).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    for part in [id.as_bytes(), b".", moment.as_bytes(), b".", body] {
        mac.update(part);
    }
    Some(STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    const NOW: i64 = 1_700_000_000;
    const BODY: &[u8] = br#"{"id":"p1","status":"succeeded"}"#;
    /// The bytes `0123456789abcdef01234567`.
    const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
    /// printf 'msg_1.1700000000.{"id":"p1","status":"succeeded"}' | openssl dgst -sha256 -hmac 0123456789abcdef01234567 -binary | base64
    const SIGNATURE: &str = "ZExN73yv8qWVCecCi21+EXzT0O40H/jikFco/dJjHOE=";

    fn genuine(secret: &str, headers: &[(&'static str, &str)], body: &[u8]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let callback = Callback {
            job: "p1",
            path: "/c/1",
            headers: &map,
            body,
            now: NOW,
        };
        is_genuine(&Secret::new(secret), &callback)
    }

    fn headers<'a>(moment: &'a str, signature: &'a str) -> [(&'static str, &'a str); 3] {
        [
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", moment),
            ("webhook-signature", signature),
        ]
    }

    #[test]
    fn only_what_was_signed_with_the_secret_is_theirs() {
        let right = format!("v1,{SIGNATURE}");
        let several = format!("v1a,x v1,eA== {right}");
        for signature in [right.as_str(), several.as_str()] {
            assert!(genuine(SECRET, &headers("1700000000", signature), BODY));
        }
        let (bare, other_scheme) = (SIGNATURE, format!("v2,{SIGNATURE}"));
        for signature in [bare, &other_scheme, "v1,", ""] {
            assert!(!genuine(SECRET, &headers("1700000000", signature), BODY));
        }
        let whole = headers("1700000000", &right);
        assert!(!genuine(SECRET, &whole, b"{}"));
        assert!(!genuine("whsec_AAAA", &whole, BODY));
        assert!(!genuine("no secret of theirs", &whole, BODY));
        assert!(!genuine(SECRET, &headers("1700000001", &right), BODY));
        assert!(!genuine(SECRET, &whole[..2], BODY));
    }

    #[test]
    fn an_old_one_is_nobodys() {
        for (moment, expected) in [(NOW - 300, true), (NOW - 301, false), (NOW + 301, false)] {
            let text = moment.to_string();
            let signature = sign(&Secret::new(SECRET), ("msg_1", &text), BODY).unwrap();
            let signature = format!("v1,{signature}");
            assert_eq!(genuine(SECRET, &headers(&text, &signature), BODY), expected);
        }
    }
}
