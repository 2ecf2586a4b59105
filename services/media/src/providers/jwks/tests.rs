//! Signed callbacks against a key set that somebody else's program made, and signed with.

use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;
use crate::providers::for_tests::{answering, client};

const NOW: i64 = 1_700_000_000;
const BODY: &[u8] = br#"{"request_id":"r1","status":"OK"}"#;
/// `openssl genpkey -algorithm ed25519`, and its public half.
const KEY: &str = "mTXTU_wE4uw8bTv-u7G87BSC-_ElNgW5s66X_x8ZWG8";
/// `openssl pkeyutl -sign -rawin` of `r1`, `user-1`, [`NOW`] and the hash of [`BODY`], each in a line.
const SIGNATURE: &str = "e841098ba44395623f33631f3d321cc0bb9200f7cd72bcb64cd5c21375727b51\
    6b35604779a633115722ac54ff23021795bd82a6eebac0184b2fc22947e5440f";
const HEADERS: Headers = Headers {
    signed: ["x-request", "x-user"],
    moment: "x-moment",
    signature: "x-signature",
};

/// The headers of a right one, but for one of them.
fn with(changed: &str, to: &str) -> HeaderMap {
    let all = [
        ("x-request", "r1"),
        ("x-user", "user-1"),
        ("x-moment", "1700000000"),
        ("x-signature", SIGNATURE),
    ];
    let all = all.map(|(name, value)| {
        let value = if name == changed { to } else { value };
        (
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )
    });
    all.into_iter().collect()
}

async fn heard(keys: &Keys, place: &Url, headers: &HeaderMap, (body, now): (&[u8], i64)) -> Heard {
    let callback = Callback {
        job: "a job",
        path: "/c/1",
        headers,
        body,
        now,
    };
    keys.hear(place.clone(), HEADERS, &callback).await
}

#[tokio::test]
async fn only_what_was_signed_with_one_of_the_keys_is_theirs() {
    let set = json!({ "keys": [{ "kty": "RSA", "n": "AQAB" }, { "x": "AAAA" }, { "x": KEY }] });
    let (access, asked) = answering(200, &set.to_string()).await;
    let keys = Keys::new(client());
    let right = with("", "");
    let place = &access.base_url;
    for (headers, body, now, expected) in [
        (&right, BODY, NOW, Heard::Signed),
        (&right, BODY, NOW + 300, Heard::Signed),
        (&right, BODY, NOW + 301, Heard::Forged),
        (&right, BODY, NOW - 301, Heard::Forged),
        (&right, &b"{}"[..], NOW, Heard::Forged),
        (&with("x-request", "r2"), BODY, NOW, Heard::Forged),
        (&with("x-user", "user-2"), BODY, NOW, Heard::Forged),
        (&with("x-moment", "1700000001"), BODY, NOW, Heard::Forged),
        (&with("x-signature", "00"), BODY, NOW, Heard::Forged),
        (&with("x-signature", "no hex"), BODY, NOW, Heard::Forged),
        (&HeaderMap::new(), BODY, NOW, Heard::Forged),
    ] {
        let heard = heard(&keys, place, headers, (body, now)).await;
        assert_eq!(heard, expected, "{headers:?} {now}");
    }
    // Once: what is forged does not make us ask again at once. Nor is our key shown.
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert!(!asked[0].1.contains_key("authorization"));
}

#[tokio::test]
async fn without_their_keys_nobody_can_tell() {
    // A right point that is said to be of another kind of key is none of this one.
    let others = [("EC", "P-256"), ("OKP", "X25519"), ("oct", "Ed25519")];
    let others = others.map(|(kty, crv)| json!({ "kty": kty, "crv": crv, "x": KEY }));
    let others = json!({ "keys": others }).to_string();
    for (status, answer) in [
        (200, others.as_str()),
        (500, ""),
        (404, r#"{"detail":"Not Found"}"#),
        (200, "<html>"),
        (200, r#"{"keys":[]}"#),
        (200, r#"{"keys":[{"kty":"RSA"},{"x":"$"}]}"#),
    ] {
        let (access, asked) = answering(status, answer).await;
        let keys = Keys::new(client());
        for _ in 0..2 {
            let heard = heard(&keys, &access.base_url, &with("", ""), (BODY, NOW)).await;
            assert_eq!(heard, Heard::Unsigned, "{status} {answer}");
        }
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}

#[test]
fn keys_are_believed_for_a_day() {
    let before = |hours: u64| Instant::now().checked_sub(Duration::from_secs(hours * 60 * 60));
    for (hours, is_old) in [(0, false), (23, false), (24, true), (25, true)] {
        let came = before(hours).unwrap();
        let mut known = Known {
            keys: vec![vec![1]],
            asked: Some(came),
            came: Some(came),
        };
        assert_eq!(known.is_old(), is_old, "{hours}");
        assert_eq!(known.keys.is_empty(), is_old, "{hours}");
        assert_eq!(known.may_be_asked(), hours > 0, "{hours}");
    }
}
