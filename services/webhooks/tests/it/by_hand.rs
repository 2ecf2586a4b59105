//! What docs/api.md tells customers to do by hand in Rust: the function here is the one there.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};

/// `now`: seconds UTC.
fn verify(secret: &str, (id, sent, signatures): (&str, &str, &str), body: &[u8], now: i64) -> bool {
    let Ok(at) = sent.parse::<i64>() else {
        return false;
    };
    let Ok(key) = STANDARD.decode(secret.trim_start_matches("whsec_")) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(&key) else {
        return false;
    };
    mac.update(format!("{id}.{sent}.").as_bytes());
    mac.update(body);
    let fits = |one: &str| {
        let given = one.strip_prefix("v1,");
        let given = given.and_then(|given| STANDARD.decode(given).ok());
        given.is_some_and(|given| mac.clone().verify_slice(&given).is_ok())
    };
    now.abs_diff(at) <= 300 && signatures.split(' ').any(fits)
}

const DOCS: &str = include_str!("../../../../docs/api.md");

fn told(name: &str) -> &'static str {
    let begins = format!("{name}: ");
    DOCS.lines()
        .find_map(|line| line.strip_prefix(&begins))
        .unwrap()
}

#[test]
fn the_function_of_the_docs_verifies_their_vector() {
    let here = include_str!("by_hand.rs");
    let function = here.split("const DOCS").next().unwrap();
    let function = function.split_once("\n\n").unwrap().1.trim_end();
    assert!(DOCS.contains(function), "docs/api.md has another function");

    let (secret, id) = (told("secret"), told("webhook-id"));
    let (sent, signature) = (told("webhook-timestamp"), told("webhook-signature"));
    let (body, now) = (told("body").as_bytes(), sent.parse::<i64>().unwrap());
    assert!(verify(secret, (id, sent, signature), body, now));
    assert!(verify(secret, (id, sent, signature), body, now + 300));
    let two = format!("v1,AAAA {signature}");
    assert!(verify(secret, (id, sent, &two), body, now));
    for (secret, headers, now) in [
        (secret, (id, sent, signature), now + 301),
        (secret, (id, sent, signature), now - 301),
        (secret, (id, sent, "v1,AAAA"), now),
        (secret, ("evt_1", sent, signature), now),
        (secret, (id, "soon", signature), now),
        ("whsec_AAAA", (id, sent, signature), now),
    ] {
        assert!(!verify(secret, headers, body, now), "{headers:?}");
    }
    assert!(!verify(secret, (id, sent, signature), b"{}", now));
}
