//! Server-sent events out of byte chunks (WHATWG HTML, "event stream interpretation").
//!
//! This is the hot path of streamed chat: a block that lies in one chunk is handed on as slices of that chunk, without a copy.
//! However the bytes are cut into chunks, the same blocks come out, and their `raw` bytes joined are the bytes that
//! went in, so that a proxy can forward them untouched. It must not know what stands inside `data`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures::Stream;
use memchr::{memchr, memchr2};

use crate::failure::Failure;

/// One block of the stream: what stands between two blank lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The block as it came, with the blank line that ends it.
    pub raw: Bytes,
    /// The `event:` field.
    pub name: Option<Bytes>,
    /// The `data:` lines joined by `\n`; `None` for a block without any, such as a comment that keeps the line alive.
    pub data: Option<Bytes>,
}

/// A block grew beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a server-sent event is larger than {max_event_bytes} bytes")]
pub struct EventTooLarge {
    /// The limit, in bytes.
    pub max_event_bytes: usize,
}

/// The incremental decoder: [`push`](Decoder::push) a chunk, then take events until there is none.
#[derive(Debug)]
pub struct Decoder {
    /// What of the last chunk is not decoded yet.
    chunk: Bytes,
    /// The beginning of a block whose end has not come.
    carry: BytesMut,
    /// Where the bytes seen so far end.
    at: Position,
    /// Whether the next block is the first, which may begin with a byte-order mark.
    stage: Stage,
    max_event_bytes: usize,
}

/// A stream of events over a stream of chunks. It ends after the first failure.
#[derive(Debug)]
pub struct Events<S> {
    chunks: S,
    decoder: Decoder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Nothing of the current line has come.
    LineStart,
    /// Inside a line.
    InLine,
    /// After the carriage return that ended a line, whose line feed may still come.
    AfterReturn,
    /// As above, and the line was blank: the block is complete.
    AfterBlankReturn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    First,
    Later,
    Done,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

// === impl Decoder ===

impl Decoder {
    /// A decoder that refuses blocks of more than `max_event_bytes`.
    #[must_use]
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            chunk: Bytes::new(),
            carry: BytesMut::new(),
            at: Position::LineStart,
            stage: Stage::First,
            max_event_bytes,
        }
    }

    /// Gives the next bytes. Take all events before giving more: bytes that are still waiting are copied.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
            return;
        }
        let mut joined = BytesMut::with_capacity(self.chunk.len() + chunk.len());
        joined.extend_from_slice(&self.chunk);
        joined.extend_from_slice(&chunk);
        self.chunk = joined.freeze();
    }

    /// The next complete block, or `None` until more bytes are pushed.
    ///
    /// A block that ends in a bare carriage return is complete only with the byte after it, which may be its line feed.
    ///
    /// # Errors
    /// [`EventTooLarge`] once a block, complete or not, passes the limit; the decoder then gives nothing more.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventTooLarge> {
        if self.stage == Stage::Done {
            return Ok(None);
        }
        let end = block_end(&mut self.at, &self.chunk);
        let taken = end.unwrap_or(self.chunk.len());
        if self.carry.len() + taken > self.max_event_bytes {
            return Err(self.overflow());
        }
        if end.is_some() && self.carry.is_empty() {
            let raw = self.chunk.split_to(taken);
            return Ok(Some(self.parse(raw)));
        }
        if let Some(head) = self.chunk.get(..taken) {
            self.carry.extend_from_slice(head);
            self.chunk.advance(taken);
        }
        if end.is_none() {
            return Ok(None);
        }
        let raw = self.carry.split().freeze();
        Ok(Some(self.parse(raw)))
    }

    /// What is left when the stream has ended: a last block whose lines are whole but whose blank line never came (some
    /// servers end so). A line that was cut off is not an event, and its block is dropped.
    #[must_use]
    pub fn finish(&mut self) -> Option<Event> {
        let whole = !matches!(self.at, Position::InLine);
        let raw = self.carry.split().freeze();
        if self.stage == Stage::Done || raw.is_empty() || !whole {
            self.stage = Stage::Done;
            return None;
        }
        let event = self.parse(raw);
        self.stage = Stage::Done;
        Some(event)
    }

    fn overflow(&mut self) -> EventTooLarge {
        self.stage = Stage::Done;
        self.chunk = Bytes::new();
        self.carry = BytesMut::new();
        EventTooLarge {
            max_event_bytes: self.max_event_bytes,
        }
    }

    fn parse(&mut self, raw: Bytes) -> Event {
        let text = match self.stage {
            Stage::First => raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&raw),
            Stage::Later | Stage::Done => &raw,
        };
        self.stage = Stage::Later;
        let mut name = None;
        let mut data = Data::None;
        let mut rest = text;
        while let Some((line, after)) = split_line(rest) {
            rest = after;
            match field(line) {
                (b"data", value) => data = data.and(value),
                (b"event", value) => name = Some(value),
                _ => {}
            }
        }
        Event {
            name: name.map(|value| raw.slice_ref(value)),
            data: match data {
                Data::None => None,
                Data::One(line) => Some(raw.slice_ref(line)),
                Data::Many(lines) => Some(lines.freeze()),
            },
            raw,
        }
    }
}

