//! Server-sent events: what comes out does not depend on how the bytes were cut.

use bytes::Bytes;
use futures::{StreamExt, stream};
use proptest::collection::vec;
use proptest::prelude::*;
use upstream::{Class, Decoder, Event, EventTooLarge, Events, Failure};

/// Everything a decoder gives for these chunks, the end of the stream included.
fn decode(chunks: &[&[u8]], max: usize) -> (Vec<Event>, Option<EventTooLarge>) {
    let mut decoder = Decoder::new(max);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    events.extend(decoder.finish());
    (events, None)
}

/// Name and data of each block, `-` for none.
fn shown(text: &str) -> Vec<String> {
    let (events, error) = decode(&[text.as_bytes()], 1_000);
    assert_eq!(error, None);
    let show = |part: &Option<Bytes>| match part {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => "-".to_owned(),
    };
    events
        .iter()
        .map(|event| format!("{}|{}", show(&event.name), show(&event.data)))
        .collect()
}

#[test]
fn the_rules_of_the_format() {
    let table: &[(&str, &[&str])] = &[
        (
            "data: {\"a\":1}\n\ndata: [DONE]\n\n",
            &["-|{\"a\":1}", "-|[DONE]"],
        ),
        ("data:x\n\n", &["-|x"]),
        ("data:  x\n\n", &["-| x"]),
        ("data: a:b\n\n", &["-|a:b"]),
        ("data: x\r\n\r\ndata: y\r\n\r\n", &["-|x", "-|y"]),
        ("data: x\r\rdata: y\r\r", &["-|x", "-|y"]),
        ("data: x\ndata: y\n\n", &["-|x\ny"]),
        ("data: x\ndata\ndata: z\n\n", &["-|x\n\nz"]),
        ("event: error\ndata: x\n\n", &["error|x"]),
        ("id: 7\nretry: 9\ndata: x\n\n", &["-|x"]),
        (": ping\n\ndata: x\n\n", &["-|-", "-|x"]),
        ("\u{feff}data: x\n\n", &["-|x"]),
        ("data: x\n\n\u{feff}data: y\n\n", &["-|x", "-|-"]),
        ("data:\n\n", &["-|"]),
        ("data: x\n\n\n", &["-|x", "-|-"]),
        // The end of the stream: whole lines are an event, a line that was cut off is not.
        ("data: [DONE]\n", &["-|[DONE]"]),
        ("data: x\n\ndata: {\"cu", &["-|x"]),
        ("", &[]),
    ];
    for (text, expected) in table {
        assert_eq!(shown(text), *expected, "{text:?}");
    }
}

#[test]
fn a_block_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"event: e\ndata: one\n\ndata: two\n\n");
    let span = chunk.as_ptr_range();
    let mut decoder = Decoder::new(100);
    decoder.push(chunk);
    for (raw, data) in [("event: e\ndata: one\n\n", "one"), ("data: two\n\n", "two")] {
        let event = decoder.next_event().unwrap().unwrap();
        assert_eq!(event.raw, raw);
        let bytes = event.data.unwrap();
        assert_eq!(bytes, data);
        assert!(span.contains(&bytes.as_ptr()), "copied");
        assert!(span.contains(&event.raw.as_ptr()), "copied");
    }
    assert_eq!(decoder.next_event(), Ok(None));
}

#[test]
fn a_block_beyond_the_limit_ends_the_stream() {
    let too_large = Some(EventTooLarge {
        max_event_bytes: 10,
    });
    let exact = decode(&[b"data: 12\n\n"], 10);
    assert_eq!((exact.0.len(), exact.1), (1, None));
    assert_eq!(decode(&[b"data: 123\n\n"], 10).1, too_large);
    // An endless line is refused before its end comes.
    assert_eq!(decode(&[b"data: ", b"12345"], 10).1, too_large);
    let after = decode(&[b"data: 1\n\ndata: 12345", b"\n\ndata: 2\n\n"], 10);
    assert_eq!((after.0.len(), after.1), (1, too_large));
}

#[tokio::test]
async fn the_stream_ends_with_its_first_failure() {
    let chunks = stream::iter([
        Ok(Bytes::from_static(b"data: 1\n\nda")),
        Ok(Bytes::from_static(b"ta: 2\n\ndata: 3\n")),
        Err(Failure::malformed("cut")),
        Ok(Bytes::from_static(b"\n")),
    ]);
    let events: Vec<_> = Events::new(chunks, 100).collect().await;
    let data: Vec<_> = events.iter().flatten().flat_map(|e| &e.data).collect();
    assert_eq!(data, ["1", "2"]);
    assert_eq!(events.len(), 3);
    let failure = events.last().unwrap().as_ref().unwrap_err();
    assert_eq!(failure.class(), Class::Malformed);

    let chunks = stream::iter([Ok(Bytes::from_static(b"data: 1234567890"))]);
    let events: Vec<_> = Events::new(chunks, 10).collect().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].as_ref().unwrap_err().class(), Class::Malformed);
}

/// Bytes that are mostly the characters the format is made of.
fn stream_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"data"[..]),
        Just(&b"data: "[..]),
        Just(&b"event: x"[..]),
        Just(&b":"[..]),
        Just(&b" "[..]),
        Just(&b"\n"[..]),
        Just(&b"\r"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\n\n"[..]),
        Just(&b"\xEF\xBB\xBF"[..]),
        Just(&b"{\"k\":\"v\"}"[..]),
        Just(&b"\xC3\xA9"[..]),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_chunking_decodes_the_same(
        bytes in stream_bytes(),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
        max in 4_usize..60,
    ) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut start = 0;
        let chunks: Vec<&[u8]> = ends
            .into_iter()
            .map(|end| &bytes[std::mem::replace(&mut start, end)..end])
            .collect();
        let whole = decode(&[&bytes], max);
        prop_assert_eq!(&decode(&chunks, max), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&decode(&single, max), &whole);
    }

    #[test]
    fn the_raw_bytes_are_the_bytes_that_came(bytes in stream_bytes()) {
        let (events, error) = decode(&[&bytes], usize::MAX);
        prop_assert_eq!(error, None);
        let raw: Vec<u8> = events.iter().flat_map(|event| event.raw.to_vec()).collect();
        // Only an unfinished last line may be missing.
        prop_assert!(bytes.starts_with(&raw));
        let rest = &bytes[raw.len()..];
        prop_assert!(rest.is_empty() || !rest.ends_with(b"\n"));
    }
}
