//! What is promised about any bytes, for the fuzzers in `fuzz/` and for the tests that read their corpora. Each promise panics where it is broken.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use bytes::Bytes;
use url::Host;

use crate::{Decoder, EgressConfig, Event, Policy};

/// Largest event of the decoder that is tried: small, so that inputs reach it.
const MAX_EVENT_BYTES: usize = 256;
/// The policy of an installation that says nothing of it.
static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::new(&EgressConfig::default()));

/// A text that passes as a URL by its form is https, without credentials, to a port that is open, and never to an address that is not public by
/// another account than ours; and what passed, passes again as it was understood.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(passed) = POLICY.check_form(text) else {
        return;
    };
    let url = passed.as_url();
    assert!(text.len() <= 2_048, "too long");
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none());
    assert!(matches!(url.port_or_known_default(), Some(443 | 80)));
    match url.host() {
        Some(Host::Ipv4(address)) => assert!(is_public_v4(address), "{address}"),
        Some(Host::Ipv6(address)) => assert!(is_public_v6(address), "{address}"),
        Some(Host::Domain(name)) => {
            assert!(name.contains('.'), "{name}");
            // What another reader of the text might take for an address.
            assert!(name.parse::<IpAddr>().is_err(), "{name}");
        }
        None => assert!(url.has_host(), "{url} has no host"),
    }
    let again = POLICY
        .check_form(url.as_str())
        .map(|again| again.as_url().clone());
    assert_eq!(again.as_ref().ok(), Some(url), "it does not pass again");
}

/// By the library's own predicates, which are others than our tables.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_unspecified()
        || address.is_multicast()
        || shared
        || first == 0
        || first >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let wrapped = first == 0x2002 || (first == 0x2001 && second < 0x200);
    let unicast = first & 0xe000 == 0x2000;
    unicast && !wrapped && address.to_ipv4().is_none()
}

/// However a stream is cut into chunks, the same events come out of it, and their bytes joined are the bytes that went in. The first byte says how
/// it is cut.
pub fn events(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let whole = decode(stream.chunks(stream.len().max(1)));
    let cut = decode(stream.chunks(usize::from(*size).saturating_add(1)));
    // What is larger than it may be is seen sooner or later, but it is seen.
    let (events, ended) = &whole;
    assert_eq!(*ended, cut.1);
    if *ended == Ended::TooLarge {
        return;
    }
    assert_eq!(*events, cut.0);
    let raw: Vec<u8> = events.iter().flat_map(|event| event.raw.clone()).collect();
    assert!(stream.starts_with(&raw), "other bytes came out");
    for event in events {
        let data = event.data.as_ref().map_or(0, Bytes::len);
        assert!(data <= event.raw.len(), "more came out than went in");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Well,
    TooLarge,
}

fn decode<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Ended) {
    let mut decoder = Decoder::new(MAX_EVENT_BYTES);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(_too_large) => return (events, Ended::TooLarge),
            }
        }
    }
    events.extend(decoder.finish());
    (events, Ended::Well)
}

#[cfg(test)]
mod tests {
    use testkit::fuzzed;

    #[test]
    fn no_text_leads_inside() {
        fuzzed("egress_url", super::url).unwrap();
    }

    #[test]
    fn no_cut_changes_a_stream() {
        fuzzed("sse_decoder", super::events).unwrap();
    }
}