/// Finds the end of the block that goes on in `bytes`, and keeps track of the line they end in.
fn block_end(at: &mut Position, bytes: &[u8]) -> Option<usize> {
    let mut offset = 0;
    if matches!(at, Position::AfterReturn | Position::AfterBlankReturn) {
        let feed = usize::from(*bytes.first()? == b'\n');
        let blank = *at == Position::AfterBlankReturn;
        *at = Position::LineStart;
        if blank {
            return Some(feed);
        }
        offset = feed;
    }
    while let Some(length) = memchr2(b'\n', b'\r', bytes.get(offset..)?) {
        let blank = length == 0 && *at == Position::LineStart;
        let end = offset + length;
        offset = match (bytes.get(end), bytes.get(end + 1)) {
            (Some(b'\r'), None) if blank => {
                *at = Position::AfterBlankReturn;
                return None;
            }
            (Some(b'\r'), None) => {
                *at = Position::AfterReturn;
                return None;
            }
            (Some(b'\r'), Some(b'\n')) => end + 2,
            _ => end + 1,
        };
        *at = Position::LineStart;
        if blank {
            return Some(offset);
        }
    }
    if offset < bytes.len() {
        *at = Position::InLine;
    }
    None
}

/// The first line without its ending, and what follows; `None` when nothing is left.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let Some(end) = memchr2(b'\n', b'\r', text) else {
        return Some((text, &[]));
    };
    let (line, ending) = text.split_at(end);
    let rest = ending
        .strip_prefix(b"\r\n")
        .or_else(|| ending.get(1..))
        .unwrap_or_default();
    Some((line, rest))
}

/// A line as field name and value; a comment has the empty name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = memchr(b':', line) else {
        return (line, &[]);
    };
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default();
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

/// The `data:` lines of a block.
enum Data<'a> {
    None,
    One(&'a [u8]),
    Many(BytesMut),
}

// === impl Data ===

impl<'a> Data<'a> {
    fn and(self, line: &'a [u8]) -> Self {
        let mut lines = match self {
            Self::None => return Self::One(line),
            Self::One(first) => BytesMut::from(first),
            Self::Many(lines) => lines,
        };
        lines.extend_from_slice(b"\n");
        lines.extend_from_slice(line);
        Self::Many(lines)
    }
}

// === impl Events ===

impl<S> Events<S> {
    /// Decodes the chunks of `chunks`, refusing blocks of more than `max_event_bytes`.
    pub fn new(chunks: S, max_event_bytes: usize) -> Self {
        Self {
            chunks,
            decoder: Decoder::new(max_event_bytes),
        }
    }
}

impl<S> Stream for Events<S>
where
    S: Stream<Item = Result<Bytes, Failure>> + Unpin,
{
    type Item = Result<Event, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match this.decoder.next_event() {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                Ok(None) if this.decoder.stage == Stage::Done => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => {
                    let failure = Failure::malformed("a server-sent event is too large");
                    return Poll::Ready(Some(Err(failure.caused_by(error))));
                }
            }
            match ready!(Pin::new(&mut this.chunks).poll_next(cx)) {
                Some(Ok(chunk)) => this.decoder.push(chunk),
                Some(Err(failure)) => {
                    this.decoder.stage = Stage::Done;
                    return Poll::Ready(Some(Err(failure)));
                }
                None => return Poll::Ready(this.decoder.finish().map(Ok)),
            }
        }
    }
}
