//! Server-sent events: framing, heartbeats, and the body of a streamed chat. After the head has left, a failure can only be
//! told within the stream; no stream ends without the last event of its form, such as
//! `[DONE]`, or an error event.

use std::{
    convert::Infallible,
    fmt::Write as _,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ::http::{HeaderMap, HeaderValue, header};
use axum::{body::Body, response::Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use domain::OperationId;
use futures::StreamExt as _;
use http_body::{Body as HttpBody, Frame};
use memchr::memchr2;
use proto::{
    Fault,
    chat::v1::{CompleteEvent, Head, complete_event::Event},
    code,
    common::v1::Context as Caller,
    direct::Messages,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep};
use tracing::Span;

use crate::{
    App, anthropic, error,
    error::ApiError,
    http,
    responses::{self, turn::Kept},
};

/// A comment: keeps proxies and clients from thinking that nobody is there.
pub(crate) const HEARTBEAT: &[u8] = b": heartbeat\n\n";
/// Events that are ready together leave in one write, up to about this many bytes.
const WRITE_BYTES: usize = 16 * 1024;

/// What chat began to say.
pub(crate) struct Opened {
    /// Who answers, and how.
    pub(crate) head: Head,
    /// What comes after the head.
    pub(crate) events: Messages<CompleteEvent>,
}

/// What chat will begin to say.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Opened, ApiError>> + Send>>;

/// Whether a response is kept, once that is known.
pub(crate) type Keeping = Pin<Box<dyn Future<Output = Kept> + Send>>;

/// Where a streamed chat stands.
pub(crate) enum Stage {
    /// Chat has not answered yet.
    Opening(Opening),
    /// Events come. Dropping them tells chat that the client went away.
    Events(Messages<CompleteEvent>),
    /// The answer is complete, and is being kept before its last event leaves.
    Keeping(Keeping),
    /// Everything was said.
    Ended,
}

/// In whose form a streamed chat is told.
pub(crate) enum Form {
    /// OpenAI's: as chat says it.
    OpenAi,
    /// Anthropic's.
    Anthropic(Box<anthropic::events::Events>),
    /// That of OpenAI's Responses API.
    Responses(Box<Responding>),
}

/// A response that is told event by event.
pub(crate) struct Responding {
    /// What was said of it.
    pub(crate) events: responses::events::Events,
    /// Whose it is, and which.
    pub(crate) place: (Caller, OperationId),
}

/// The body of a streamed chat.
struct ChatBody {
    app: Arc<App>,
    request_id: String,
    form: Form,
    stage: Stage,
    beat: Pin<Box<Sleep>>,
    /// When bytes last left; `None` until the first do.
    sent: Option<Instant>,
    /// When chat last said something.
    heard: Instant,
}

/// Answers with a stream of events.
pub(crate) fn respond(app: &Arc<App>, request_id: String, form: Form, stage: Stage) -> Response {
    let streams = &app.config.limits.streams;
    let now = Instant::now();
    let body = ChatBody {
        app: Arc::clone(app),
        request_id,
        form,
        // A head that leaves before chat has answered is followed by a heartbeat at once.
        sent: match stage {
            Stage::Opening(_) => None,
            Stage::Events(_) | Stage::Keeping(_) | Stage::Ended => Some(now),
        },
        stage,
        beat: Box::pin(sleep(streams.heartbeat)),
        heard: now,
    };
    let mut response = Response::new(Body::new(body));
    set_headers(response.headers_mut());
    response
}

/// The headers of an event stream: nobody on the way may keep, compress or hold it back.
pub(crate) fn set_headers(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Appends one event with this data. A line break within the data begins a new `data:` line.
pub(crate) fn put_data(buffer: &mut BytesMut, data: &[u8]) {
    let mut rest = data;
    buffer.reserve(data.len().saturating_add(8));
    loop {
        buffer.put_slice(b"data: ");
        let Some(at) = memchr2(b'\n', b'\r', rest) else {
            buffer.put_slice(rest);
            buffer.put_slice(b"\n\n");
            return;
        };
        let (line, after) = rest.split_at(at);
        buffer.put_slice(line);
        buffer.put_u8(b'\n');
        rest = after
            .strip_prefix(b"\r\n")
            .or_else(|| after.get(1..))
            .unwrap_or_default();
    }
}

/// Appends one event that is named as its type.
pub(crate) fn put_named(buffer: &mut BytesMut, name: &str, data: &Value) {
    buffer.put_slice(b"event: ");
    buffer.put_slice(name.as_bytes());
    buffer.put_u8(b'\n');
    put_data(buffer, data.to_string().as_bytes());
}

/// Appends one named event with an id.
pub(crate) fn put_event(buffer: &mut BytesMut, name: &str, id: i64, data: &[u8]) {
    // Writing to a buffer that grows cannot fail.
    let _ = write!(buffer, "event: {name}\nid: {id}\n");
    put_data(buffer, data);
}

/// Whether a chat request asks for a stream. Asked only where chat is slow to answer: chat reads the body itself.
pub(crate) fn wants_stream(body: &[u8]) -> bool {
    /// The one wire field that matters here.
    #[derive(Deserialize)]
    struct Peek {
        #[serde(default)]
        stream: Option<bool>,
    }
    serde_json::from_slice::<Peek>(body).is_ok_and(|peek| peek.stream == Some(true))
}

// === impl Form ===

impl Form {
    /// One event of chat.
    fn put(&mut self, data: &[u8], buffer: &mut BytesMut) {
        match self {
            Self::OpenAi => put_data(buffer, data),
            Self::Anthropic(events) => events.take(data, buffer),
            Self::Responses(responding) => responding.events.take(data, buffer),
        }
    }

    /// The answer is complete. What has to be waited for before its last event comes back.
    fn end(&mut self, app: &Arc<App>, buffer: &mut BytesMut) -> Stage {
        match self {
            Self::OpenAi => put_data(buffer, b"[DONE]"),
            Self::Anthropic(events) => events.end(buffer),
            Self::Responses(responding) => {
                let keep = responding.events.close(buffer);
                let place = responding.place.clone();
                let keeping = http::responses::keep(Arc::clone(app), place, keep);
                return Stage::Keeping(Box::pin(keeping));
            }
        }
        Stage::Ended
    }

    /// It is known whether the answer is kept.
    fn finish(&mut self, kept: Kept, buffer: &mut BytesMut) {
        match self {
            Self::OpenAi | Self::Anthropic(_) => {}
            Self::Responses(responding) => responding.events.finish(kept, buffer),
        }
    }

    fn fail(&mut self, fault: &Fault, request_id: &str, buffer: &mut BytesMut) {
        match self {
            Self::OpenAi => put_data(buffer, &error::json(fault, request_id)),
            Self::Anthropic(_) => {
                let fault = anthropic::renamed(fault.clone());
                buffer.put_slice(b"event: error\n");
                put_data(buffer, &anthropic::failed(&fault, request_id));
            }
            Self::Responses(responding) => {
                let fault = responses::renamed(fault.clone());
                responding.events.fail(&fault, request_id, buffer);
            }
        }
    }
}

// === impl ChatBody ===

impl ChatBody {
    /// Ends the stream because this process ends. Chat is not told that the customer left, who would be charged for that: what we hold of the
    /// call goes with the process, and chat sees the line cut.
    fn break_off(&mut self, buffer: &mut BytesMut) {
        let open = std::mem::replace(&mut self.stage, Stage::Ended);
        let held = async move {
            let _open = open;
            std::future::pending::<()>().await;
        };
        self.app.tasks.spawn_detached(Span::none(), held);
        let message = "the server that answers is being stopped; ask again";
        self.fail(&Fault::new(code::SERVICE_UNAVAILABLE, message), buffer);
    }

    /// Takes in one event.
    fn take(&mut self, event: CompleteEvent, buffer: &mut BytesMut) {
        match event.event {
            Some(Event::Data(data)) => self.form.put(&data, buffer),
            Some(Event::Tail(tail)) => {
                for data in &tail.data {
                    self.form.put(data, buffer);
                }
                self.stage = self.form.end(&self.app, buffer);
            }
            Some(Event::Failed(fault)) => {
                self.fail(&Fault::from_wire(fault, code::INTERNAL), buffer);
            }
            // A second head, or an event of a later version.
            Some(Event::Head(_)) | None => {}
        }
    }

    /// Ends the stream with an error event.
    fn fail(&mut self, fault: &Fault, buffer: &mut BytesMut) {
        tracing::debug!(
            request_id = self.request_id,
            code = fault.code.word,
            "a stream ended with an error"
        );
        self.form.fail(fault, &self.request_id, buffer);
        self.stage = Stage::Ended;
    }

    /// Moves on as far as it goes without waiting.
    fn advance(&mut self, context: &mut Context<'_>, buffer: &mut BytesMut) {
        while buffer.len() < WRITE_BYTES {
            match &mut self.stage {
                Stage::Ended => return,
                Stage::Opening(opening) => match opening.as_mut().poll(context) {
                    Poll::Pending => return,
                    Poll::Ready(Ok(opened)) => self.stage = Stage::Events(opened.events),
                    Poll::Ready(Err(error)) => self.fail(error.fault(), buffer),
                },
                Stage::Keeping(keeping) => match keeping.as_mut().poll(context) {
                    Poll::Pending => return,
                    Poll::Ready(kept) => {
                        self.form.finish(kept, buffer);
                        self.stage = Stage::Ended;
                    }
                },
                Stage::Events(events) => match events.poll_next_unpin(context) {
                    Poll::Pending => return,
                    Poll::Ready(Some(Ok(event))) => {
                        if matches!(event.event, Some(Event::Tail(_))) {
                            // The end of the call has mostly come with it. A call that is left before is reset, which costs both sides.
                            let _ = events.poll_next_unpin(context);
                        }
                        self.take(event, buffer);
                    }
                    Poll::Ready(Some(Err(status))) => self.fail(&Fault::from(status), buffer),
                    Poll::Ready(None) => self.fail(
                        &Fault::new(code::INTERNAL, "the answer ended before it was complete"),
                        buffer,
                    ),
                },
            }
            self.heard = Instant::now();
        }
    }

    /// Sends a heartbeat when nothing was sent for long, and gives up when chat said nothing for longer.
    fn keep_alive(&mut self, context: &mut Context<'_>, buffer: &mut BytesMut) {
        let streams = &self.app.config.limits.streams;
        let (every, silence) = (streams.heartbeat, streams.chat_silence);
        while self.sent.is_none() || self.beat.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if now.saturating_duration_since(self.heard) >= silence
                && matches!(self.stage, Stage::Events(_))
            {
                let message = "the model said nothing for too long";
                return self.fail(&Fault::new(code::TIMEOUT, message), buffer);
            }
            let last = match self.sent {
                Some(last) if now.saturating_duration_since(last) < every => last,
                Some(_) | None => {
                    buffer.put_slice(HEARTBEAT);
                    self.app.metrics.heartbeats.inc();
                    now
                }
            };
            self.sent = Some(last);
            let next = last.checked_add(every).unwrap_or(now);
            self.beat.as_mut().reset(next);
        }
    }
}

impl HttpBody for ChatBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut buffer = BytesMut::new();
        self.advance(context, &mut buffer);
        // Who always has something to say is told as well.
        if self.app.tasks.is_ending() && !matches!(self.stage, Stage::Ended) {
            self.break_off(&mut buffer);
        }
        if !buffer.is_empty() {
            self.sent = Some(self.heard);
            return Poll::Ready(Some(Ok(Frame::data(buffer.freeze()))));
        }
        if matches!(self.stage, Stage::Ended) {
            return Poll::Ready(None);
        }
        self.keep_alive(context, &mut buffer);
        if buffer.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(buffer.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_framed_line_by_line() {
        let framed = |data: &str| {
            let mut buffer = BytesMut::new();
            put_data(&mut buffer, data.as_bytes());
            String::from_utf8(buffer.to_vec()).unwrap()
        };
        assert_eq!(framed("{}"), "data: {}\n\n");
        assert_eq!(framed(""), "data: \n\n");
        assert_eq!(
            framed("a\nb\r\nc\rd"),
            "data: a\ndata: b\ndata: c\ndata: d\n\n"
        );
    }

    #[test]
    fn an_event_has_a_name_and_an_id() {
        let mut buffer = BytesMut::new();
        put_event(&mut buffer, "task", 7, b"{}");
        assert_eq!(buffer.as_ref(), b"event: task\nid: 7\ndata: {}\n\n");
    }

    #[test]
    fn a_request_for_a_stream_is_told_from_others() {
        for (body, expected) in [
            (r#"{"model":"gemini","stream":true}"#, true),
            (r#"{"stream" : true,"messages":[{"content":"x"}]}"#, true),
            (r#"{"stream":false}"#, false),
            (r#"{"stream":null}"#, false),
            (r#"{"metadata":{"stream":true}}"#, false),
            (r#"{"messages":[{"content":"\"stream\": true"}]}"#, false),
            (r#"{"stream":true"#, false),
            ("", false),
        ] {
            assert_eq!(wants_stream(body.as_bytes()), expected, "{body}");
        }
    }
}
