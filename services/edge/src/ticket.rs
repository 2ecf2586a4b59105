//! What belongs to one request from its head to the last byte of its answer: its id, and what must be given back at the end.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use chassis::Begun;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tracing::Span;

use crate::limits::Slot;

/// Ids of requests: `req_` and 26 characters.
#[derive(Debug)]
enum Request {}

impl domain::ids::Kind for Request {
    const PREFIX: &'static str = "req";
}

/// What belongs to one request.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// The request's id, as customers see it.
    pub(crate) request_id: String,
    /// The same id, as bytes: the name of its slot.
    pub(crate) bytes: [u8; 16],
    /// How much of its rate the key has left, once that was counted.
    pub(crate) rate: OnceLock<RateState>,
    /// The key's slot, once it was taken. Given back when the ticket is dropped.
    pub(crate) slot: OnceLock<Slot>,
    /// That it was taken on, if it costs work; until its answer begins.
    pub(crate) begun: OnceLock<Begun>,
    /// What a trace calls it.
    pub(crate) span: Span,
}

/// How much of its rate a key has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateState {
    /// Requests per minute.
    pub(crate) limit: u32,
    /// Requests that would be let through right now.
    pub(crate) remaining: u32,
}

/// A body that holds on to its ticket until its last byte.
pub(crate) struct TicketedBody {
    inner: Body,
    ticket: Option<Arc<Ticket>>,
}

// === impl Ticket ===

impl Ticket {
    /// A ticket for a new request. An id that a client sends is not believed.
    pub(crate) fn new(span: Span) -> Arc<Self> {
        let id = chassis::mint::<Request>();
        Arc::new(Self {
            request_id: id.to_string(),
            bytes: id.to_bytes(),
            rate: OnceLock::new(),
            slot: OnceLock::new(),
            begun: OnceLock::new(),
            span,
        })
    }

    /// Writes the rate into an answer's head.
    pub(crate) fn write_rate(&self, headers: &mut HeaderMap) {
        if let Some(rate) = self.rate.get() {
            headers.insert("x-ratelimit-limit-requests", rate.limit.into());
            headers.insert("x-ratelimit-remaining-requests", rate.remaining.into());
        }
    }
}

// === impl TicketedBody ===

impl TicketedBody {
    /// Gives the body its ticket, if there is something to give back.
    pub(crate) fn wrap(inner: Body, ticket: Arc<Ticket>) -> Body {
        if ticket.slot.get().is_none() {
            return inner;
        }
        Body::new(Self {
            inner,
            ticket: Some(ticket),
        })
    }
}

impl HttpBody for TicketedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let ticket = self.ticket.as_ref();
        let span = ticket.map_or_else(Span::none, |ticket| ticket.span.clone());
        let polled = span.in_scope(|| Pin::new(&mut self.inner).poll_frame(context));
        // Before the last frame leaves, so that a client that has it all may send its next request at once.
        let over = match &polled {
            Poll::Ready(Some(Ok(_))) => self.inner.is_end_stream(),
            Poll::Ready(Some(Err(_)) | None) => true,
            Poll::Pending => false,
        };
        if over {
            self.ticket = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
