//! Signatures of callbacks, as far as providers agree about them. Pure.

use std::time::UNIX_EPOCH;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use domain::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::Sha256;

/// How much older or newer than now a callback may be, in seconds.
const TOLERANCE: u64 = 300;

/// Whether this is the HMAC-SHA256 of the text. Takes as long whatever is wrong with it.
pub(super) fn is_hmac(secret: &Secret, text: &[u8], signature: &[u8]) -> bool {
    is_hmac_by(secret.expose().as_bytes(), text, signature)
}

/// The same by a key that is no text.
pub(super) fn is_hmac_by(key: &[u8], text: &[u8], signature: &[u8]) -> bool {
    mac(key, text).is_some_and(|mac| mac.verify_slice(signature).is_ok())
}

/// The HMAC-SHA256 of a text by a secret, where that is a key in turn.
pub(super) fn derived(secret: &Secret, text: &[u8]) -> Option<Vec<u8>> {
    let mac = mac(secret.expose().as_bytes(), text)?;
    Some(mac.finalize().into_bytes().to_vec())
}

fn mac(key: &[u8], text: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac)
}

/// Whether this is the secret itself. Takes as long whatever is wrong with it.
pub(super) fn is_same(secret: &Secret, shown: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return false;
    };
    mac.update(secret.expose().as_bytes());
    is_hmac(secret, shown.as_bytes(), &mac.finalize().into_bytes())
}

/// What is written in base64; nothing where it is not.
pub(super) fn of_base64(text: &str) -> Vec<u8> {
    BASE64.decode(text.trim()).unwrap_or_default()
}

/// What is written in hex; nothing where it is not.
pub(super) fn of_hex(text: &str) -> Vec<u8> {
    let digits: Option<Vec<u32>> = text.trim().chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2));
    let bytes = digits.unwrap_or_default();
    let pairs = bytes.chunks_exact(2);
    let pairs = pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit));
    pairs.filter_map(|byte| u8::try_from(byte).ok()).collect()
}

/// The same the other way round.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the moment, seconds since 1970 as a header has them, is about now.
pub(super) fn is_fresh(moment: &str, now: i64) -> bool {
    let moment = moment.trim().parse::<i64>();
    moment.is_ok_and(|moment| moment.abs_diff(now) <= TOLERANCE)
}

/// The same of a date as HTTP writes it.
pub(super) fn is_of_late(date: &str, now: i64) -> bool {
    let since = httpdate::parse_http_date(date).ok();
    let since = since.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    since.is_some_and(|since| is_fresh(&since.as_secs().to_string(), now))
}

/// A header's text; empty where there is none.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
