//! An answer as it is kept for whoever asks again, with the same Idempotency-Key or by an equal request: the events of the wire. Pure.

use bytes::Bytes;
use domain::{Micros, OperationId};
use prost::{Message as _, length_delimiter_len};
use proto::chat::v1::{Cached, CompleteEvent, Head, Tail, complete_event::Event};

use crate::reply::with_credits;

/// The events of one answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) head: Head,
    /// What may leave before the charge is booked.
    pub(crate) data: Vec<Bytes>,
    /// What may leave only then, without the charge in it.
    pub(crate) tail: Vec<Bytes>,
}

/// The data events of a stream under way, as long as they are few enough to be kept.
#[derive(Debug)]
pub(crate) struct Keeping {
    data: Vec<Bytes>,
    bytes: usize,
    limit: usize,
    reader: Reader,
}

/// Whether an answer is heard to its end for the sake of keeping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// It is, whether anybody reads it or not.
    MayLeave,
    /// Only as long as somebody reads it.
    Stays,
}

// === impl Kept ===

impl Kept {
    /// As bytes, if they are at most `limit`.
    pub(crate) fn encode(self, limit: usize) -> Option<Vec<u8>> {
        let tail = Event::Tail(Tail {
            data: self.tail,
            charged: 0,
        });
        let events = [Event::Head(self.head)]
            .into_iter()
            .chain(self.data.into_iter().map(Event::Data))
            .chain([tail]);
        let mut bytes = Vec::new();
        for event in events {
            let event = CompleteEvent { event: Some(event) };
            let length = event.encoded_len();
            let length = length.saturating_add(length_delimiter_len(length));
            if bytes.len().saturating_add(length) > limit {
                return None;
            }
            // Writing to a buffer that grows cannot fail.
            event.encode_length_delimited(&mut bytes).ok()?;
        }
        Some(bytes)
    }

    /// Its bytes, but for its head.
    pub(crate) fn len(&self) -> usize {
        self.data.iter().chain(&self.tail).map(Bytes::len).sum()
    }

    /// What [`Kept::encode`] made; `None`: it was not that.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut next = || {
            CompleteEvent::decode_length_delimited(&mut bytes)
                .ok()?
                .event
        };
        let Event::Head(head) = next()? else {
            return None;
        };
        let mut data = Vec::new();
        loop {
            match next()? {
                Event::Data(event) => data.push(event),
                Event::Tail(tail) => {
                    let tail = tail.data;
                    return Some(Self { head, data, tail });
                }
                Event::Head(_) | Event::Failed(_) => return None,
            }
        }
    }

    /// The events for whoever asks again, with what the answer's operation was charged.
    pub(crate) fn replayed(self, operation: OperationId, charged: Micros) -> Vec<Event> {
        let head = Head {
            replayed: true,
            operation_id: operation.to_vec().into(),
            ..self.head.clone()
        };
        self.events(head, charged)
    }

    /// The events for whoever sends an equal request, which is charged nothing. The answer's operation made it so many seconds ago.
    pub(crate) fn given_again(self, operation: OperationId, age: i64) -> Vec<Event> {
        let head = Head {
            operation_id: operation.to_vec().into(),
            cached: Some(Cached { hit: true, age }),
            ..self.head.clone()
        };
        self.events(head, Micros::ZERO)
    }

    fn events(self, head: Head, charged: Micros) -> Vec<Event> {
        let tail = Tail {
            data: credited(self.tail, charged),
            charged: charged.get(),
        };
        let data = self.data.into_iter().map(Event::Data);
        [Event::Head(head)]
            .into_iter()
            .chain(data)
            .chain([Event::Tail(tail)])
            .collect()
    }
}

/// The last events, with the charge in the last of them.
pub(crate) fn credited(mut tail: Vec<Bytes>, charged: Micros) -> Vec<Bytes> {
    if let Some(last) = tail.last_mut() {
        *last = with_credits(last, charged);
    }
    tail
}

// === impl Keeping ===

impl Keeping {
    /// At most `limit` bytes.
    pub(crate) const fn new(limit: usize, reader: Reader) -> Self {
        Self {
            data: Vec::new(),
            bytes: 0,
            limit,
            reader,
        }
    }

    /// Keeps one more, if there is room for all of them.
    pub(crate) fn add(&mut self, event: &Bytes) {
        self.bytes = self.bytes.saturating_add(event.len());
        if self.fits() {
            self.data.push(event.clone());
        } else {
            self.data = Vec::new();
        }
    }

    /// Whether the answer is worth hearing without a reader.
    pub(crate) fn outlives_reader(&self) -> bool {
        self.fits() && self.reader == Reader::MayLeave
    }

    /// Whether all events so far are kept.
    const fn fits(&self) -> bool {
        self.bytes <= self.limit
    }

    /// All events, if all are kept.
    pub(crate) fn into_data(self) -> Option<Vec<Bytes>> {
        self.fits().then_some(self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(data: &[&'static str], tail: &[&'static str]) -> Kept {
        let bytes = |texts: &[&'static str]| {
            let texts = texts.iter().map(|text| Bytes::from_static(text.as_bytes()));
            texts.collect()
        };
        Kept {
            head: Head {
                provider: "gemini".to_owned(),
                stream: true,
                ..Head::default()
            },
            data: bytes(data),
            tail: bytes(tail),
        }
    }

    #[test]
    fn what_is_kept_comes_back_as_it_was() {
        for answer in [
            kept(&[], &[]),
            kept(&["{}", r#"{"n":1}"#], &[]),
            kept(&["{}"], &["{}", r#"{"usage":{}}"#]),
        ] {
            let bytes = answer.clone().encode(1_000).unwrap();
            assert_eq!(Kept::decode(&bytes), Some(answer.clone()));
            assert_eq!(answer.encode(bytes.len() - 1), None, "one byte too long");
            assert_eq!(Kept::decode(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(Kept::decode(b""), None);
    }

    #[test]
    fn a_replay_names_its_operation_and_its_charge() {
        let operation = chassis::mint();
        let events = kept(&["{}"], &["{}", "{}"]).replayed(operation, Micros::new(1_500_000));
        let [Event::Head(head), Event::Data(_), Event::Tail(tail)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert!(head.replayed && head.stream);
        assert_eq!(head.operation_id, operation.to_vec());
        assert_eq!(tail.charged, 1_500_000);
        assert_eq!(tail.data, ["{}", r#"{"credits_consumed":1.5}"#]);
    }

    #[test]
    fn what_is_given_again_is_free_and_names_who_paid() {
        let operation = chassis::mint();
        let events = kept(&["{}"], &["{}"]).given_again(operation, 7);
        let [Event::Head(head), Event::Data(_), Event::Tail(tail)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(head.cached, Some(Cached { hit: true, age: 7 }));
        assert!(!head.replayed && head.stream);
        assert_eq!(head.operation_id, operation.to_vec());
        assert_eq!(tail.charged, 0);
        assert_eq!(tail.data, [r#"{"credits_consumed":0}"#]);
    }

    #[test]
    fn keeping_ends_where_there_is_no_room() {
        let mut keeping = Keeping::new(4, Reader::MayLeave);
        keeping.add(&Bytes::from_static(b"abcd"));
        assert!(keeping.fits() && keeping.outlives_reader());
        keeping.add(&Bytes::from_static(b"e"));
        assert!(!keeping.fits() && !keeping.outlives_reader());
        assert_eq!(keeping.into_data(), None);
        let read = Keeping::new(4, Reader::Stays);
        assert!(read.fits() && !read.outlives_reader());
    }
}
