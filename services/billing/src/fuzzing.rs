//! What is promised about any bytes, for the fuzzers in `fuzz/` and for the tests that read their corpora. Each promise panics where it is broken.

use std::time::Duration;

use domain::Secret;

use crate::orders::{
    event::Event,
    signature::{is_genuine, sign},
};

/// When what is tried comes, in seconds UTC.
const NOW: i64 = 1_700_000_000;
const TOLERANCE: Duration = Duration::from_secs(300);

/// An event of the payment provider: the header up to the first line break, and the body behind it. No header that was not made with the secret is
/// believed; what was, is, and not for one byte more. Whatever it is, it is read or refused.
pub fn payment_event(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (header, body) = data.split_at(end.unwrap_or(data.len()));
    let secret = Secret::new("whsec_of_nobody");
    let header = String::from_utf8_lossy(header);
    let believes = |header: &str, body: &[u8]| is_genuine(&secret, header, body, NOW, TOLERANCE);
    assert!(!believes(&header, body), "a forged event is believed");
    let moment = NOW.to_string();
    let signature = sign(&secret, &moment, body).unwrap_or_default();
    let signed = format!("t={moment},v1={signature}");
    assert!(believes(&signed, body), "a signed event is not believed");
    let longer = [body, b" "].concat();
    assert!(!believes(&signed, &longer), "a changed event is believed");
    // Whatever else stands around it, the first moment is the one that was signed.
    let around = format!("{signed},{header}");
    assert!(believes(&around, body), "a signed event is not believed");
    if let Some(event) = Event::read(body) {
        assert!(event.id.len() <= body.len());
    }
}

#[cfg(test)]
mod tests {
    use testkit::fuzzed;

    #[test]
    fn only_what_was_signed_is_believed() {
        fuzzed("payment_event", super::payment_event).unwrap();
    }
}
