//! Whether an event is Stripe's: the header `Stripe-Signature` holds `t=` (seconds) and one `v1=` or more, each the HMAC-SHA256
//! of `t`, a point and the body as it came, in hex. Other schemes (`v0`) are of test tools and prove nothing.

use std::{fmt::Write as _, time::Duration};

use domain::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// The only scheme that proves anything.
const SCHEME: &str = "v1";

/// Whether one of the header's signatures is that of these bytes, made no more than `tolerance` before `now` or after it.
/// `now` is in seconds UTC.
pub(crate) fn is_genuine(
    secret: &Secret,
    header: &str,
    body: &[u8],
    now: i64,
    tolerance: Duration,
) -> bool {
    let fields = || {
        header
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
    };
    let Some(moment) = fields().find_map(|(name, value)| (name == "t").then_some(value)) else {
        return false;
    };
    let age = moment.parse().map(|moment: i64| now.abs_diff(moment));
    if !age.is_ok_and(|age| age <= tolerance.as_secs()) {
        return false;
    }
    let Some(expected) = sign(secret, moment, body) else {
        return false;
    };
    fields()
        .filter(|(scheme, _)| *scheme == SCHEME)
        .any(|(_, given)| bool::from(given.as_bytes().ct_eq(expected.as_bytes())))
}

/// The signature in hex. HMAC takes keys of any length, so there always is one.
pub(crate) fn sign(secret: &Secret, moment: &str, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(moment.as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut text = String::with_capacity(64);
    for byte in mac.finalize().into_bytes() {
        write!(text, "{byte:02x}").ok()?;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;
    const BODY: &[u8] = br#"{"id":"evt_1", "type":"x"}"#;

    fn signed(secret: &str, moment: i64) -> String {
        sign(&Secret::new(secret), &moment.to_string(), BODY).unwrap()
    }

    fn genuine(header: &str, body: &[u8]) -> bool {
        let tolerance = Duration::from_secs(300);
        is_genuine(&Secret::new("whsec_a"), header, body, NOW, tolerance)
    }

    #[test]
    fn it_is_what_stripe_computes() {
        // Computed with OpenSSL: printf '1700000000.{"id":"evt_1", "type":"x"}' | openssl dgst -sha256 -hmac whsec_a
        assert_eq!(
            signed("whsec_a", NOW),
            "d8a1d4e516bba93c9a349373e178c23d94bc1403dfc1a155547c2c013da51e5d"
        );
    }

    #[test]
    fn only_a_fresh_and_right_signature_counts() {
        let right = signed("whsec_a", NOW);
        let wrong = signed("whsec_b", NOW);
        let at = |moment: i64| format!("t={moment},v1={}", signed("whsec_a", moment));
        for (header, expected) in [
            (format!("t={NOW},v1={right}"), true),
            (format!("t={NOW}, v1={right}"), true),
            // While a secret is being replaced there are two.
            (format!("t={NOW},v1={wrong},v1={right}"), true),
            (format!("t={NOW},v1={right},v0={wrong}"), true),
            (at(NOW - 300), true),
            (at(NOW + 300), true),
            (at(NOW - 301), false),
            (at(NOW + 301), false),
            (format!("t={NOW},v1={wrong}"), false),
            (format!("t={NOW},v0={right}"), false),
            (format!("t={},v1={right}", NOW + 1), false),
            (format!("t={NOW},v1={}", right.to_uppercase()), false),
            (format!("t={NOW},v1={}", &right[..63]), false),
            (format!("t={NOW},v1="), false),
            (format!("t={NOW}"), false),
            (format!("v1={right}"), false),
            (format!("t=soon,v1={right}"), false),
            (String::new(), false),
            ("nonsense".to_owned(), false),
        ] {
            assert_eq!(genuine(&header, BODY), expected, "{header}");
        }
    }

    #[test]
    fn the_bytes_count_and_not_what_they_say() {
        let header = format!("t={NOW},v1={}", signed("whsec_a", NOW));
        let again: serde_json::Value = serde_json::from_slice(BODY).unwrap();
        assert!(genuine(&header, BODY));
        assert!(!genuine(&header, again.to_string().as_bytes()));
        assert!(!genuine(&header, b""));
    }
}
